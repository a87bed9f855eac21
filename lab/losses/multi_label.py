"""Multi-label cluster discrimination: several of many cluster centres are right for an item, the rest wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.losses.class_logits import check_between, class_cosines, class_pairs, logsumexp_where
from lab.losses.selection import Selected, WithoutPositives, over_anchors
from lab.losses.similarity import divisor
from lab.losses.stable import softplus


def nearest_centres(embeddings: Tensor, centres: Tensor, count: int) -> Tensor:
    """Which centres are among the nearest of each item, by cosine: labels for ``multi_label_clusters``.

    Args:
        embeddings: (..., N, d) and centres: (C, d) or (..., C, d), of the space in which the clusters were made.
        count: l, how many centres an item gets, 1 .. C - 1; 8 in the paper.

    Returns: booleans (..., N, C), ``count`` of them True in each row. No gradient.

    Raises: ValueError for a zero or non-finite row, fewer than two centres, count out of range. Cost: O(N C d).

    Source: multi-label-cluster-discrimination (An et al. 2024).

    Example:
        >>> nearest_centres(torch.tensor([[1.0, 0.2]]), torch.eye(2), 1).tolist()
        [[True, False]]
    """
    cosines = class_cosines(embeddings.detach(), centres.detach(), "centres")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count < cosines.shape[-1]:
        raise ValueError(f"count must be a whole number in 1 .. {cosines.shape[-1] - 1}, got {count}")
    chosen = cosines.topk(count, -1).indices
    return torch.zeros_like(cosines, dtype=torch.bool).scatter(-1, chosen, True)


def multi_label_clusters(
    embeddings: Tensor,
    labels: Any,
    centres: Tensor,
    *,
    temperature: float | Tensor,
    margin: float = 0.0,
    joint: bool = False,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """MLCD: every positive centre above zero and every negative one below, in two terms that do not mix.

    Formula: mean_i [ log(1 + sum over negatives c of exp(s_ic)) + log(1 + sum over positives c of exp(-s_ic)) ]; with
    ``joint`` log(1 + sum over negatives c and positives b of exp(s_ic - s_ib)). s = cos / tau; positives have the
    margin taken off their cosine.

    Args:
        embeddings: (..., N, d); normalised inside, as are the centres.
        labels: booleans (..., N, C), from ``nearest_centres`` for instance; integers (..., N) for one label an item;
            or `Pairs` (..., N, C).
        centres: (C, d) or (..., C, d), C >= 2: learned class weights, at first the cluster centres.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch its own.
        margin: a cosine in 0 .. 2 by which positives count as lower.
        joint: False is the paper's loss; True the one it improves on, in which a positive competes with each negative.
        mask: booleans (..., N, C): classes an item is compared with, for instance a random part of the negatives.
        without_positives: what becomes of items whose positives the mask removed.

    Returns:
        `Selected`, the loss > 0. All cosines 0, P positives and Q negatives: log(1 + P) + log(1 + Q), or
        log(1 + P Q) when joint. Lower is better.

    Raises: as ``normalised_softmax``; ValueError for a margin outside 0 .. 2.

    Cost: O(N C d).

    Source: multi-label-cluster-discrimination (An et al. 2024). Zero is the border between positives and negatives:
    with cosines for logits, the right angle.

    Relations: with one positive, ``joint`` is ``cosface``; ``proxy_anchor`` sums over items instead of classes.

    Data: labels

    Example:
        >>> x, w = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
        >>> labels = torch.tensor([[True, False, False]])
        >>> round(multi_label_clusters(x, labels, w, temperature=1.0).loss.item(), 4)
        1.7918
    """
    check_between(margin, "margin", 0, 2)
    cosines, tau = class_cosines(embeddings, centres, "centres"), divisor(temperature)
    pairs = class_pairs(labels, *cosines.shape[-2:], mask=mask, device=cosines.device)
    some = pairs.negative.any(-1)
    wrong = logsumexp_where(cosines / tau, pairs.negative)
    right = logsumexp_where((margin - cosines) / tau, pairs.positive)
    if joint:
        terms = torch.where(some, softplus(wrong + right), 0)
    else:
        terms = torch.where(some, softplus(wrong), 0) + softplus(right)
    return over_anchors(terms, pairs.positive.any(-1), without_positives)
