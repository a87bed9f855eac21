"""The rules every notebook follows, so that a reader finds the same things in the same order everywhere."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from lab.collection import parameters
from lab.collection.namespace import KNOBS, REQUIRED
from lab.collection.notebook import Cell, Notebook, parsed, source, tagged, title
from lab.collection.prose import measured_numbers

Finding = tuple[int | None, str, str]  # position of the cell, rule, message
CELLS, LINES = (25, 45), 30
GUIDE_CELLS = (8, 45)
KINDS = ("study", "guide")  # a guide leads into a theme or lets one play: it claims nothing, so it judges nothing
LEVELS = ("introductory", "intermediate", "advanced")
SECTIONS = ("## Exercises", "## Conclusion", "## References")
PREDICT, READING = "**Predict.**", "**Reading the figure.**"
BEGIN, FINISH, CONCLUDE = "lab.begin(globals())", "run.finish()", "run.conclusion()"
_URL = re.compile(r"(?i)\b(?:https?|ftp)://|\bwww\.\w")
_SHELL = re.compile(r"(?m)^\s*(?:!|%\s*(?:pip|conda|system|sx|cd)\b|%%(?:bash|sh|system)\b)|\bpip install\b")
_ABSOLUTE = re.compile(r"(?:/(?:[\w.-]+/)+|/(?:home|tmp|root|usr|var|opt|mnt|content)\b|~[/\\]|[A-Za-z]:[\\/]).*")


def findings(notebook: Notebook) -> Iterator[Finding]:
    """Everything in a notebook's structure that breaks a rule, except exercises and claims."""
    guide = is_guide(notebook)
    yield from _form(notebook, GUIDE_CELLS if guide else CELLS)
    yield from _metadata(notebook, guide)
    yield from _parameters(notebook)
    yield from _frame(notebook)
    if not guide:
        yield from _order(notebook)
    yield from _code(notebook)
    yield from _prose(notebook)


def is_guide(notebook: Notebook) -> bool:
    """Whether a notebook is a guide: its metadata ``lab.kind`` says so. All others are studies, which judge claims."""
    lab = notebook.get("metadata", {}).get("lab")
    return isinstance(lab, dict) and lab.get("kind") == "guide"


def first(notebook: Notebook, start: str) -> int | None:
    """Position of the first Markdown cell with a line that begins with `start`."""
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown" and any(line.startswith(start) for line in source(cell).split("\n")):
            return i
    return None


def _form(notebook: Notebook, number: tuple[int, int]) -> Iterator[Finding]:
    cells = notebook["cells"]
    if not number[0] <= len(cells) <= number[1]:
        yield None, "cells", f"{len(cells)} cells, expected {number[0]} to {number[1]}: one idea a notebook"
    if notebook.get("nbformat_minor", 0) < 5:
        yield None, "format", "nbformat 4.5 expected; `lab strip` converts it"
    ids = [cell.get("id") for cell in cells]
    if len(set(ids)) != len(ids) or not all(ids):
        yield None, "format", "every cell needs an id of its own; `lab strip` gives them"
    if notebook.get("metadata", {}).get("kernelspec", {}).get("name") != "python3":
        yield None, "kernel", "the kernel must be python3; `lab strip` sets it"
    for i, cell in enumerate(cells):
        if cell["cell_type"] == "code" and (cell.get("outputs") or cell.get("execution_count")):
            yield i, "outputs", "outputs or an execution count are stored; `lab strip` removes them"
        if cell["cell_type"] == "raw":
            yield i, "cells", "a raw cell is shown nowhere: make it Markdown"
        elif not source(cell).strip():
            yield i, "cells", "the cell is empty"
    for i in tagged(notebook, "injected-parameters"):
        yield i, "parameters", "this cell was injected by a run: remove it"
    if not title(notebook):
        yield 0, "title", "the first cell must be Markdown that begins with `# Title`"


