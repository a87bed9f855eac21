"""`lab run`: execute notebooks, judge their claims, keep the ledger, build the gallery."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from lab.collection import cache, jobs, ledger, parameters, place, progress, schedule
from lab.collection.imports import skip_iri_grammar
from lab.collection.jobs import Job
from lab.collection.outcome import OK

INTERRUPTED = 130


@dataclass(frozen=True)
class Request:
    """What a person asked for.

    Args:
        names: themes or notebooks; empty for all.
        profile: ``smoke``, ``standard`` or ``large``.
        seed: base seed.
        workers: processes at a time.
        given: other parameters as (name, text) pairs.
        changed: run only what changed since it was recorded.
        force: run also what is finished already.
        timeout: seconds a notebook may take; None for the profile's own limit.
        cluster: address of a Dask scheduler that runs the notebooks in place of local processes.
    """

    names: Sequence[str] = ()
    profile: str = "standard"
    seed: int = 0
    workers: int = 2
    given: Sequence[tuple[str, str]] = ()
    changed: bool = False
    force: bool = False
    timeout: float | None = None
    cluster: str | None = None

    def execute(
        self,
        todo: Sequence[Job],
        scratch: cache.Scratch,
        waiting: Callable[[list[tuple[Job, float]]], None],
    ) -> Iterator[tuple[Job, dict[str, Any] | None]]:
        """Run jobs on local processes, or on the cluster, and yield each result as it comes."""
        if self.cluster is None:
            return schedule.execute(todo, scratch, workers=self.workers, limit=self.limit, waiting=waiting)
        from lab.collection import cluster

        return cluster.execute(todo, scratch, address=self.cluster, limit=self.limit, waiting=waiting)

    def limit(self, job: Job) -> float | None:
        """Seconds `job` may take, or None."""
        return self.timeout if self.timeout is not None else jobs.LIMITS[job.profile]

    def prepare(self, base: Path, seeds: Sequence[int] | None = None) -> list[Job]:
        """The jobs, checked; one for each notebook and base seed.

        Raises:
            ValueError: an unknown notebook, profile or parameter, a wrong type, or a number out of range.
        """
        parameters.check_profile(self.profile)
        if self.workers < 1:
            raise ValueError(f"the number of workers must be at least 1, got {self.workers}")
        if self.timeout is not None and self.timeout <= 0:
            raise ValueError(f"the time limit must be above 0 seconds, got {self.timeout:g}")
        paths = place.choose(base, self.names)
        wanted = seeds if seeds is not None else [self.seed]
        return [
            jobs.prepare(base, path, profile=self.profile, seed=seed, given=self.given)
            for path in paths
            for seed in wanted
        ]


def default_workers() -> int:
    """Number of processes where none is asked for: one a core, at most four, since each needs about 1 GB of memory."""
    return max(1, min(os.cpu_count() or 1, 4))


def run(base: Path, request: Request, shown: Console | None = None) -> int:
    """Run what is asked for; print progress, claims and the path of the gallery.

    Finished runs whose key is the same are reused, unless `request.force`. Claims of accepted runs at profile
    standard with base seed 0 and default parameters go into the ledger.

    Args:
        base: root of the collection.
        request: what to run.
        shown: where to print.

    Returns:
        0 if all is well, 1 if a notebook failed, timed out or found a verdict it did not expect, 130 if interrupted.

    Raises:
        ValueError: a mistake in the request; nothing has been run then.
    """
    shown = shown or progress.console()
    work = request.prepare(base)
    rows = ledger.read(base)
    if request.changed:
        work = [job for job in work if not recorded(base, job, rows)]
        if not work:
            shown.print("Nothing has changed since it was recorded.")
            return 0
    began = time.monotonic()
    try:
        with schedule.ended_by_signals():
            results, gallery = _session(base, request, work, rows, shown)
    except KeyboardInterrupt:
        shown.print("Interrupted. What was finished is kept: the next run goes on from there.")
        return INTERRUPTED
    sound = finish(base, results, shown)
    shown.print(progress.summary(results, began))
    if gallery is not None:
        shown.print(f"Gallery: {gallery}", soft_wrap=True)
    return progress.exit_code(results) if sound and gallery is not None else 1


def recorded(base: Path, job: Job, rows: Mapping[str, ledger.Row]) -> bool:
    """Whether the outcome of `job` is known: its key stands in the ledger, or, where it has none there, on disk."""
    if job.problem:
        return False
    if job.recorded and any(row["code"] == job.key for row in rows.values()):
        return True
    done = cache.lookup(base, job.key, job.content)
    return done is not None and done["status"] == OK and not (job.recorded and done["claims"])


def _session(
    base: Path, request: Request, work: Sequence[Job], rows: Mapping[str, ledger.Row], shown: Console
) -> tuple[list[dict[str, Any]], Path | None]:
    known = {} if request.force else reusable(base, work)
    results = {job.name: known[job.key] for job in work if job.key in known}
    expected = jobs.expected_seconds(work, rows, cache.results(base))
    todo = [job for job in work if job.key not in known]
    todo.sort(key=lambda job: -expected[job.name])  # the longest first, so that none is left over at the end
    lines = progress.Progress(shown, work, expected, request.workers)
    for job in work:
        if job.key in known:
            lines.finished(job, known[job.key], cached=True)
    record([(job, known[job.key]) for job in work if job.key in known], base)
    gallery = show(base, list(results.values()), shown, complete=not todo)
    lines.begin(len(todo), gallery)
    try:
        with cache.scratch(base) as scratch:
            for job, result in request.execute(todo, scratch, lines.waiting):
                assert result is not None
                results[job.name] = result
                record([(job, result)], base)
                lines.finished(job, result)
                gallery = show(base, list(results.values()), shown, complete=len(results) == len(work))
    finally:
        lines.stop()
    cache.prune(base)
    return [results[job.name] for job in work], gallery


def reusable(base: Path, work: Sequence[Job]) -> dict[str, dict[str, Any]]:
    """key -> result of the finished runs among `work`."""
    found = ((job.key, cache.lookup(base, job.key, job.content)) for job in work if not job.problem)
    return {key: result for key, result in found if result is not None}


def record(done: Sequence[tuple[Job, dict[str, Any]]], base: Path, shares: Mapping[str, float] | None = None) -> None:
    """Write those runs into the ledger that belong there."""
    accepted = [result for job, result in done if job.recorded and result["status"] == OK]
    if accepted:
        ledger.update(base, accepted, shares)


def show(base: Path, results: list[dict[str, Any]], shown: Console, *, complete: bool) -> Path | None:
    """Bring the gallery up to date; a fault there is said and stops nothing."""
    skip_iri_grammar()
    try:
        from lab.collection import gallery

        return gallery.build(base, results, complete=complete)
    except Exception as error:
        shown.print(f"The gallery could not be built: {type(error).__name__}: {error}", style="red", soft_wrap=True)
        return None


def finish(base: Path, results: Sequence[Mapping[str, Any]], shown: Console) -> bool:
    """Print the table of claims; bring the list of papers and the ledger's page, ``notebooks/README.md``, up to date.

    Returns:
        Whether the two files could be brought up to date.
    """
    table = progress.claims_table(results)
    shown.print()
    if table is not None:
        shown.print(table)
        shown.print()
    if not (base / "data" / "papers.csv").is_file():
        return True
    from lab.collection import gallery, papers

    try:
        papers.update(base)
        gallery.write_readme(base)
        # rendering them takes longer than many a notebook: only a run of everything pays for it again
        gallery.build_api(base, refresh=len(results) >= len(place.notebooks(base)))
    except ValueError as error:
        shown.print(f"data/papers.csv and notebooks/README.md are out of date: {error}", style="red", soft_wrap=True)
        return False
    return True
