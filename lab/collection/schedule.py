"""Running jobs over a number of processes, one notebook each."""

from __future__ import annotations

import json
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from lab.collection import cache, fork_server, process
from lab.collection.jobs import Job
from lab.collection.outcome import judge

_PAUSE = 0.1  # seconds between two looks at the processes


def execute(
    jobs: Sequence[Job],
    scratch: cache.Scratch,
    *,
    workers: int,
    limit: Callable[[Job], float | None],
    may_start: Callable[[Job], bool] = lambda job: True,
    waiting: Callable[[list[tuple[Job, float]]], None] = lambda running: None,
) -> Iterator[tuple[Job, dict[str, Any] | None]]:
    """Run jobs and yield each result as it comes; the runs are then in their place on disk.

    However the caller leaves (an exception, Ctrl-C, closing the iterator), nothing is left running.

    Args:
        jobs: in the order in which they are started.
        scratch: folders for the work.
        workers: number of processes at a time, at least 1.
        limit: seconds a job may take, or None.
        may_start: asked right before a start; where it says no, the job is yielded with None.
        waiting: called about ten times a second with the running jobs and their seconds.

    Yields:
        The job as it was run, and its result.
    """
    if workers < 1:
        raise ValueError(f"the number of workers must be at least 1, got {workers}")
    queue = list(jobs)
    running: list[tuple[Job, process.Process]] = []
    ready: list[tuple[Job, dict[str, Any] | None]] = []
    number = 0
    sources = [json.dumps(job.content) for job in queue if not job.problem]
    servers = ExitStack()
    try:
        environment = process.surroundings(scratch.sockets, jobs[0].base / "data") if jobs else {}
        server = servers.enter_context(fork_server.started(environment, sources))
        while queue or running or ready:
            while queue and len(running) < workers:
                job = queue.pop(0)
                if not may_start(job):
                    ready.append((job, None))
                    continue
                job = job.again()
                if job.problem:
                    ready.append((job, job.blank()))
                    continue
                number += 1
                running.append((job, _start(job, scratch, number, limit(job), server)))
            # Results are handed over only now, when no worker is idle: the caller may take its time with them.
            while ready:
                yield ready.pop(0)
            ended = [(job, worker, worker.poll()) for job, worker in running]
            ended = [(job, worker, code) for job, worker, code in ended if code is not None or worker.overdue]
            for job, worker, code in ended:
                running.remove((job, worker))
                ready.append((job, _finish(job, worker, code)))
            if running and not ended:
                waiting([(job, worker.seconds) for job, worker in running])
                time.sleep(_PAUSE)
    finally:
        with uninterrupted():
            for _, worker in running:
                worker.kill()
            servers.close()


def _start(
    job: Job, scratch: cache.Scratch, number: int, limit: float | None, server: fork_server.ForkServer | None
) -> process.Process:
    return process.start(
        json.dumps(job.content),
        dict(job.values),
        job.path.parent,
        scratch.work / str(number),
        scratch.sockets / str(number),
        job.base / "data",
        limit,
        server,
    )


def _finish(job: Job, worker: process.Process, code: int | None) -> dict[str, Any]:
    seconds = worker.seconds
    with uninterrupted():
        worker.kill()
        result = judge(job.blank(), worker.folder, code, seconds, worker.limit)
        if (worker.folder / "executed.ipynb").is_file():
            cache.store(job.base, result, worker.folder)
        else:
            shutil.rmtree(worker.folder, ignore_errors=True)
    return result


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM for the moment in which an interrupt would leave something behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    names = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(name, lambda number, frame: held.append(number)) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, previous, strict=True):
            signal.signal(name, handler)
    if held:
        raise KeyboardInterrupt


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Make SIGTERM and SIGHUP end the run like Ctrl-C, so that they too leave nothing running."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    names = [signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])
    # A signal that is ignored stays ignored: that is what nohup is for.
    names = [name for name in names if signal.getsignal(name) is not signal.SIG_IGN]
    previous = [signal.signal(name, interrupt) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, previous, strict=True):
            signal.signal(name, handler)
