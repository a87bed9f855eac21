"""One call of one form of one thing in a process of its own: prints its seconds and peak memory as JSON."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import torch

from lab.bench import forms, probe_forms, training_forms

KINDS = {"losses": forms.prepare, "probes": probe_forms.prepare, "training": training_forms.prepare}


def resident() -> float:
    """Megabytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 2**20


def main(kind: str, name: str, form: str, rows: str, repeats: str) -> None:
    """Warm up on few rows, then measure ``repeats`` calls."""
    KINDS[kind](name, form, 256)()
    call = KINDS[kind](name, form, int(rows))
    peak, done = [resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], resident())

    before = resident()
    watcher = threading.Thread(target=watch)
    watcher.start()
    seconds = []
    for _ in range(int(repeats)):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    done.set()
    watcher.join()
    print(json.dumps({"seconds": min(seconds), "megabytes": peak[0] - before}))


if __name__ == "__main__":
    torch.manual_seed(0)
    main(*sys.argv[1:])
