"""How much of one layer is a linear map of another: the linearity score, beside what unrelated rows give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lab.probes.row_samples import check_same_rows, check_seed, sample_rows, take

# Singular values below this share of the largest, times max(N, p), are rounding of float64.
_EPS = float(torch.finfo(torch.float64).eps)


@dataclass(frozen=True)
class Linearity:
    """How much of Y the best linear map of X explains.

    Attributes:
        value: the score, 0 .. 1; 1 where Y is an affine map of X.
        null: its expectation where X and Y are unrelated, rank / (N - 1); exact for Gaussian rows or rows dealt anew.
        adjusted: (value - null) / (1 - null), at most 1, about 0 for unrelated rows; 0 where null is 1.
        rank: number of directions of the centred X, the most a linear map can use.
        n_rows: rows used. n_rows_total: rows there are; larger for a sample.
        warnings: plain sentences.
    """

    value: float
    null: float
    adjusted: float
    rank: int
    n_rows: int
    n_rows_total: int
    warnings: tuple[str, ...] = ()

    def __float__(self) -> float:
        return self.value


def linearity_score(x: Any, y: Any, *, rows: int | None = 20_000, seed: int = 0) -> Linearity:
    """Share of Y that the best linear map of X explains, both centred and scaled to Frobenius length 1.

    Formula: 1 - min_A |X A - Y|_F^2 with X and Y centred by column and divided by their Frobenius norms, which is
    |U^T Y|_F^2, the columns of U an orthonormal basis of the span of the centred X. A is any matrix, no rotation.

    Args:
        x: (N, p), y: (N, q), N >= 3, tensor or array, float16 to float64; row i of both is one item: the same token or
            picture before and after a layer. With y - x in place of y it is the score without the residual stream.
        rows: most rows to use, at least 3; others are left out at random. None uses all.
        seed: of the sample.

    Returns:
        ``Linearity``; ``float()`` of it is the score, 0 .. 1. Unrelated rows give rank(X) / (N - 1), so N should be
        well above p. Neither direction is better. Not symmetric in x and y; the score is not changed by an invertible
        affine map of x, nor by a shift, rotation or scaling of y.

    Raises:
        ValueError: different numbers of rows, fewer than three, an x or y of equal rows, rows out of range, NaN or
            infinity.

    Cost: O(N p (p + q)) time, O(N (p + q)) memory, for N rows used.

    Source: your-transformer-secretly-linear, with the mean rows taken off as in its code. It calls the score Procrustes
    similarity, though A is not held orthogonal. The null and the adjustment are those of R^2 in regression.

    Relations: for y = x + u, 1 - value(x, y) = (1 - value(x, u)) |u|^2 / |y|^2 (centred norms): what is left over of y
    is what is left over of the update u. ``procrustes_distance`` holds A to rotations; ``linear_cka`` fits nothing.

    Example:
        >>> x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
        >>> round(linearity_score(x, x @ torch.ones(4, 2) + 3 + x[:, :2]).value, 6)
        1.0
    """
    n_total = check_same_rows(x, y)
    if n_total < 3:
        raise ValueError(f"x and y must have at least 3 rows, got {n_total}")
    chosen = sample_rows(x, "x", rows, check_seed(seed), least=3)
    first, second = _centred(take(x, chosen, "x"), "x"), _centred(take(y, chosen, "y"), "y").to(_device(x))
    n = first.shape[0]
    basis, sizes, _ = torch.linalg.svd(first, full_matrices=False)
    rank = int((sizes > _EPS * max(first.shape) * sizes[0]).sum())
    value = min(1.0, float((basis[:, :rank].T @ second).square().sum()))
    null = rank / (n - 1)
    warnings = []
    if null >= 1:
        warnings.append(f"{n} rows are too few: {rank} columns fit anything, whatever y is")
    elif null > 0.2:
        warnings.append(f"{rank} columns fit {null:.2f} of unrelated rows: use more than {n} rows, or read adjusted")
    if chosen is not None:
        warnings.append(f"a random sample: {n} of {n_total} rows")
    return Linearity(
        value=value,
        null=null,
        adjusted=(value - null) / (1 - null) if null < 1 else 0.0,
        rank=rank,
        n_rows=n,
        n_rows_total=n_total,
        warnings=tuple(warnings),
    )


def _device(x: Any) -> torch.device:
    return x.device if isinstance(x, Tensor) else torch.device("cpu")


def _centred(rows: Tensor, name: str) -> Tensor:
    """Rows less their mean, of Frobenius length 1; refuses what is only rounding after centring."""
    largest = float(rows.abs().max())
    scaled = rows / largest if largest > 0 else rows
    rest = scaled - scaled.mean(0)
    length = float(torch.linalg.vector_norm(rest))
    if length <= 1e-12 * rows.shape[0] ** 0.5:
        raise ValueError(f"{name} is constant: all its rows are equal")
    return rest / length
