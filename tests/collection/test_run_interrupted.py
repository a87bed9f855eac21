"""A run that is killed or interrupted leaves nothing running, and the next one goes on with what was finished."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from lab.collection import fork_server

WAIT = """import os, subprocess, sys, time
from pathlib import Path
if not Path("go").exists():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path("pids.new").write_text(f"{os.getppid()} {os.getpid()} {child.pid}")
    os.rename("pids.new", "pids")
    time.sleep(600)"""


def _heeds_interrupts():
    """A suite started in the background hands "ignore Ctrl-C" down to its children; a person's shell does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def waiting(tiny, tmp_path, forked):
    """A run that has finished one notebook and hangs in the next, and the processes of that one."""
    notebooks = {"a/01-quick": tiny.notebook(*tiny.FINE), "a/02-waits": tiny.notebook(WAIT, *tiny.FINE)}
    if forked:  # three are enough for a process that loads their libraries and forks the workers
        notebooks["a/03-last"] = tiny.notebook("n = 3", *tiny.FINE)
    base = tiny.collection(tmp_path / "c", notebooks)
    pids = base / "notebooks" / "a" / "pids"
    runner = subprocess.Popen(
        tiny.command("run", "-j", "1"),
        cwd=base,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=tiny.clean(),
        preexec_fn=_heeds_interrupts if os.name == "posix" else None,
    )
    try:
        assert tiny.wait_for(lambda: pids.exists() or runner.poll() is not None), "the second notebook did not start"
        assert runner.poll() is None, runner.stdout.read().decode()
        worker, kernel, child = map(int, pids.read_text(encoding="utf-8").split())
        parent = psutil.Process(worker).ppid()
        assert (parent != runner.pid) == (forked and fork_server.available())
        pids_of = (worker, kernel, child, *([parent] if parent != runner.pid else []))
        assert all(map(tiny.alive, pids_of))
        yield base, runner, pids_of
    finally:
        runner.kill()
        runner.wait()
        runner.stdout.close()
        # Where a test fails, something may be running still.
        for pid in map(int, pids.read_text(encoding="utf-8").split()) if pids.exists() else []:
            if tiny.alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "forked"),
    [(signal.SIGKILL, False), (signal.SIGKILL, True), (signal.SIGINT, True), (signal.SIGTERM, False)],
)
def test_nothing_is_left_running_and_the_next_run_goes_on(waiting, tiny, number, forked):
    base, runner, pids = waiting
    runner.send_signal(number)
    code = runner.wait(timeout=30)
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert tiny.wait_for(lambda: not any(map(tiny.alive, pids)), 10), [pid for pid in pids if tiny.alive(pid)]

    results = list(base.glob("build/runs/*/result.json"))
    assert [json.loads(path.read_text(encoding="utf-8"))["notebook"] for path in results] == ["01-quick"]
    left = [path for path in (base / "build" / "runs").iterdir() if path.name.startswith(".tmp")]
    assert len(left) == (1 if number == signal.SIGKILL else 0)

    (base / "notebooks" / "a" / "go").touch()
    done = tiny.lab(base, "run", "-j", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    names = ("01-quick", "02-waits")
    lines = {name: line for line in done.stdout.splitlines() for name in names if f" a/{name} " in line}
    assert "cached" in lines["01-quick"] and "cached" not in lines["02-waits"]
    assert not [path.name for path in (base / "build" / "runs").iterdir() if path.name.startswith(".")]
    with (base / "data" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        wanted = ["a/01-quick#rises", "a/02-waits#rises", *(["a/03-last#rises"] if forked else [])]
        assert [row["key"] for row in csv.DictReader(file)] == wanted


def test_a_half_written_result_counts_for_nothing(tiny, tmp_path):
    from lab.collection import cache, jobs

    base = tiny.collection(tmp_path, {"a/01-quick": tiny.notebook(*tiny.FINE)})
    job = jobs.prepare(base, base / "notebooks" / "a" / "01-quick.ipynb", profile="standard", seed=0)
    folder = base / "build" / "runs" / job.key
    folder.mkdir(parents=True)
    whole = json.dumps({**job.blank(), "status": "ok"})
    for text in ("", whole[:-5], json.dumps({"status": "ok"}), "[]"):
        (folder / "result.json").write_text(text, encoding="utf-8")
        (folder / "executed.ipynb").write_text(json.dumps(job.content), encoding="utf-8")
        assert cache.lookup(base, job.key, job.content) is None
    (folder / "result.json").write_text(whole, encoding="utf-8")
    assert cache.lookup(base, job.key, job.content)["status"] == "ok"
    (folder / "executed.ipynb").unlink()
    assert cache.lookup(base, job.key, job.content) is None


def test_scratch_folders_of_the_living_are_left_alone(tmp_path):
    from lab.collection import cache

    with cache.scratch(tmp_path) as mine, cache.scratch(tmp_path) as other:
        assert mine.work.is_dir() and mine.sockets.is_dir() and mine.work != other.work
        assert len(os.fsencode(mine.sockets)) < 80
        sockets = Path(mine.sockets)
    assert not mine.work.exists() and not sockets.exists()
    assert list((tmp_path / "build" / "runs").iterdir()) == []
