"""A new notebook: where it may be put, and that it runs, as it is and with its solutions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest

from lab.collection import template
from lab.collection.check import problems
from lab.collection.kernel import GroupKernelManager
from lab.collection.notebook import read, with_solutions
from lab.collection.records import accepted, claims_in, closing_in, exercises_in

PAPERS = (
    "key,title,theme,kind,tier,scope,idea,claim,experiment,notebooks\n"
    "some-paper,Some Paper,gap,probe,1,reproduce,,,,\n"
    'own-paper,"A ""quoted"", long title",hubs,probe,1,reproduce,,,,\n'
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "papers.csv").write_text(PAPERS)
    return tmp_path


def test_a_new_notebook_has_its_name_and_a_paper_of_its_theme(root: Path) -> None:
    path = template.new(root, "hubs", "07-my-question")
    assert path == root / "notebooks" / "hubs" / "07-my-question.ipynb"
    book = read(path)
    assert book["cells"][0]["source"].startswith("# My question\n")
    assert book["metadata"]["lab"]["papers"] == ["own-paper"]
    assert 'A "quoted", long title' in book["cells"][0]["source"]
    assert "{{" not in path.read_text(encoding="utf-8")
    assert problems(root) == []
    other = template.new(root, "new-theme", "01-first")
    assert read(other)["metadata"]["lab"]["papers"] == ["some-paper"]
    assert problems(root) == []


@pytest.mark.parametrize(
    ("theme", "slug", "words"),
    [
        ("Hubs", "01-a", "theme must be"),
        ("../hubs", "01-a", "theme must be"),
        ("hubs", "a", "slug must be"),
        ("hubs", "1-a", "slug must be"),
        ("hubs", "01_a", "slug must be"),
        ("hubs", "01-a.ipynb", "slug must be"),
        ("hubs", "07-other", "number 07 already: hubs/07-taken"),
        ("hubs", "07-taken", "number 07 already"),
    ],
)
def test_bad_names_and_taken_ones_are_refused(root: Path, theme: str, slug: str, words: str) -> None:
    taken = template.new(root, "hubs", "07-taken")
    before = taken.read_bytes()
    with pytest.raises(ValueError, match=words):
        template.new(root, theme, slug)
    assert taken.read_bytes() == before
    assert len(list((root / "notebooks").rglob("*.ipynb"))) == 1


def test_without_papers_there_is_nothing_to_claim(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "papers.csv").write_text(PAPERS.split("\n")[0] + "\n")
    with pytest.raises(ValueError, match="no paper"):
        template.new(tmp_path, "hubs", "01-a")


def test_the_template_runs_with_its_solutions(root: Path, sockets: None) -> None:
    book = with_solutions(read(template.new(root, "hubs", "01-a-question")))
    first = next(c for c in book["cells"] if "parameters" in c["metadata"].get("tags", []))
    first["source"] = first["source"].replace('"standard"', '"smoke"')
    made = nbformat.from_dict(book)
    nbclient.NotebookClient(
        made, kernel_manager_class=GroupKernelManager, timeout=120, shutdown_kernel="immediate"
    ).execute()
    assert accepted(made) == (True, "")
    assert [c["verdict"] for c in claims_in(made)] == ["not judged"]
    assert closing_in(made)["verdicts"] == {"spread-shrinks": "not judged"}
    found = {each["name"]: each["status"] for each in exercises_in(made)}
    assert found == {"predicted_spread": "passed", "all_cosines": "passed"}
    outputs = {cell["id"]: cell.get("outputs", []) for cell in made["cells"]}
    (progress,) = outputs["measure"]
    assert progress["data"]["text/plain"].startswith("seeds: 2 in ")
    (conclusion,) = outputs["conclude"]
    assert "Profile smoke" in str(conclusion["data"]["text/markdown"])
    kinds: list[Any] = [sorted(each["data"]) for each in outputs["judge"]]
    assert kinds == [["application/vnd.lab.claim.v1+json", "text/html", "text/plain"]]
