"""notebooks/README.md: the ledger as a page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.collection import gallery


def test_every_notebook_and_claim_stands_in_a_table(collection: Path, ledger_of: Callable[[], None]) -> None:
    ledger_of()
    text = gallery.readme(collection)
    lines = text.splitlines()
    assert lines[0] == "# Notebooks and what they found"
    assert "4 notebooks, 2 claims: 1 supported, 1 refuted." in text
    question = "|  | [Alignment & uniformity](uniformity/01-alignment.ipynb) | Is it so? | 1 supported, 1 refuted |"
    assert question in lines
    assert "|  | [Hubs \\| and \\| bars](hubness/01-hubs.ipynb) | Is it so? | not run yet |" in lines
    claim = next(line for line in lines if "<ranks>" in line or "&lt;ranks&gt;" in line)
    assert claim.endswith("| 0.650 [0.599, 0.701] | ≥ 0.4 | ✓ supported |")
    assert text.index("## Uniformity & friends") < text.index("## Hubness")
    for line in lines:
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in (4, 5)


def test_it_depends_on_sources_ledger_and_pictures_alone(collection: Path, ledger_of: Callable[[], None]) -> None:
    ledger_of()
    assert gallery.write_readme(collection) is True
    before = gallery.readme(collection)
    shutil.rmtree(collection / "build")
    assert gallery.readme(collection) == before
    assert (collection / "notebooks" / "README.md").read_text(encoding="utf-8") == before
    assert gallery.write_readme(collection) is False


def test_a_damaged_list_of_themes_is_named(collection: Path) -> None:
    (collection / "notebooks" / "themes.toml").write_text("[", encoding="utf-8")
    with pytest.raises(ValueError, match=r"themes\.toml"):
        gallery.readme(collection)
