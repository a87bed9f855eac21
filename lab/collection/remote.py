"""One run of a notebook on a worker of a cluster: made there as it is made at home, and sent back as bytes."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.collection import cache, place, process
from lab.collection.fingerprint import run_key

_SENT = ("executed.ipynb", "outcome.json", process.LOG)
_PAUSE = 0.2


def run_here(
    source: str, values: dict[str, Any], name: str, key: str, limit: float | None, wanted: Callable[[], bool]
) -> dict[str, Any]:
    """Execute a notebook on this machine, if code, data and pins are the same here.

    Args:
        source: the notebook as JSON text.
        values: typed values of all its parameters.
        name: ``theme/slug``; the folder of the theme is where it is run.
        key: key of the run where it was asked for.
        limit: seconds it may take, or None.
        wanted: asked some times a second; when it says no, the run is ended.

    Returns:
        "problem": why it was not run, or None; "code": exit code, None after the limit; "seconds"; "files": name ->
        bytes.
    """
    base = place.root()
    content = json.loads(source)
    if run_key(name, content, values, base) != key:
        return {"problem": f"the worker's copy of the lab in {base} has other code, data or pins", "files": {}}
    work = Path(tempfile.mkdtemp(prefix="lab-run-"))
    sockets = cache.short_folder() / f"lab-{uuid.uuid4().hex[:10]}"
    cwd = base / "notebooks" / name.split("/")[0]
    running = process.start(source, values, cwd if cwd.is_dir() else work, work / "run", sockets, base / "data", limit)
    try:
        code = running.poll()
        while code is None and not running.overdue and wanted():
            time.sleep(_PAUSE)
            code = running.poll()
        seconds = running.seconds
        running.kill()
        files = {name: (running.folder / name).read_bytes() for name in _SENT if (running.folder / name).is_file()}
    finally:
        running.kill()
        shutil.rmtree(work, ignore_errors=True)
    return {"problem": None, "code": code, "seconds": seconds, "files": files}


def run_on_worker(source: str, values: dict[str, Any], name: str, key: str, limit: float | None) -> dict[str, Any]:
    """:func:`run_here` as a task of a Dask worker; ended early where nobody waits for it any more."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.get_current_task()

    def wanted() -> bool:
        state = worker.state.tasks.get(task)
        return state is not None and state.state == "executing"

    return run_here(source, values, name, key, limit, wanted)
