"""Which losses, probes and corrections of the package a notebook works with, read off its imports."""

from __future__ import annotations

import ast

from lab.collection.notebook import Notebook, parsed

WINGS = {"lab.losses": "loss", "lab.probes": "probe", "lab.corrections": "correction"}


def uses(notebook: Notebook) -> tuple[tuple[str, str], ...]:
    """(kind, name) of every loss, probe and correction that the code cells take from the package, sorted, none twice.

    Both ways of taking one count: ``from lab.losses import nt_xent`` and ``losses.nt_xent`` after ``from lab import
    losses``.

    Args:
        notebook: as nbformat or ``json`` reads it; cells that do not parse are passed over.

    Example:
        >>> cell = {"cell_type": "code", "source": "from lab.losses import nt_xent, triplet as t"}
        >>> uses({"cells": [cell]})
        (('loss', 'nt_xent'), ('loss', 'triplet'))
    """
    found: set[tuple[str, str]] = set()
    modules: dict[str, str] = {}
    nodes = [node for cell in notebook["cells"] if (tree := parsed(cell)) is not None for node in ast.walk(tree)]
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            if node.module in WINGS:
                found |= {(WINGS[node.module], alias.name) for alias in node.names}
            elif node.module == "lab":
                whole = ((alias.asname or alias.name, WINGS.get(f"lab.{alias.name}")) for alias in node.names)
                modules.update({name: kind for name, kind in whole if kind})
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            found.add((modules[node.value.id], node.attr))
    return tuple(sorted(found))
