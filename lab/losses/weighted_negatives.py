"""Negatives that weigh more or less than one another: by how hard they are, or by what another model thinks of them.

Conventions of the whole file: rows are normalised inside, a logit is cosine / temperature, weights stand before the
exponentials of the denominator and take no gradient, the positive always weighs 1, and the mean is over anchors.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lab.geometry import check_embeddings, check_same_shape, fails
from lab.losses.similarity import check_columns, divisor, product, unit_rows


def hardness_weighted_info_nce(
    anchors: Tensor,
    positives: Tensor,
    *,
    temperature: float | Tensor,
    alpha: float,
    hardness: Tensor | None = None,
    both_ways: bool = False,
) -> Tensor:
    """InfoNCE in which a negative weighs exp(alpha * hardness), the harder the more.

    Formula: mean_i [ log( exp(s_ii / tau) + sum over j != i of w_ij exp(s_ij / tau) ) - s_ii / tau ], s_ij =
    cos(anchor_i, positive_j), w_ij = exp(alpha r_ij), r_ij the hardness without gradient.

    Args:
        anchors: (..., N, d), N >= 2.
        positives: (..., N, d); row i belongs to anchor i.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        alpha: at least 0; 0 is the plain loss.
        hardness: r, (..., N, N), any finite scores of pair (anchor i, positive j), from another model say; its diagonal
            is not used. None: the cosines s_ij themselves, detached.
        both_ways: average with the loss in which the positives look for their anchors (same r, transposed).

    Returns:
        Loss of the leading shape, >= 0; log(1 + (N - 1) exp(alpha)) when all rows are equal and ``hardness`` is None.
        Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, temperature not above 0, alpha
            negative, hardness of another shape or not finite.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: llave (Lan et al. 2025). Their reward model is the model that is trained, so r is the detached cosine (not
    divided by the temperature), and their code averages both directions: ``hardness=None, both_ways=True``.

    Relations: alpha = 0 is ``info_nce`` (``symmetric_info_nce`` both ways). With ``hardness`` None its value, not its
    gradient, is that of negatives at the lower temperature 1 / (1 / tau + alpha). ``hard_contrastive`` cuts off the
    easy negatives instead.

    Data: pairs, two modalities

    Example:
        >>> same = torch.ones(4, 3)
        >>> round(hardness_weighted_info_nce(same, same, temperature=0.1, alpha=0.0).item(), 4)
        1.3863
    """
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha < math.inf:
        raise ValueError(f"alpha must be a finite number of at least 0, got {alpha!r}")
    check_same_shape(anchors, positives, ("anchors", "positives"))
    cosines = product(unit_rows(anchors, "anchors", min_rows=2), unit_rows(positives, "positives"))
    if hardness is None:
        scores = cosines.detach()
    else:
        check_embeddings(hardness, "hardness")
        if hardness.shape != cosines.shape:
            raise ValueError(f"hardness must have shape {tuple(cosines.shape)}, got {tuple(hardness.shape)}")
        scores = hardness.detach().to(cosines.dtype)
    own = torch.eye(cosines.shape[-1], dtype=torch.bool, device=cosines.device)
    logits = cosines / divisor(temperature)
    positive = torch.diagonal(logits, dim1=-2, dim2=-1)
    weighted = logits + (alpha * scores).masked_fill(own, 0)
    total = torch.logsumexp(weighted, -1)
    if both_ways:
        total = (total + torch.logsumexp(weighted, -2)) / 2
    return (total - positive).mean(-1)


def instance_weighted_info_nce(
    anchors: Tensor,
    positives: Tensor,
    noise: Tensor | None = None,
    *,
    guide_anchors: Tensor,
    guide_positives: Tensor,
    threshold: float,
    temperature: float | Tensor,
) -> Tensor:
    """InfoNCE without the negatives that another model finds too similar, and with noise rows among the negatives.

    Formula: mean_i [ log( exp(s_ii / tau) + sum over j != i of w_ij exp(s_ij / tau) + sum_k exp(cos(anchor_i, noise_k)
    / tau) ) - s_ii / tau ], s_ij = cos(anchor_i, positive_j), w_ij = 0 where the guide's cosine g_ij >= threshold,
    otherwise 1.

    Args:
        anchors: (..., N, d), N >= 2.
        positives: (..., N, d); row i belongs to anchor i.
        noise: (..., K, d) or None; negatives that come from nowhere, see ``noise_negatives``. They always weigh 1.
        guide_anchors, guide_positives: (..., N, e); the same items as the other model embeds them. No gradient.
        threshold: phi, a cosine of the guide; above 1 keeps all negatives.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.

    Returns:
        Loss of the leading shape, >= 0; log(1 + kept + K) when all rows are equal. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, temperature not above 0, threshold not
            finite, no negative left in the whole batch.

    Cost: O(N (N + K) d) time, O(N (N + K)) memory.

    Source: debiased-contrastive-learning-unsupervised (Zhou et al. 2022, DCLR); the positive stands in the denominator
    as in the loss it builds on. The authors' code departs from the weights of the paper: it multiplies the logit by 0
    (the negative then stays, at cosine 0) and adds a binary cross-entropy for every negative.

    Relations: ``info_nce`` where nothing is dropped; ``guided_info_nce`` compares the guide's cosine with that of the
    positive instead of one threshold.

    Data: pairs

    Example:
        >>> one, guide = torch.ones(4, 3), torch.eye(4)
        >>> value = instance_weighted_info_nce(
        ...     one, one, guide_anchors=guide, guide_positives=guide, threshold=0.9, temperature=0.1
        ... )
        >>> round(value.item(), 4)
        1.3863
    """
    check_finite_number(threshold, "threshold")
    check_same_shape(anchors, positives, ("anchors", "positives"))
    a, p = unit_rows(anchors, "anchors", min_rows=2), unit_rows(positives, "positives")
    tau = divisor(temperature)
    g_a = guide_rows(guide_anchors, a, "guide_anchors", "anchors")
    g_p = guide_rows(guide_positives, p, "guide_positives", "positives")
    check_columns(g_a, g_p, ("guide_anchors", "guide_positives"))
    own = torch.eye(a.shape[-2], dtype=torch.bool, device=a.device)
    kept = product(g_a, g_p) < threshold
    if noise is None and fails((kept & ~own).any()):
        raise ValueError(f"threshold {threshold} leaves no negative: the guide finds every pair at least so similar")
    logits = product(a, p) / tau
    positive = torch.diagonal(logits, dim1=-2, dim2=-1)
    blocks = [logits.masked_fill(~(kept | own), -torch.inf)]
    if noise is not None:
        extra = unit_rows(noise, "noise")
        check_columns(extra, a, ("noise", "anchors"))
        blocks.append(product(a, extra) / tau)
    return (torch.logsumexp(torch.cat(blocks, -1), -1) - positive).mean(-1)


def guide_rows(guide: Tensor, rows: Tensor, name: str, other: str) -> Tensor:
    """Checked unit rows of a guide without gradient, one for each of ``rows``; their length may differ.

    >>> guide_rows(torch.eye(2), torch.ones(2, 5), "guide_anchors", "anchors").shape
    torch.Size([2, 2])
    """
    unit = unit_rows(guide, name).detach()
    if unit.shape[:-1] != rows.shape[:-1]:
        raise ValueError(f"{name} must have one row for each of {other}, got {tuple(guide.shape)}")
    return unit


def check_finite_number(value: Any, name: str) -> None:
    """Raise ``ValueError`` naming the argument unless it is a finite number.

    >>> check_finite_number(0.5, "margin")
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
