"""The ledger: what is written, what is left alone, and what is refused."""

from __future__ import annotations

import pytest

from lab.collection import ledger


def record(slug="rises", value=1.0, verdict="supported", **other):
    made = {
        "key": f"a/01-x#{slug}", "slug": slug, "paper": "a-paper", "statement": "It, so they say,\nrises.",
        "quantity": "mean", "unit": "points", "rule": {"text": ">= 0.5"}, "value": value, "low": value - 0.1,
        "high": value + 0.1, "n": 5, "control": {"text": "nothing", "value": 0.0}, "verdict": verdict,
        "expected": verdict,
    }  # fmt: skip
    return {**made, **other}


def result(*claims, notebook="01-x", key="k1", **other):
    made = {
        "theme": "a", "notebook": notebook, "status": "ok", "profile": "standard", "seed": 0, "seconds": 12.4,
        "key": key, "claims": [{**c, "key": f"a/{notebook}#{c['slug']}"} for c in claims],
    }  # fmt: skip
    return {**made, **other}


@pytest.fixture
def base(tiny, tmp_path):
    return tiny.collection(tmp_path, {"a/01-x": tiny.notebook(), "a/02-y": tiny.notebook()})


def text(base):
    return (base / "data" / "ledger.csv").read_bytes()


def test_rows_are_written_in_order_and_read_back(base):
    assert ledger.read(base) == {}
    assert ledger.update(base, [result(record(), notebook="02-y"), result(record("b"), record("a", 1 / 3))])
    rows = ledger.read(base)
    assert list(rows) == ["a/01-x#a", "a/01-x#b", "a/02-y#rises"]
    row = rows["a/01-x#a"]
    assert row["statement"] == "It, so they say, rises."
    assert (row["value"], row["control_value"], row["n"], row["seconds"]) == ("0.33333333", "0", "5", "12")
    assert (row["rule"], row["code"], row["stability"], row["unit"]) == (">= 0.5", "k1", "", "points")
    assert text(base).count(b"\r") == 0
    assert not ledger.update(base, [result(record("b"), record("a", 1 / 3))])


def test_seconds_are_those_of_the_processor_where_the_run_knows_them(base):
    ledger.update(base, [result(record(), closing={"processor_seconds": 7.6})])
    assert ledger.read(base)["a/01-x#rises"]["seconds"] == "8"


@pytest.mark.parametrize(
    ("change", "written"),
    [
        ({"value": 1.0 + 2e-7}, False),
        ({"low": 0.2}, True),
        ({"value": 1.0 + 1e-4}, True),
        ({"verdict": "inconclusive"}, True),
    ],
)
def test_a_row_that_agrees_stays_as_it_is(base, change, written):
    ledger.update(base, [result(record())])
    before = text(base)
    fresh = {**record(), **change}
    assert ledger.update(base, [result(fresh, seconds=99.0)]) == written
    assert (text(base) != before) == written


def test_stability_is_kept_as_long_as_the_code_is_the_same(base):
    ledger.update(base, [result(record())], {"a/01-x#rises": 2 / 3})
    assert ledger.read(base)["a/01-x#rises"]["stability"] == "0.667"
    ledger.update(base, [result(record(value=2.0))])
    assert ledger.read(base)["a/01-x#rises"]["stability"] == "0.667"
    ledger.update(base, [result(record(value=2.0))], {"a/01-x#rises": 1.0})
    assert ledger.read(base)["a/01-x#rises"]["stability"] == "1"
    ledger.update(base, [result(record(value=2.01), key="k2")])
    assert ledger.read(base)["a/01-x#rises"]["stability"] == ""


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, "1"),
        ({"value": 1.000003}, "1"),
        ({"value": 1.00003}, ""),
        ({"low": 0.91}, ""),
        ({"n": 6}, ""),
        ({"statement": "Reworded."}, "1"),
    ],
)
def test_stability_outlives_a_change_of_code_that_leaves_every_number_of_the_notebook(base, change, kept):
    ledger.update(base, [result(record("a"), record("b"))], {"a/01-x#a": 1.0, "a/01-x#b": 1.0})
    ledger.update(base, [result(record("a"), {**record("b"), **change}, key="k2")])
    rows = ledger.read(base)
    assert [(rows[f"a/01-x#{slug}"]["code"], rows[f"a/01-x#{slug}"]["stability"]) for slug in "ab"] == [
        ("k2", kept)
    ] * 2


def test_claims_that_vanished_and_notebooks_that_are_gone_are_dropped(base):
    ledger.update(base, [result(record("a"), record("b")), result(record("c"), notebook="02-y")])
    ledger.update(base, [result(record("b"))])
    assert list(ledger.read(base)) == ["a/01-x#b", "a/02-y#c"]
    (base / "notebooks" / "a" / "02-y.ipynb").unlink()
    ledger.update(base, [result(record("b"))])
    assert list(ledger.read(base)) == ["a/01-x#b"]


@pytest.mark.parametrize("other", [{"status": "surprised"}, {"status": "failed"}, {"profile": "smoke"}, {"seed": 1}])
def test_runs_that_do_not_belong_are_refused(base, other):
    with pytest.raises(ValueError, match="a/01-x: only accepted runs"):
        ledger.update(base, [result(record(), **other)])
    assert not (base / "data" / "ledger.csv").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("key,theme", "name,theme", "the first line must name the columns"),
        ("a/01-x#rises,a", "a/01-x#falls,a", "line 2: the key 'a/01-x#falls' is not"),
        (",supported,supported", ",maybe,supported", "line 2: the verdict 'maybe'"),
        (",mean,1,", ",mean,one,", "line 2: value must be a finite number, found 'one'"),
        (",mean,1,", ",mean,nan,", "line 2: value must be a finite number"),
        (",points,", ",", "line 2: 22 cells expected, found 21"),
        ("a/01-x#rises", "<<<<<<< HEAD\na/01-x#rises", "line 2: 22 cells expected, found 1"),
        ("\na/01-x", "\n\na/01-x", "line 2: 22 cells expected, found 0"),
    ],
)
def test_a_damaged_file_is_refused_with_the_line(base, old, new, words):
    ledger.update(base, [result(record())])
    path = base / "data" / "ledger.csv"
    damaged = path.read_text(encoding="utf-8").replace(old, new, 1)
    assert damaged != path.read_text(encoding="utf-8")
    path.write_text(damaged, encoding="utf-8")
    with pytest.raises(ValueError, match="ledger.csv.*") as caught:
        ledger.read(base)
    assert words in str(caught.value)


def test_a_row_twice_is_refused(base):
    ledger.update(base, [result(record())])
    path = base / "data" / "ledger.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[1]]), encoding="utf-8")
    with pytest.raises(ValueError, match="line 3: the key 'a/01-x#rises' stands there twice"):
        ledger.read(base)
