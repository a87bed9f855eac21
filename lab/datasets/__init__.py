"""Embedded data sets: one function a set, returning a frozen dataclass of tensors; offline and checked by SHA-256.

``emoji`` (pictures in two drawing styles with texts), ``fashion`` (pictures in ten classes), ``words`` (word vectors),
``wordnet`` (a tree of nouns and definitions), and the module ``synthetic`` (generators with exact answers). Nothing is
imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.datasets.fashion_mnist import Fashion, fashion
    from lab.datasets.manifest import DamagedData

_LAZY = {
    "DamagedData": "lab.datasets.manifest",
    "Fashion": "lab.datasets.fashion_mnist",
    "fashion": "lab.datasets.fashion_mnist",
}

__all__ = ["DamagedData", "Fashion", "fashion"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'lab.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
