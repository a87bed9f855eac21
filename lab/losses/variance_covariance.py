"""VICReg and its three terms: agreement, a floor under every coordinate's spread, no covariance between coordinates.

The variance and covariance terms need the statistics of the whole batch. They are plain functions of all the rows:
with several ranks, gather the rows first, since the statistics of a part give another loss and another gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lab.geometry import check_positive, check_same_shape, fails
from lab.losses.redundancy import check_weight, zero_diagonal
from lab.losses.similarity import full_rows, product


def vicreg(
    view1: Tensor,
    view2: Tensor,
    *,
    halve_variance: bool,
    invariance_weight: float = 25.0,
    variance_weight: float = 25.0,
    covariance_weight: float = 1.0,
    target_std: float = 1.0,
    eps: float = 1e-4,
) -> Tensor:
    """VICReg: views agree, every coordinate keeps its spread, coordinates do not covary.

    Formula: lambda s(Z, Z') + mu [v(Z) + v(Z')] + nu [c(Z) + c(Z')], with mu / 2 in place of mu under
    ``halve_variance``; s, v, c are ``vicreg_invariance``, ``vicreg_variance`` and ``vicreg_covariance``.

    Args:
        view1, view2: (..., N, D), N >= 2; row i of both belongs to sample i. Not normalised.
        halve_variance: whether the two variance terms are averaged (the authors' code, lightly,
            pytorch-metric-learning) or summed (the paper's formula and pseudo-code, solo-learn). The two differ by a
            factor of 2 in mu, so there is no default. The covariance terms are summed everywhere.
        invariance_weight, variance_weight, covariance_weight: lambda, mu, nu, at least 0; 25, 25, 1 in the paper.
        target_std, eps: as in ``vicreg_variance``.

    Returns:
        Loss of the leading shape, >= 0. Independent N(0, s^2) views, s < 1, halved, weights 25, 25, 1: 50 s^2 +
        25 (1 - sqrt(s^2 + eps)) + 2 (D - 1) s^4 / (N - 1) up to the spread of a standard deviation. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a non-finite row, a weight negative, target_std or eps not
            above 0, entries so large that the value overflows.

    Cost: O(N D^2) time, O(D^2) memory.

    Source: Bardes et al. 2022 (VICReg).

    Relations: ``barlow_twins`` correlates across the views instead. Without the variance term the loss is 0 when all
    rows are equal.

    Data: pairs, several views

    Example:
        >>> x = torch.tensor([[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]])
        >>> vicreg(x, x, halve_variance=True).item(), vicreg(x, -x, halve_variance=True).item()
        (0.0, 400.0)
    """
    a, b = full_rows(view1, "view1", min_rows=2), full_rows(view2, "view2", min_rows=2)
    check_same_shape(a, b, ("view1", "view2"))
    for name, weight in (
        ("invariance_weight", invariance_weight),
        ("variance_weight", variance_weight),
        ("covariance_weight", covariance_weight),
    ):
        check_weight(weight, name)
    variance = _variance_term(a, target_std, eps) + _variance_term(b, target_std, eps)
    total = variance_weight * (variance / 2 if halve_variance else variance)
    total = total + invariance_weight * (a - b).square().mean((-2, -1))
    total = total + covariance_weight * (_covariance_term(a) + _covariance_term(b))
    return refuse_overflow(total, "view1 or view2")


def vicreg_invariance(view1: Tensor, view2: Tensor) -> Tensor:
    """The invariance term of VICReg: how far the views of a sample lie apart, rows as they are.

    Formula: mean over i and coordinates of (z_i - z'_i)^2.

    Args:
        view1, view2: (..., N, D).

    Returns:
        Loss of the leading shape, >= 0; 2 s^2 for independent N(0, s^2) views. Lower is better.

    Raises:
        ValueError: shapes differ, a non-finite row, an overflow.

    Cost: O(N D).

    Source: Bardes et al. 2022 (VICReg), as in the pseudo-code and all implementations: a mean over coordinates too,
    where the paper's equation has the squared norm, D times as much.

    Relations: a term of ``vicreg``; ``alignment`` is the same on unit rows, summed over coordinates.

    Data: pairs, several views

    Example:
        >>> vicreg_invariance(torch.zeros(2, 2), torch.ones(2, 2)).item()
        1.0
    """
    a, b = full_rows(view1, "view1"), full_rows(view2, "view2")
    check_same_shape(a, b, ("view1", "view2"))
    return refuse_overflow((a - b).square().mean((-2, -1)), "view1 or view2")


def vicreg_variance(embeddings: Tensor, *, target_std: float = 1.0, eps: float = 1e-4) -> Tensor:
    """The variance term of VICReg: a hinge that keeps the standard deviation of every coordinate above a target.

    Formula: mean_j max(0, gamma - sqrt(var_j + eps)), the variance with N - 1.

    Args:
        embeddings: (..., N, D), N >= 2.
        target_std: gamma > 0; 1 in the paper.
        eps: above 0, added to the variances, so that collapsed coordinates still have a gradient rule; 1e-4 in the
            paper.

    Returns:
        Loss of the leading shape in 0 .. gamma - sqrt(eps), the latter when all rows are equal (where its gradient is
        0: exact collapse is a stationary point). Lower is better.

    Raises:
        ValueError: fewer than two rows, a non-finite row, target_std or eps not above 0, an overflow.

    Cost: O(N D).

    Source: Bardes et al. 2022 (VICReg), one view's v(Z), neither halved nor weighted.

    Relations: a term of ``vicreg``; ``koleo`` and ``uniformity`` keep rows apart instead of coordinates alive.

    Data: one set

    Example:
        >>> round(vicreg_variance(torch.ones(3, 2)).item(), 4)
        0.99
    """
    return refuse_overflow(
        _variance_term(full_rows(embeddings, "embeddings", min_rows=2), target_std, eps), "embeddings"
    )


def vicreg_covariance(embeddings: Tensor) -> Tensor:
    """The covariance term of VICReg: squared covariances between different coordinates.

    Formula: (1 / D) sum over i != j of Cov_ij^2, Cov = centred Z^T Z / (N - 1).

    Args:
        embeddings: (..., N, D), N >= 2.

    Returns:
        Loss of the leading shape, >= 0; (D - 1) s^4 / (N - 1) on average for independent N(0, s^2) entries. Lower is
        better; 0 also when everything has shrunk to a point.

    Raises:
        ValueError: fewer than two rows, a non-finite row, an overflow.

    Cost: O(N D^2) time, O(D^2) memory.

    Source: Bardes et al. 2022 (VICReg), one view's c(Z).

    Relations: a term of ``vicreg``; not invariant to scale, unlike the off-diagonal part of ``barlow_twins``.

    Data: one set

    Example:
        >>> vicreg_covariance(torch.tensor([[1.0, 1.0], [-1.0, -1.0]])).item()
        4.0
    """
    return refuse_overflow(_covariance_term(full_rows(embeddings, "embeddings", min_rows=2)), "embeddings")


def _variance_term(x: Tensor, target_std: float, eps: float) -> Tensor:
    check_positive(target_std, "target_std")
    check_positive(eps, "eps")
    return torch.relu(target_std - (x.var(-2) + eps).sqrt()).mean(-1)


def _covariance_term(x: Tensor) -> Tensor:
    x = x - x.mean(-2, keepdim=True)
    covariance = product(x.mT, x.mT) / (x.shape[-2] - 1)
    return zero_diagonal(covariance).square().sum((-2, -1)) / x.shape[-1]


def refuse_overflow(value: Tensor, name: str) -> Tensor:
    """Return ``value`` if it is finite, else raise ``ValueError`` that names what was too large.

    >>> refuse_overflow(torch.ones(()), "embeddings").item()
    1.0
    """
    if fails(torch.isfinite(value.detach())):
        raise ValueError(f"{name} holds entries so large that squares of them overflow {value.dtype}")
    return value
