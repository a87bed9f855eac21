"""The rules exercises follow: heading, stub, check, solution, in this order."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from lab.collection.notebook import Cell, Notebook, functions, parsed, solution, source, tags

START = "### Exercise"
HEADING = re.compile(r"### Exercise (\d+) · (★☆☆|★★☆|★★★) · (\d+) minutes?\s*$")
COUNT = (2, 4)
Finding = tuple[int | None, str, str]


def findings(notebook: Notebook) -> Iterator[Finding]:
    """What breaks a rule about exercises: (cell, rule, message)."""
    cells = notebook["cells"]
    headings = [i for i, cell in enumerate(cells) if _opens(cell)]
    stubs = [i for i, cell in enumerate(cells) if "exercise" in tags(cell)]
    if not COUNT[0] <= len(headings) <= COUNT[1]:
        yield None, "exercises", f"{len(headings)} exercises, expected {COUNT[0]} to {COUNT[1]}"
    for number, i in enumerate(headings, start=1):
        found = HEADING.match(next(line for line in source(cells[i]).split("\n") if line.startswith(START)))
        if found is None:
            yield i, "exercises", f"the heading must read `### Exercise {number} · ★☆☆ · 5 minutes`"
        elif int(found[1]) != number:
            yield i, "exercises", f"exercise {found[1]} comes as number {number}"
        end = headings[number] if number < len(headings) else len(cells)
        if not any(i < stub < end for stub in stubs):
            yield i, "exercises", f"exercise {number} has no code cell tagged `exercise` with the function to write"
    names: set[str] = set()
    for i in stubs:
        if not headings or i < headings[0]:
            yield i, "exercises", "the stub stands before the first exercise's heading"
        yield from _stub(notebook, i, names)


def _opens(cell: Cell) -> bool:
    return cell["cell_type"] == "markdown" and any(line.startswith(START) for line in source(cell).split("\n"))


def _stub(notebook: Notebook, i: int, names: set[str]) -> Iterator[Finding]:
    tree, made = parsed(notebook["cells"][i]), functions(notebook["cells"][i])
    if tree is None or len(tree.body) != 1 or len(made) != 1:
        yield i, "exercises", "a cell tagged `exercise` holds one function and nothing else"
        return
    stub = made[0]
    if stub.name in names:
        yield i, "exercises", f"two exercises ask for {stub.name}"
    names.add(stub.name)
    taken = stub.args.posonlyargs + stub.args.args + stub.args.kwonlyargs
    untyped = [arg.arg for arg in taken if arg.annotation is None]
    if untyped or stub.returns is None:
        what = ", ".join([*untyped, *([] if stub.returns is not None else ["the returned value"])])
        yield i, "exercises", f"{stub.name}: types are missing for {what}"
    body = stub.body[1:] if ast.get_docstring(stub) is not None else stub.body
    if len(body) != 1 or not _is_dots(body[0]):
        yield i, "exercises", f"{stub.name}: the body must be `...` alone, the rest is the reader's"
    yield from _check(notebook, i, stub.name)
    code = solution(notebook, i)
    if code is None:
        yield i, "exercises", f"{stub.name}: a Markdown cell with <details> and a ```python block must solve it"
        return
    try:
        solved = ast.parse(code)
    except SyntaxError as error:
        yield i, "exercises", f"{stub.name}: the solution does not parse ({error.msg}, line {error.lineno})"
        return
    if not any(isinstance(node, ast.FunctionDef) and node.name == stub.name for node in solved.body):
        yield i, "exercises", f"the solution does not define {stub.name}"


def _check(notebook: Notebook, i: int, name: str) -> Iterator[Finding]:
    for cell in notebook["cells"][i + 1 :]:
        if "exercise" in tags(cell):
            break
        if "check" in tags(cell):
            if not re.search(rf"\bcheck\(\s*{re.escape(name)}\b", source(cell)):
                yield i, "exercises", f"the cell tagged `check` does not call exercises.check({name}, ...)"
            return
    yield i, "exercises", f"{name}: a code cell tagged `check` must follow with exercises.check({name}, cases=[...])"


def _is_dots(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...
