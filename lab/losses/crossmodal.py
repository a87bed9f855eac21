"""Continuous weights in place of matched or not: a second modality learns the neighbourhoods of the first (CWCL)."""

from __future__ import annotations

import torch
from torch import Tensor

from lab.geometry import check_same_shape, fails
from lab.losses.contrastive import info_nce
from lab.losses.similarity import cosine, divisor, product, unit_rows


def continuous_weights(structure: Tensor) -> Tensor:
    """How much two items count as matched: (1 + cosine) / 2 of their rows, with no gradient.

    Args:
        structure: (..., N, d), rows whose neighbourhoods are to be kept, as a rule of a frozen encoder. Normalised
            inside.

    Returns:
        (..., N, N) in 0 .. 1; 1 for equal, 1/2 for orthogonal, 0 for opposite directions.

    Raises: ValueError: a zero or non-finite row. Cost: O(N^2 d).

    Source: cwcl (Srinivasa et al. 2023).

    Example:
        >>> continuous_weights(torch.eye(2)).tolist()
        [[1.0, 0.5], [0.5, 1.0]]
    """
    rows = unit_rows(structure, "structure").detach()
    return (cosine(rows, rows) / 2 + 0.5).clamp(0, 1)


def weighted_info_nce(x: Tensor, y: Tensor, weights: Tensor, *, temperature: float | Tensor) -> Tensor:
    """InfoNCE, one way, whose target is a distribution over the candidates.

    Formula: - mean_i 1 / (sum_j w_ij) sum_j w_ij log [ exp(s_ij / tau) / sum_k exp(s_ik / tau) ],
    s_ij = cos(x_i, y_j).

    Args:
        x: (..., N, d), the anchors. y: (..., M, d), the candidates, M >= 2. Normalised inside.
        weights: (..., N, M), finite, at least 0, with at least one entry above 0 in every row; only their ratios in a
            row count.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.

    Returns:
        Loss of the leading shape, at least the mean entropy of the rows of weights; log M when all rows are equal, at
        any temperature and any weights. Lower is better.

    Raises:
        ValueError: a zero or non-finite row, rows of different length, fewer than two candidates, weights negative,
            not finite, of another shape or 0 in a whole row, temperature not above 0.

    Cost: O(N M d) time, O(N M) memory.

    Source: cwcl (Srinivasa et al. 2023), their equation for any weights.

    Relations: ``info_nce`` is the identity as weights; ``cwcl`` takes them from the first modality.

    Data: two modalities, scores

    Example:
        >>> round(weighted_info_nce(torch.ones(2, 3), torch.ones(4, 3), torch.ones(2, 4), temperature=0.1).item(), 4)
        1.3863
    """
    x, y = unit_rows(x, "x"), unit_rows(y, "y", min_rows=2)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"x and y must have rows of one length, got {tuple(x.shape)} and {tuple(y.shape)}")
    logits = product(x, y) / divisor(temperature)
    if not isinstance(weights, Tensor) or not weights.is_floating_point():
        raise TypeError("weights must be a tensor of a floating dtype")
    if weights.shape[-2:] != logits.shape[-2:]:
        raise ValueError(f"weights must have shape (..., {logits.shape[-2]}, {logits.shape[-1]}), got {weights.shape}")
    seen = weights.detach()
    if fails(torch.isfinite(seen) & (seen >= 0)):
        raise ValueError("weights must be finite and at least 0")
    largest = seen.amax(-1, keepdim=True)
    if fails(largest > 0):
        raise ValueError("weights must have an entry above 0 in every row")
    # Divided by the largest first, the sum of a row neither overflows nor vanishes.
    shares = weights.to(logits.dtype) / largest.to(logits.dtype)
    shares = shares / shares.sum(-1, keepdim=True)
    return -(shares * torch.log_softmax(logits, -1)).sum(-1).mean(-1)


def cwcl(x: Tensor, y: Tensor, *, temperature: float | Tensor, structure: Tensor | None = None) -> Tensor:
    """CWCL: the second modality learns from all items of the first, each by how similar it is to the anchor's partner.

    Formula: weighted_info_nce(x, y, w) + info_nce(y, x), w_ij = (1 + cos(u_i, u_j)) / 2, u the rows of structure.

    Args:
        x: (..., N, d), the modality whose structure is trusted, as a rule of a frozen encoder; N >= 2.
        y: (..., N, d), the modality that learns; row i belongs to row i of x. Both are normalised inside.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        structure: (..., N, k), rows from which the weights come; None for x itself. No gradient flows into them as
            weights (x still gets one as anchors and candidates).

    Returns:
        Loss of the leading shape, > 0; 2 log N when all rows are equal, at any temperature. Lower is better; pairs that
        match perfectly do not make it 0, since every item has several partners.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, temperature not above 0.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: cwcl (Srinivasa et al. 2023): weights in the direction from the frozen modality, plain InfoNCE in the
    other, the two summed and not halved.

    Relations: with weights of 1 and 0 it would be twice ``clip_loss``; ``weighted_info_nce`` takes any weights.

    Data: two modalities

    Example:
        >>> round(cwcl(torch.ones(4, 3), torch.ones(4, 3), temperature=0.1).item(), 4)
        2.7726
    """
    check_same_shape(x, y, ("x", "y"))
    source = x if structure is None else structure
    if source.shape[:-1] != x.shape[:-1]:
        raise ValueError(f"structure must have one row an item of x, got {tuple(source.shape)} for {tuple(x.shape)}")
    weights = continuous_weights(source)
    forth = weighted_info_nce(x, y, weights, temperature=temperature)
    return forth + info_nce(y, x, temperature=temperature)
