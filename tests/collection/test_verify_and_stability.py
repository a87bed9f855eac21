"""Comparing fresh runs with the ledger, and runs with other base seeds with each other; no notebook is executed."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from lab.collection import jobs, ledger, runner, schedule
from lab.collection.runner import Request
from lab.collection.stability import Share, stability
from lab.collection.verify import arrange, differences, verify

NAMES = [f"a/{number:02}-x" for number in range(1, 7)]


@pytest.fixture
def base(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "show", lambda *args, **kwargs: tmp_path / "index.html")
    return tiny.collection(tmp_path / "c", {name: tiny.notebook(f"x = '{name}'") for name in NAMES})


def claim(name, verdict="supported"):
    return {
        "key": f"{name}#rises", "slug": "rises", "paper": "p", "statement": "s", "quantity": "q", "unit": "",
        "rule": {"text": ">= 0.5"}, "value": 1.0, "low": 0.9, "high": 1.1, "n": 5, "verdict": verdict,
        "control": {"text": "c", "value": 0.0}, "expected": "supported",
    }  # fmt: skip


def outcome(job, verdict="supported", status="ok", seconds=10.0):
    claims = [claim(job.name, verdict)] if status in ("ok", "surprised") else []
    error = None if claims else "made up"
    return {**job.blank(), "status": status, "error": error, "seconds": seconds, "claims": claims}


@pytest.fixture
def fake(monkeypatch):
    """Stands in for running: returns what `verdicts` says, on a clock that only runs while notebooks do."""

    class Fake:
        def __init__(self):
            self.verdicts, self.seconds, self.now, self.started = {}, {}, 0.0, []

        def execute(self, work, scratch, *, workers, limit, may_start=lambda job: True, waiting=None):
            for job in work:
                if not may_start(job):
                    yield job, None
                    continue
                self.started.append((job.name, job.seed))
                seconds, allowed = self.seconds.get(job.name, 10.0), limit(job)
                if allowed is not None and seconds > allowed:
                    self.now += allowed
                    yield job, outcome(job, status="timeout", seconds=allowed)
                    continue
                self.now += seconds
                verdict = self.verdicts.get((job.name, job.seed), "supported")
                status = verdict if verdict == "failed" else "ok" if verdict == "supported" else "surprised"
                yield job, outcome(job, verdict, status, seconds)

    made = Fake()
    monkeypatch.setattr(schedule, "execute", made.execute)
    monkeypatch.setattr("lab.collection.verify.time.monotonic", lambda: made.now)
    return made


def prepared(base, names=NAMES, seed=0):
    return [jobs.prepare(base, base / "notebooks" / f"{n}.ipynb", profile="standard", seed=seed) for n in names]


def recorded(base, names=NAMES, seconds=10.0):
    ledger.update(base, [outcome(job, seconds=seconds) for job in prepared(base, names)])


def run_verify(base, budget=None, draw=1, names=()):
    out = io.StringIO()
    code = verify(base, Request(names, workers=1), budget, draw, Console(file=out, width=200))
    return code, out.getvalue()


def test_equal_verdicts_are_well_and_the_ledger_is_not_written(base, fake):
    recorded(base)
    before = (base / "data" / "ledger.csv").read_bytes()
    code, out = run_verify(base)
    assert code == 0 and "6 claims compared, verdicts as in the ledger" in out
    assert (base / "data" / "ledger.csv").read_bytes() == before


def test_every_kind_of_difference_is_named_and_fails(base, fake):
    recorded(base, NAMES[:5])
    fake.verdicts = {(NAMES[0], 0): "refuted", (NAMES[1], 0): "failed"}
    code, out = run_verify(base)
    assert code == 1
    assert f"{NAMES[0]}#rises: supported in the ledger (value 1), now refuted" in out
    assert f"{NAMES[1]}: failed" in out
    assert f"{NAMES[5]}: has no rows in data/ledger.csv" in out
    assert NAMES[2] in out and f"{NAMES[2]}#rises" not in out


def test_an_empty_ledger_is_said(base, fake):
    code, out = run_verify(base)
    assert code == 1 and "nothing to compare with" in out and fake.started == []


def test_vanished_and_new_claims_are_differences(base):
    (job,) = prepared(base, NAMES[:1])
    rows = {f"{job.name}#old": {"verdict": "supported"}}
    lines = differences(outcome(job), rows)
    assert len(lines) == 2 and "is not in data/ledger.csv" in lines[0] and "no longer makes this claim" in lines[1]


def test_what_changed_comes_first_and_the_rest_in_a_drawn_order(base, tiny):
    recorded(base, NAMES[:5])
    path = base / "notebooks" / f"{NAMES[3]}.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("x = '", "x = 'new"), encoding="utf-8")
    work, rows = prepared(base), ledger.read(base)
    first, others = arrange(work, rows, 1)
    assert [job.name for job in first] == [NAMES[3], NAMES[5]]
    assert sorted(job.name for job in others) == [NAMES[0], NAMES[1], NAMES[2], NAMES[4]]
    orders = {tuple(job.name for job in arrange(work, rows, draw)[1]) for draw in range(20)}
    assert len(orders) > 5
    assert [job.name for job in arrange(work, rows, 1)[1]] == [job.name for job in others]


def test_the_budget_is_kept_and_what_was_not_reached_is_named(base, fake):
    recorded(base, seconds=20.0)
    fake.seconds = dict.fromkeys(NAMES, 20.0)
    code, out = run_verify(base, budget=1.0)
    assert code == 0 and fake.now <= 60.0
    assert len(fake.started) == 2  # the third would end with the last second, so it is not begun
    missed = sorted(set(NAMES) - {name for name, _ in fake.started})
    assert f"Not reached in 1 min: {', '.join(missed)}" in out


def test_a_notebook_that_the_budget_cuts_short_has_not_failed(base, fake):
    recorded(base, seconds=20.0)
    fake.seconds = dict.fromkeys(NAMES, 500.0)
    code, out = run_verify(base, budget=1.0)
    assert code == 0 and fake.now <= 60.0
    assert "Not reached in 1 min: " + ", ".join(NAMES) in out


def test_a_notebook_that_passes_its_own_limit_has_failed(base, fake):
    recorded(base, seconds=20.0)
    fake.seconds = {NAMES[0]: 5000.0}
    code, out = run_verify(base, budget=100.0)
    assert code == 1 and f"{NAMES[0]}: timeout" in out


def run_stability(base, count=3, names=()):
    out = io.StringIO()
    code = stability(base, Request(names, workers=1), count, Console(file=out, width=200))
    return code, out.getvalue()


def test_stable_verdicts_are_written_into_the_ledger(base, fake):
    code, out = run_stability(base, names=NAMES[:2])
    assert code == 0 and "2 verdicts checked with 3 other base seeds: all the same" in out
    assert {row["stability"] for row in ledger.read(base).values()} == {"1"}
    assert sorted(fake.started) == [(name, seed) for name in NAMES[:2] for seed in (0, 1001, 1002, 1003)]


def test_a_verdict_that_flips_is_shown_with_its_share(base, fake):
    fake.verdicts = {(NAMES[0], 1002): "inconclusive"}
    code, out = run_stability(base, names=NAMES[:2])
    assert code == 1
    line = next(line for line in out.splitlines() if line.startswith(f"{NAMES[0]}#rises"))
    assert line.split()[1:] == ["supported", "supported", "inconclusive", "supported", "0.67"]
    shares = {key: row["stability"] for key, row in ledger.read(base).items()}
    assert shares == {f"{NAMES[0]}#rises": "0.667", f"{NAMES[1]}#rises": "1"}


def test_a_run_that_fails_with_another_seed_counts_against_the_claim(base, fake):
    fake.verdicts = {(NAMES[0], 1001): "failed"}
    code, _ = run_stability(base, names=NAMES[:1])
    assert code == 1
    assert ledger.read(base)[f"{NAMES[0]}#rises"]["stability"] == "0.667"


def test_a_surprise_with_base_seed_0_is_not_recorded(base, fake):
    fake.verdicts = {(NAMES[0], seed): "refuted" for seed in (0, 1001, 1002, 1003)}
    code, _ = run_stability(base, names=NAMES[:1])
    assert code == 1 and ledger.read(base) == {}


def test_the_share_counts_equal_verdicts():
    assert Share(claim("a/b"), ("supported", "refuted", "supported", "failed")).value == 0.5
