"""Collaborative inner product: one linear subspace a class, at right angles to those of the others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.class_logits import check_between, one_dtype
from lab.losses.selection import Selected, WithoutPositives, over_anchors, select
from lab.losses.similarity import check_columns, full_rows, product
from lab.losses.stable import softplus


def collaborative_inner_product(
    embeddings: Tensor,
    labels: Any,
    *,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    push: float = 1.0,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Enlarge inner products within a class, and press those between classes down to zero, no further.

    Formula: mean_i [ mean over positives p of log(1 + exp(-<x_i, x_p>)) + push * mean over negatives n of
    max(0, <x_i, x_n>) ].

    Args:
        embeddings: (..., N, d), as they are: lengths take part.
        labels: integers (..., N), booleans (..., N, L) or `Pairs` (..., N, M).
        reference, reference_labels: (..., M, d) and their labels: a queue, another rank or modality in place of the
            batch; None compares the batch with itself, without the item itself.
        mask: booleans (..., N, M): pairs that may be used; None for all.
        push: weight of the second term, at least 0.
        without_positives: what becomes of items without a positive.

    Returns:
        `Selected`, the loss > 0: log 2 where all inner products are 0, log(1 + exp(-r^2)) for classes on orthogonal
        rays at length r. Items without a negative have the first term alone. Lower is better.

    Raises:
        ValueError: non-finite rows, rows so long that their inner products overflow, unfit labels, a mask that removes
            everything, push below 0.

    Cost: O(N M d).

    Source: rethinking-loss-design-large (Li et al. 2019) gives the two aims: unnormalised inner products, large
    within a class, at most 0 between classes. The softplus for the first and the hinge at 0 for the second are this
    package's choice of form.

    Relations: cosine margins (``cosface``) normalise first and so fix angles alone.

    Data: labels

    Example:
        >>> round(collaborative_inner_product(torch.zeros(4, 3), [0, 0, 1, 1]).loss.item(), 4)
        0.6931
    """
    check_between(push, "push", 0, 1e6)
    x = full_rows(embeddings, "embeddings")
    y = x if reference is None else full_rows(reference, "reference")
    check_columns(x, y, ("embeddings", "reference"))
    products = product(*one_dtype(x, y))
    if fails(torch.isfinite(products.detach())):
        raise ValueError("embeddings are so long that their inner products overflow")
    n, m = products.shape[-2:]
    columns = None if reference is None else m
    pairs = select(labels, n, reference_labels=reference_labels, columns=columns, mask=mask, device=x.device)
    positives, negatives = pairs.positive.sum(-1), pairs.negative.sum(-1)
    pull = torch.where(pairs.positive, softplus(-products), 0).sum(-1) / positives.clamp(min=1)
    overlap = torch.where(pairs.negative, products.clamp(min=0), 0).sum(-1) / negatives.clamp(min=1)
    return over_anchors(pull + push * overlap, positives > 0, without_positives)
