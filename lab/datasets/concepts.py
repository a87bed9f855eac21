"""Emoji as pairs for two towers: one row a concept, pictures as principal components, split by concept."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lab.datasets.checks import check_real, check_whole, generator
from lab.datasets.emoji_pairs import emoji


@dataclass(frozen=True)
class Concepts:
    """1,673 concepts with two pictures and a text each; row i is the same concept in every field.

    Attributes:
        google: (N, components) float32, the Noto picture by its principal components.
        twitter: (N, components) float32, the Twemoji picture by the same components.
        text: (N, 384) float32 unit rows, vectors of "name, keyword, keyword, ...".
        name: (N, 384) float32 unit rows, vectors of the name alone.
        names: English names.
        group: (N,) int64, see ``group_names``.
        group_names: the nine groups.
        subgroup: (N,) int64.
        rows: (N,) int64, rows of :func:`lab.datasets.emoji`.
        train: rows for training, ascending.
        validation: rows for choosing, ascending.
        test: rows for the result, ascending; no concept, and no variant of one, is in two of the three.
    """

    google: Tensor
    twitter: Tensor
    text: Tensor
    name: Tensor
    names: tuple[str, ...]
    group: Tensor
    group_names: tuple[str, ...]
    subgroup: Tensor
    rows: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor

    def __len__(self) -> int:
        return len(self.names)


def emoji_concepts(*, seed: int, components: int = 128, validation: float = 0.15, test: float = 0.2) -> Concepts:
    """Load one emoji a family, its pictures as principal components, split into three parts by the seed.

    The components are those of the Noto pictures of the training part alone, about its mean, divided by one number so
    that the mean square of a training entry is 1; the Twemoji pictures go through the same map.

    Args:
        seed: of the split, 0 or larger.
        components: numbers kept of the 3,072 of a picture, 1 to 512.
        validation: share of the concepts for choosing, 0 or more.
        test: share of the concepts for the result, above 0; both shares together below 1.

    Returns:
        :class:`Concepts`.

    Raises:
        ValueError: a share, a seed or a number of components out of range.
        DamagedData: a file is missing or changed.

    Cost: about 1 s.

    Example:
        >>> data = emoji_concepts(seed=0, components=64)
        >>> data.google.shape, len(data.train), len(data.validation), len(data.test)
        (torch.Size([1673, 64]), 1087, 251, 335)
    """
    check_whole(components, "components", low=1, high=512)
    check_real(validation, "validation", low=0.0, high=1.0)
    check_real(test, "test", low=0.0, high=1.0, open_low=True)
    if validation + test >= 1:
        raise ValueError(f"validation and test: expected shares that leave some rows, got {validation} and {test}")
    data = emoji()
    rows = data.representatives()
    order = torch.randperm(len(rows), generator=generator(seed))
    sizes = [round(validation * len(rows)), max(1, round(test * len(rows)))]
    parts = [part.sort().values for part in order.split([*sizes, len(rows) - sum(sizes)])]
    if components >= len(parts[2]):
        raise ValueError(f"components: expected fewer than the {len(parts[2])} training rows, got {components}")
    pictures = [data.images(style)[rows].flatten(1) for style in ("google", "twitter")]
    known = pictures[0][parts[2]]
    centre = known.mean(0)
    directions = _directions(known - centre, components)
    google, twitter = ((picture - centre) @ directions.T for picture in pictures)
    scale = google[parts[2]].square().mean().sqrt()
    return Concepts(
        google=google / scale,
        twitter=twitter / scale,
        text=data.text_vectors[rows],
        name=data.name_vectors[rows],
        names=tuple(data.names[row] for row in rows.tolist()),
        group=data.group[rows],
        group_names=data.group_names,
        subgroup=data.subgroup[rows],
        rows=rows,
        train=parts[2],
        validation=parts[0],
        test=parts[1],
    )


def _directions(rows: Tensor, count: int) -> Tensor:
    """The first right singular vectors (count, columns), each with its largest entry above zero.

    By way of the matrix of products of rows, which is smaller and five times as fast here. In float64, as squaring
    loses half of the digits.
    """
    double = rows.double()
    values, vectors = torch.linalg.eigh(double @ double.T)
    left, squares = vectors[:, -count:].flip(1), values[-count:].flip(0)
    directions = (left.T @ double) / squares.sqrt()[:, None]
    largest = directions.gather(1, directions.abs().argmax(1, keepdim=True))
    return (directions * largest.sign()).to(rows.dtype)
