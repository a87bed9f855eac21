"""Running jobs on a Dask cluster in place of local processes; everything before and after a run stays the same."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from lab.collection import cache, remote
from lab.collection.jobs import Job
from lab.collection.outcome import failed, judge

_ANSWER = 15.0  # seconds a scheduler may take to answer, and a first worker to be there


def execute(
    jobs: Sequence[Job],
    scratch: cache.Scratch,
    *,
    address: str,
    limit: Callable[[Job], float | None],
    waiting: Callable[[list[tuple[Job, float]]], None] = lambda running: None,
) -> Iterator[tuple[Job, dict[str, Any]]]:
    """Run jobs on the workers of a Dask scheduler and yield each result as it comes; as ``schedule.execute`` does.

    A worker runs as many notebooks at a time as it has threads. It must have the same code, data and pins, which is
    checked before each run. The runs of a worker that dies are made by others. However the caller leaves, what was
    sent is cancelled, and the workers end it.

    Args:
        jobs: in the order in which they are sent.
        scratch: folders for what comes back.
        address: of the scheduler, such as "tcp://10.0.0.1:8786".
        limit: seconds a job may take, or None.
        waiting: called about twice a second with jobs that were sent and the seconds since.

    Yields:
        The job as it was run, and its result.

    Raises:
        ValueError: the extra ``cluster`` is not installed, no scheduler answers at the address, or it has no worker.
    """
    client, distributed = connect(address)
    running: dict[Any, tuple[Job, float, float | None]] = {}
    number = 0
    try:
        for asked in jobs:
            job = asked.again()
            if job.problem:
                yield job, job.blank()
                continue
            seconds = limit(job)
            future = client.submit(
                remote.run_on_worker, json.dumps(job.content), dict(job.values), job.name, job.key, seconds,
                key=f"lab-{job.path.stem}-{uuid.uuid4().hex[:8]}", pure=False,
            )  # fmt: skip
            running[future] = (job, time.monotonic(), seconds)
        while running:
            try:
                done = distributed.wait(list(running), timeout=0.5, return_when="FIRST_COMPLETED").done
            except TimeoutError:
                done = set()
            for future in done:
                job, _, seconds = running.pop(future)
                number += 1
                yield job, _result(job, future, scratch, number, seconds)
            if running and not done:
                now = time.monotonic()
                waiting([(job, now - sent) for job, sent, _ in running.values()])
    finally:
        if running:
            client.cancel(list(running), force=True)
        client.close()


def connect(address: str) -> tuple[Any, Any]:
    """A client of the scheduler at `address` and the module ``distributed``; see :func:`execute` for what it raises."""
    try:
        import distributed
    except ImportError as error:
        raise ValueError("--cluster needs Dask: install the lab with its extra, pip install -e '.[cluster]'") from error
    try:
        client = distributed.Client(address, timeout=_ANSWER)
    except (OSError, TimeoutError, ValueError) as error:
        raise ValueError(f"no Dask scheduler answers at {address}: {error}") from error
    try:
        client.wait_for_workers(1, timeout=_ANSWER)
    except TimeoutError as error:
        client.close()
        raise ValueError(f"the Dask scheduler at {address} has no workers") from error
    return client, distributed


def _result(job: Job, future: Any, scratch: cache.Scratch, number: int, limit: float | None) -> dict[str, Any]:
    if future.status != "finished":
        error = future.exception() if future.status == "error" else "it was cancelled"
        return failed(job.blank(), f"the cluster gave it up: {type(error).__name__}: {error}")
    came = future.result()
    if came["problem"]:
        return failed(job.blank(), came["problem"])
    folder = scratch.work / str(number)
    folder.mkdir()
    for name, content in came["files"].items():
        (folder / name).write_bytes(content)
    result = judge(job.blank(), folder, came["code"], came["seconds"], limit)
    if (folder / "executed.ipynb").is_file():
        cache.store(job.base, result, folder)
    return result
