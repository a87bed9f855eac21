"""`lab run --stability K`: do the verdicts come with other base seeds too?"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.collection import cache, jobs, ledger, progress, runner, schedule
from lab.collection.jobs import Job
from lab.collection.outcome import FINISHED, OK
from lab.collection.runner import Request

FIRST = 1001  # the other base seeds are 1001, 1002, ...: always the same, and far from those used to explore


@dataclass(frozen=True)
class Share:
    """How one claim fared with other base seeds.

    Args:
        claim: its record with base seed 0.
        verdicts: its verdict with each other base seed, in their order; what ended otherwise says how (``failed``).
    """

    claim: Mapping[str, Any]
    verdicts: tuple[str, ...]

    @property
    def value(self) -> float:
        """Share of the other base seeds that gave the same verdict, 0 to 1."""
        return sum(verdict == self.claim["verdict"] for verdict in self.verdicts) / len(self.verdicts)


def seeds(count: int) -> list[int]:
    """The other base seeds.

    Example:
        >>> seeds(3)
        [1001, 1002, 1003]
    """
    return list(range(FIRST, FIRST + count))


def stability(base: Path, request: Request, count: int, shown: Console | None = None) -> int:
    """Run with base seed 0 and `count` others, and write into the ledger how often each verdict was the same.

    Finished runs are reused. A run with another base seed that finds an unexpected verdict counts as finished: that
    is what is being measured.

    Args:
        base: root of the collection.
        request: which notebooks, with how many workers, at profile standard.
        count: number of other base seeds, at least 1.
        shown: where to print.

    Returns:
        0 if all ran and every verdict other than inconclusive came with every base seed, else 1; 130 if interrupted.

    Raises:
        ValueError: a mistake in the request.
    """
    if count < 1:
        raise ValueError(f"stability needs at least 1 other base seed, got {count}")
    shown = shown or progress.console()
    work = request.prepare(base, [0, *seeds(count)])
    began = time.monotonic()
    results: dict[tuple[str, int], dict[str, Any]] = {}
    try:
        with schedule.ended_by_signals():
            gallery = _run(base, request, work, shown, results)
    except KeyboardInterrupt:
        shown.print("Interrupted. What was finished is kept: the next run goes on from there.")
        return runner.INTERRUPTED
    main = [results[job.name, 0] for job in work if job.seed == 0]
    found = {share.claim["key"]: share for result in main for share in shares(result, results, seeds(count))}
    runner.record(
        [(job, results[job.name, 0]) for job in work if job.seed == 0],
        base,
        {key: share.value for key, share in found.items()},
    )
    sound = runner.finish(base, main, shown) and gallery is not None
    unsettled = [share for share in found.values() if share.value < 1]
    if unsettled:
        shown.print(_table(unsettled, count))
    elif found:
        verdicts, others = progress.count(len(found), "verdict"), progress.count(count, "other base seed")
        shown.print(f"{verdicts} checked with {others}: all the same.")
    shown.print(progress.summary(list(results.values()), began, "run"))
    if gallery is not None:
        shown.print(f"Gallery: {gallery}", soft_wrap=True)
    ran = all(r["status"] in FINISHED for r in results.values()) and all(r["status"] == OK for r in main)
    flipped = any(share.claim["verdict"] != "inconclusive" for share in unsettled)
    return 0 if ran and sound and not flipped else 1


def shares(
    result: Mapping[str, Any], results: Mapping[tuple[str, int], Mapping[str, Any]], others: Sequence[int]
) -> list[Share]:
    """What the runs with the `others` say of each claim of one run with base seed 0."""
    name = f"{result['theme']}/{result['notebook']}"
    found = []
    for claim in result["claims"] if result["status"] in FINISHED else []:
        verdicts = []
        for seed in others:
            other = results[name, seed]
            same = {c["slug"]: c["verdict"] for c in other["claims"]} if other["status"] in FINISHED else {}
            verdicts.append(str(same.get(claim["slug"], other["status"])))
        found.append(Share(claim, tuple(verdicts)))
    return found


def _run(
    base: Path,
    request: Request,
    work: Sequence[Job],
    shown: Console,
    results: dict[tuple[str, int], dict[str, Any]],
) -> Path | None:
    expected = jobs.expected_seconds(work, ledger.read(base), cache.results(base))
    lines = progress.Progress(shown, work, expected, request.workers)
    known = {} if request.force else runner.reusable(base, work)
    for job in work:
        if job.key in known:
            results[job.name, job.seed] = known[job.key]
            lines.finished(job, known[job.key], cached=True)
    lines.begin(len(work) - len(results))
    # Base seed 0 first: if it fails, that is known early.
    todo = sorted((job for job in work if job.key not in known), key=lambda j: (j.seed != 0, -expected[j.name]))
    try:
        with cache.scratch(base) as scratch:
            for job, result in request.execute(todo, scratch, lines.waiting):
                assert result is not None
                results[job.name, job.seed] = result
                lines.finished(job, result)
    finally:
        lines.stop()
    return runner.show(base, [r for (_, seed), r in results.items() if seed == 0], shown, complete=True)


def _table(unsettled: Sequence[Share], count: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0), title_justify="left")
    for heading in ("claims that depend on the base seed", "base seed 0", *map(str, seeds(count)), "share"):
        table.add_column(heading, no_wrap=heading != "claims that depend on the base seed", overflow="fold")
    for share in unsettled:
        table.add_row(share.claim["key"], share.claim["verdict"], *share.verdicts, f"{share.value:.2f}")
    return table
