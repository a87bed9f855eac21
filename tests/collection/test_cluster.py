"""Runs on a real Dask scheduler with two workers on this machine, one of them killed; and sweeps."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ["a/01-x", "a/02-y", "a/03-z"]
SLOW = """import time
from pathlib import Path
again = Path('tried').exists()
Path('tried').touch()
Path('begun').touch()
time.sleep(0 if again else 300)"""


def start(base: Path, *words: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", *words], cwd=base, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "DASK_DISTRIBUTED__WORKER__DAEMON": "False"}, start_new_session=True,
    )  # fmt: skip


@contextmanager
def running_cluster(tiny, folder: Path) -> Iterator[tuple[Path, str, list[subprocess.Popen]]]:
    """A collection, a scheduler's address, and the processes: the scheduler and two workers of one thread each."""
    notebooks = {name: tiny.notebook(f"n = '{name}'", *tiny.FINE) for name in NAMES}
    base = tiny.collection(folder / "c", {**notebooks, "b/04-slow": tiny.notebook(SLOW, *tiny.FINE)})
    file = folder / "scheduler.json"
    common = ["--no-dashboard"]
    running = [start(base, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file",
                     str(file), *common)]  # fmt: skip
    try:
        assert tiny.wait_for(file.is_file)
        address = json.loads(file.read_text())["address"]
        for number in (1, 2):
            local = folder / f"worker-{number}"
            running.append(start(base, "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny",
                                 "--local-directory", str(local), *common))  # fmt: skip
        yield base, address, running
    finally:
        for process in running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tiny, tmp_path_factory):
    """For tests that leave its workers alive."""
    with running_cluster(tiny, tmp_path_factory.mktemp("cluster")) as made:
        yield made


def results(base: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text(encoding="utf-8")) for path in base.glob("build/runs/*/result.json")]
    return {result["notebook"]: result for result in found}


def ledger(base: Path) -> list[dict[str, str]]:
    with (base / "data" / "ledger.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_a_cluster_gives_what_local_processes_give_and_runs_nothing_twice(cluster, tiny, tmp_path):
    base, address, _ = cluster
    done = tiny.lab(base, "run", "a", "--cluster", address)
    assert done.returncode == 0, done.stdout + done.stderr
    there = {name: tiny.notebook(f"n = '{name}'", *tiny.FINE) for name in NAMES}
    local = tiny.collection(tmp_path / "local", there)
    assert tiny.lab(local, "run").returncode == 0
    assert ledger(base) == ledger(local) and len(ledger(base)) == 3
    for name, result in results(local).items():
        other = results(base)[name]
        assert all(result[key] == other[key] for key in ("claims", "closing", "key", "status", "source"))
    before = {path: path.stat().st_mtime_ns for path in base.glob("build/runs/*/result.json")}
    again = tiny.lab(base, "run", "a", "--cluster", address)
    assert again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in base.glob("build/runs/*/result.json")} == before


def test_the_runs_of_a_worker_that_dies_are_made_elsewhere(tiny, tmp_path):
    with running_cluster(tiny, tmp_path) as (base, address, running):
        command = subprocess.Popen(tiny.command("run", "04-slow", "--cluster", address), cwd=base, env=tiny.clean(),
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
        mark = base / "notebooks" / "b" / "begun"
        assert tiny.wait_for(mark.is_file)
        busy = next(worker for worker in running[1:] if children(worker.pid))
        mark.unlink()
        os.kill(busy.pid, signal.SIGKILL)
        out, _ = command.communicate(timeout=120)
        assert command.returncode == 0, out
        assert mark.is_file()  # the notebook began anew on the other worker
        assert results(base)["04-slow"]["status"] == "ok"


def children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def test_interrupting_ends_what_was_sent(cluster, tiny):
    base, address, running = cluster
    command = subprocess.Popen(tiny.command("run", "04-slow", "--cluster", address), cwd=base, env=tiny.clean(),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    assert tiny.wait_for((base / "notebooks" / "b" / "begun").is_file)
    command.send_signal(signal.SIGTERM)
    assert command.wait(timeout=60) == 130
    assert tiny.wait_for(lambda: not any(children(worker.pid) for worker in running[1:]))
    assert "04-slow" not in results(base)


def test_a_worker_with_other_code_is_refused(cluster, tiny, tmp_path):
    _, address, _ = cluster
    other = tiny.collection(tmp_path / "other", {"a/01-x": tiny.notebook(*tiny.FINE)})
    (other / "constraints.txt").write_text("torch==0.0\n", encoding="utf-8")
    done = tiny.lab(other, "run", "--cluster", address)
    assert done.returncode == 1 and "has other code, data or pins" in " ".join(done.stdout.split())
    assert not (other / "data" / "ledger.csv").is_file()


def test_no_scheduler_is_one_line(tiny, tmp_path, monkeypatch):
    from lab.collection import cluster as module

    monkeypatch.setattr(module, "_ANSWER", 1.0)
    begun = time.monotonic()
    with pytest.raises(ValueError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        module.connect("tcp://127.0.0.1:9")
    assert time.monotonic() - begun < 60
    with pytest.raises(ValueError, match="no Dask scheduler answers at nonsense"):
        module.connect("nonsense://x")


def test_a_sweep_runs_every_combination_once_and_shows_one_table(tiny, tmp_path):
    base = tiny.collection(tmp_path / "c", {"a/01-x": tiny.notebook(*tiny.FINE)})
    words = ["run", "--sweep", "shift", "0,1.5", "--sweep", "seed", "3,4"]
    done = tiny.lab(base, *words)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines() if line.startswith("a/01-x#rises")]
    assert [(line[1], line[2], line[3]) for line in lines] == [
        ("0", "3", "1"), ("0", "4", "1"), ("1.5", "3", "2.5"), ("1.5", "4", "2.5"),
    ]  # fmt: skip
    assert len(list(base.glob("build/runs/*/result.json"))) == 4 and not (base / "data" / "ledger.csv").is_file()
    stamps = {path: path.stat().st_mtime_ns for path in base.glob("build/runs/*/result.json")}
    tiny.lab(base, *words[:-1], "3,4,5")
    after = {path: path.stat().st_mtime_ns for path in base.glob("build/runs/*/result.json")}
    assert len(after) == 6 and stamps.items() <= after.items()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sweep", "shift", "1,,2"], "values without gaps"),
        (["--sweep", "shift", "1,1"], "names a value twice"),
        (["--sweep", "shift", "1", "--sweep", "shift", "2"], "given twice"),
        (["--sweep", "shift", "1", "-p", "shift", "2"], "both set shift"),
        (["--sweep", "seed", "x"], "whole numbers"),
        (["--sweep", "shift", "a"], "shift"),
        (["--sweep", "nothing", "1"], "nothing"),
        (["--sweep", "shift", "1", "--changed"], "--changed"),
        (["--sweep", "shift", "1", "--stability", "2"], "--sweep"),
        (["--verify", "--cluster", "tcp://127.0.0.1:9"], "--cluster"),
        (["--sweep"], "needs a name and a value"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_two(tiny, tmp_path, words, message):
    base = tiny.collection(tmp_path / "c", {"a/01-x": tiny.notebook(*tiny.FINE)})
    done = tiny.lab(base, "run", *words)
    assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1
