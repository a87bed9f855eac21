"""Embeddings of a graph's nodes against the eigenvectors of its Laplacian."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import as_rows
from lab.probes.agreement import principal_cosines


def laplacian_eigenvectors(weights: Any) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of a graph's normalised Laplacian, smallest eigenvalue first.

    Formula: L = 1 - D^(-1/2) W D^(-1/2), D = diag of the row sums.

    Args:
        weights: (N, N), symmetric, not negative, every row with some weight.

    Returns:
        ``(values, vectors)``: (N,) in 0 .. 2, rising, and (N, N) with orthonormal columns; column 0 belongs to the
        value 0 and is the square root of the row sums (up to sign and length).

    Raises:
        ValueError: not square or not symmetric, negative or non-finite entries, a row without weight.

    Cost: O(N^3).

    Example:
        >>> values, _ = laplacian_eigenvectors(torch.ones(3, 3))
        >>> values.round(decimals=6).abs().tolist()
        [0.0, 1.0, 1.0]
    """
    w = as_rows(weights, "weights").double()
    if w.shape[0] != w.shape[1] or not torch.allclose(w, w.T, atol=1e-9 * float(w.abs().max())):
        raise ValueError(f"weights must be a symmetric square matrix, got shape {tuple(w.shape)}")
    degree = w.sum(1)
    if (w < 0).any() or (degree <= 0).any():
        raise ValueError("weights must not be negative, and every row must have some weight")
    scale = degree.rsqrt()
    values, vectors = torch.linalg.eigh(torch.eye(len(w), dtype=w.dtype, device=w.device) - scale[:, None] * w * scale)
    return values, vectors


def graph_agreement(embeddings: Any, weights: Any, *, first: int = 1, last: int) -> float:
    """How much of the Laplacian's eigenspace ``first .. last`` the columns of an embedding span.

    Formula: sum of the squared cosines of the principal angles between the columns of diag(sqrt p) f and eigenvectors
    first .. last, divided by their number, p = row sums of the weights. What the columns have in common with earlier
    eigenvectors is taken away first; with first = 2 that is centring by mass.

    Args:
        embeddings: (N, d), row i embeds node i, any scale; pass unit rows where the loss saw unit rows.
        weights: (N, N), as ``laplacian_eigenvectors``.
        first, last: numbers of the eigenvectors from 1, both included.

    Returns:
        Float in 0 .. 1; 1 where the eigenspace lies in the span, 0 where nothing is left of the columns (all rows equal
        and first = 2). Null (a random space): d / N.

    Raises:
        ValueError: different numbers of rows, first and last out of order or range, as ``laplacian_eigenvectors``.

    Cost: O(N^3).

    Source: the comparison is ours; theory in HaoChen et al. (2021) and contrastive-learning-spectral-clustering.

    Relations: ``principal_cosines`` gives the single cosines.

    Example:
        >>> import math
        >>> weights = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)) / 8
        >>> side = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
        >>> math.isclose(graph_agreement(side, weights, first=2, last=2), 1, abs_tol=1e-12)
        True
    """
    f = as_rows(embeddings).double()
    _, vectors = laplacian_eigenvectors(weights)
    if len(f) != len(vectors):
        raise ValueError(f"embeddings must have one row a node ({len(vectors)}), got {len(f)}")
    if not 1 <= first <= last <= len(vectors):
        raise ValueError(f"1 <= first <= last <= {len(vectors)} is needed, got {first} and {last}")
    mass = as_rows(weights, "weights").double().sum(1, keepdim=True)
    columns = mass.sqrt() * f
    earlier = vectors[:, : first - 1]
    left, sizes, _ = torch.linalg.svd(columns - earlier @ (earlier.T @ columns), full_matrices=False)
    # What taking away leaves at rounding level, seen from the size it had before, is no direction of the embedding.
    # The eigenvectors taken away are themselves known only to rounding over the gap between their eigenvalues.
    kept = sizes > 1e-10 * torch.linalg.matrix_norm(columns)
    if not kept.any():
        return 0.0
    cosines = principal_cosines(left[:, kept], vectors[:, first - 1 : last])
    return float(cosines.square().sum()) / (last - first + 1)
