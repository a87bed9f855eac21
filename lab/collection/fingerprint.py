"""What a result depends on, as a hash: the notebook's code, its parameters, the code and data it reaches, the pins."""

from __future__ import annotations

import ast
import hashlib
import io
import json
import tokenize
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lab.collection.notebook import source
from lab.collection.reach import reachable

PACKAGE = Path(__file__).resolve().parents[1]
# The files of the collection wing that decide what a notebook records; the others only show or schedule it.
_JUDGING = ("session", "claims", "rules", "statistics", "exercises")
_UNCOUNTED_PINS = "\n# [no result depends on these]"
_NOT_SCIENCE = ("__init__.py", "__main__.py", "cli.py", "commands.py", "bench")


def run_key(
    name: str, notebook: Mapping[str, Any], parameters: Mapping[str, Any], base: Path, code: str | None = None
) -> str:
    """Key of one run: equal keys mean that running again would give the same result.

    Args:
        name: ``theme/slug``; a copy of a notebook has runs of its own, since its prose may differ.
        notebook: the notebook as nbformat or ``json`` reads it; only its code cells count, not its prose.
        parameters: a value for every parameter, the profile among them.
        base: root of the collection, for ``data/manifest.json`` and ``constraints.txt``.
        code: takes the place of the hash of the code that the notebook can reach.

    Returns:
        64 hexadecimal digits.
    """
    cells = [source(cell).rstrip() for cell in notebook["cells"] if cell["cell_type"] == "code"]
    reached = reachable("\n".join(cells), PACKAGE)
    parts = {
        "name": name,
        "cells": cells,
        "parameters": {name: [type(value).__name__, value] for name, value in parameters.items()},
        "code": code or code_hash(files=reached),
        "data": data_hash(base, [*cells, *(path.read_text(encoding="utf-8") for path in reached)]),
        "pins": pins(base),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def code_hash(package: Path = PACKAGE, files: Collection[Path] | None = None) -> str:
    """Hash of the science code of `package`, or of those of its `files` that are science, and of what judges claims.

    Comments, docstrings, blank lines and trailing spaces do not count, so that explaining something better makes no
    notebook run again. The same under every version of Python.

    Args:
        package: folder of the package ``lab``.
        files: the files that count, such as those a notebook can reach; None for all.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    judging = {package / "collection" / f"{name}.py" for name in _JUDGING}
    for path in _science(package):
        if files is not None and path not in files and path not in judging:
            continue
        digest.update(path.relative_to(package).as_posix().encode() + b"\0")
        state = path.stat()
        digest.update(_essence_of(path, state.st_mtime_ns, state.st_size).encode() + b"\0")
    return digest.hexdigest()


# Remembered by the state of the file: a run asks again before every notebook, since somebody may be editing.
@cache
def _essence_of(path: Path, modified: int, size: int) -> str:
    return essence(path.read_text(encoding="utf-8"))


def _science(package: Path) -> Iterator[Path]:
    judging = {package / "collection" / f"{name}.py" for name in _JUDGING}
    for path in sorted(package.rglob("*.py"), key=lambda p: p.relative_to(package).as_posix()):
        inside = path.relative_to(package).parts
        if path in judging or (inside[0] != "collection" and inside[0] not in _NOT_SCIENCE):
            yield path


def data_hash(base: Path, sources: Collection[str] | None = None) -> str:
    """Hash of which bytes each declared data file must have; sources and licences may be reworded freely.

    Args:
        base: root of the collection.
        sources: code; only data sets count whose folder it names, as in ``path("fashion/images.npz")``. None: all.
    """
    text = (base / "data" / "manifest.json").read_bytes()
    try:
        files = sorted((entry["path"], entry["sha256"]) for entry in json.loads(text)["files"])
    except (ValueError, KeyError, TypeError):
        return hashlib.sha256(text).hexdigest()
    if sources is not None:
        folders = {path.split("/")[0] for path, _ in files}
        named = {folder for folder in folders if any(f"{folder}/" in code for code in sources)}
        files = [(path, digest) for path, digest in files if path.split("/")[0] in named]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def pins(base: Path) -> list[str]:
    """The pinned versions of ``constraints.txt`` that a result can depend on, ordered, without comments.

    What follows the line that begins with ``# [no result depends on these]`` is left out. Empty where there is no file.
    """
    path = base / "constraints.txt"
    if not path.is_file():
        return []
    counted = path.read_text(encoding="utf-8").split(_UNCOUNTED_PINS)[0]
    lines = (line.split("#")[0].strip() for line in counted.splitlines())
    return sorted(line for line in lines if line)


def essence(code: str) -> str:
    """Python code without comments, docstrings, blank lines and trailing spaces; unchanged if it does not parse.

    Example:
        >>> essence('def f(x):  # twice\\n    "Double."\\n\\n    return 2 * x\\n')
        'def f(x):\\n    return 2 * x'
    """
    try:
        tree = ast.parse(code)
        lines = _without_comments(code, tree)
    except (SyntaxError, tokenize.TokenError):
        return code
    for node in _statements(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for row in _docstring_rows(node, lines):
                lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _without_comments(code: str, tree: ast.Module) -> list[str]:
    """The lines of the code, each up to its comment."""
    lines = code.split("\n")
    marked = [row for row, line in enumerate(lines, 1) if "#" in line]
    # On a line without quotes a mark begins a comment, unless the line lies within a string of several lines. Only
    # where that does not settle it, the file is cut into tokens, which takes ten times as long.
    if not any(quote in lines[row - 1] for row in marked for quote in "'\"") and not any(
        node.lineno <= row <= (node.end_lineno or 0)
        for node in (ast.walk(tree) if marked else ())
        if isinstance(node, ast.Constant | ast.JoinedStr) and (node.end_lineno or 0) > node.lineno
        for row in marked
    ):
        for row in marked:
            lines[row - 1] = lines[row - 1].split("#")[0]
        return lines
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return lines


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all statements below it, without their expressions, which hold no docstrings."""
    yield node
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        for child in getattr(node, field, ()):
            yield from _statements(child)


def _docstring_rows(
    node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]
) -> range:
    first = node.body[0] if node.body else None
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return range(0)
    if not isinstance(first.value.value, str):
        return range(0)
    # Rows are dropped whole, so nothing else may stand on them.
    alone_before = len(lines[first.lineno - 1]) - len(lines[first.lineno - 1].lstrip()) == first.col_offset
    last = first.end_lineno or first.lineno
    alone_after = len(node.body) == 1 or node.body[1].lineno > last
    return range(first.lineno, last + 1) if alone_before and alone_after else range(0)
