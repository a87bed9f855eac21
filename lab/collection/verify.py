"""`lab run --verify`: run again, within a time budget, and compare the verdicts with the ledger."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.collection import cache, jobs, ledger, progress, runner, schedule
from lab.collection.jobs import Job
from lab.collection.ledger import Row
from lab.collection.outcome import FINISHED, TIMEOUT
from lab.collection.runner import Request


def verify(base: Path, request: Request, budget: float | None, draw: int, shown: Console | None = None) -> int:
    """Run notebooks afresh at profile standard and compare each verdict with its row in the ledger.

    Those whose code, data or pins changed since their row was written come first, then the others in a drawn order,
    until the minutes are spent; a notebook is started only if it will probably end in time, and ended when it does
    not. The ledger is not written.

    Args:
        base: root of the collection.
        request: which notebooks, with how many workers.
        budget: minutes for all of it, or None for no limit.
        draw: seed of the drawn order.
        shown: where to print.

    Returns:
        0 if every verdict that was reached is that of the ledger, 1 if one differs, a notebook failed or is not in
        the ledger, 130 if interrupted.

    Raises:
        ValueError: a mistake in the request, or a damaged ledger.
    """
    shown = shown or progress.console()
    if budget is not None and budget <= 0:
        raise ValueError(f"the budget must be above 0 minutes, got {budget:g}")
    work = request.prepare(base)
    rows = ledger.read(base)
    if not rows:
        shown.print("data/ledger.csv has no rows: there is nothing to compare with. Make it with: lab run")
        return 1
    began = time.monotonic()
    first, others = arrange(work, rows, draw)
    shown.print(
        f"{progress.count(len(work), 'notebook')}, of which {len(first)} changed since their rows in the ledger were "
        f"written; these come first, the others in an order drawn with seed {draw}.",
        soft_wrap=True,
    )
    results: list[dict[str, Any]] = []
    missed: list[str] = []
    try:
        with schedule.ended_by_signals():
            _run(base, request, [*first, *others], rows, budget, shown, results, missed)
    except KeyboardInterrupt:
        shown.print("Interrupted.")
        return runner.INTERRUPTED
    problems = [line for result in results for line in differences(result, rows)]
    shown.print()
    for line in problems:
        shown.print(line, style="red", soft_wrap=True)
    if missed:
        shown.print(f"Not reached in {budget:g} min: {', '.join(sorted(missed))}", soft_wrap=True)
    compared = sum(len(result["claims"]) for result in results if result["status"] in FINISHED)
    word = progress.count(len(problems), "problem") if problems else "verdicts as in the ledger"
    shown.print(f"{progress.summary(results, began)}; {progress.count(compared, 'claim')} compared, {word}")
    return 1 if problems else 0


def arrange(work: Sequence[Job], rows: Mapping[str, Row], draw: int) -> tuple[list[Job], list[Job]]:
    """The jobs whose key is not the one in their ledger rows (or that have no row), and the others in drawn order."""
    codes: dict[str, set[str]] = {}
    for row in rows.values():
        codes.setdefault(f"{row['theme']}/{row['notebook']}", set()).add(row["code"])
    first = [job for job in work if codes.get(job.name) != {job.key}]
    others = [job for job in work if codes.get(job.name) == {job.key}]
    random.Random(draw).shuffle(others)
    return first, others


def differences(result: Mapping[str, Any], rows: Mapping[str, Row]) -> list[str]:
    """One line for everything in which a fresh run differs from the ledger; none where all verdicts are equal."""
    name = f"{result['theme']}/{result['notebook']}"
    if result["status"] not in FINISHED:
        return [f"{name}: {result['status']}: {result['error']}"]
    mine = {key: row for key, row in rows.items() if key.startswith(f"{name}#")}
    fresh = {claim["key"]: claim for claim in result["claims"]}
    if fresh and not mine:
        return [f"{name}: has no rows in data/ledger.csv. Record it with: lab run {name}"]
    lines = []
    for key, claim in fresh.items():
        if key not in mine:
            lines.append(f"{key}: is not in data/ledger.csv. Record it with: lab run {name}")
        elif mine[key]["verdict"] != claim["verdict"]:
            row = mine[key]
            lines.append(
                f"{key}: {row['verdict']} in the ledger (value {row['value']}), now {claim['verdict']} "
                f"(value {ledger.number(claim['value'])}, rule {claim['rule']['text']})"
            )
    gone = sorted(mine.keys() - fresh.keys())
    lines += [f"{key}: is in data/ledger.csv, but the notebook no longer makes this claim" for key in gone]
    return lines


def _run(
    base: Path,
    request: Request,
    work: Sequence[Job],
    rows: Mapping[str, Row],
    budget: float | None,
    shown: Console,
    results: list[dict[str, Any]],
    missed: list[str],
) -> None:
    expected = jobs.expected_seconds(work, rows, cache.results(base))
    lines = progress.Progress(shown, work, expected, request.workers)
    deadline = None if budget is None else time.monotonic() + 60 * budget

    def left() -> float:
        return float("inf") if deadline is None else deadline - time.monotonic()

    def limit(job: Job) -> float | None:
        own = request.limit(job)
        return own if deadline is None else min(left(), float("inf") if own is None else own)

    cut = {job.name: False for job in work}

    def may_start(job: Job) -> bool:
        own = request.limit(job)
        cut[job.name] = own is None or left() < own
        return expected[job.name] * lines.pace() < left()

    lines.begin(len(work))
    try:
        with cache.scratch(base) as scratch:
            for job, result in schedule.execute(
                work, scratch, workers=request.workers, limit=limit, may_start=may_start, waiting=lines.waiting
            ):
                # A notebook that the budget cut short, not its own limit, has shown nothing.
                if result is not None and result["status"] == TIMEOUT and cut[job.name]:
                    result = None
                lines.finished(job, result)
                if result is None:
                    missed.append(job.name)
                else:
                    results.append(result)
                    runner.show(base, list(results), shown, complete=False)
    finally:
        lines.stop()
    runner.show(base, list(results), shown, complete=True)
