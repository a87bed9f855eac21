"""Energy confusion: a regulariser that blurs the classes which training sees, for the sake of those it does not."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.class_logits import one_dtype
from lab.losses.selection import Selected, WithoutPositives, over_anchors, select
from lab.losses.similarity import check_columns, full_rows, squared_euclidean


def energy_confusion(
    embeddings: Tensor,
    labels: Any,
    *,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Mean squared distance between items of different classes, to be made small against a metric loss.

    Formula: mean_i mean over negatives j of |x_i - x_j|^2.

    Args:
        embeddings: (..., N, d), as they are (normalise them where the metric loss does).
        labels: integers (..., N), booleans (..., N, L) or `Pairs` (..., N, M), of which the negatives are taken.
        reference, reference_labels: (..., M, d) and their labels in place of the batch itself.
        mask: booleans (..., N, M): pairs that may be used, for instance those of two classes drawn at random.
        without_positives: what becomes of items that have no negative; they alone can be left out here.

    Returns:
        `Selected`, the loss >= 0: 0 where all rows are equal, about 2 for unit rows in independent directions. Lower is
        more confused, which is better as a regulariser only: alone it collapses the embeddings.

    Raises:
        ValueError: non-finite rows, rows so long that squares overflow, unfit labels, a mask that removes everything.

    Cost: O(N M d).

    Source: energy-confused-adversarial-metric (Chen and Deng 2019): E |x - x'|^2 over x of class i and x' of class
    j, equal weights. With classes of one size this is its mean over all pairs of classes; else items weigh alike, not
    classes. "Adversarial" is the sum itself: metric loss + weight * this, the weight above 0; in the paper the last,
    metric layer sees the metric loss alone.

    Relations: ``alignment`` with the classes exchanged; the opposite of what contrastive losses ask of negatives.

    Data: labels

    Example:
        >>> energy_confusion(torch.tensor([[0.0], [0.0], [3.0], [3.0]]), [0, 0, 1, 1]).loss.item()
        9.0
    """
    x = full_rows(embeddings, "embeddings")
    y = x if reference is None else full_rows(reference, "reference")
    check_columns(x, y, ("embeddings", "reference"))
    distances = squared_euclidean(*one_dtype(x, y))
    if fails(torch.isfinite(distances.detach())):
        raise ValueError("embeddings are so long that their squared distances overflow")
    n, m = distances.shape[-2:]
    columns = None if reference is None else m
    pairs = select(labels, n, reference_labels=reference_labels, columns=columns, mask=mask, device=x.device)
    number = pairs.negative.sum(-1)
    means = torch.where(pairs.negative, distances, 0).sum(-1) / number.clamp(min=1)
    return over_anchors(means, number > 0, without_positives)
