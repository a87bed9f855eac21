"""One notebook in a process of its own: fixed surroundings, a time limit, and an end for all it started."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.collection.fingerprint import PACKAGE
from lab.collection.fork_server import Forked, ForkServer

# One thread in every library that has a pool, so that results do not depend on the number of cores.
_THREADS = ("OMP", "MKL", "OPENBLAS", "NUMBA", "NUMEXPR")
LOG = "worker.log"


@dataclass
class Process:
    """A running worker.

    Args:
        folder: its working directory, where its files appear.
        sockets: folder with a short path for the kernel's connection file and sockets.
        limit: seconds it may take, or None.
    """

    folder: Path
    sockets: Path
    limit: float | None
    popen: subprocess.Popen[bytes] | Forked
    stdin: int
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Wall-clock seconds since the start."""
        return time.monotonic() - self.started

    @property
    def overdue(self) -> bool:
        """Whether it has passed its limit."""
        return self.limit is not None and self.seconds > self.limit

    def poll(self) -> int | None:
        """Exit code, or None while it runs; whatever it left running is ended with it."""
        code = self.popen.poll()
        if code is not None:
            self.kill()
        return code

    def kill(self) -> None:
        """End the worker, its kernel and whatever they started, at once, and remove its sockets."""
        if sys.platform == "win32":
            kill = ["taskkill", "/F", "/T", "/PID", str(self.popen.pid)]
            subprocess.run(kill, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        else:
            try:
                os.killpg(self.popen.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            except PermissionError:  # macOS says so of a group of which only zombies are left
                pass
        self.popen.wait()
        if self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1
        shutil.rmtree(self.sockets, ignore_errors=True)


def start(
    source: str,
    parameters: dict[str, Any],
    cwd: Path,
    folder: Path,
    sockets: Path,
    data: Path,
    limit: float | None,
    server: ForkServer | None = None,
) -> Process:
    """Start executing a notebook.

    Args:
        source: the notebook as JSON text.
        parameters: typed values for its parameters cell.
        cwd: working directory of the kernel: the notebook's own folder, as in JupyterLab.
        folder: new working directory of the worker; ``executed.ipynb``, ``outcome.json`` and a log appear there.
        sockets: new folder for the kernel's sockets; its path must be short (about 60 bytes).
        data: folder of the embedded data.
        limit: seconds it may take, or None.
        server: forks the worker where it can; without one, a new interpreter is started.

    Returns:
        The running process; the caller polls it and kills it when it is overdue.
    """
    folder.mkdir(parents=True)
    sockets.mkdir(parents=True, mode=0o700)
    (folder / "source.ipynb").write_text(source, encoding="utf-8")
    # Its standard input is held open: the worker ends itself when this end closes, however we came to die.
    reading, writing = os.pipe()
    try:
        with (folder / LOG).open("wb") as log:
            env = surroundings(sockets, data)
            worker = server.start(env, folder, reading, log.fileno()) if server is not None else None
            popen = worker or subprocess.Popen(
                [sys.executable, "-m", "lab.collection.worker"],
                cwd=folder,
                env=env,
                stdin=reading,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
    except BaseException:
        os.close(writing)
        raise
    finally:
        os.close(reading)
    process = Process(folder, sockets, limit, popen, writing)
    try:
        job = json.dumps({"parameters": parameters, "cwd": str(cwd)}).encode() + b"\n"
        while job:
            job = job[os.write(writing, job) :]
    except BrokenPipeError:
        pass  # it died already; its exit code and log will tell
    except BaseException:
        process.kill()
        raise
    return process


def surroundings(sockets: Path, data: Path) -> dict[str, str]:
    """Environment of a worker: the caller's, with everything fixed that could change a result."""
    env = dict(os.environ)
    for name in ("PYTHONSTARTUP", "PYTHONBREAKPOINT", "PYTHONINSPECT", "JPY_PARENT_PID", "JPY_SESSION_NAME"):
        env.pop(name, None)
    env.update({f"{library}_NUM_THREADS": "1" for library in _THREADS})
    # This very package, also where the environment has another copy installed.
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE.parent), os.environ.get("PYTHONPATH")]))
    env.update(
        PYDEVD_DISABLE_FILE_VALIDATION="1",
        PYTHONHASHSEED="0",
        PYTHONUTF8="1",
        HF_HUB_OFFLINE="1",
        CUBLAS_WORKSPACE_CONFIG=":4096:8",
        MPLBACKEND="module://matplotlib_inline.backend_inline",
        IPYTHONDIR=str(sockets / "ipython"),  # no start-up files, no history shared between kernels
        JUPYTER_RUNTIME_DIR=str(sockets),
        JUPYTER_PLATFORM_DIRS="1",
        LAB_KERNEL_FOLDER=str(sockets),
        LAB_DATA=str(data),
    )
    return env
