"""Executing the notebooks of the collection, as `lab run` does, but leaving nothing behind."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.collection import cache, fork_server, jobs, notebook, outcome, process

BASE = Path(__file__).resolve().parents[2]
LIMIT = 120.0
WAIT = 240_000  # milliseconds; what takes a second or two where nothing else runs
SETTINGS = {
    # every cell is in the page, also where nobody has scrolled to it
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


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


@contextmanager
def _served(base: Path) -> Iterator[str]:
    for name, content in SETTINGS.items():
        file = base / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
               "IPYTHONDIR": "ipython", "JUPYTERLAB_SETTINGS_DIR": "settings",
               "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}  # fmt: skip
    environment = {**os.environ, **{name: str(base / folder) for name, folder in folders.items()}}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(BASE), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--expose-app-in-browser",
               str(base / "notebooks")]  # fmt: skip
    with (base / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=base, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while not _answers(f"{address}/api/status"):
            assert process.poll() is None and time.monotonic() < end, (base / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()  # ends the kernels as well
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="session")
def served() -> Callable[[Path], Any]:
    """``with served(base) as address``: a JupyterLab over ``base/notebooks``, which keeps all its files in `base`."""
    return _served


@pytest.fixture(scope="session")
def run_all() -> Callable[[Any, str], None]:
    """Opens a notebook in JupyterLab, waits for its kernel, and starts all its cells."""

    def start(page: Any, address: str) -> None:
        page.goto(address, timeout=WAIT)
        page.wait_for_function("() => window.jupyterapp && document.querySelector('.jp-Notebook')", timeout=WAIT)
        page.evaluate("async () => { await window.jupyterapp.restored; }")
        page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell", timeout=WAIT)
        # without a kernel the command to run would ask for one
        ready = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        page.wait_for_function(ready, timeout=WAIT)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    return start
