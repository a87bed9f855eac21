"""The list of papers is complete and well formed."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

PAPERS = Path(__file__).resolve().parents[2] / "data/papers.csv"


def rows():
    with PAPERS.open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_506_papers_with_unique_keys():
    papers = rows()
    assert len(papers) == 506
    assert len({paper["key"] for paper in papers}) == 506
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", paper["key"]) for paper in papers)


def test_columns_are_filled():
    columns = ["key", "title", "theme", "kind", "tier", "scope", "idea", "claim", "experiment", "notebooks"]
    for paper in rows():
        assert list(paper) == columns
        assert all(paper[column] for column in columns[:-1]), paper["key"]


def test_scope_follows_the_tier():
    expected = {"1": "reproduce", "2": "reproduce", "3": "sketch", "4": "cite"}
    assert all(paper["scope"] == expected[paper["tier"]] for paper in rows())
    assert Counter(paper["scope"] for paper in rows()) == {"reproduce": 339, "sketch": 120, "cite": 47}


def test_line_ends():
    assert b"\r" not in PAPERS.read_bytes()
