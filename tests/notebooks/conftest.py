"""Executing the notebooks of the collection, as `lab run` does, but leaving nothing behind."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.collection import cache, fork_server, jobs, notebook, outcome, process

BASE = Path(__file__).resolve().parents[2]
LIMIT = 120.0


@pytest.fixture(scope="session")
def server() -> Iterator[fork_server.ForkServer | None]:
    """Loads torch and the rest once for all notebooks of a pytest process."""
    environment = process.surroundings(cache.short_folder(), BASE / "data")
    with fork_server.started(environment, ["torch"], starts=1) as made:
        yield made


@pytest.fixture
def execute(tmp_path, server) -> Callable[[Path, Callable[[dict], dict]], tuple[dict, dict]]:
    """A function that executes a notebook at profile smoke and returns its result and the executed notebook."""

    def run(path: Path, change: Callable[[dict], dict] = lambda content: content) -> tuple[dict, dict]:
        job = jobs.prepare(BASE, path, profile="smoke", seed=0)
        assert job.problem is None, job.problem
        sockets = cache.short_folder() / f"lab-{uuid.uuid4().hex[:10]}"
        source = notebook.text(change(dict(job.content)))
        work = tmp_path / "work"
        worker = process.start(source, dict(job.values), path.parent, work, sockets, BASE / "data", LIMIT, server)
        try:
            while (code := worker.poll()) is None and not worker.overdue:
                time.sleep(0.1)
        finally:
            worker.kill()
        result = outcome.judge(job.blank(), worker.folder, code, worker.seconds, LIMIT)
        executed = worker.folder / "executed.ipynb"
        assert executed.is_file(), result["error"]
        try:
            return result, json.loads(executed.read_text(encoding="utf-8"))
        except ValueError:
            pytest.fail(f"{result['status']}: {result['error']}; the executed notebook is cut short")

    return run
