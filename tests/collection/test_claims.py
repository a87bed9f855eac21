"""Claims: verdicts with controls, the record, what is refused, and how a claim is shown."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from lab.collection.claims import MIME, Claim
from lab.collection.rules import at_least, at_most, between


def make(**changes: Any) -> Claim:
    given: dict[str, Any] = {
        "paper": "a-paper",
        "statement": "It works.",
        "quantity": "points gained",
        "rule": at_least(1.0),
        "control": "labels shuffled",
        "expected": "supported",
    }
    return Claim("it-works", **(given | changes))


HIGH, LOW, WIDE = [2.0, 2.1, 1.9, 2.05, 1.95], [0.0, 0.1, -0.1, 0.05, -0.05], [0.0, 2.0, 1.0, 3.0, -1.0]


@pytest.mark.parametrize(
    ("values", "control", "verdict", "surprising"),
    [
        (HIGH, LOW, "supported", False),
        (HIGH, HIGH, "inconclusive", True),
        (HIGH, WIDE, "inconclusive", True),  # its mean of 1.0 satisfies the rule
        (LOW, LOW, "refuted", True),
        (LOW, HIGH, "refuted", True),  # a passing control does not rescue a refuted claim
        (WIDE, LOW, "inconclusive", True),
        (HIGH, 0.0, "supported", False),
        (HIGH, 1.0, "inconclusive", True),
    ],
)
def test_the_verdict(values: list[float], control: Any, verdict: str, surprising: bool) -> None:
    claim = make().measure(values, control=control)
    assert claim.verdict == verdict
    assert claim.surprising is surprising
    assert claim.reason


def test_a_control_rule_of_its_own_decides_whether_the_control_passes() -> None:
    claim = make(rule=between(-1, 1), control_rule=at_most(-5)).measure(LOW, control=LOW)
    assert not claim.control_passes
    assert claim.verdict == "supported"
    assert make(rule=between(-1, 1)).measure(LOW, control=LOW).verdict == "inconclusive"


def test_paired_differences_are_what_is_measured() -> None:
    base = [10.0, 20.0, 30.0, 40.0, 50.0]
    claim = make().measure([b + h for b, h in zip(base, HIGH, strict=True)], minus=base, control=LOW)
    assert claim.record()["values"] == pytest.approx(HIGH)
    assert claim.verdict == "supported"


def test_smoke_is_never_judged() -> None:
    claim = make(profile="smoke").measure([2.0, 2.1], control=[0.0, 0.1])
    assert claim.verdict == "not judged"
    assert not claim.surprising


def test_the_record_is_json_with_every_field() -> None:
    record = make(unit="points").measure(HIGH, control=LOW).record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert {k: record[k] for k in ("schema", "slug", "paper", "unit", "n", "interval", "expected", "verdict")} == {
        "schema": 1, "slug": "it-works", "paper": "a-paper", "unit": "points", "n": 5, "interval": "t",
        "expected": "supported", "verdict": "supported",
    }  # fmt: skip
    assert record["rule"] == {"kind": "at_least", "low": 1.0, "high": None, "text": ">= 1"}
    assert record["value"] == pytest.approx(2.0)
    assert record["low"] < 2.0 < record["high"]
    control = record["control"]
    assert control["text"] == "labels shuffled"
    assert control["value"] == pytest.approx(0.0, abs=1e-12)
    assert control["passes"] is False


def test_measuring_is_refused_twice_after_the_end_and_with_bad_values() -> None:
    claim = make().measure(HIGH, control=LOW)
    with pytest.raises(RuntimeError, match=r"it-works.*measured already"):
        claim.measure(HIGH, control=LOW)
    late = make()
    late.close()
    with pytest.raises(RuntimeError, match=r"it-works.*finish"):
        late.measure(HIGH, control=LOW)
    for values, control, words in (
        (HIGH[:4], LOW, "values needs at least 5 seeds"),
        (HIGH, LOW[:4], "control needs at least 5 seeds"),
        ([*HIGH[:4], math.nan], LOW, "finite"),
        (HIGH, [*LOW[:4], math.inf], "finite"),
        (HIGH, math.nan, "finite"),
    ):
        fresh = make()
        with pytest.raises(ValueError, match=f"it-works.*{words}"):
            fresh.measure(values, control=control)
        assert not fresh.measured  # what was refused leaves no trace, so the claim can still be measured
    with pytest.raises(ValueError, match=r"it-works.*paired"):
        make().measure(HIGH, minus=[*LOW, 0.0], control=LOW)
    with pytest.raises(ValueError, match="at least 2 seeds"):
        make(profile="smoke").measure([1.0], control=[0.0, 0.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expected": "true"}, "expected must be one of supported, refuted, inconclusive"),
        ({"interval": "z"}, "interval must be one of t, bca"),
        ({"statement": " "}, "statement"),
        ({"control": ""}, "control"),
        ({"profile": "tiny"}, "profile"),
    ],
)
def test_a_claim_that_says_too_little_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(**changes)


def test_slug_and_rule_have_their_form() -> None:
    for slug in ("It Works", "a_b", "-a", "a--b", ""):
        with pytest.raises(ValueError, match="slug"):
            Claim(slug, paper="p", statement="s", quantity="q", rule=at_least(0), control="c", expected="supported")
    with pytest.raises(TypeError, match="rule"):
        make(rule=0.4)
    with pytest.raises(TypeError, match="control_rule"):
        make(control_rule=">= 1")


def test_asking_for_a_verdict_before_measuring_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match="measure"):
        _ = make().verdict
    bundle = make()._repr_mimebundle_()
    assert MIME not in bundle
    assert "not measured yet" in bundle["text/plain"]


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))


def test_the_card_is_self_contained_accessible_and_escapes_its_texts() -> None:
    claim = make(statement="a < b & <script>alert(1)</script>").measure(HIGH, control=LOW)
    bundle = claim._repr_mimebundle_()
    assert bundle[MIME] == claim.record()
    page = Reader()
    page.feed(bundle["text/html"])
    allowed = {"div", "span", "strong", "code", "svg", "title", "rect", "path", "circle", "text"}
    assert {tag for tag, _ in page.tags} <= allowed
    assert not {"src", "href", "id", "onload"} & {a for _, attrs in page.tags for a in attrs}
    picture = next(attrs for tag, attrs in page.tags if tag == "svg")
    assert picture["role"] == "img"
    for part in ("Mean 2.000", "rule >= 1", "control", "verdict supported"):
        assert part in str(picture["aria-label"])
    assert ">supported</span>" in bundle["text/html"]
    assert "url(" not in bundle["text/html"]


def test_the_picture_keeps_everything_inside_and_in_order() -> None:
    claim = make().measure([5.0, 5.5, 4.5, 5.2, 4.8], control=[-3.0, -2.0, -2.5, -2.6, -2.4])
    html = claim._repr_mimebundle_()["text/html"]
    width = float(re.search(r'viewBox="0 0 (\d+) ', html)[1])  # type: ignore[index]
    places = [float(x) for x in re.findall(r'cx="([-\d.]+)"', html)]
    assert all(0 < x < width for x in places)
    control = float(re.search(r'd="M([\d.]+) 56', html)[1])  # type: ignore[index]
    limit = float(re.search(r'd="M([\d.]+) 18V', html)[1])  # type: ignore[index]
    assert control < limit < min(places)
    start, shaded = re.search(r'<rect x="([\d.]+)" y="18" width="([\d.]+)"', html).groups()  # type: ignore[union-attr]
    assert float(start) == limit  # the shaded part is what satisfies "at least"
    assert float(start) + float(shaded) > max(places)


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e9, -3.0])
def test_equal_values_of_any_size_can_be_shown(value: float) -> None:
    claim = make(rule=at_most(1.0)).measure([value] * 5, control=2.0)
    assert "nan" not in claim._repr_mimebundle_()["text/html"].lower()
    assert "the same in all 5 seeds" in claim._repr_mimebundle_()["text/html"]


def test_plain_text_says_the_same() -> None:
    text = repr(make(expected="refuted").measure(HIGH, control=LOW))
    for part in ("SUPPORTED", "it-works: It works.", "rule >= 1", "labels shuffled", "expected: refuted", "n = 5"):
        assert part in text


@pytest.mark.parametrize("unit", [None, 1, b"points"])
def test_a_unit_is_a_text(unit: Any) -> None:
    with pytest.raises(ValueError, match="unit must be a text"):
        make(unit=unit)