def _metadata(notebook: Notebook, guide: bool) -> Iterator[Finding]:
    lab = notebook.get("metadata", {}).get("lab")
    if not isinstance(lab, dict):
        yield None, "metadata", 'the notebook needs metadata "lab" with question, level, minutes, papers and thumbnail'
        return
    if not isinstance(lab.get("question"), str) or not lab["question"].strip().endswith("?"):
        yield None, "metadata", f"lab.question must be one sentence ending in '?', got {lab.get('question')!r}"
    if lab.get("level") not in LEVELS:
        yield None, "metadata", f"lab.level must be one of {', '.join(LEVELS)}, got {lab.get('level')!r}"
    minutes = lab.get("minutes")
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 1:
        yield None, "metadata", f"lab.minutes must be a whole number from 1 up, got {minutes!r}"
    if lab.get("kind", "study") not in KINDS:
        yield None, "metadata", f"lab.kind must be one of {', '.join(KINDS)}, got {lab['kind']!r}"
    needs = lab.get("needs", [])
    if not isinstance(needs, list) or not all(isinstance(name, str) for name in needs):
        yield None, "metadata", f"lab.needs must list notebooks to read before, as theme/slug, got {needs!r}"
    papers = lab.get("papers")
    if not isinstance(papers, list) or not (papers or guide) or not all(isinstance(key, str) for key in papers):
        yield None, "metadata", f"lab.papers must list at least one key of data/papers.csv, got {papers!r}"
    code = [cell.get("id") for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if (thumbnail := lab.get("thumbnail")) not in code:
        yield None, "metadata", f"lab.thumbnail must be the id of the code cell with the figure, got {thumbnail!r}"


def _parameters(notebook: Notebook) -> Iterator[Finding]:
    at = tagged(notebook, "parameters")
    try:
        known = parameters.declared(notebook)
    except ValueError as error:
        yield at[0] if at else None, "parameters", str(error)
        return
    for name, kind in REQUIRED.items():
        if name not in known or known[name][0] is not kind:
            yield at[0], "parameters", f"`{name}: {kind.__name__}` is missing"
    for name, wanted in (("profile", "standard"), ("seed", 0), ("device", "auto")):
        if name in known and known[name][1] != wanted:
            yield at[0], "parameters", f"{name} must be {wanted!r} by default, got {known[name][1]!r}"
    if "n_seeds" in known and not (isinstance(known["n_seeds"][1], int) and known["n_seeds"][1] >= 5):
        yield at[0], "parameters", f"n_seeds must be at least 5 by default, got {known['n_seeds'][1]}"
    if len(known) - len(REQUIRED) > KNOBS:
        yield at[0], "parameters", f"{len(known) - len(REQUIRED)} knobs, at most {KNOBS}"
    text = source(notebook["cells"][at[0]])
    comments = {t.start[0]: t.string for t in tokenize.generate_tokens(io.StringIO(text).readline)
                if t.type == tokenize.COMMENT}  # fmt: skip
    for node in ast.parse(text).body:
        comment = comments.get(node.lineno, "")
        if not comment.lstrip("# ").strip():
            yield at[0], "parameters", f"`{ast.unparse(node)}` needs a short comment on its line"
        elif "=" in comment or "#" in comment[1:]:
            yield at[0], "parameters", f"papermill cannot read `=` or `#` inside the comment {comment!r}"
        for value in _strings(node):
            if set("=#") & set(value):
                yield at[0], "parameters", f"papermill cannot read `=` or `#` inside the text {value!r}"


def _frame(notebook: Notebook) -> Iterator[Finding]:
    cells = notebook["cells"]
    begins = [i for i, cell in enumerate(cells) if cell["cell_type"] == "code" and BEGIN in source(cell)]
    at = tagged(notebook, "parameters")
    if len(begins) != 1:
        yield None, "setup", f"exactly one code cell must hold `run = {BEGIN}`, found {len(begins)}"
    elif at and begins[0] < at[0]:
        yield begins[0], "setup", "the set-up cell must come after the parameters cell"
    if not cells or cells[-1]["cell_type"] != "code" or source(cells[-1]).strip().split("\n")[-1].strip() != FINISH:
        yield len(cells) - 1 if cells else None, "finish", f"the last cell must end with `{FINISH}`"


def _order(notebook: Notebook) -> Iterator[Finding]:
    cells = notebook["cells"]
    for start, what in ((PREDICT, "a question before the experiment"), (READING, "what the figure shows")):
        if first(notebook, start) is None:
            yield None, "reading", f"no paragraph begins with `{start}`: {what}"
    predictions, readings = first(notebook, PREDICT), first(notebook, READING)
    if predictions is not None and readings is not None:
        if readings < predictions:
            yield readings, "reading", "the figure is read before anything was predicted"
        elif not any(cell["cell_type"] == "code" for cell in cells[predictions:readings]):
            yield readings, "reading", f"no code runs between `{PREDICT}` and `{READING}`"
    places = [first(notebook, section) for section in SECTIONS]
    for section, place in zip(SECTIONS, places, strict=True):
        if place is None:
            yield None, "sections", f"the section `{section}` is missing"
    present = [place for place in places if place is not None]
    if present != sorted(present):
        yield None, "sections", f"the sections must come in the order {', '.join(SECTIONS)}"
    if not any(cell["cell_type"] == "code" and CONCLUDE in source(cell) for cell in cells):
        yield None, "conclusion", f"no code cell calls `{CONCLUDE}`, which renders the recorded claims"


def _code(notebook: Notebook) -> Iterator[Finding]:
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] != "code":
            continue
        text = source(cell)
        lines = len(text.rstrip().split("\n"))
        if lines > LINES:
            yield i, "length", f"{lines} lines of code, at most {LINES}: move what needs a test into the package"
        if _URL.search(text):
            yield i, "offline", "a web address in a code cell: notebooks use embedded data only"
        if _SHELL.search(text):
            yield i, "offline", "a shell or install command in a code cell: packages are pinned in constraints.txt"
        elif (tree := parsed(cell)) is None:
            yield i, "syntax", "the code does not parse"
        else:
            for value in _strings(tree):
                if _ABSOLUTE.fullmatch(value):
                    yield i, "paths", f"the absolute path {value!r}: data come from lab.datasets"


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
            yield node.value.strip()


def _prose(notebook: Notebook) -> Iterator[Finding]:
    start, end = first(notebook, PREDICT), len(notebook["cells"])
    references, exercises, conclusion = (first(notebook, s) for s in ("## References", "## Exercises", "## Conclusion"))
    if references is not None:
        end = references
    for i in range(end if start is None else start, end):
        cell: Cell = notebook["cells"][i]
        # what an exercise asks for is given, not measured
        posed = exercises is not None and exercises <= i < (end if conclusion is None else conclusion)
        quoted = cell.get("metadata", {}).get("lab", {}).get("numbers") == "quoted"
        if cell["cell_type"] != "markdown" or posed or quoted:
            continue
        if numbers := measured_numbers(source(cell)):
            told = "let a variable say it. A setting goes into code or a formula (`0.1`, $0.1$); for a figure quoted"
            told += ' from a paper set the cell\'s metadata "lab": {"numbers": "quoted"}'
            yield i, "numbers", f"{', '.join(numbers)} typed into prose: {told}"
