"""The process that executes one notebook: ``python -m lab.collection.worker``, started by `lab.collection.process`.

The job comes as one line of JSON on standard input, which then stays open: when it closes, whoever started this
process is gone, and the process ends itself and everything in its group. Files appear in the working directory:
``executed.ipynb`` (as far as it has come) and, at the end, ``outcome.json``. Exit codes: 0 all cells ran, 1 a cell
raised or the kernel died, anything else is an accident of the worker itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

from lab.collection.imports import skip_iri_grammar


def main() -> int:
    """Execute the notebook of the job and say how it went."""
    job = json.loads(_first_line())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    started = time.monotonic()
    error = _execute(job)
    outcome = {"error": error, "seconds": time.monotonic() - started}
    Path("outcome.json").write_text(json.dumps(outcome), encoding="utf-8")
    return 0 if error is None else 1


def _execute(job: dict[str, Any]) -> dict[str, Any] | None:
    skip_iri_grammar()
    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    from lab.collection import engine
    from lab.collection.kernel import GroupKernelManager

    try:
        # Both paths are relative to the working directory: papermill reads braces in a path as placeholders.
        papermill.execute_notebook(
            "source.ipynb",
            "executed.ipynb",
            parameters=job["parameters"],
            engine_name=engine.NAME,
            kernel_name="python3",
            kernel_manager_class=GroupKernelManager,
            resources={"metadata": {"path": job["cwd"]}},
            progress_bar=False,
            start_timeout=120,
            shutdown_kernel="immediate",  # all is said; unloading its libraries would take it seconds
            autosave_cell_every=0,
            iopub_timeout=60,
        )
    except papermill.PapermillExecutionError as raised:
        return {"name": raised.ename, "message": raised.evalue, "source": raised.source}
    except (DeadKernelError, CellTimeoutError) as raised:
        return {"name": type(raised).__name__, "message": str(raised), "source": ""}
    return None


def _first_line() -> bytes:
    # Read unbuffered: a thread that waits inside a buffered reader makes the interpreter abort when it ends.
    line = b""
    while not line.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            sys.exit("no job came on standard input")
        line += piece
    return line


def _die_with_parent() -> None:
    while os.read(0, 1024):
        pass
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(9)


def run() -> NoReturn:
    """Do the job and end, without unloading what was loaded."""
    code = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    run()
