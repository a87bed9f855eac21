"""Emoji in two drawing styles with their texts: pairs of pictures, of picture and text, a hierarchy, skin tones."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np
import torch

from lab.datasets import manifest
from lab.datasets.splits import group_split

STYLES = ("google", "twitter")


@dataclass(frozen=True)
class Emoji:
    """3,780 emoji; row i is the same emoji in every field.

    Attributes:
        google: (N, 3, 32, 32) uint8, pictures in the Noto style: red, green, blue on white. See :meth:`images`.
        twitter: (N, 3, 32, 32) uint8, pictures in the Twemoji style, likewise.
        text_vectors: (N, 384) float32 unit rows, MiniLM vectors of "name, keyword, keyword, ...".
        name_vectors: (N, 384) float32 unit rows, of the name alone.
        names: English names, all different.
        keywords: English keywords; a variant has those of its base.
        hexcodes: code points without variation selectors, e.g. "1F44B-1F3FB".
        group: (N,) int64 in 0..8, see ``group_names``.
        group_names: the nine groups.
        subgroup: (N,) int64, see ``subgroup_names``; each lies within one group.
        subgroup_names: the subgroups.
        skin_tone: (N,) int64: 1 (light) to 5 (dark), 0 where none is given, -1 for couples of two different tones.
        skin_tones: (N, 2) int64: both tones of a couple, in the order of the name; else the one tone twice.
        gender: (N,) int64: 0 female, 1 male, -1 where the name gives neither or both.
        family: (N,) int64: variants of one emoji (skin tone, gender, hair, direction) and equal pictures share one.
    """

    google: torch.Tensor
    twitter: torch.Tensor
    text_vectors: torch.Tensor
    name_vectors: torch.Tensor
    names: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...]
    hexcodes: tuple[str, ...]
    group: torch.Tensor
    group_names: tuple[str, ...]
    subgroup: torch.Tensor
    subgroup_names: tuple[str, ...]
    skin_tone: torch.Tensor
    skin_tones: torch.Tensor
    gender: torch.Tensor
    family: torch.Tensor

    def __len__(self) -> int:
        return len(self.names)

    def images(self, style: str = "google") -> torch.Tensor:
        """Pictures in one style as numbers an encoder takes.

        Args:
            style: "google" or "twitter".

        Returns:
            (N, 3, 32, 32) float32 in [0, 1]; the background is 1. A copy of 46 MB.

        Raises:
            ValueError: another style.

        Example:
            >>> from lab.datasets import emoji
            >>> emoji().images("twitter").shape
            torch.Size([3780, 3, 32, 32])
        """
        if style not in STYLES:
            raise ValueError(f"style: expected one of {', '.join(STYLES)}, got {style!r}")
        return (self.google if style == "google" else self.twitter).float().div_(255.0)

    def split(self, *, test: float = 0.2, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows for training and testing; no family is on both sides, so no test emoji has a variant among the others.

        Args:
            test: largest share of rows for testing, above 0 and below 1.
            seed: 0 or larger; the same seed gives the same split.

        Returns:
            Two ascending int64 tensors of rows.

        Raises:
            ValueError: a share or seed out of range.

        Example:
            >>> from lab.datasets import emoji
            >>> [len(side) for side in emoji().split(test=0.2, seed=0)]
            [3024, 756]
        """
        return group_split(self.family, test=test, seed=seed)

    def representatives(self) -> torch.Tensor:
        """One row a family, its first: what is left without any variants.

        Returns:
            (families,) ascending int64 rows.

        Example:
            >>> from lab.datasets import emoji
            >>> data = emoji()
            >>> len(data.representatives()) == len(data.family.unique())
            True
        """
        first = torch.full((int(self.family.max()) + 1,), len(self), dtype=torch.int64)
        return first.scatter_reduce(0, self.family, torch.arange(len(self)), "amin").sort().values


def emoji() -> Emoji:
    """Load the emoji: pictures in two styles, names, keywords, groups, skin tones, gender, families, text vectors.

    Returns:
        :class:`Emoji`; new tensors at each call.

    Raises:
        DamagedData: a file is missing or changed.

    Cost: about 0.3 s, 35 MB.

    Source: Noto Emoji and Twemoji pictures, emojibase texts, all-MiniLM-L6-v2 vectors; see data/README.md.

    Example:
        >>> data = emoji()
        >>> data.names[0], data.group_names[int(data.group[0])]
        ('grinning face', 'smileys-emotion')
    """
    rows = list(csv.DictReader(io.StringIO(manifest.path("emoji/emoji.csv").read_text(encoding="utf-8"))))
    pictures = {style: _array(f"emoji/{style}.npz", "images").permute(0, 3, 1, 2).contiguous() for style in STYLES}
    group, group_names = _codes([row["group"] for row in rows])
    subgroup, subgroup_names = _codes([row["subgroup"] for row in rows])
    tones = torch.tensor([[int(row["skin_tone"]), int(row["second_skin_tone"])] for row in rows])
    return Emoji(
        google=pictures["google"],
        twitter=pictures["twitter"],
        text_vectors=_unit(_array("emoji/vectors.npz", "text")),
        name_vectors=_unit(_array("emoji/vectors.npz", "name")),
        names=tuple(row["name"] for row in rows),
        keywords=tuple(tuple(row["keywords"].split("|")) for row in rows),
        hexcodes=tuple(row["hexcode"] for row in rows),
        group=group,
        group_names=group_names,
        subgroup=subgroup,
        subgroup_names=subgroup_names,
        skin_tone=torch.where(tones[:, 0] == tones[:, 1], tones[:, 0], -1),
        skin_tones=tones,
        gender=torch.tensor([int(row["gender"]) for row in rows]),
        family=torch.tensor([int(row["family"]) for row in rows]),
    )


def _array(name: str, key: str) -> torch.Tensor:
    with np.load(manifest.path(name), allow_pickle=False) as file:
        return torch.from_numpy(file[key])


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    # Rounding to half precision left the lengths off by some 0.0001.
    return torch.nn.functional.normalize(vectors.float(), dim=-1)


def _codes(values: list[str]) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Numbers in the order of first appearance, and the names behind them."""
    names = tuple(dict.fromkeys(values))
    number = {name: i for i, name in enumerate(names)}
    return torch.tensor([number[value] for value in values]), names
