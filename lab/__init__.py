"""The lab: what papers claim about the geometry of learned embeddings, measured.

Two wings that never import each other: the science (``geometry``, ``losses``, ``probes``, ``encoders``, ``training``,
``datasets``, ``plots``) and the collection (``collection``: claims, runner, ledger, gallery). Nothing heavy is imported
before it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_LAZY = {
    "begin": ("lab.collection.session", "begin"),
    "at_least": ("lab.collection.rules", "at_least"),
    "at_most": ("lab.collection.rules", "at_most"),
    "between": ("lab.collection.rules", "between"),
}

__all__ = ["__version__", "at_least", "at_most", "begin", "between"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        module, attribute = _LAZY[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
