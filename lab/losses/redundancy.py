"""Agreement across views without redundancy between coordinates, by one cross-correlation: Barlow Twins and TLDR.

Both losses need the statistics of the whole batch. They are plain functions of all the rows: with several
ranks, gather the rows first, since the statistics of a part give another loss and another gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lab.geometry import check_same_shape, fails
from lab.losses.similarity import full_rows, product


def barlow_twins(
    view1: Tensor, view2: Tensor, *, off_diagonal_weight: float = 0.005, unbiased: bool = False, eps: float = 0.0
) -> Tensor:
    """Barlow Twins: the cross-correlation of two views is driven to the identity.

    Formula: sum_i (1 - C_ii)^2 + lambda sum over i != j of C_ij^2, C_ij = sum_b a_bi b_bj / N, where a and b are the
    views with every column centred and divided by its standard deviation over the batch.

    Args:
        view1, view2: (..., N, D), N >= 2; row i of both belongs to sample i.
        off_diagonal_weight: lambda, at least 0; 0.005 in the paper.
        unbiased: whether the standard deviation divides by N - 1. False makes C the correlation, as the authors' code
            (batch normalisation) does; True is the paper's pseudo-code, where C shrinks by (N - 1) / N and cannot
            reach the identity.
        eps: added to the variances, at least 0; 1e-5 in the authors' code. With 0 the loss does not depend on the
            scale of a column, and a column without variance is refused.

    Returns:
        Loss of the leading shape, >= 0; no factor in front. Independent Gaussian views give D (1 + 1 / N) +
        lambda D (D - 1) / N up to order 1 / N^2, identical views with independent columns lambda D (D - 1) / N. Lower
        is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a non-finite row, a column without variance while ``eps`` is 0,
            off_diagonal_weight or eps negative.

    Cost: O(N D^2) time, O(D^2) memory.

    Source: Zbontar et al. 2021 (Barlow Twins); used by tldr. Some libraries multiply by a hidden 0.025 or 1 / 32.

    Relations: ``neighbour_barlow`` with one neighbour is the same; ``vicreg`` treats each view by itself, with
    covariances in place of correlations.

    Data: pairs, several views

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> barlow_twins(x, x).item(), barlow_twins(x, -x).item()
        (0.0, 8.0)
    """
    a, b = full_rows(view1, "view1", min_rows=2), full_rows(view2, "view2", min_rows=2)
    check_same_shape(a, b, ("view1", "view2"))
    a, b = _standardise(a, "view1", unbiased, eps), _standardise(b, "view2", unbiased, eps)
    return _to_identity(product(a.mT, b.mT) / a.shape[-2], off_diagonal_weight)


def neighbour_barlow(
    embeddings: Tensor,
    neighbours: Tensor,
    *,
    off_diagonal_weight: float = 0.0039,
    unbiased: bool = False,
    eps: float = 0.0,
) -> Tensor:
    """TLDR: Barlow Twins whose second view is a nearest neighbour, over all the neighbours at once.

    Formula: as ``barlow_twins`` over the k N pairs (x_i, y_ji), with the columns of y standardised over all k N rows.

    Args:
        embeddings: (..., N, D), N >= 2.
        neighbours: (..., k, N, D), embeddings of the k nearest neighbours of every row in the input space, found
            beforehand and without the row itself: a pair of a row with itself carries no information.
        off_diagonal_weight: lambda, at least 0; 0.0039 in the authors' code.
        unbiased, eps: as in ``barlow_twins``.

    Returns: as ``barlow_twins``.

    Raises: as ``barlow_twins``; neighbours of another shape.

    Cost: O(N D^2 + k N D) time, O(D^2 + k N D) memory: the k neighbours are averaged before the product.

    Source: tldr (Kalantidis et al. 2022). The paper draws one of the k neighbours a step; this is the loss of the
    batch that has them all. The authors' code multiplies by 1 / 32.

    Relations: equals ``barlow_twins(embeddings, neighbours[..., 0, :, :])`` for k = 1.

    Data: pairs, one set

    Example:
        >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        >>> neighbour_barlow(x, torch.stack([x, x])).item()
        0.0
    """
    a = full_rows(embeddings, "embeddings", min_rows=2)
    b = full_rows(neighbours, "neighbours")
    if b.ndim != a.ndim + 1 or b.shape[:-3] != a.shape[:-2] or b.shape[-2:] != a.shape[-2:]:
        raise ValueError(
            f"neighbours must have shape (..., k, N, D) for embeddings of shape {tuple(a.shape)}, got {tuple(b.shape)}"
        )
    a = _standardise(a, "embeddings", unbiased, eps)
    pairs = _standardise(b.flatten(-3, -2), "neighbours", unbiased, eps).unflatten(-2, b.shape[-3:-1])
    return _to_identity(product(a.mT, pairs.mean(-3).mT) / a.shape[-2], off_diagonal_weight)


def zero_diagonal(square: Tensor) -> Tensor:
    """The same square matrices with 0 on the diagonal.

    >>> zero_diagonal(torch.ones(2, 2)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return square.masked_fill(torch.eye(square.shape[-1], dtype=torch.bool, device=square.device), 0)


def _to_identity(correlation: Tensor, off_diagonal_weight: float) -> Tensor:
    check_weight(off_diagonal_weight, "off_diagonal_weight")
    diagonal = (correlation.diagonal(dim1=-2, dim2=-1) - 1).square().sum(-1)
    return diagonal + off_diagonal_weight * zero_diagonal(correlation).square().sum((-2, -1))


def _standardise(x: Tensor, name: str, unbiased: bool, eps: float) -> Tensor:
    """Columns centred and divided by their standard deviation, whatever their scale."""
    check_weight(eps, "eps")
    constant = x.detach().amax(-2) == x.detach().amin(-2)
    if eps == 0 and fails(~constant):
        column = constant.nonzero()[0].tolist()[-1]
        raise ValueError(f"{name} has a column without variance, number {column}: set eps above 0 to let it pass")
    # The result does not depend on this factor, so it is a constant for the gradient; squares cannot overflow after it.
    scale = x.detach().abs().amax(-2, keepdim=True).clamp(min=math.sqrt(eps))
    x = x / scale
    x = x - x.mean(-2, keepdim=True)
    variance = x.square().sum(-2, keepdim=True) / (x.shape[-2] - bool(unbiased))
    return x / (variance + (math.sqrt(eps) / scale).square()).sqrt()


def check_weight(weight: float, name: str) -> None:
    """Raise ``ValueError`` that names a weight unless it is finite and not negative.

    >>> check_weight(0.5, "variance_weight")
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise ValueError(f"{name} must be finite and at least 0, got {weight}")
