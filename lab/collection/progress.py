"""What `lab run` prints: one line a finished notebook with the time left, then a table of claims and verdicts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lab.collection.jobs import Job
from lab.collection.outcome import FINISHED, OK, SURPRISED

_STYLES = {"ok": "green", "surprised": "yellow", "failed": "red", "timeout": "red"}
_VERDICTS = {"supported": "green", "refuted": "red", "inconclusive": "yellow"}
_WIDTH = 132  # where the output goes into a file or a pipe, which has no width of its own


def console() -> Console:
    """The console everything is printed to."""
    shown = Console(highlight=False)
    return shown if shown.is_terminal else Console(highlight=False, width=_WIDTH)


class Progress:
    """Prints one line for each job that is done.

    Args:
        shown: where to print.
        jobs: all jobs of the session.
        expected: name of a notebook -> seconds it will probably take.
        workers: how many run at a time.
    """

    def __init__(self, shown: Console, jobs: Sequence[Job], expected: Mapping[str, float], workers: int) -> None:
        self.console = shown
        self.workers = workers
        self.expected = expected
        self.total = len(jobs)
        self.done = 0
        self.pending = Counter(job.name for job in jobs)
        self.seconds = 0.0
        self.foreseen = 0.0
        self.width = max((len(job.name) for job in jobs), default=0)
        self.seeds = len({job.seed for job in jobs}) > 1
        self.status: Status | None = None

    def begin(self, todo: int, gallery: Path | None = None) -> None:
        """Say what is about to happen, since the first line of a job may take minutes to come."""
        if todo:
            line = f"{count(todo, 'run' if self.seeds else 'notebook')} to go, {self.workers} at a time"
            self.console.print(f"{line}, {duration(self.left())}", soft_wrap=True)
        if todo and gallery is not None:
            self.console.print(f"Pages appear as they are finished: {gallery}", soft_wrap=True)

    def finished(self, job: Job, result: Mapping[str, Any] | None, *, cached: bool = False) -> None:
        """Print the line of a job; `result` is None where there was no time for it."""
        self.done += 1
        self.pending[job.name] -= 1
        if result is not None and not cached and result["status"] in FINISHED:
            self.seconds += float(result["seconds"])
            self.foreseen += self.expected[job.name]
        line = Text(f"[{self.done:>{len(str(self.total))}}/{self.total}] {job.name:<{self.width}}  ")
        if self.seeds:
            line.append(f"seed {job.seed:<5} ")
        if result is None:
            line.append("not reached")
        else:
            line.append(f"{result['status']:<9}", style=_STYLES[result["status"]])
            line.append("   cached  " if cached else f"{result['seconds']:>7.1f} s  ")
            line.append(result["error"] if result["status"] not in FINISHED else tally(result["claims"]))
            if result["status"] == SURPRISED:
                line.append(f" ({result['error']})")
        left = self.left()
        if left and result is not None:
            line.append(f"  {duration(left)} left", style="dim")
        self.stop()
        self.console.print(line, soft_wrap=True)

    def left(self) -> float:
        """Seconds until all is done, from what is expected and how that compared with what was seen so far."""
        waiting = [self.expected[name] for name, count in self.pending.items() for _ in range(count)]
        if not waiting:
            return 0.0
        return self.pace() * max(sum(waiting) / self.workers, max(waiting))

    def pace(self) -> float:
        """How much longer runs take here than expected; 1 until something was seen, then more and more what was."""
        return (self.seconds + 30.0) / (self.foreseen + 30.0)

    def waiting(self, running: list[tuple[Job, float]]) -> None:
        """Show, on a terminal only, what is running; the line vanishes with the next one printed."""
        if not self.console.is_terminal or not running:
            return
        text = ", ".join(f"{job.name} {seconds:.0f} s" for job, seconds in running)
        if self.status is None:
            self.status = self.console.status(text, refresh_per_second=2)
            self.status.start()
        self.status.update(text)

    def stop(self) -> None:
        """Take the line of `waiting` away."""
        if self.status is not None:
            self.status.stop()
            self.status = None


def tally(claims: Sequence[Mapping[str, Any]]) -> str:
    """Number of claims and how they came out.

    Example:
        >>> tally([{"verdict": "supported"}, {"verdict": "refuted"}, {"verdict": "supported"}])
        '3 claims: 2 supported, 1 refuted'
        >>> tally([])
        'no claims'
    """
    if not claims:
        return "no claims"
    counts = Counter(str(claim["verdict"]) for claim in claims)
    order = ["supported", "refuted", "inconclusive"]
    verdicts = sorted(counts, key=lambda v: (order.index(v) if v in order else len(order), v))
    return f"{count(len(claims), 'claim')}: " + ", ".join(f"{counts[verdict]} {verdict}" for verdict in verdicts)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(43), duration(100), duration(3700)
        ('about 45 s', 'about 2 min', 'about 1 h 2 min')
    """
    if seconds < 90:
        return f"about {max(5, round(seconds / 5) * 5)} s"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 60 else f"about {minutes // 60} h {minutes % 60} min"


def claims_table(results: Iterable[Mapping[str, Any]]) -> Table | None:
    """Every claim with value, interval, rule and verdict; None where there is none."""
    table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left", padding=(0, 2, 0, 0))
    table.add_column("claim", overflow="fold", ratio=5)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("95 % interval", no_wrap=True)
    table.add_column("rule", no_wrap=True)
    table.add_column("control", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for result in results:
        if result["status"] not in FINISHED or not result["claims"]:
            continue
        name = f"{result['theme']}/{result['notebook']}"
        table.add_row(Text(name, style="bold"))
        for claim in result["claims"]:
            verdict = Text(claim["verdict"], style=_VERDICTS.get(claim["verdict"], ""))
            if claim["verdict"] in _VERDICTS and claim["verdict"] != claim["expected"]:
                verdict.append(f", {claim['expected']} expected", style="bold")
            unit = f" {claim['unit']}" if claim["unit"] else ""
            table.add_row(
                f"  {claim['slug']}",
                f"{claim['value']:.3g}{unit}",
                f"{claim['low']:.3g} to {claim['high']:.3g}",
                claim["rule"]["text"],
                "" if claim["control"]["value"] is None else f"{claim['control']['value']:.3g}",
                verdict,
            )
    return table if table.row_count else None


def count(number: int, noun: str) -> str:
    """A number of things.

    Example:
        >>> count(1, "claim"), count(3, "claim")
        ('1 claim', '3 claims')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(results: Sequence[Mapping[str, Any]], began: float, noun: str = "notebook") -> str:
    """One line on the whole session.

    Args:
        results: all results.
        began: ``time.monotonic()`` at its start.
        noun: what one result is of.
    """
    counts = Counter(str(result["status"]) for result in results)
    parts = [f"{counts[status]} {status}" for status in ("ok", "surprised", "failed", "timeout") if counts[status]]
    seconds = time.monotonic() - began
    took = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
    return f"{count(len(results), noun)}: {', '.join(parts) or 'none run'}; {took}"


def exit_code(results: Iterable[Mapping[str, Any]]) -> int:
    """0 if every result is ``ok``, else 1."""
    return 0 if all(result["status"] == OK for result in results) else 1
