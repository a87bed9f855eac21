"""Reading and writing notebooks, and finding one's way in their cells."""

from __future__ import annotations

import ast
import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.collection.files import write as write_file

Notebook = dict[str, Any]
Cell = dict[str, Any]
THEME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
SLUG = re.compile(r"\d\d(-[a-z0-9]+)+")
_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def read(path: Path) -> Notebook:
    """A notebook as plain dictionaries, each cell's source joined to one string.

    Raises:
        ValueError: the file is missing, is no JSON, or is no notebook of nbformat 4; the message names the file.
    """
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"there is no notebook {path}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or notebook.get("nbformat") != 4:
        raise ValueError(f"{path} is no notebook of nbformat 4; opening and saving it in JupyterLab converts it")
    for cell in cells:
        if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
            raise ValueError(f"{path} holds a cell that is neither code, markdown nor raw")
        cell["source"] = source(cell)
    return notebook


def text(notebook: Mapping[str, Any]) -> str:
    """A notebook as its file reads: one space of indent, sorted keys, sources split into lines, a final newline."""
    split = copy.deepcopy(dict(notebook))
    for cell in split["cells"]:
        cell["source"] = re.findall(r"[^\n]*\n|[^\n]+", source(cell))
    return json.dumps(split, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def write(notebook: Mapping[str, Any], path: Path) -> bool:
    """Write `text` of a notebook in one step; returns whether the file changed."""
    return write_file(Path(path), text(notebook))


def source(cell: Mapping[str, Any]) -> str:
    """The source of a cell as one string with ``\\n`` line ends."""
    lines = cell.get("source", "")
    joined = lines if isinstance(lines, str) else "".join(lines)
    return joined.replace("\r\n", "\n")


def tags(cell: Mapping[str, Any]) -> list[str]:
    """The tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def tagged(notebook: Mapping[str, Any], tag: str) -> list[int]:
    """Positions of the cells that carry a tag."""
    return [i for i, cell in enumerate(notebook["cells"]) if tag in tags(cell)]


def title(notebook: Mapping[str, Any]) -> str:
    """The heading of the first cell, or an empty string."""
    cells = notebook["cells"]
    first = source(cells[0]).lstrip() if cells and cells[0]["cell_type"] == "markdown" else ""
    return first.split("\n")[0].removeprefix("# ").strip() if first.startswith("# ") else ""


def parsed(cell: Mapping[str, Any]) -> ast.Module | None:
    """The syntax tree of a code cell; None for other cells and for code that does not parse."""
    if cell["cell_type"] != "code":
        return None
    try:
        return ast.parse(source(cell))
    except (SyntaxError, ValueError):
        return None


def functions(cell: Mapping[str, Any]) -> list[ast.FunctionDef]:
    """The functions a code cell defines at its top level."""
    tree = parsed(cell)
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []


def solution(notebook: Mapping[str, Any], stub: int) -> str | None:
    """The Python block of the ``<details>`` cell that belongs to the exercise cell at position `stub`."""
    cells = notebook["cells"]
    for cell in cells[stub + 1 :]:
        if "exercise" in tags(cell):
            return None
        content = source(cell)
        if cell["cell_type"] == "markdown" and "<details>" in content:
            blocks = _PYTHON.findall(content)
            return "\n".join(blocks) if blocks else None
    return None


def with_solutions(notebook: Mapping[str, Any]) -> Notebook:
    """A copy in which each exercise's solution follows its stub as a code cell, so that running it tries them all.

    Raises:
        ValueError: an exercise without a solution, or a solution that does not define the stub's function.
    """
    made = copy.deepcopy(dict(notebook))
    cells: list[Cell] = []
    for i, cell in enumerate(notebook["cells"]):
        cells.append(copy.deepcopy(cell))
        if "exercise" not in tags(cell):
            continue
        code, names = solution(notebook, i), [f.name for f in functions(cell)]
        wanted = names[0] if names else f"cell {i + 1}"
        if code is None:
            raise ValueError(f"exercise {wanted} has no solution in a <details> cell")
        extra: Cell = {"cell_type": "code", "source": code, "metadata": {}, "outputs": [], "execution_count": None}
        extra["id"] = f"{cell.get('id', i)}"[:55] + "-solution"
        if not set(names) <= {f.name for f in functions(extra)}:
            raise ValueError(f"the solution of exercise {wanted} does not define {wanted}")
        cells.append(extra)
    made["cells"] = cells
    return made
