"""Notebooks that go wrong in every way: reported, kept out of the ledger, and no hindrance to the others."""

from __future__ import annotations

import csv
import json

import pytest


@pytest.fixture(scope="module")
def faulty(tiny, tmp_path_factory):
    """A run over one good notebook and one of each kind of bad one; a space in the path, as people have them."""
    claim = 'claim("rises", 1.0)'
    end = 'finish({"rises": "supported"})'
    note = "from pathlib import Path\nPath('pid').write_text(str(__import__('os').getpid()))"
    changed = 'finish({"rises": "refuted"}, ["rises"])\nraise type("VerdictChanged", (Exception,), {})("no")'
    notebooks = {
        "good/01-fine": tiny.notebook(*tiny.FINE),
        "bad/01-raises": tiny.notebook(claim, "{}['missing']", end),
        "bad/02-hangs": tiny.notebook(claim, note + "\nimport time; time.sleep(600)", end),
        "bad/03-exits": tiny.notebook(claim, "import sys; sys.exit(0)", end),
        "bad/04-killed": tiny.notebook(claim, "import os; os.kill(os.getpid(), 9)", end),
        "bad/05-miscounts": tiny.notebook(claim, "finish({})"),
        "bad/06-surprised": tiny.notebook('claim("rises", 0.1, "refuted")', changed),
        "bad/07-other-profile": tiny.notebook("profile = 'smoke'", claim, end),
    }
    base = tiny.collection(tmp_path_factory.mktemp("with space") / "a {collection}", notebooks)
    (base / "notebooks" / "bad" / "08-damaged.ipynb").write_text('{"cells": [', encoding="utf-8")
    done = tiny.lab(base, "run", "--timeout", "8", "-j", "2")
    results = [json.loads(path.read_text(encoding="utf-8")) for path in base.glob("build/runs/*/result.json")]
    return base, done, {f"{r['theme']}/{r['notebook']}": r for r in results}


def line_of(done, name: str) -> str:
    return next(line for line in done.stdout.splitlines() if f" {name} " in line)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("good/01-fine", "ok", "1 claim: 1 supported"),
        ("bad/01-raises", "failed", "KeyError: 'missing'"),
        ("bad/02-hangs", "timeout", "limit of 8 s, in cell 5"),
        ("bad/03-exits", "failed", "closing record is missing"),
        ("bad/04-killed", "failed", "DeadKernelError: Kernel died"),
        ("bad/05-miscounts", "failed", "counts 0 claims, 1 are recorded"),
        ("bad/06-surprised", "surprised", "rises is refuted, not supported"),
        ("bad/07-other-profile", "failed", "ran with profile 'smoke' where 'standard' was asked for"),
    ],
)
def test_each_notebook_is_reported_in_one_line(faulty, name, status, words):
    _, done, results = faulty
    assert results[name]["status"] == status
    assert (status == "ok") == (results[name]["error"] is None)
    line = line_of(done, name)
    assert status in line and words in line


def test_a_damaged_notebook_hinders_no_other(faulty):
    _, done, results = faulty
    assert "failed" in line_of(done, "bad/08-damaged") and "is no JSON" in line_of(done, "bad/08-damaged")
    assert len(results) == 8


def test_the_exit_code_says_that_something_failed(faulty):
    _, done, _ = faulty
    assert done.returncode == 1
    assert "9 notebooks: 1 ok, 1 surprised, 6 failed, 1 timeout" in done.stdout
    assert done.stderr == ""


def test_only_the_good_notebook_is_in_the_ledger(faulty):
    base, _, _ = faulty
    with (base / "data" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == ["good/01-fine#rises"]
    assert (rows[0]["verdict"], rows[0]["value"], rows[0]["seed"]) == ("supported", "1", "0")


def test_nothing_is_left_behind(faulty, tiny):
    base, _, _ = faulty
    assert not tiny.alive(int((base / "notebooks" / "bad" / "pid").read_text(encoding="utf-8")))
    assert not [path.name for path in (base / "build" / "runs").iterdir() if path.name.startswith(".")]


def test_what_is_finished_is_not_run_again(faulty, tiny):
    base, _, _ = faulty
    ledger = (base / "data" / "ledger.csv").read_bytes()
    again = tiny.lab(base, "run", "01-fine", "bad/06-surprised")
    assert "cached" in line_of(again, "good/01-fine") and "cached" in line_of(again, "bad/06-surprised")
    assert again.returncode == 1
    assert (base / "data" / "ledger.csv").read_bytes() == ledger
    changed = tiny.lab(base, "run", "good", "--changed")
    assert (changed.returncode, changed.stdout) == (0, "Nothing has changed since it was recorded.\n")


def test_verify_runs_afresh_and_sees_a_verdict_that_differs(faulty, tiny):
    base, _, _ = faulty
    path = base / "data" / "ledger.csv"
    before = path.read_text(encoding="utf-8")
    equal = tiny.lab(base, "run", "--verify", "good")
    assert equal.returncode == 0, equal.stdout
    assert "cached" not in equal.stdout and "1 claim compared, verdicts as in the ledger" in equal.stdout
    path.write_text(before.replace(",supported,supported,", ",refuted,refuted,"), encoding="utf-8")
    differs = tiny.lab(base, "run", "--verify", "good")
    path.write_text(before, encoding="utf-8")
    assert differs.returncode == 1
    assert "good/01-fine#rises: refuted in the ledger (value 1), now supported" in differs.stdout
