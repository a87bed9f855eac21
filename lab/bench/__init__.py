"""Benchmarks: what the package costs beside plain forms and other libraries, measured side by side in one run.

Only ratios mean something beyond the machine at hand, so every table ends in them.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

KINDS = ("losses", "probes", "training")


def run(what: str, rows: int | None = None, say: Callable[[str], None] = print) -> None:
    """Run one benchmark and say each line of its report as it is known.

    Args:
        what: one of `KINDS`.
        rows: the largest number of rows to try; None for the size each benchmark is meant for.
        say: takes a line of text.

    Raises:
        ValueError: an unknown benchmark or fewer than 128 rows.
    """
    if what not in KINDS:
        raise ValueError(f"unknown benchmark {what!r}; known are: {', '.join(KINDS)}")
    if rows is not None and rows < 128:
        raise ValueError(f"rows must be at least 128, got {rows}")
    importlib.import_module(f"lab.bench.{what}").report(rows, say)
