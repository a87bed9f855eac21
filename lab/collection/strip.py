"""Notebooks as they are kept: without outputs, counts and volatile metadata, in one canonical form."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.collection.files import write as write_file
from lab.collection.notebook import Notebook, read, source, text

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def strip(path: Path) -> bool:
    """Bring a notebook file into its canonical form; doing so twice changes nothing more.

    Outputs, execution counts and all metadata but tags and ``lab`` go; the kernel becomes ``python3``; cells keep their
    ids and get one derived from their content where it is missing, unfit or taken. The file is replaced in one step.

    Returns:
        Whether the file changed.

    Raises:
        ValueError: the file is no notebook of nbformat 4.
    """
    return write_file(Path(path), text(stripped(read(path))))


def is_stripped(path: Path) -> bool:
    """Whether a notebook file is in its canonical form to the byte. Raises ValueError when it is no notebook."""
    return Path(path).read_bytes() == text(stripped(read(path))).encode("utf-8")


def stripped(notebook: Mapping[str, Any]) -> Notebook:
    """The canonical form of a notebook, as a new object."""
    taken: set[str] = set()
    kept = {str(cell["id"]) for cell in notebook["cells"] if _fits(cell.get("id"))}
    metadata = {"kernelspec": dict(KERNEL), "language_info": {"name": "python"}}
    if "lab" in notebook.get("metadata", {}):
        metadata["lab"] = notebook["metadata"]["lab"]
    cells = [_cell(cell, taken, kept) for cell in notebook["cells"]]
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(cell: Mapping[str, Any], taken: set[str], kept: set[str]) -> dict[str, Any]:
    content = source(cell)
    name = cell.get("id")
    if not _fits(name) or name in taken:
        name = _derived(f"{cell['cell_type']}\0{content}", taken | kept)
    taken.add(str(name))
    old = cell.get("metadata", {})
    made: dict[str, Any] = {
        "cell_type": cell["cell_type"],
        "id": name,
        "metadata": {key: old[key] for key in ("lab", "tags") if old.get(key)},
        "source": content,
    }
    if cell["cell_type"] == "code":
        made |= {"execution_count": None, "outputs": []}
    elif cell.get("attachments"):
        made["attachments"] = cell["attachments"]
    return made


def _fits(name: Any) -> bool:
    return isinstance(name, str) and _ID.fullmatch(name) is not None


def _derived(content: str, taken: set[str]) -> str:
    for copy in range(len(taken) + 1):
        name = hashlib.sha256(f"{copy}\0{content}".encode()).hexdigest()[:8]
        if name not in taken:
            return name
    raise AssertionError("every candidate id is taken")
