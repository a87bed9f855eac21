"""`lab run --sweep NAME V1,V2,...`: the same notebooks over values of their parameters, as one table."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from lab.collection import cache, jobs, ledger, progress, runner, schedule
from lab.collection.jobs import Job
from lab.collection.outcome import FINISHED
from lab.collection.runner import Request

Sweep = Sequence[tuple[str, Sequence[str]]]


def parse(texts: Sequence[str]) -> list[tuple[str, list[str]]]:
    """``NAME=V1,V2`` words as names and values.

    Raises:
        ValueError: no name, no value, an empty or repeated value, a name given twice.

    Example:
        >>> parse(["seed=0,1,2", "temperature=0.1,0.2"])
        [('seed', ['0', '1', '2']), ('temperature', ['0.1', '0.2'])]
    """
    found: dict[str, list[str]] = {}
    for text in texts:
        name, _, listed = text.partition("=")
        values = [value.strip() for value in listed.split(",")]
        if not name or not all(values):
            raise ValueError(f"--sweep needs a name and values without gaps: --sweep NAME V1,V2,..., got {text!r}")
        if len(set(values)) != len(values):
            raise ValueError(f"--sweep {name} names a value twice: {listed}")
        if name in found:
            raise ValueError(f"--sweep {name} is given twice")
        found[name] = values
    return list(found.items())


def prepare(base: Path, request: Request, wanted: Sweep) -> list[tuple[tuple[str, ...], Job]]:
    """The jobs, one for each notebook and combination of values, with the values that stand for it.

    Raises:
        ValueError: as ``Request.prepare``; a swept parameter that is also given once; a seed that is no number.
    """
    fixed = {name for name, _ in request.given}
    if twice := fixed & {name for name, _ in wanted}:
        raise ValueError(f"--sweep and --parameter both set {', '.join(sorted(twice))}")
    made = []
    for values in itertools.product(*(values for _, values in wanted)):
        pairs = list(zip((name for name, _ in wanted), values, strict=True))
        seeds = [value for name, value in pairs if name == "seed"]
        if seeds and not seeds[0].isdigit():
            raise ValueError(f"--sweep seed needs whole numbers from 0 up, got {seeds[0]!r}")
        rest = [pair for pair in pairs if pair[0] != "seed"]
        one = replace(request, given=[*request.given, *rest], seed=int(seeds[0]) if seeds else request.seed)
        made += [(values, job) for job in one.prepare(base)]
    return made


def sweep(base: Path, request: Request, wanted: Sweep, shown: Console | None = None) -> int:
    """Run every notebook with every combination of values; finished runs are reused; print a table of claims.

    Args:
        base: root of the collection.
        request: which notebooks, how many workers or which cluster.
        wanted: what :func:`parse` returns.
        shown: where to print.

    Returns:
        0 if all ran (whatever their verdicts), 1 if one failed, 130 if interrupted.

    Raises:
        ValueError: a mistake in the request.
    """
    shown = shown or progress.console()
    work = prepare(base, request, wanted)
    began, results = time.monotonic(), {}
    expected = jobs.expected_seconds([job for _, job in work], ledger.read(base), cache.results(base))
    lines = progress.Progress(shown, [job for _, job in work], expected, request.workers)
    known = {} if request.force else runner.reusable(base, [job for _, job in work])
    for _, job in work:
        if job.key in known:
            results[job.key] = known[job.key]
            lines.finished(job, known[job.key], cached=True)
    todo = sorted({j.key: j for _, j in work if j.key not in known}.values(), key=lambda job: -expected[job.name])
    lines.begin(len(todo))
    try:
        with schedule.ended_by_signals(), cache.scratch(base) as scratch:
            for job, result in request.execute(todo, scratch, lines.waiting):
                assert result is not None
                results[job.key] = result
                lines.finished(job, result)
    except KeyboardInterrupt:
        shown.print("Interrupted. What was finished is kept: the next run goes on from there.")
        return runner.INTERRUPTED
    finally:
        lines.stop()
    shown.print(_table(work, results, [name for name, _ in wanted]))
    shown.print(progress.summary(list(results.values()), began, "run"))
    return 0 if all(result["status"] in FINISHED for result in results.values()) else 1


def _table(work: Sequence[tuple[tuple[str, ...], Job]], results: dict, names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("claim", *names, "value", "95 % interval", "rule", "verdict"):
        table.add_column(heading, overflow="fold")
    rows = []
    for number, (values, job) in enumerate(work):
        result = results[job.key]
        if result["status"] not in FINISHED:
            rows.append((job.name, number, [job.name, *values, "", "", "", result["status"]]))
        for claim in result["claims"] if result["status"] in FINISHED else []:
            span = f"{claim['low']:.3g} to {claim['high']:.3g}"
            cells = [claim["key"], *values, f"{claim['value']:.3g}", span, claim["rule"]["text"], claim["verdict"]]
            rows.append((claim["key"], number, cells))
    for _, _, cells in sorted(rows, key=lambda row: row[:2]):
        table.add_row(*cells)
    return table
