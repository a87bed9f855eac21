"""`lab check` on what goes stale: links, words and colours of figures, names nobody uses."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.collection import check, health, place
from lab.collection.notebook import read

BASE = Path(__file__).resolve().parents[2]


def cells(*texts: str, kind: str = "code") -> dict:
    return {"cells": [{"cell_type": kind, "source": text} for text in texts]}


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a b.md").write_text("[up](../README.md) [gone](no.md) `[code](x.md)`", encoding="utf-8")
    (tmp_path / "README.md").write_text(
        '[a](docs/a%20b.md#part) [web](https://example.org/x) [here](#part) ![](docs) <img src="lost.png" alt="x">',
        encoding="utf-8",
    )
    found = list(health.broken_links(tmp_path))
    assert [(file, rule) for file, rule, _ in found] == [
        ("README.md", "alt"), ("README.md", "links"), ("docs/a b.md", "links")]  # fmt: skip
    assert "'lost.png'" in found[1][2] and "'no.md'" in found[2][2]


def test_links_between_notebooks_are_followed(tmp_path: Path) -> None:
    path = tmp_path / "notebooks" / "theme" / "01-a.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text("{}", encoding="utf-8")
    told = cells("[itself](01-a.ipynb)", "[other](../else/02-b.ipynb)", kind="markdown")
    assert [(at, rule) for at, rule, _ in health.notebook_links(tmp_path, path, told)] == [(1, "links")]


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("plt.show()", "alt"),
        ("figure.savefig('x.png')", "alt"),
        ("plots.show(figure)", "alt"),
        ("plots.show(figure, 'what there is to see')", None),
        ("ax.imshow(x, cmap='jet')", "colours"),
        ("ax.imshow(x, cmap='viridis')", None),
        ("ax.plot(x, color='red')", "colours"),
        ("ax.plot(x, color='#12A0F3')", "colours"),
        ("ax.plot(x, color='#8B929A')", None),
        ("ax.plot(x, color='#0072B2')", None),
        ("ax.plot(x, color=plots.COLOURS[1])", None),
        ("ax.scatter(x, y, c='none')", None),
    ],
)
def test_figures_need_words_and_telling_colours(code: str, rule: str | None) -> None:
    assert [found for _, found, _ in health.figures(cells(code))] == ([rule] if rule else [])


def test_public_functions_that_nobody_uses_are_found(tmp_path: Path) -> None:
    package = tmp_path / "lab"
    (package / "probes").mkdir(parents=True)
    (package / "probes" / "__init__.py").write_text('__all__ = ["used", "idle", "Result"]\n', encoding="utf-8")
    assert list(health.unused_names(tmp_path, package)) == []  # where there are no tests, nothing can be said
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_x.py").write_text("used()\nidle_thing()\n", encoding="utf-8")
    found = list(health.unused_names(tmp_path, package))
    assert [message.split()[0] for _, _, message in found] == ["idle"]


def test_a_notebook_to_read_before_must_exist(tmp_path: Path) -> None:
    # the rule stands in the check of a whole collection; here on a copy of one notebook
    (tmp_path / "notebooks" / "uniformity").mkdir(parents=True)
    source = BASE / "notebooks" / "uniformity" / "02-temperature.ipynb"
    (tmp_path / "notebooks" / "uniformity" / source.name).write_bytes(source.read_bytes())
    (needed,) = read(source)["metadata"]["lab"]["needs"]
    told = [p.message for p in check.problems(tmp_path) if p.rule == "metadata"]
    assert len(told) == 1 and needed in told[0]


def test_the_collection_is_in_good_health() -> None:
    for path in place.notebooks(BASE):
        notebook = read(path)
        assert list(health.figures(notebook)) == [] and list(health.notebook_links(BASE, path, notebook)) == [], path
    assert list(health.broken_links(BASE)) == []
    assert list(health.unused_names(BASE, BASE / "lab")) == []
