"""Workers forked from a loaded process: surroundings and end of fresh ones, and none where forking is unsafe."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.collection import cache, fork_server, process

if not sys.platform.startswith("linux"):
    pytest.skip("workers are forked on Linux only", allow_module_level=True)

# what of a kernel's surroundings could change what a notebook does
LOOK = """import json, os, signal, sys
from pathlib import Path
keep = ("PYTHON", "OMP", "MKL", "OPENBLAS", "CUBLAS", "MPL", "JUPYTER", "LAB", "HF", "PATH", "HOME")
Path("seen.json").write_text(json.dumps({
    "cwd": os.getcwd(), "path": sys.path, "argv": [word for word in sys.argv if ".json" not in word][1:],
    "main": __name__, "hash": hash("a word"), "flags": list(sys.flags),
    "environment": {n: v.replace(os.environ["LAB_KERNEL_FOLDER"], "") for n, v in os.environ.items()
                    if n.startswith(keep) and n != "JUPYTER_PLATFORM_DIRS"},
    "stdin": os.readlink("/proc/self/fd/0"), "group": os.getpgrp() == os.getppid(),
    "interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "science": sorted(name for name in sys.modules if name.startswith(("lab.losses", "lab.probes", "lab.training"))),
    "descriptors": sorted(os.readlink(f"/proc/self/fd/{n}").split(":")[0] for n in (0, 1, 2))}))
Path("loaded").write_text(str("papermill" in sys.modules))"""
HANGS = """from pathlib import Path
import os, time
Path("pids.new").write_text(f"{os.getppid()} {os.getpid()}")
os.rename("pids.new", "pids")
time.sleep(600)"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[fork_server.ForkServer]:
    if not fork_server.available():
        pytest.skip("no worker is forked beside an accelerator")
    made = fork_server.ForkServer(process.surroundings(tmp_path, tmp_path), fork_server.BASIC)
    yield made
    made.close()


@pytest.fixture
def begin(tiny: Any, tmp_path: Path) -> Iterator[Callable[..., process.Process]]:
    """Starts a notebook of one cell in a folder of its own."""
    begun: list[process.Process] = []

    def start(name: str, code: str, made: fork_server.ForkServer | None) -> process.Process:
        cwd = tmp_path / name / "notebooks"
        cwd.mkdir(parents=True)
        sockets = cache.short_folder() / f"lab-{uuid.uuid4().hex[:10]}"
        source = json.dumps(tiny.notebook(code))
        begun.append(process.start(source, {}, cwd, tmp_path / name / "work", sockets, tmp_path, 60, made))
        return begun[-1]

    yield start
    for worker in begun:
        worker.kill()


def test_a_forked_kernel_has_the_surroundings_of_a_fresh_one(begin, server, tiny, tmp_path):
    seen, loaded = {}, {}
    for name, made in (("worker-forked", server), ("worker-fresh", None)):
        worker = begin(name, LOOK, made)
        assert tiny.wait_for(lambda worker=worker: worker.poll() is not None) and worker.poll() == 0, name
        folder = tmp_path / name / "notebooks"
        seen[name] = json.loads((folder / "seen.json").read_text().replace(name, "NAME"))
        loaded[name] = (folder / "loaded").read_text()
        assert (worker.folder / "executed.ipynb").is_file() and not worker.sockets.exists()
    assert seen["worker-forked"] == seen["worker-fresh"]
    assert seen["worker-forked"]["science"] == [] and seen["worker-forked"]["group"]
    assert loaded == {"worker-forked": "True", "worker-fresh": "False"}  # one was forked, the other was not


def test_workers_end_with_a_server_that_dies_and_the_next_one_is_fresh(begin, server, tiny, tmp_path):
    worker = begin("forked", HANGS, server)
    pids = tmp_path / "forked" / "notebooks" / "pids"
    assert tiny.wait_for(pids.is_file)
    assert worker.poll() is None
    server._server.kill()
    server._server.wait()
    assert worker.poll() not in (None, 0)
    assert tiny.wait_for(lambda: not any(map(tiny.alive, map(int, pids.read_text().split()))))
    again = begin("again", "pass", server)
    assert tiny.wait_for(lambda: again.poll() is not None) and again.poll() == 0


def test_a_signal_that_ends_a_worker_is_told(begin, server, tiny, tmp_path):
    worker = begin("forked", HANGS, server)
    pids = tmp_path / "forked" / "notebooks" / "pids"
    assert tiny.wait_for(pids.is_file)
    os.kill(worker.popen.pid, 9)
    assert tiny.wait_for(lambda: worker.poll() is not None) and worker.poll() == -9
    assert tiny.wait_for(lambda: not any(map(tiny.alive, map(int, pids.read_text().split()))))


def test_a_server_with_more_than_one_thread_forks_nothing(tmp_path, monkeypatch):
    (tmp_path / "busy.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = fork_server.ForkServer(process.surroundings(tmp_path, tmp_path), ["busy"])
    try:
        log = os.open(tmp_path / "log", os.O_CREAT | os.O_WRONLY)
        assert made.start(dict(os.environ), tmp_path, log, log) is None
        os.close(log)
    finally:
        made.close()


def test_where_and_for_what_a_server_is_used(monkeypatch, tmp_path):
    assert "torch._dynamo" in fork_server.libraries(["import json", "import torch"])
    assert fork_server.libraries(["import json"]) == fork_server.BASIC
    with fork_server.started({}, ["import torch"] * 2) as made:
        assert made is None  # two notebooks load their libraries side by side
    device = tmp_path / "nvidiactl"
    monkeypatch.setattr(fork_server, "_DEVICES", (str(device),))
    assert fork_server.available()
    device.touch()
    assert not fork_server.available()
