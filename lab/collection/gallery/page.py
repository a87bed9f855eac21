"""The body of a notebook's page: nbconvert's HTML export through a template that loads nothing from anywhere."""

from __future__ import annotations

import ast
import base64
import copy
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import pass_context
from nbconvert.exporters.html import HTMLExporter
from nbconvert.exporters.templateexporter import TemplateExporter
from nbconvert.filters import Highlight2HTML
from nbformat import NotebookNode
from traitlets.config import Config

from lab.collection import claims, exercises, session
from lab.collection.gallery.markdown import Heading, Prose

WIDGET = "application/vnd.jupyter.widget-view+json"
TEMPLATES = Path(__file__).with_name("templates")


@dataclass(frozen=True)
class Body:
    """A notebook as HTML: its first cell, the cells after it, the glyphs its formulas use, and its headings."""

    first: str
    rest: str
    sprite: str
    headings: list[Heading]


class CellExporter(HTMLExporter):
    """HTML of cells, without a page around them.

    Args:
        prose: renders the markdown cells.
    """

    def __init__(self, prose: Prose) -> None:
        priority = ["image/svg+xml", "image/png", "image/jpeg", "text/html", "text/markdown", "text/plain"]
        config = Config({"NbConvertBase": {"display_data_priority": priority}})
        super().__init__(config=config, template_name="cells", extra_template_basedirs=[str(TEMPLATES)])
        self._prose = prose

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        cell = context.get("cell", {})
        return self._prose.html(source, cell.get("attachments"))

    def from_notebook_node(  # type: ignore[override]
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **kw: Any
    ) -> tuple[str, dict[str, Any]]:
        # the parent class would put the page through an HTML parser that writes viewBox in lower case
        self.register_filter("highlight_code", Highlight2HTML(pygments_lexer="python3", parent=self))
        self.register_filter("filter_data_type", _Chosen(self.config["NbConvertBase"]["display_data_priority"]))
        return TemplateExporter.from_notebook_node(self, nb, self._init_resources(resources), **kw)


class _Chosen:
    """Picks the representation of an output that a page can show."""

    def __init__(self, priority: list[str]) -> None:
        self._priority = priority

    def __call__(self, output: Mapping[str, Any]) -> list[str]:
        return [kind for kind in self._priority if kind in output][:1]


def body(notebook: NotebookNode, link: Callable[[str], str]) -> Body:
    """A notebook's cells as HTML.

    Args:
        notebook: an executed notebook.
        link: turns the address of a link to another notebook into one on the site.

    Raises:
        ValueError: the notebook has no cell.
    """
    if not notebook.cells:
        raise ValueError("the notebook has no cell")
    prose = Prose(link, taken={"main", "contents", "claims"})
    exporter = CellExporter(prose)
    prepared = prepare(notebook, prose)
    first, rest = prepared.copy(), prepared.copy()
    first.cells, rest.cells = prepared.cells[:1], prepared.cells[1:]
    html = [exporter.from_notebook_node(part)[0] for part in (first, rest)]
    return Body(html[0], html[1], prose.formulas.sprite(), prose.headings)


def prepare(notebook: NotebookNode, prose: Prose) -> NotebookNode:
    """A copy with what a reader needs: no standard error, final progress lines, sizes and alt texts, anchors of claims.

    Each cell gets ``metadata.lab_kind`` (a CSS class) and ``metadata.lab_lines``; each claim's output
    ``metadata.lab_anchor``.
    """
    shown = copy.deepcopy(notebook)
    # papermill marks an error with cells of its own; the page says it in its own way
    shown.cells = [cell for cell in shown.cells if "papermill-error-cell-tag" not in cell.metadata.get("tags", [])]
    _only_what_differs(shown)
    for cell in shown.cells:
        cell.metadata["lab_kind"] = _kind(cell)
        cell.metadata["lab_lines"] = cell.source.count("\n") + 1
        if cell.cell_type == "code":
            cell.outputs = _outputs(cell.outputs, prose)
    return shown


def _only_what_differs(notebook: NotebookNode) -> None:
    """Of the values this run was given, keep those that differ from the ones written in the parameters cell."""
    defaults: dict[str, str] = {}
    for cell in list(notebook.cells):
        tags = cell.metadata.get("tags", [])
        if "parameters" in tags:
            defaults = _assignments(cell.source)
        elif "injected-parameters" in tags:
            given = _assignments(cell.source)
            lines = [f"{name} = {value}" for name, value in given.items() if defaults.get(name) != value]
            cell.source = "\n".join(lines)
            if not lines:
                notebook.cells.remove(cell)


def _assignments(source: str) -> dict[str, str]:
    """Name and value, as Python writes it, of each assignment; none of a cell that is no Python."""
    found: dict[str, str] = {}
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return found
    for node in tree.body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            found[ast.unparse(target)] = ast.unparse(node.value)
    return found


def _kind(cell: NotebookNode) -> str:
    if cell.cell_type == "markdown":
        return "text"
    tags = cell.metadata.get("tags", [])
    known = ("parameters", "injected-parameters", "exercise", "check")
    return next((tag for tag in known if tag in tags), "code")


def _outputs(outputs: list[NotebookNode], prose: Prose) -> list[NotebookNode]:
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            output.text = _overwritten("".join(output.text))
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
                continue
            if not output.text.strip():
                continue
        elif "data" in output:
            if WIDGET in output.data and not any(kind.startswith("image/") for kind in output.data):
                continue  # a control works in JupyterLab alone; what it showed stands beside it as a figure
            _describe(output, prose)
        kept.append(output)
    return kept


def _describe(output: NotebookNode, prose: Prose) -> None:
    claim = output.data.get(claims.MIME)
    if isinstance(claim, dict):
        output.metadata["lab_anchor"] = prose.anchor(f"claim-{claim.get('slug', '')}")
        output.metadata["lab_kind"] = "claim"
    elif exercises.MIME in output.data:
        output.metadata["lab_kind"] = "exercise"
    elif session.MIME in output.data:
        output.metadata["lab_kind"] = "closing"
    for kind in ("image/png", "image/jpeg", "image/svg+xml"):
        if kind in output.data:
            about = dict(output.metadata.get(kind) or {})
            about["alt"] = about.get("alt") or "A figure without a description"
            if kind == "image/png" and not about.get("width"):
                about["width"], about["height"] = _size("".join(output.data[kind]))
            output.metadata[kind] = about
    html = output.data.get("text/html")
    if html:
        # a table of a data frame: no border attribute, no style element within the body, and it scrolls by itself
        html = re.sub(r"<style scoped>.*?</style>\s*", "", "".join(html), flags=re.DOTALL)
        output.data["text/html"] = html.replace(' border="1"', "")


def _size(data: str) -> tuple[int | None, int | None]:
    """Width and height of a PNG in pixels, from its header."""
    head = base64.b64decode(data[:64])
    if len(head) < 24 or head[:4] != b"\x89PNG":
        return None, None
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _overwritten(text: str) -> str:
    r"""What a terminal shows: after a carriage return a line starts anew.

    >>> _overwritten("10 %\r50 %\rdone\nnext\r\n")
    'done\nnext\n'
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(next((part for part in reversed(line.split("\r")) if part), "") for line in lines)
