"""Generators of data whose exact answers are known; each takes an explicit ``seed`` and has a generator of its own."""

from __future__ import annotations

from lab.datasets.labelled import Blobs, class_blobs, exponential_counts, imbalanced, simplex
from lab.datasets.shapes import Embedded, embedded, orthonormal, sphere
from lab.datasets.structured import (
    Factors,
    Hubs,
    Triples,
    additive_factors,
    planted_hubs,
    xor_triples,
)

__all__ = [
    "Blobs",
    "Embedded",
    "Factors",
    "Hubs",
    "Triples",
    "additive_factors",
    "class_blobs",
    "embedded",
    "exponential_counts",
    "imbalanced",
    "orthonormal",
    "planted_hubs",
    "simplex",
    "sphere",
    "xor_triples",
]
