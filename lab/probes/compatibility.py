"""May a new model search an old gallery? The strict definition, pair by pair, and the empirical criterion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lab.geometry import as_rows, check_labels, check_same_shape, normalise

CLOSE = 2.0**-40  # cosines nearer than this count as equal, as in rank_gallery


@dataclass(frozen=True)
class StrictCompatibility:
    """Shares of satisfied inequalities of the strict definition.

    Attributes:
        same: share among pairs of one class, where the new query must not be farther than the old one.
        other: share among pairs of different classes, where it must not be closer.
        same_pairs, other_pairs: how many there are.
    """

    same: float
    other: float
    same_pairs: int
    other_pairs: int


def strict_compatibility(
    new: Any, old: Any, gallery: Any, labels: Any, gallery_labels: Any, *, block: int | None = None
) -> StrictCompatibility:
    """How many of the inequalities hold that define a new model as compatible with an old one.

    Formula: for query i and stored item j, cos(new_i, g_j) >= cos(old_i, g_j) where the labels are equal, <= where they
    differ; the shares of pairs for which it holds, the two kinds apart.

    Args:
        new, old: (Q, d), the same queries embedded by the new and by the old model.
        gallery: (G, d), stored items embedded by the old model. Where it holds the queries themselves, these pairs
            hold only for new_i = old_i up to a factor.
        labels: (Q,) integers.
        gallery_labels: (G,) integers.
        block: queries at a time; None: as many as make 2^22 cosines.

    Returns:
        `StrictCompatibility`. Both shares 1 for new = old. 1/2 each where new and old are draws of one continuous
        distribution for each query. A new model that has nothing to do with the old one still satisfies many of the
        second kind, so the two shares should not be added up.

    Raises:
        ValueError: shapes differ, a zero or non-finite row, labels of another length, only one of the two kinds of
            pairs, block below 1.

    Cost: O(Q G d).

    Source: Shen et al. 2020 (backward-compatible training), stationary-representations (Biondi et al. 2024). There with
    distances d(new_i, old_j) <= d(old_i, old_j); on unit vectors cosines say the same. Convention: computed in
    float64, cosines within 2^-40 are equal, and equality satisfies.

    Relations: `rank_gallery` with new queries and old gallery asks for ranks; `compatible_contrast` trains for this.

    Example:
        >>> old, new = torch.tensor([[1.0, 0.2], [0.3, 1.0]]), torch.eye(2)
        >>> found = strict_compatibility(new, old, torch.tensor([[1.0, 0.0], [0.5, 1.0]]), [0, 1], [0, 1])
        >>> found.same, found.other
        (0.5, 1.0)
    """
    x, y, g = as_rows(new, "new"), as_rows(old, "old"), as_rows(gallery, "gallery")
    check_same_shape(x, y, ("new", "old"))
    if g.shape[1] != x.shape[1]:
        raise ValueError(f"gallery must have {x.shape[1]} columns like new and old, got {g.shape[1]}")
    own, stored = check_labels(labels, len(x)), check_labels(gallery_labels, len(g), "gallery_labels")
    if block is None:
        block = max(1, 2**22 // len(g))
    if isinstance(block, bool) or not isinstance(block, int) or block < 1:
        raise ValueError(f"block must be an int of at least 1, got {block!r}")
    x, y, g = (normalise(rows.double(), name) for rows, name in ((x, "new"), (y, "old"), (g, "gallery")))
    own, stored = own.to(x.device), stored.to(x.device)
    held, pairs = torch.zeros(2, dtype=torch.long), torch.zeros(2, dtype=torch.long)
    for first in range(0, len(x), block):
        part = slice(first, first + block)
        nearer = (x[part] - y[part]) @ g.T
        same = own[part, None] == stored
        for kind, (chosen, satisfied) in enumerate(((same, nearer >= -CLOSE), (~same, nearer <= CLOSE))):
            held[kind] += int((chosen & satisfied).sum())
            pairs[kind] += int(chosen.sum())
    if not pairs.all():
        missing = "same class" if pairs[0] == 0 else "different classes"
        raise ValueError(f"labels and gallery_labels must give pairs of both kinds, got none of {missing}")
    shares = (held.double() / pairs).tolist()
    return StrictCompatibility(shares[0], shares[1], int(pairs[0]), int(pairs[1]))


def average_compatibility(matrix: Any) -> float:
    """Share of pairs of an older and a newer model for which the upgrade improves the search in the old gallery.

    Formula: 2 / (T (T - 1)) * number of pairs b < a with C_ab > C_bb.

    Args:
        matrix: (T, T), T >= 2; C_ab is the quality, higher better, of queries by model a in the gallery of model b,
            models from the oldest to the newest. Cells above the diagonal are not read.

    Returns:
        0 .. 1. Null: 1/2 where C_ab and C_bb are draws of one continuous distribution.

    Raises:
        ValueError: another shape, fewer than two models, NaN or infinity on or below the diagonal.

    Cost: O(T^2).

    Source: cores (Biondi et al. 2023). Equality does not count.

    Example:
        >>> average_compatibility([[0.5, 0.0], [0.6, 0.9]])
        1.0
    """
    c = matrix.detach() if isinstance(matrix, Tensor) else torch.as_tensor(matrix)
    if c.ndim != 2 or c.shape[0] != c.shape[1] or len(c) < 2:
        raise ValueError(f"matrix must have shape (T, T) with T >= 2, got {tuple(c.shape)}")
    below = torch.ones(c.shape, dtype=torch.bool, device=c.device).tril()
    if not bool(torch.isfinite(c.double()[below]).all()):
        raise ValueError("matrix holds NaN or infinity on or below its diagonal")
    return float((c > c.diagonal())[below.tril(-1)].double().mean())
