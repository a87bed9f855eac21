"""What losses against class weights share: who belongs to which class, cosines to the weights, the cross-entropy.

Class weights (proxies, prototypes, fixed vertices, codes) are candidates like any others: `class_pairs` turns labels
into `Pairs` of N items and C classes by the same mechanism that compares items with each other, so labels may be class
indices, booleans with one column a class, or hand-made pairs, and a mask may leave classes out.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lab.geometry import fails, is_seen
from lab.losses.selection import Pairs, Selected, WithoutPositives, check_pair_labels, over_anchors, select
from lab.losses.similarity import check_columns, product, unit_rows
from lab.losses.stable import softplus


def class_pairs(
    labels: Any, rows: int, classes: int, *, mask: Tensor | None = None, device: torch.device | None = None
) -> Pairs:
    """Items against classes: an item's own classes are positives, the others negatives.

    Args:
        labels: integers (..., rows) in 0 .. classes - 1, booleans (..., rows, classes), or `Pairs` of that shape.
        rows, classes: how many there are of each.
        mask: booleans (..., rows, classes): classes an item is compared with; None for all.
        device: where the rows are.

    Raises:
        ValueError: labels of another kind or length, a label without a class, a mask that leaves nothing.

    Example:
        >>> class_pairs([0, 2], 2, 3).positive.long().tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    if isinstance(labels, Pairs):
        return select(labels, rows, columns=classes, mask=mask, device=device)
    own = check_pair_labels(labels, rows)
    if own.dtype == torch.bool:
        if own.shape[-1] != classes:
            raise ValueError(f"labels must have one column a class, {classes} in all, got {tuple(own.shape)}")
        every = torch.eye(classes, dtype=torch.bool)
    else:
        if fails((own >= 0) & (own < classes)):
            low, high = (int(end) for end in torch.aminmax(own))
            raise ValueError(f"labels must lie in 0 .. {classes - 1}, the classes there are, got {low} .. {high}")
        every = torch.arange(classes)
    return select(own, rows, reference_labels=every, columns=classes, mask=mask, device=device)


def one_dtype(x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Both tensors in the wider of their two dtypes.

    >>> [t.dtype for t in one_dtype(torch.ones(1), torch.ones(1).double())]
    [torch.float64, torch.float64]
    """
    wide = torch.promote_types(x.dtype, w.dtype)
    return x.to(wide), w.to(wide)


def class_rows(embeddings: Tensor, weights: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Checked unit rows of items and of at least two classes, in the wider of the two dtypes."""
    x, w = unit_rows(embeddings, "embeddings"), unit_rows(weights, name, min_rows=2)
    check_columns(x, w, ("embeddings", name))
    return one_dtype(x, w)


def class_cosines(embeddings: Tensor, weights: Tensor, name: str) -> Tensor:
    """Cosines (..., N, C) of rows to class weights, both checked."""
    return product(*class_rows(embeddings, weights, name))


def class_cross_entropy(
    logits: Tensor, pairs: Pairs, without_positives: WithoutPositives, adjusted: Tensor | None = None
) -> Selected:
    """Mean over items of - log softmax at the own class; the mean over its classes where an item has several.

    Args:
        logits: (..., N, C), finite.
        pairs: whose class is whose; classes in neither matrix are left out of the sum.
        without_positives: what becomes of items whose class a mask removed.
        adjusted: (..., N, C) logits that take the place of ``logits`` where an item meets its own class (a margin).

    Example:
        >>> round(class_cross_entropy(torch.zeros(2, 4), class_pairs([0, 3], 2, 4), "drop").loss.item(), 4)
        1.3863
    """
    if adjusted is not None:
        logits = torch.where(pairs.positive, adjusted, logits)
    numbers = pairs.positive.sum(-1)
    own = torch.where(pairs.positive, logits, 0).sum(-1) / numbers.clamp(min=1)
    # With one positive the gap to the others keeps all its digits where the loss is small.
    gaps = logsumexp_where(logits, pairs.negative) - own
    terms = torch.where(pairs.negative.any(-1), softplus(gaps), 0)
    several = numbers > 1
    if not is_seen(several) or bool(several.any()):
        terms = torch.where(several, logsumexp_where(logits, pairs.positive | pairs.negative) - own, terms)
    return over_anchors(terms, numbers > 0, without_positives)


def logsumexp_where(logits: Tensor, keep: Tensor) -> Tensor:
    """Log-sum-exp along the last axis over the entries kept; of all entries, as a stand-in, where none is kept.

    The stand-in keeps gradients finite; what it is worth must be ignored by the caller (``keep.any(-1)`` tells).
    """
    return torch.logsumexp(logits.masked_fill(~keep & keep.any(-1, keepdim=True), -torch.inf), -1)


def check_between(value: float, name: str, low: float, high: float) -> float:
    """Return ``value`` if it is a number in low .. high, else raise an error that names it.

    >>> check_between(0.5, "margin", 0, 1)
    0.5
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must lie in {low:g} .. {high:g}, got {value}")
    return value
