"""Reading records back: tolerant of damage, strict about counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lab.collection import claims, exercises, session
from lab.collection.claims import Claim
from lab.collection.records import accepted, claims_in, closing_in, exercises_in
from lab.collection.rules import at_least


def claim(slug: str, shift: float = 0.0) -> dict[str, Any]:
    made = Claim(slug, paper="p", statement="s", quantity="q", rule=at_least(1), control="c", expected="supported")
    return made.measure([2 + shift, 2.1, 1.9, 2.0, 2.0], control=0.0).record()


def out(mime: str, record: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": {mime: record, "text/plain": "x"}, "metadata": {}}


def book(*outputs: dict[str, Any]) -> dict[str, Any]:
    cells = [{"cell_type": "code", "source": "", "outputs": [each]} for each in outputs]
    return {"cells": [{"cell_type": "markdown", "source": "# T"}, *cells]}


def closing(*slugs: str) -> dict[str, Any]:
    return {"schema": 1, "claims": len(slugs), "verdicts": dict.fromkeys(slugs, "supported")}


def test_the_last_record_of_a_slug_counts() -> None:
    first, second, other = claim("a"), claim("a", 0.5), claim("b")
    found = claims_in(book(*(out(claims.MIME, c) for c in (first, other, second))))
    assert [c["slug"] for c in found] == ["a", "b"]
    assert found[0] == second
    assert found[0] != first


def test_a_whole_run_is_accepted_and_a_repeated_display_changes_nothing() -> None:
    outputs = [out(claims.MIME, claim(s)) for s in ("a", "b", "a")]
    assert accepted(book(*outputs, out(session.MIME, closing("a", "b")))) == (True, "")
    assert accepted(book(out(session.MIME, closing()))) == (True, "")


@pytest.mark.parametrize(
    ("slugs", "end", "words"),
    [
        (["a", "b"], None, "closing record is missing"),
        (["a"], closing("a", "b"), "counts 2 claims, 1 are recorded"),
        (["a", "b"], closing("a"), "counts 1 claims, 2 are recorded"),
        (["a", "b"], closing("a", "c"), "disagree on b, c"),
        (["a"], {**closing("a"), "verdicts": {"a": "refuted"}}, "disagree on a"),
        (["a"], {"schema": 2, "claims": 1, "verdicts": {"a": "supported"}}, "closing record is missing"),
        (["a"], {"schema": 1}, "closing record is missing"),
    ],
)
def test_what_is_not_whole_is_not_accepted(slugs: list[str], end: Any, words: str) -> None:
    outputs = [out(claims.MIME, claim(s)) for s in slugs] + ([out(session.MIME, end)] if end else [])
    good, reason = accepted(book(*outputs))
    assert not good
    assert words in reason


@pytest.mark.parametrize(
    "notebook",
    [
        {},
        {"cells": None},
        {"cells": [None, 3, {}, {"outputs": None}, {"outputs": [None, {}, {"data": []}, {"data": {claims.MIME: 3}}]}]},
        {"cells": [{"outputs": [{"data": {claims.MIME: "{", session.MIME: "[]", exercises.MIME: "null"}}]}]},
        [],
    ],
)
def test_damaged_notebooks_hold_nothing(notebook: Any) -> None:
    assert claims_in(notebook) == exercises_in(notebook) == []
    assert closing_in(notebook) is None
    assert not accepted(notebook)[0]


@pytest.mark.parametrize(
    "damage",
    [{"slug": None}, {"verdict": "true"}, {"value": None}, {"low": float("nan")}, {"rule": ">= 1"}, {"n": "5"}],
)
def test_half_a_claim_is_no_claim(damage: dict[str, Any]) -> None:
    assert claims_in(book(out(claims.MIME, claim("a") | damage))) == []


def test_records_kept_as_text_are_read_too() -> None:
    record = claim("a")
    assert claims_in(book(out(claims.MIME, json.dumps(record)))) == [record]


def test_exercises_are_read_one_a_name() -> None:
    records = [
        {"name": "f", "status": "failed", "message": "m"},
        {"name": "g", "status": "not attempted", "message": "m"},
        {"name": "f", "status": "passed", "message": "m"},
        {"name": "h", "status": "fine", "message": "m"},
    ]
    found = exercises_in(book(*(out(exercises.MIME, r) for r in records)))
    assert [(r["name"], r["status"]) for r in found] == [("f", "passed"), ("g", "not attempted")]
