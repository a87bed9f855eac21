"""Finished runs on disk: ``build/runs/<key>/`` holds ``executed.ipynb`` and ``result.json``.

A run is written to a scratch folder and renamed into place, so what lies there is whole. A scratch folder belongs to a
process that holds a lock; the system lets go of the lock when the process dies, whatever it died of, and the next one
removes what was left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab.collection.files import write
from lab.collection.notebook import title
from lab.collection.outcome import FINISHED, digest

KEEP = 24  # results kept of one notebook: a few versions of it with their other base seeds


def runs(base: Path) -> Path:
    """Folder of all finished runs of the collection at `base`."""
    return base / "build" / "runs"


@dataclass(frozen=True)
class Scratch:
    """Two folders that vanish with their owner.

    Args:
        work: on the file system of the results, so that a finished folder can be renamed into place.
        sockets: under the system's folder for temporary files, with a path short enough for Unix sockets.
    """

    work: Path
    sockets: Path


@contextlib.contextmanager
def scratch(base: Path) -> Iterator[Scratch]:
    """Folders for the work of this process; those of processes that died are removed first."""
    folder = runs(base)
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    name = uuid.uuid4().hex[:10]
    lock = FileLock(folder / f".lock-{name}")
    lock.acquire()
    mine = Scratch(folder / f".tmp-{name}", short_folder() / f"lab-{name}")
    try:
        mine.work.mkdir()
        mine.sockets.mkdir(mode=0o700)
        yield mine
    finally:
        shutil.rmtree(mine.work, ignore_errors=True)
        shutil.rmtree(mine.sockets, ignore_errors=True)
        lock.release()
        (folder / f".lock-{name}").unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    for path in folder.glob(".lock-*"):
        name = path.name.removeprefix(".lock-")
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            continue  # its owner lives
        shutil.rmtree(folder / f".tmp-{name}", ignore_errors=True)
        shutil.rmtree(short_folder() / f"lab-{name}", ignore_errors=True)
        lock.release()
        path.unlink(missing_ok=True)


def short_folder() -> Path:
    """Folder for temporary files, with a path short enough for the sockets in it."""
    usual = Path(tempfile.gettempdir())
    return Path("/tmp") if len(os.fsencode(usual)) > 60 and Path("/tmp").is_dir() else usual


def lookup(base: Path, key: str, notebook: Mapping[str, Any]) -> dict[str, Any] | None:
    """The finished run of this key, or None; its prose is brought up to date with `notebook`.

    Args:
        base: root of the collection.
        key: from `lab.collection.fingerprint.run_key`.
        notebook: the notebook as it is now. Its code is that of the run, since the key says so; its prose may not be.

    Returns:
        The result, whose status is ``ok`` or ``surprised``; None where there is none, or it is damaged.
    """
    folder = runs(base) / key
    result = _read(folder / "result.json")
    if result is None or result.get("status") not in FINISHED or result.get("key") != key:
        return None
    executed = _read(folder / "executed.ipynb")
    if executed is None:
        return None
    if result.get("source") != digest(notebook):
        fresh = refresh(executed, notebook)
        if fresh is None:
            return None
        result = {**result, "source": digest(notebook), "title": title(notebook) or result["title"]}
        write(folder / "executed.ipynb", json.dumps(fresh, indent=1, ensure_ascii=False))
        write(folder / "result.json", json.dumps(result, indent=1, ensure_ascii=False))
    return result


def refresh(executed: Mapping[str, Any], notebook: Mapping[str, Any]) -> dict[str, Any] | None:
    """An executed notebook with today's prose and metadata around the outputs of its code cells.

    Args:
        executed: an executed notebook whose code cells are those of `notebook`.
        notebook: the source as it is now.

    Returns:
        A new notebook, or None where the code cells do not correspond.
    """
    injected = [c for c in executed["cells"] if "injected-parameters" in c["metadata"].get("tags", [])]
    ran = [c for c in executed["cells"] if c["cell_type"] == "code" and c not in injected]
    cells: list[Any] = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            cells.append(dict(cell))
            continue
        if not ran:
            return None
        old = ran.pop(0)
        cells.append({**cell, "outputs": old["outputs"], "execution_count": old["execution_count"]})
        if "parameters" in cell["metadata"].get("tags", []):
            cells.extend(injected)
    if ran:
        return None
    kept = {name: executed["metadata"][name] for name in ("papermill", "language_info") if name in executed["metadata"]}
    return {**executed, "metadata": {**notebook["metadata"], **kept}, "cells": cells}


def store(base: Path, result: Mapping[str, Any], work: Path) -> Path:
    """Put a run in its place, replacing an older one of the same key.

    Args:
        base: root of the collection.
        result: its result; ``key`` names the place.
        work: folder of the worker, under a scratch folder; it is gone afterwards.

    Returns:
        The folder of the run.
    """
    for path in work.iterdir():
        keep = path.name == "executed.ipynb" or (path.suffix == ".log" and result["status"] not in FINISHED)
        if not keep:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    (work / "result.json").write_text(json.dumps(result, indent=1, ensure_ascii=False), encoding="utf-8")
    place = runs(base) / str(result["key"])
    for _ in range(10):
        with contextlib.suppress(FileNotFoundError):
            os.rename(place, work.parent / f"old-{uuid.uuid4().hex[:10]}")
        try:
            os.rename(work, place)
            return place
        except OSError:
            if not place.exists():
                raise
            # Another process put the same run there in between; ours is the newer one.
    raise OSError(f"could not put a result at {place}: other processes keep replacing it")


def results(base: Path) -> list[dict[str, Any]]:
    """Every whole result on disk, newest first; what is damaged is passed over."""
    found = [_read(path) for path in sorted(runs(base).glob("[!.]*/result.json"))]
    needed = {"theme", "notebook", "profile", "status", "seconds", "key", "finished"}
    whole = [result for result in found if result is not None and needed <= result.keys()]
    return sorted(whole, key=lambda r: str(r["finished"]), reverse=True)


def prune(base: Path) -> None:
    """Remove all but the newest `KEEP` results of each notebook."""
    kept: dict[tuple[str, str], int] = {}
    for result in results(base):
        name = (result["theme"], result["notebook"])
        kept[name] = kept.get(name, 0) + 1
        if kept[name] > KEEP:
            shutil.rmtree(runs(base) / result["key"], ignore_errors=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
