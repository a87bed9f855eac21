"""W-MSE: views are whitened, so that they cannot collapse, and then simply pulled together.

Whitening needs the statistics of all the rows it sees. The functions are plain functions of the whole batch: with
several ranks, gather the rows first and give every rank a generator of the same seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lab.geometry import check_same_shape, fails
from lab.losses.similarity import full_rows, product, unit_rows


def whiten(embeddings: Tensor, *, eps: float = 0.0) -> Tensor:
    """Rows with mean 0 and covariance I, by the Cholesky factor of their own covariance.

    Formula: w_i = L^-1 (x_i - mean), L L^T = (1 - eps) Cov + eps I, Cov with N - 1.

    Args:
        embeddings: (..., N, d), N > d unless ``eps`` is above 0.
        eps: shrinkage towards the identity in 0 .. 1 (1 excluded); 0 in the paper's experiments.

    Returns:
        (..., N, d), differentiable through mean and covariance too. With ``eps`` 0 the covariance is I, the result
        does not depend on the scale or offset of a column, and for N = d + 1 any rows become a simplex: N should be
        well above d.

    Raises:
        ValueError: fewer than two rows, a non-finite row, eps out of range, a covariance that has no inverse (N <= d,
            a constant column, columns that depend on each other) while ``eps`` is 0.

    Cost: O(N d^2 + d^3) time, O(N d + d^2) memory.

    Source: whitening-self-supervised-representation (Ermolov et al. 2021), the convention of the authors' code:
    Cholesky, divisor N - 1, shrinkage with (1 - eps). Cholesky whitening depends on the order of the columns and on
    rotations, unlike that by principal components.

    Relations: the first half of ``w_mse``.

    Example:
        >>> x = torch.tensor([[3.0, 0.0], [1.0, 4.0], [5.0, 2.0], [0.0, 1.0]])
        >>> torch.allclose(torch.cov(whiten(x).T), torch.eye(2), atol=1e-6)
        True
    """
    return _whiten(full_rows(embeddings, "embeddings", min_rows=2), eps, "embeddings")


def w_mse(
    views: Tensor | Sequence[Tensor],
    *,
    eps: float = 0.0,
    sub_batch: int | None = None,
    repeats: int = 1,
    generator: torch.Generator | None = None,
    normalised: bool = True,
) -> Tensor:
    """W-MSE: each view is whitened, then the views of a sample are pulled together.

    Formula: mean over pairs of views l < m and over samples i of 2 - 2 cos(w_il, w_im), where w_l = ``whiten`` of view
    l, or of the sub-batch of view l that i fell into.

    Args:
        views: (..., V, N, d) or a sequence of V tensors (..., N, d), V >= 2; row i of every view belongs to sample i.
        eps: shrinkage of the covariance, as in ``whiten``.
        sub_batch: rows that are whitened together, a divisor of N and above d; None for the whole batch. Every view is
            cut in the same way.
        repeats: how many times the batch is cut anew, the loss averaged; above 1 only with a generator.
        generator: source of the random order before each cut, one order for a whole stack. None cuts the rows in the
            order in which they come.
        normalised: whether whitened rows are normalised (the paper's 2 - 2 cos); False is the plain mean squared
            difference of entries, the other option of the authors' code.

    Returns:
        Loss of the leading shape in 0 .. 4, normalised; 0 for equal views, about 2 for independent ones whatever the
        form. Lower is better. Equal rows cannot be whitened and are refused, not rewarded.

    Raises:
        ValueError: fewer than two views, shapes differ, as ``whiten`` for every view (or sub-batch), a sub_batch that
            does not divide N, repeats below 1, repeats without a generator, a whitened row of length 0.
        TypeError: views is neither a tensor nor a sequence of tensors.

    Cost: O(V N d^2 + V^2 N d) time a repeat and O(V N d) memory.

    Source: whitening-self-supervised-representation (Ermolov et al. 2021): every view whitened by itself, sub-batches
    ("batch slicing") and their repeats as in the authors' code. Gradient flows through the whitening of both views;
    forms that whiten one concatenated batch or hold one side constant have another gradient.

    Relations: ``alignment`` of the whitened views; ``vicreg`` and ``barlow_twins`` ask softly for what whitening
    forces.

    Data: pairs, several views

    Example:
        >>> x = torch.tensor([[3.0, 0.0], [1.0, 4.0], [5.0, 2.0], [0.0, 1.0]])
        >>> round(w_mse([x, 2 * x + 1]).item(), 4)
        0.0
    """
    stack = _stack(views)
    n = stack.shape[-2]
    size = n if sub_batch is None else sub_batch
    if isinstance(size, bool) or not isinstance(size, int) or size < 2 or n % size:
        raise ValueError(f"sub_batch must be a divisor of the {n} rows of views and at least 2, got {sub_batch}")
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ValueError(f"repeats must be a whole number of at least 1, got {repeats}")
    if repeats > 1 and generator is None:
        raise ValueError(f"repeats of {repeats} need a generator: without one every cut is the same")
    total = stack.new_zeros(stack.shape[:-3])
    for _ in range(repeats):
        cut = stack
        if generator is not None:
            order = torch.randperm(n, generator=generator, device=generator.device)
            cut = stack[..., order.to(stack.device), :]
        white = _whiten(cut.unflatten(-2, (n // size, size)), eps, "views")
        if normalised:
            white = unit_rows(white, "views")
        total = total + _between_views(white.flatten(-3, -2), normalised)
    return total / repeats


def _between_views(white: Tensor, normalised: bool) -> Tensor:
    """Mean over pairs of views of the squared differences of their rows, (..., V, N, d) to (...)."""
    pairs = list(itertools.combinations(range(white.shape[-3]), 2))
    total = white.new_zeros(white.shape[:-3])
    for one, other in pairs:
        squares = (white[..., one, :, :] - white[..., other, :, :]).square()
        total = total + (squares.sum(-1).mean(-1) if normalised else squares.mean((-2, -1)))
    return total / len(pairs)


def _stack(views: Tensor | Sequence[Tensor]) -> Tensor:
    if not isinstance(views, Tensor):
        if not isinstance(views, Sequence) or not all(isinstance(view, Tensor) for view in views):
            raise TypeError(f"views must be a tensor or a sequence of tensors, got {type(views).__name__}")
        if len(views) < 2:
            raise ValueError(f"views must hold at least two views, got {len(views)}")
        for k, view in enumerate(views):
            full_rows(view, f"views[{k}]", min_rows=2)
            check_same_shape(views[0], view, ("views[0]", f"views[{k}]"))
        views = torch.stack(list(views), -3)
    if views.ndim < 3 or views.shape[-3] < 2:
        raise ValueError(f"views must have shape (..., V, N, d) with at least two views, got {tuple(views.shape)}")
    return full_rows(views, "views", min_rows=2)


def _whiten(x: Tensor, eps: float, name: str) -> Tensor:
    if not (math.isfinite(eps) and 0 <= eps < 1):
        raise ValueError(f"eps must be at least 0 and below 1, got {eps}")
    n, d = x.shape[-2:]
    if eps == 0 and n <= d:
        raise ValueError(f"{name} must have more rows than the {d} columns to be whitened without eps, got {n} rows")
    # Without shrinkage the result depends on no column's scale, with it on no scale of x beside eps: both are taken
    # out as constants, so that squares neither overflow nor vanish.
    magnitude = x.detach().abs()
    scale = magnitude.amax(-2, keepdim=True) if eps == 0 else magnitude.amax((-2, -1), keepdim=True)
    scale = scale.clamp(min=max(math.sqrt(eps), torch.finfo(x.dtype).tiny))
    x = x / scale
    x = x - x.mean(-2, keepdim=True)
    covariance = (1 - eps) * product(x.mT, x.mT) / (n - 1)
    if eps:
        identity = torch.eye(d, dtype=x.dtype, device=x.device)
        covariance = covariance + identity * (eps / scale.square())
    factor, failed = torch.linalg.cholesky_ex(covariance)
    # A squared pivot over its variance is the share of a column that the columns before it do not explain.
    pivots = factor.detach().diagonal(dim1=-2, dim2=-1).square()
    variances = covariance.detach().diagonal(dim1=-2, dim2=-1)
    if fails(failed == 0) or fails(pivots > 10 * d * torch.finfo(x.dtype).eps * variances):
        raise ValueError(f"{name} has columns that are constant or depend on each other: set eps above 0 to whiten it")
    return torch.linalg.solve_triangular(factor, x.mT, upper=False).mT
