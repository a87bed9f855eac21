"""The list of papers and the generated column that joins it to the notebooks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lab.collection import ledger, papers, place

COLUMNS = ["key", "title", "theme", "kind", "tier", "scope", "idea", "claim", "experiment", "notebooks"]
ROWS = [
    ["one", 'A "quoted", title', "uniformity", "loss", "1", "reproduce", "i", "c", "e", "stale/99-gone"],
    ["two", "Two", "hubness", "probe", "3", "sketch", "i", "c", "e", ""],
    ["three", "Three", "hubness", "survey", "4", "cite", "i", "c", "-", ""],
    ["four", "Four", "uniformity", "loss", "2", "reproduce", "i", "c", "e", ""],
]


def put_papers(root: Path, rows: list[list[str]] = ROWS, columns: list[str] = COLUMNS) -> None:
    with (root / "data" / "papers.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])


def put_notebook(root: Path, name: str, keys: list[str]) -> None:
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"cells": [], "metadata": {"lab": {"papers": keys}}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(content), encoding="utf-8")


def put_claim(root: Path, name: str, paper: str) -> None:
    theme, notebook = name.split("/")
    row: dict[str, Any] = dict.fromkeys(ledger.COLUMNS, "0")
    row |= {"key": f"{name}#it", "theme": theme, "notebook": notebook, "slug": "it", "paper": paper}
    row |= {"verdict": "supported", "rule": ">= 0.4"}
    with (root / "data" / "ledger.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ledger.COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerow(row)


def column(root: Path) -> dict[str, str]:
    with (root / "data" / "papers.csv").open(newline="", encoding="utf-8") as file:
        return {row["key"]: row["notebooks"] for row in csv.DictReader(file)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    put_papers(tmp_path)
    return tmp_path


def test_the_column_joins_metadata_and_claims_sorted_and_without_what_is_gone(root: Path) -> None:
    put_notebook(root, "uniformity/02-b", ["one", "two"])
    put_notebook(root, "hubness/01-a", ["one", "one"])
    put_claim(root, "uniformity/02-b", "four")
    assert papers.update(root) is True
    assert column(root) == {
        "one": "hubness/01-a;uniformity/02-b",
        "two": "uniformity/02-b",
        "three": "",
        "four": "uniformity/02-b",
    }


def test_claims_of_a_notebook_that_is_gone_do_not_count(root: Path) -> None:
    put_claim(root, "uniformity/07-gone", "four")
    papers.update(root)
    assert column(root)["four"] == ""


def test_updating_twice_writes_once_and_touches_no_other_column(root: Path) -> None:
    put_notebook(root, "hubness/01-a", ["two"])
    assert papers.update(root) is True
    path = root / "data" / "papers.csv"
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    assert papers.update(root) is False
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, written)
    with path.open(newline="", encoding="utf-8") as file:
        assert [row[:-1] for row in list(csv.reader(file))[1:]] == [row[:-1] for row in ROWS]
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["papers.csv"]  # no temporary file stays


def test_an_unknown_key_is_refused_and_nothing_is_written(root: Path) -> None:
    before = (root / "data" / "papers.csv").read_bytes()
    put_notebook(root, "hubness/01-a", ["two", "tow"])
    with pytest.raises(ValueError, match=r"notebooks/hubness/01-a.ipynb names the paper 'tow'"):
        papers.update(root)
    put_notebook(root, "hubness/01-a", ["two"])
    put_claim(root, "hubness/01-a", "nine")
    with pytest.raises(ValueError, match=r"hubness/01-a#it, names the paper 'nine'"):
        papers.update(root)
    assert (root / "data" / "papers.csv").read_bytes() == before


def test_a_damaged_notebook_is_named(root: Path) -> None:
    put_notebook(root, "hubness/01-a", [])
    (root / "notebooks" / "hubness" / "01-a.ipynb").write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"notebooks/hubness/01-a.ipynb cannot be read"):
        papers.update(root)


def test_listing_by_theme_and_by_what_is_missing(root: Path) -> None:
    put_notebook(root, "uniformity/01-a", ["one"])
    papers.update(root)

    def keys(**asked: Any) -> list[str]:
        return [paper.key for paper in papers.listing(root, **asked)]

    assert keys() == ["one", "two", "three", "four"]
    assert keys(theme="hubness") == ["two", "three"]
    # three is only to be cited, so that no notebook is missing for it
    assert keys(missing=True) == ["two", "four"]
    assert keys(theme="uniformity", missing=True) == ["four"]
    with pytest.raises(ValueError, match=r"'hubs'; known themes: hubness, uniformity"):
        papers.listing(root, theme="hubs")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, COLUMNS[:-1], "columns .* expected"),
        ([ROWS[0][:-1]], COLUMNS, "row 2 has 9 cells"),
        ([ROWS[0], ROWS[0]], COLUMNS, "'one' stands there twice"),
        ([[*ROWS[0][:5], "someday", *ROWS[0][6:]]], COLUMNS, "scope 'someday'"),
    ],
)
def test_a_damaged_list_is_refused(root: Path, rows: list[list[str]], columns: list[str], message: str) -> None:
    put_papers(root, rows, columns)
    with pytest.raises(ValueError, match=message):
        papers.papers(root)


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"list of papers is missing: .*papers\.csv"):
        papers.papers(tmp_path)


def test_the_lists_own_papers() -> None:
    rows = papers.papers(place.root())
    assert len(rows) == 506
    scopes = {"1": "reproduce", "2": "reproduce", "3": "sketch", "4": "cite"}
    assert all(paper.scope == scopes[paper.tier] for paper in rows)
