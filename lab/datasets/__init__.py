"""Embedded data sets: one function a set, returning a frozen dataclass of tensors; offline and checked by SHA-256.

``emoji`` (pictures in two drawing styles with texts), ``fashion`` (pictures in ten classes), ``words`` (word vectors),
``wordnet`` (a tree of nouns and definitions), and the module ``synthetic`` (generators with exact answers). Nothing is
imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.datasets.analogy_pairs import analogies
    from lab.datasets.concepts import Concepts, emoji_concepts
    from lab.datasets.emoji_pairs import Emoji, emoji
    from lab.datasets.fashion_attributes import VariedPictures, turned, varied_fashion
    from lab.datasets.fashion_mnist import Fashion, fashion
    from lab.datasets.glove import Words, words
    from lab.datasets.graphs import AugmentationGraph, augmentation_graph
    from lab.datasets.manifest import DamagedData
    from lab.datasets.ordered_emoji import EmojiAttribute, emoji_attributes
    from lab.datasets.pairing import partners
    from lab.datasets.splits import group_split
    from lab.datasets.wordnet_nouns import Synsets, WordNet, wordnet

_LAZY = {
    "AugmentationGraph": "lab.datasets.graphs",
    "Concepts": "lab.datasets.concepts",
    "DamagedData": "lab.datasets.manifest",
    "Emoji": "lab.datasets.emoji_pairs",
    "EmojiAttribute": "lab.datasets.ordered_emoji",
    "Fashion": "lab.datasets.fashion_mnist",
    "Synsets": "lab.datasets.wordnet_nouns",
    "VariedPictures": "lab.datasets.fashion_attributes",
    "WordNet": "lab.datasets.wordnet_nouns",
    "Words": "lab.datasets.glove",
    "analogies": "lab.datasets.analogy_pairs",
    "augmentation_graph": "lab.datasets.graphs",
    "emoji": "lab.datasets.emoji_pairs",
    "emoji_attributes": "lab.datasets.ordered_emoji",
    "emoji_concepts": "lab.datasets.concepts",
    "fashion": "lab.datasets.fashion_mnist",
    "group_split": "lab.datasets.splits",
    "partners": "lab.datasets.pairing",
    "turned": "lab.datasets.fashion_attributes",
    "varied_fashion": "lab.datasets.fashion_attributes",
    "wordnet": "lab.datasets.wordnet_nouns",
    "words": "lab.datasets.glove",
}

__all__ = [
    "AugmentationGraph",
    "Concepts",
    "DamagedData",
    "Emoji",
    "EmojiAttribute",
    "Fashion",
    "Synsets",
    "VariedPictures",
    "WordNet",
    "Words",
    "analogies",
    "augmentation_graph",
    "emoji",
    "emoji_attributes",
    "emoji_concepts",
    "fashion",
    "group_split",
    "partners",
    "turned",
    "varied_fashion",
    "wordnet",
    "words",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in ("manifest", "synthetic"):
        return importlib.import_module(f"lab.datasets.{name}")
    raise AttributeError(f"module 'lab.datasets' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY, "manifest", "synthetic"])
