"""A small collection of tiny notebooks for the tests of the runner. Not a test itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

PARAMETERS = """profile: str = "standard"
seed: int = 0
n_seeds: int = 5
device: str = "auto"
shift: float = 0.0"""

# What lab.begin and run.finish leave in a notebook, without importing torch: these tests are about running.
RECORDS = """from IPython.display import display

def claim(slug, value, verdict="supported", expected="supported"):
    display({"application/vnd.lab.claim.v1+json": {
        "schema": 1, "slug": slug, "paper": "a-paper", "statement": "It rises.", "quantity": "mean", "unit": "",
        "rule": {"kind": "at_least", "low": 0.5, "high": None, "text": ">= 0.5"},
        "control": {"text": "nothing", "value": 0.0, "low": -0.1, "high": 0.1, "passes": False},
        "value": value, "low": value - 0.1, "high": value + 0.1, "n": 5, "values": [value] * 5, "interval": "t",
        "expected": expected, "verdict": verdict, "reason": "made up"}, "text/plain": slug}, raw=True)

def finish(verdicts, surprises=()):
    display({"application/vnd.lab.run.v1+json": {
        "schema": 1, "claims": len(verdicts), "profile": profile, "seed": seed, "n_seeds": n_seeds, "parameters": {},
        "versions": {}, "threads": 1, "code": "", "seconds": 0.1, "verdicts": verdicts,
        "surprises": list(surprises)}, "text/plain": "finished"}, raw=True)"""
FINE = ['claim("rises", 1.0 + shift)', 'finish({"rises": "supported"})']


def notebook(*code: str, prose: str = "# A tiny notebook") -> dict:
    """A notebook with a title, a parameters cell, the records above and some code cells."""

    def cell(number: int, source: str, tags: tuple[str, ...] = ()) -> dict:
        metadata = {"tags": list(tags)} if tags else {}
        common = {"id": f"cell-{number}", "metadata": metadata, "source": source}
        return {"cell_type": "code", "execution_count": None, "outputs": [], **common}

    title = {"cell_type": "markdown", "id": "title", "metadata": {}, "source": prose}
    rest = [cell(number, source) for number, source in enumerate([RECORDS, *code], start=1)]
    cells = [title, cell(0, PARAMETERS, ("parameters",)), *rest]
    metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def collection(base: Path, notebooks: dict[str, dict]) -> Path:
    """A collection under `base`: an empty manifest and the notebooks, by ``theme/slug``."""
    (base / "data").mkdir(parents=True)
    (base / "data" / "manifest.json").write_text('{"schema": 1, "files": []}', encoding="utf-8")
    (base / "notebooks").mkdir()
    for name, content in notebooks.items():
        path = base / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")
    return base


def command(*words: str) -> list[str]:
    """The command line of ``lab`` in this environment."""
    return [sys.executable, "-m", "lab", *words]


def lab(base: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run ``lab`` in a collection, to its end."""
    return subprocess.run(command(*words), cwd=base, capture_output=True, text=True, timeout=300, env=clean())


def clean() -> dict[str, str]:
    """The environment without what would point at another collection."""
    return {name: value for name, value in os.environ.items() if name not in ("LAB_DATA", "COLUMNS")}


def wait_for(condition, seconds: float = 60.0) -> bool:
    """Whether a condition became true within some time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return condition()


def alive(pid: int) -> bool:
    """Whether a process exists and is not just waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        return state != "Z"
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
