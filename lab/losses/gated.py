"""Contrast of arbitrary pairs: each pair is compared in the directions that its own gate lets through."""

from __future__ import annotations

import torch
from torch import Tensor

from lab.geometry import check_same_shape, fails
from lab.losses.similarity import divisor, full_rows, product, unit_rows


def gated_info_nce(
    anchors: Tensor, positives: Tensor, gates: Tensor, *, temperature: float | Tensor, rivals: Tensor | None = None
) -> Tensor:
    """InfoNCE of pairs that need to agree in some directions only: those in which the pair's gate is open.

    Formula: mean_i [ log sum over j = i and the rivals j of exp(k_ij / tau) - k_ii / tau ],
    k_ij = cos(g_i * x_i, g_i * y_j), the products taken entry by entry. The anchor's gate acts on all its candidates.

    Args:
        anchors, positives: (..., N, d), N >= 2; row i of one belongs to row i of the other.
        gates: (..., N, d), at least 0, as a rule in 0 .. 1 and one for each pair of classes; the gate of pair i. Its
            length does not matter. Carries gradient.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        rivals: booleans (..., N, N): candidate j competes with the positive of anchor i. The diagonal is not read.
            None for all others.

    Returns:
        Loss of the leading shape, in 0 .. log N + 2 / tau. All rows equal: log N at any gates and temperature. Anchors
        without a rival count as 0. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, a gate below 0, an anchor or a
            candidate of which a gate lets nothing through, no rival at all, temperature not above 0.

    Cost: O(N^2 d) time (two products), O(N^2) memory.

    Source: rethinking-positive-pairs-contrastive (Hydra): a gate vector for each pair of classes. Which candidates
    compete is left to the caller; a candidate of one of the pair's own classes had better not.

    Relations: with equal open gates it is ``info_nce``; with gates of 0 and 1 it is that of a subspace for each anchor.

    Data: pairs, labels

    Example:
        >>> x, y = torch.tensor([[1.0, 5.0], [-1.0, 5.0]]), torch.tensor([[1.0, -5.0], [-1.0, -5.0]])
        >>> shut = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # in the first direction alone the pairs agree
        >>> round(gated_info_nce(x, y, shut, temperature=0.5).item(), 4)
        0.0181
    """
    check_same_shape(anchors, positives, ("anchors", "positives"))
    check_same_shape(anchors, gates, ("anchors", "gates"))
    x, y = unit_rows(anchors, "anchors", min_rows=2), unit_rows(positives, "positives")
    g = full_rows(gates, "gates")
    greatest = g.detach().amax(-1, keepdim=True)
    if fails(g >= 0) or fails(greatest > 0):
        raise ValueError("gates must be at least 0 and above 0 somewhere in each row")
    g = g / greatest  # a cosine does not see the length of a gate, and squares of short ones would vanish
    opened = unit_rows(g * x, "anchors under their gates")
    squares = product(g.square(), y.square())
    if fails(squares > 0):
        raise ValueError("gates let nothing of a row of positives through")
    logits = product(g * opened, y) / squares.sqrt() / divisor(temperature)
    logits = logits.masked_fill(~_candidates(rivals, logits), -torch.inf)
    return (torch.logsumexp(logits, -1) - logits.diagonal(dim1=-2, dim2=-1)).mean(-1)


def _candidates(rivals: Tensor | None, logits: Tensor) -> Tensor:
    """The rivals and, on the diagonal, the positives."""
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    if rivals is None:
        return torch.ones_like(own)
    if not isinstance(rivals, Tensor) or rivals.dtype != torch.bool or rivals.shape[-2:] != own.shape:
        kind = f"{rivals.dtype} {tuple(rivals.shape)}" if isinstance(rivals, Tensor) else type(rivals).__name__
        raise ValueError(f"rivals must be booleans (..., {len(own)}, {len(own)}), got {kind}")
    rivals = rivals.to(logits.device)
    if fails((rivals & ~own).any()):
        raise ValueError("rivals leave no candidate but the positives")
    return rivals | own
