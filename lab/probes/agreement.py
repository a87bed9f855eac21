"""How far two descriptions of the same items agree."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import as_rows


def principal_cosines(a: Any, b: Any) -> Tensor:
    """Cosines of the principal angles between the column spaces of two matrices over the same items.

    Formula: singular values of Qa' Qb, where Qa and Qb are orthonormal bases of the columns of a and b.

    Args:
        a: (N, p), b: (N, q), tensor or array; row i of both describes item i; N >= max(p, q). Columns are taken as they
            are: centre them first where the constant direction should not count.

    Returns:
        (min(rank a, rank b),) float64 in 0 .. 1, largest first; all 1 for equal spaces. The mean of their squares for
        two random spaces of dimensions p and q is max(p, q) / N.

    Raises:
        ValueError: different numbers of rows, fewer rows than columns, a zero matrix, NaN or infinity.

    Cost: O(N (p + q)^2).

    Example:
        >>> principal_cosines(torch.eye(3)[:, :2], torch.eye(3)[:, 1:]).tolist()
        [1.0, 0.0]
    """
    bases = []
    for name, x in (("a", a), ("b", b)):
        x = as_rows(x, name).double()
        if x.shape[0] < x.shape[1]:
            raise ValueError(f"{name} must have at least as many rows as columns, got {tuple(x.shape)}")
        u, s, _ = torch.linalg.svd(x, full_matrices=False)
        # Directions at rounding level are no directions of the data; leaving them in would add arbitrary ones.
        rank = int((s > s[0] * max(x.shape) * torch.finfo(torch.float64).eps).sum()) if float(s[0]) > 0 else 0
        if rank == 0:
            raise ValueError(f"{name} is zero: it spans no space")
        bases.append(u[:, :rank])
    if bases[0].shape[0] != bases[1].shape[0]:
        raise ValueError(f"a and b must have the same number of rows, got {bases[0].shape[0]} and {bases[1].shape[0]}")
    return torch.linalg.svdvals(bases[0].T @ bases[1]).clamp(0, 1)
