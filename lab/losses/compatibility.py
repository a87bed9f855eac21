"""Losses that keep the embeddings of an updated model comparable with those of its predecessor."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import check_same_shape
from lab.losses.class_logits import logsumexp_where
from lab.losses.selection import Pairs, Selected, WithoutPositives, over_anchors, select
from lab.losses.similarity import divisor, product, unit_rows
from lab.losses.stable import softplus


def compatible_contrast(
    old: Tensor,
    new: Tensor,
    labels: Any,
    *,
    temperature: float | Tensor,
    own_in_denominator: bool = False,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """The embedding of an item by the old model finds the one by the new model among items of other classes.

    Formula: mean_i [ log sum over j of another class of exp(s_ij / tau) - s_ii / tau ], s_ij = cos(old_i, new_j); with
    ``own_in_denominator`` the sum runs over j = i as well.

    Args:
        old, new: (..., N, d), the same items in the same order; normalised inside. Detach ``old`` where the old model
            is frozen: the loss is differentiable in both.
        labels: integers (..., N), booleans (..., N, L), or `Pairs` (..., N, N), of which the negatives are taken.
        temperature: tau > 0, a divisor; 1 / 10 in the paper.
        own_in_denominator: False as in the paper's code; True makes it a cross-entropy, at least 0.
        mask: booleans (..., N, N): pairs that may be used; None for all. An item whose own pair it removes is left out.
        without_positives: what becomes of items that are left out, those without items of another class among them.

    Returns:
        `Selected`. All rows equal, m items of other classes: log m, or log(m + 1). Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, one class, temperature not above 0.

    Cost: O(N^2 d).

    Source: stationary-representations (Biondi et al. 2024), the higher-order term: total = weight * cross-entropy with
    the fixed simplex + (1 - weight) * this, weight 0.1. Items of the own class are left out of the sum, as the paper
    has it; its code multiplies their logits by 0 instead, which leaves exp(0) in the sum for each.

    Relations: ``info_nce`` where every item is its own class and the own pair is in the denominator;
    ``fixed_classifier`` is the other term.

    Data: several views, labels

    Example:
        >>> x = torch.ones(4, 3)
        >>> round(compatible_contrast(x, x, [0, 0, 1, 1], temperature=0.1).loss.item(), 4)
        0.6931
    """
    check_same_shape(old, new, ("old", "new"))
    x, y = unit_rows(old, "old", min_rows=2), unit_rows(new, "new")
    n = x.shape[-2]
    others = None if isinstance(labels, Pairs) else labels
    pairs = select(labels, n, reference_labels=others, columns=n, mask=mask, device=x.device)
    logits = product(x, y) / divisor(temperature)
    own = logits.diagonal(dim1=-2, dim2=-1)
    gaps = logsumexp_where(logits, pairs.negative) - own
    terms = softplus(gaps) if own_in_denominator else gaps
    counts = pairs.negative.any(-1)
    if mask is not None:
        counts = counts & mask.to(x.device).diagonal(dim1=-2, dim2=-1)
    return over_anchors(torch.where(counts, terms, 0), counts, without_positives)
