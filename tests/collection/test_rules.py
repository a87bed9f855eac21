"""Rules: limits, judging of intervals, text and JSON both ways."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.collection.rules import Rule, at_least, at_most, between

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("rule", "low", "high", "verdict"),
    [
        (at_least(0.4), 0.4, 0.9, "supported"),
        (at_least(0.4), 0.39, 0.9, "inconclusive"),
        (at_least(0.4), 0.1, 0.39, "refuted"),
        (at_least(0.4), 0.1, 0.4, "inconclusive"),
        (at_most(0.1), -2.0, 0.1, "supported"),
        (at_most(0.1), 0.1, 0.2, "inconclusive"),
        (at_most(0.1), 0.11, 0.2, "refuted"),
        (between(0.05, 0.2), 0.05, 0.2, "supported"),
        (between(0.05, 0.2), 0.04, 0.2, "inconclusive"),
        (between(0.05, 0.2), 0.0, 1.0, "inconclusive"),
        (between(0.05, 0.2), 0.0, 0.04, "refuted"),
        (between(0.05, 0.2), 0.21, 0.3, "refuted"),
    ],
)
def test_an_interval_is_judged_by_how_much_of_it_lies_inside(rule: Rule, low: float, high: float, verdict: str) -> None:
    assert rule.judge(low, high) == verdict


@given(NUMBERS, NUMBERS)
def test_a_point_is_never_inconclusive(limit: float, value: float) -> None:
    assert at_least(limit).judge(value, value) == ("supported" if value >= limit else "refuted")
    assert at_most(limit).judge(value, value) == ("supported" if value <= limit else "refuted")


@given(NUMBERS, NUMBERS)
def test_text_and_json_read_back_to_the_same_rule(a: float, b: float) -> None:
    rules = [at_least(a), at_most(a)] + ([between(min(a, b), max(a, b))] if a != b else [])
    for rule in rules:
        assert Rule.from_text(rule.text) == rule
        assert Rule.from_json(rule.to_json()) == rule


def test_json_has_the_fields_of_the_claim_record() -> None:
    assert at_least(0.4).to_json() == {"kind": "at_least", "low": 0.4, "high": None, "text": ">= 0.4"}
    assert at_most(3).to_json() == {"kind": "at_most", "low": None, "high": 3.0, "text": "<= 3"}
    assert between(0.05, 0.2).to_json() == {"kind": "between", "low": 0.05, "high": 0.2, "text": "0.05 to 0.2"}


def test_bad_limits_are_refused() -> None:
    for bad in (math.nan, math.inf, -math.inf):
        with pytest.raises(ValueError, match="finite"):
            at_least(bad)
    with pytest.raises(ValueError, match="low < high"):
        between(0.2, 0.2)
    with pytest.raises(TypeError, match="number"):
        at_most("0.2")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="limit"):
        Rule(None, None)
    with pytest.raises(ValueError, match="none of"):
        Rule.from_text("> 3")
    with pytest.raises(ValueError, match="kind"):
        Rule.from_json({"kind": "at_least", "low": None, "high": 1.0})


def test_judging_refuses_what_is_no_interval() -> None:
    with pytest.raises(ValueError, match="low <= high"):
        at_least(0).judge(1.0, 0.0)
    with pytest.raises(ValueError, match="finite"):
        at_least(0).judge(0.0, math.nan)
    with pytest.raises(ValueError, match="finite"):
        at_least(0).satisfied(math.nan)
