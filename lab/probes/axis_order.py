"""One direction for an ordered attribute, learnt from pairs: which of two items has more."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.geometry import as_rows, check_positive
from lab.probes.axis_fit import Axis, check_values


def order_axis(x: Any, values: Any, *, penalty: float, steps: int = 50) -> Axis:
    """The direction of a logistic regression on the differences of all pairs of rows whose values differ.

    Formula: w minimises mean over pairs with y_i > y_j of log(1 + exp(-<w, x_i - x_j>)) + (penalty / 2) |w|^2.

    Args:
        x: (N, d), N >= 2, used as it is; only differences of rows count. values: (N,), of which only the order counts.
        penalty: above 0, in the units of squared entries of x.
        steps: greatest number of Newton steps; few are needed.

    Returns:
        ``Axis`` with direction w / |w| and slope |w|; the mean score of the rows is 0. A difference of two scores is
        the log odds of their order, not a difference of values.

    Raises:
        ValueError: what ``ridge_axis`` refuses; steps below 1.

    Cost: O(steps (N^2 r + N r^2)) time and O(N^2) memory, r = min(N, d).

    Source: RankNet (Burges et al. 2005) with a linear score; as a linear model of differences, Herbrich et al. 2000.

    Relations: ``ridge_axis`` fits the values themselves. Any strictly increasing change of the values leaves this axis
    as it is.

    Example:
        >>> x = torch.tensor([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
        >>> first, second = (order_axis(x, y, penalty=0.1) for y in ([0, 1, 2], [0, 1, 100]))
        >>> first.direction.tolist() == second.direction.tolist()
        True
    """
    check_positive(penalty, "penalty")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    rows = as_rows(x, "x", min_rows=2).double()
    y = check_values(values, rows.shape[0]).to(rows.device)
    mean = rows.mean(0)
    left, sizes, right = torch.linalg.svd(rows - mean, full_matrices=False)
    inner = left * sizes  # the rows in the plane they span, where w lies too
    above = (y[:, None] > y).double()
    above = above / above.sum()
    w = inner.new_zeros(inner.shape[1])
    loss = _loss(inner, above, w, penalty)
    for _ in range(steps):
        score = inner @ w
        wrong = torch.sigmoid(score - score[:, None])  # chance that the model gives to the other order
        pull, weight = above * wrong, above * wrong * (1 - wrong)
        weight = weight + weight.T
        gradient = inner.T @ (pull.sum(0) - pull.sum(1)) + penalty * w
        curvature = inner.T @ (weight.sum(1)[:, None] * inner - weight @ inner)
        curvature.diagonal().add_(penalty)
        step = torch.linalg.solve(curvature, gradient)
        if float(gradient @ step) < 1e-18:
            break
        for share in (0.5**k for k in range(30)):  # full steps mostly; a shorter one where the loss would rise
            trial = w - share * step
            reached = _loss(inner, above, trial, penalty)
            if bool(reached <= loss):
                w, loss = trial, reached
                break
    weights = right.T @ w
    length = float(torch.linalg.vector_norm(weights))
    if not length > 0:
        raise ValueError("x does not vary with values in any column")
    return Axis(weights / length, length, -float(mean @ weights), penalty)


def _loss(inner: Tensor, above: Tensor, w: Tensor, penalty: float) -> Tensor:
    score = inner @ w
    return (above * F.softplus(score - score[:, None])).sum() + penalty / 2 * w @ w
