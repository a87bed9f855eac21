"""The losses of the package as a table: which fit the data one has, read off their docstrings without an import."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
# What a person may have at hand, in the words that docstrings use, and what is meant by them.
DATA = {
    "pairs": "two views or two texts of each item, matched row by row",
    "several views": "three views or more of each item",
    "labels": "a class, or several, for each item",
    "two modalities": "the same items as pictures and texts, say, from two encoders",
    "ordered targets": "a number for each item, whose order or distance matters",
    "scores": "scores of items or pairs, with graded or binary relevance",
    "class logits": "the outputs of a classifier, or the weights behind them",
    "one set": "a set of embeddings and nothing else",
}
# Where to begin: plain forms that much else is measured against, not the newest.
FIRST = {
    "pairs": ("nt_xent", "decoupled", "vicreg"),
    "several views": ("mv_dhel", "mv_info_nce"),
    "labels": ("sup_con_out", "triplet", "proxy_anchor"),
    "two modalities": ("clip_loss", "sigmoid_pairs"),
    "ordered targets": ("rank_n_contrast",),
    "scores": ("cosent", "mann_whitney"),
    "class logits": ("z_loss",),
    "one set": ("uniformity", "koleo"),
}
_SECTION = re.compile(r"^(\w[\w ]*):(.*)$")


@dataclass(frozen=True)
class LossEntry:
    """One loss: what it is called, what it needs, where it comes from.

    Attributes:
        name, module: as in ``from lab.losses import name``; the file it stands in.
        arguments: its signature.
        purpose, formula, source, relations: from the docstring, on one line each; empty where it has none.
        data: keys of `DATA`.
    """

    name: str
    module: str
    arguments: str
    purpose: str
    formula: str
    source: str
    relations: str
    data: tuple[str, ...]


@cache  # the gallery asks after every notebook of a run
def losses(package: Path = PACKAGE) -> tuple[LossEntry, ...]:
    """Every public loss that states its data, by file and name, as they are when this process first asks.

    Raises:
        ValueError: a ``Data:`` line that names something unknown.

    Cost: parses the files of ``lab/losses`` the first time, some tenths of a second.
    """
    folder = package / "losses"
    public = _public(folder / "__init__.py")
    found = []
    for path in sorted(folder.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and public.get(node.name) == path.stem:
                entry = _entry(node, path.stem)
                if entry is not None:
                    found.append(entry)
    return tuple(found)


def fitting(data: str | None, entries: Sequence[LossEntry]) -> list[tuple[str, list[LossEntry]]]:
    """The losses by kind of data, for one kind or for all.

    Raises:
        ValueError: an unknown kind; the message lists the kinds.
    """
    if data is not None and data not in DATA:
        raise ValueError(f"unknown kind of data {data!r}; known are: {', '.join(DATA)}")
    kinds = [data] if data is not None else list(DATA)
    return [(kind, [entry for entry in entries if kind in entry.data]) for kind in kinds]


def _public(init: Path) -> dict[str, str]:
    """name -> the file it is imported from."""
    found = {}
    for node in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.update({alias.asname or alias.name: node.module.rsplit(".", 1)[-1] for alias in node.names})
    return found


def _entry(node: ast.FunctionDef, module: str) -> LossEntry | None:
    text = ast.get_docstring(node) or ""
    parts = sections(text)
    if "Data" not in parts:
        return None
    data = tuple(word.strip(" .") for word in parts["Data"].split(","))
    for word in data:
        if word not in DATA:
            raise ValueError(f"{node.name}: the Data line names {word!r}; known are: {', '.join(DATA)}")
    return LossEntry(
        name=node.name,
        module=module,
        arguments=f"({ast.unparse(node.args)})",
        purpose=text.split("\n\n")[0].replace("\n", " ").strip(),
        formula=parts.get("Formula", ""),
        source=parts.get("Source", ""),
        relations=parts.get("Relations", ""),
        data=data,
    )


def sections(text: str) -> dict[str, str]:
    """The named parts of a docstring, each on one line.

    >>> sections("Do.\\n\\nSource: a\\n    b.\\n\\nData: pairs")
    {'Source': 'a b.', 'Data': 'pairs'}
    """
    found: dict[str, list[str]] = {}
    name = ""
    for line in text.splitlines():
        match = _SECTION.match(line)
        if match:
            name = match[1]
            found[name] = [match[2].strip()]
        elif not line.strip():
            continue
        elif name:
            found[name].append(line.strip())
    return {name: " ".join(part for part in lines if part) for name, lines in found.items()}
