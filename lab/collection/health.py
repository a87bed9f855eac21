"""What goes stale without anybody noticing: links, figures without words or telling colours, names nobody uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from lab.collection import place
from lab.collection.notebook import Notebook, parsed, source

PAGES = ("README.md", "CONTRIBUTING.md", "data/README.md", "notebooks/README.md")
PACKAGES = ("losses", "probes", "corrections", "training", "datasets")
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^()\s]+)\)|<img[^>]*\bsrc=\"([^\"]+)\"[^>]*>")
_CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
_HEX = re.compile(r"#[0-9a-fA-F]{6}")
# colour maps whose colours rise in lightness, or that run apart from a light middle in blue and orange, tell order to
# everybody; round ones, which end where they begin, are for angles
_MAPS = {"viridis", "cividis", "magma", "inferno", "plasma", "gray", "gray_r", "Greys", "Greys_r", "Blues", "Blues_r"}
_MAPS |= {"PuOr", "PuOr_r", "RdBu", "RdBu_r", "coolwarm", "twilight", "twilight_shifted"}
_COLOUR_ARGUMENTS = {"color", "c", "facecolor", "edgecolor", "ecolor", "facecolors", "edgecolors"}
_PLAIN = {"none", "black", "white", "k", "w", "gray", "grey", "0.5", "lightgray", "lightgrey", "dimgray"}
Finding = tuple[int | None, str, str]


def broken_links(root: Path) -> Iterator[tuple[str, str, str]]:
    """(file, rule, message) for every relative link or picture in a page of Markdown that leads nowhere.

    Args:
        root: root of the collection; its pages, those in ``docs/``, and the text of the notebooks are read.
    """
    pages = [root / name for name in PAGES] + sorted((root / "docs").glob("*.md"))
    for path in pages:
        if path.is_file():
            yield from _links(root, path, path.read_text(encoding="utf-8"))


def notebook_links(root: Path, path: Path, notebook: Notebook) -> Iterator[Finding]:
    """(cell, rule, message) for every link in a notebook's text that leads nowhere, or picture without words."""
    for i, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            yield from ((i, rule, message) for _, rule, message in _links(root, path, source(cell)))


def _links(root: Path, path: Path, text: str) -> Iterator[tuple[str, str, str]]:
    shown = path.relative_to(root).as_posix()
    for picture, words, target, embedded in _LINK.findall(_CODE.sub("", text)):
        address = target or embedded
        if picture and not words.strip():
            yield shown, "alt", f"the picture {address!r} has no words for those who cannot see it"
        plain = unquote(address.partition("#")[0])
        if not plain or ":" in plain.split("/")[0] or address.startswith("attachment:"):
            continue
        if not (path.parent / plain).exists():
            yield shown, "links", f"the link {address!r} leads nowhere"


def figures(notebook: Notebook) -> Iterator[Finding]:
    """(cell, rule, message) for figures that are not shown by ``plots.show`` with words, or not in telling colours."""
    for i, cell in enumerate(notebook["cells"]):
        tree = parsed(cell)
        for node in ast.walk(tree) if tree is not None else ():
            if isinstance(node, ast.Call):
                yield from ((i, rule, message) for rule, message in _call(node))


def _call(node: ast.Call) -> Iterator[tuple[str, str]]:
    name = ast.unparse(node.func)
    if name in ("plt.show", "pyplot.show") or name.endswith(".savefig"):
        yield "alt", f"`{name}` shows a figure without words: use `plots.show(figure, ...)`"
    if name == "plots.show" and len(node.args) + len(node.keywords) < 2:
        yield "alt", "`plots.show` needs the words for those who cannot see the figure"
    for keyword in node.keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if not isinstance(value, str):
            continue
        if keyword.arg in ("cmap", "colormap") and value not in _MAPS:
            yield "colours", f"the colour map {value!r} hides order from colour-blind readers: take viridis"
        if keyword.arg in _COLOUR_ARGUMENTS and not _telling(value):
            yield "colours", f"the colour {value!r} may look like another to some readers: take one of plots.COLOURS"


def _telling(colour: str) -> bool:
    """Whether a colour is a grey, which cannot be mistaken for a hue, or one of the collection's, told apart by all."""
    if colour in _palette():
        return True
    if _HEX.fullmatch(colour):
        parts = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
        return max(parts) - min(parts) <= 24
    return colour in _PLAIN or re.fullmatch(r"C\d|0?\.\d+", colour) is not None


@cache
def _palette() -> frozenset[str]:
    """The colours of the collection's figures, read from where they are declared."""
    plots = Path(__file__).resolve().parents[1] / "plots.py"
    for node in ast.parse(plots.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "COLOURS":
            return frozenset(ast.literal_eval(node.value))
    return frozenset()


def unused_names(root: Path, package: Path) -> Iterator[tuple[str, str, str]]:
    """(file, rule, message) for public names of the package that no notebook, test or page of the collection uses.

    Args:
        root: root of the collection, with ``notebooks/`` and ``tests/``; nothing is said where there are no tests.
        package: folder of the package ``lab``.

    Cost: reads every test and notebook once.
    """
    if not (root / "tests").is_dir():
        return
    files = [*(root / "tests").rglob("*.py"), *place.notebooks(root), *(root / name for name in PAGES)]
    said = " ".join(path.read_text(encoding="utf-8") for path in files if path.is_file())
    words = set(re.findall(r"\w+", said))
    for name in PACKAGES:
        init = package / name / "__init__.py"
        for public in _public(init) if init.is_file() else ():
            # what begins with a capital is mostly what a function returns, and comes into use with it
            if public not in words and public[0].islower():
                message = f"{public} is used by no notebook, test or page: use it, test it or take it out"
                yield f"lab/{name}/__init__.py", "unused", message


def _public(init: Path) -> list[str]:
    for node in ast.parse(init.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            try:
                return list(ast.literal_eval(node.value))
            except ValueError:
                return []
    return []
