"""The manifest of the embedded data: what each file is, where it came from, whether its bytes are still the same."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

# Beside the declared files, data/ holds these; what is generated or written by people changes without being damaged.
UNDECLARED = frozenset({"manifest.json", "README.md", "papers.csv", "ledger.csv"})
UNDECLARED_FOLDERS = frozenset({"build", "licences"})

SETS = {
    "emoji": "emoji in two drawing styles with names, keywords, groups, skin tones and text vectors",
    "fashion": "pictures of clothing in ten balanced classes",
    "words": "frequent English words with GloVe vectors",
    "wordnet": "a hypernym tree of mammals, and frequent nouns with definitions and their text vectors",
}


class DamagedData(ValueError):
    """A file of the embedded data is missing or its bytes differ from the manifest."""


@dataclass(frozen=True)
class Entry:
    """One declared file.

    Attributes:
        path: path below the data folder, with forward slashes.
        set: name of the data set it belongs to.
        what: one line on what it holds.
        bytes: its size.
        sha256: SHA-256 of its bytes, 64 hexadecimal digits.
        source: package and exact version it was made from.
        licence: licence, with the path of its text below the data folder.
        script: the build script, below the data folder.
    """

    path: str
    set: str
    what: str
    bytes: int
    sha256: str
    source: str
    licence: str
    script: str


def folder() -> Path:
    """Folder of the embedded data.

    The environment variable ``LAB_DATA`` if set; else ``data`` in the nearest folder, from the working directory
    upwards, that holds both ``notebooks/`` and ``data/manifest.json``; else ``data`` beside the package.

    Returns:
        The path; a manifest lies in it.

    Raises:
        DamagedData: no manifest is found there.

    Example:
        >>> (folder() / "manifest.json").is_file()
        True
    """
    chosen = os.environ.get("LAB_DATA")
    if chosen:
        found = Path(chosen)
        place = f"LAB_DATA={chosen}"
    else:
        here = Path.cwd()
        roots = [
            r for r in (here, *here.parents) if (r / "notebooks").is_dir() and (r / "data/manifest.json").is_file()
        ]
        found = (roots[0] if roots else Path(__file__).resolve().parents[2]) / "data"
        place = f"{found}"
    if not (found / "manifest.json").is_file():
        raise DamagedData(f"no manifest.json in {place}: set LAB_DATA to the data folder of the collection")
    return found


def entries() -> list[Entry]:
    """All declared files, ordered by path.

    Returns:
        One :class:`Entry` a file.

    Raises:
        DamagedData: the manifest is missing or cannot be read.

    Example:
        >>> [entry.set for entry in entries() if entry.path == "fashion/images.npz"]
        ['fashion']
    """
    return list(_entries(folder()))


def path(name: str) -> Path:
    """Path of a declared file whose bytes were just found to be those of the manifest.

    Args:
        name: path below the data folder, e.g. ``"fashion/images.npz"``.

    Returns:
        The file's path. Cost: one pass over the file (about 10 ms for 10 MB).

    Raises:
        ValueError: the manifest declares no such file.
        DamagedData: the file is missing or its SHA-256 differs; the message names the file.

    Example:
        >>> path("fashion/images.npz").name
        'images.npz'
    """
    target = folder()
    declared = {entry.path: entry for entry in _entries(target)}
    if name not in declared:
        raise ValueError(f"name: {name!r} is not in the manifest; expected one of {', '.join(declared)}")
    problem = _problem(target, declared[name])
    if problem:
        raise DamagedData(
            f"{problem}; restore it (git checkout -- data) or rebuild it with data/{declared[name].script}"
        )
    return target / name


def verify() -> list[str]:
    """Check every file of the data folder against the manifest, in both directions.

    Returns:
        One line a problem (missing, changed, or lying there undeclared), each naming the file; empty if all is well.

    Raises:
        DamagedData: the manifest is missing or cannot be read.

    Example:
        >>> verify()
        []
    """
    target = folder()
    declared = _entries(target)
    problems = [problem for entry in declared if (problem := _problem(target, entry))]
    known = {entry.path for entry in declared}
    for file in sorted(p for p in target.rglob("*") if p.is_file()):
        name = file.relative_to(target)
        # Names with a leading dot belong to the system or the editor.
        if name.parts[0] in UNDECLARED_FOLDERS or name.as_posix() in UNDECLARED | known or name.name.startswith("."):
            continue
        problems.append(f"{name.as_posix()}: is not declared in the manifest")
    return problems


def listing() -> list[dict[str, str | int | float]]:
    """The data sets, one row each, for a table.

    Returns:
        Rows with ``name``, ``what``, ``files`` (a count), ``mb`` (10**6 bytes), ``licence`` and ``source``; several
        licences or sources are joined by ``"; "``. Rows are ordered by name; the synthetic generators, which have no
        file, come last.

    Raises:
        DamagedData: the manifest is missing or cannot be read.

    Example:
        >>> [row["name"] for row in listing()][-1]
        'synthetic'
    """
    rows: list[dict[str, str | int | float]] = []
    declared = entries()
    for name in sorted({entry.set for entry in declared}):
        files = [entry for entry in declared if entry.set == name]
        rows.append(
            {
                "name": name,
                "what": SETS.get(name, files[0].what),
                "files": len(files),
                "mb": round(sum(entry.bytes for entry in files) / 1e6, 1),
                "licence": _joined(entry.licence for entry in files),
                "source": _joined(entry.source for entry in files),
            }
        )
    what = "generators whose exact answers are known: spheres, manifolds, simplex blobs, imbalance, XOR, factors, hubs"
    rows.append(
        {"name": "synthetic", "what": what, "files": 0, "mb": 0.0, "licence": "MIT", "source": "lab.datasets.synthetic"}
    )
    return rows


def _joined(values: Iterable[str]) -> str:
    """Parts of all values, each once, without the path of a licence's text."""
    return "; ".join(dict.fromkeys(part.split(" (licences/")[0] for value in values for part in value.split("; ")))


def _entries(target: Path) -> tuple[Entry, ...]:
    manifest = target / "manifest.json"
    # Keyed by the file's state, so that a manifest replaced while the process lives is read again.
    state = manifest.stat()
    return _read_manifest(manifest, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _read_manifest(manifest: Path, modified: int, size: int) -> tuple[Entry, ...]:
    try:
        return tuple(Entry(**entry) for entry in json.loads(manifest.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedData(f"{manifest}: cannot be read as a manifest ({error})") from error


def _problem(target: Path, entry: Entry) -> str | None:
    file = target / entry.path
    if not file.is_file():
        return f"{entry.path}: is missing from {target}"
    with file.open("rb") as handle:
        found = hashlib.file_digest(handle, "sha256").hexdigest()
    if found != entry.sha256:
        return f"{entry.path}: SHA-256 {found[:12]}... differs from the manifest's {entry.sha256[:12]}..."
    return None
