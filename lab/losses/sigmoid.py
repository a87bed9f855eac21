"""The sigmoid loss for two modalities: every pair of items is judged by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lab.geometry import check_positive, check_same_shape, fails
from lab.losses.contrastive import anchor_rows
from lab.losses.pair_sums import total_softplus
from lab.losses.similarity import unit_rows


def sigmoid_pairs(
    x: Tensor,
    y: Tensor,
    *,
    temperature: float | Tensor,
    bias: float | Tensor,
    block: int | None = None,
    part: slice | None = None,
) -> Tensor:
    """SigLIP: a logistic regression on all N^2 pairs, matched against not matched.

    Formula: 1/N sum_ij log(1 + exp(-z_ij (s_ij / tau + b))), s_ij = cos(x_i, y_j), z_ij = 1 for i = j, else -1.

    Args:
        x, y: (..., N, d), N >= 2, normalised inside; row i of one belongs to row i of the other.
        temperature: tau > 0, a divisor (the paper's t is 1 / tau); a number or a tensor, of the leading shape to give
            each batch of a stack its own.
        bias: b, added to every logit; a finite number or a tensor as temperature. About -log N begins with the odds
            of a pair being matched; 0 lets the N - 1 negatives of each item decide the first steps.
        block: rows of logits taken at a time: None decides by size, 0 holds the matrix.
        part: a slice of rows of x that are judged in this call, against all of y; None for all. The mean over equal
            parts is the whole loss.

    Returns:
        Loss of the leading shape, > 0: a sum over the N pairs of each item, so it grows with N. All rows equal:
        softplus(-1/tau - b) + (N - 1) softplus(1/tau + b); orthonormal equal pairs at tau 0.1 and b -10:
        log 2 + (N - 1) log(1 + exp(-10)). Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, temperature not above 0, bias not
            finite.

    Cost: O(N^2 d) time; O(N^2) memory up to N of about 1,400, O(N d) beyond.

    Source: sigmoid-loss-language-image (Zhai et al. 2023): divided by N, not by N^2, as there.

    Relations: ``clip_loss`` normalises over the batch, this does not: leaving out one pair changes no other term.
    `LearnedSigmoid` owns the temperature and the bias.

    Data: two modalities

    Example:
        >>> round(sigmoid_pairs(torch.eye(3), torch.eye(3), temperature=0.1, bias=-10.0).item(), 4)
        0.6932
    """
    check_same_shape(x, y, ("x", "y"))
    x, y = unit_rows(x, "x", min_rows=2), unit_rows(y, "y")
    shift = torch.as_tensor(bias, dtype=x.dtype, device=x.device)
    if fails(torch.isfinite(shift.detach())):
        raise ValueError(f"bias must be finite, got {bias}")
    own = anchor_rows(x.shape[-2], part)
    total = total_softplus(x[..., own, :], y, temperature, shift, offset=own.start, block=block)
    return total / (own.stop - own.start)


class LearnedSigmoid(nn.Module):
    """``sigmoid_pairs`` with its scale and bias as parameters.

    Args:
        scale: 1 / temperature to begin with; the parameter is its logarithm.
        bias: the bias to begin with.
        shape: shape of both parameters: () for one pair of numbers, (S,) for a stack of S.

    Raises:
        ValueError: scale not above 0 or bias not finite.

    Source: sigmoid-loss-language-image: log-scale ln 10 and bias -10, which makes nearly every pair "not matched" at
    the start, as nearly every pair is.

    Data: two modalities

    Example:
        >>> loss = LearnedSigmoid()
        >>> round(loss.log_scale.item(), 4), loss.bias.item()
        (2.3026, -10.0)
        >>> round(loss(torch.eye(3), torch.eye(3)).item(), 4)
        0.6932
    """

    def __init__(self, scale: float = 10.0, bias: float = -10.0, *, shape: Sequence[int] = ()) -> None:
        super().__init__()
        check_positive(scale, "scale")
        if not math.isfinite(bias):
            raise ValueError(f"bias must be finite, got {bias}")
        self.log_scale = nn.Parameter(torch.full(tuple(shape), math.log(scale)))
        self.bias = nn.Parameter(torch.full(tuple(shape), float(bias)))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of the batch; arguments as in ``sigmoid_pairs``."""
        return sigmoid_pairs(x, y, temperature=torch.exp(-self.log_scale), bias=self.bias)
