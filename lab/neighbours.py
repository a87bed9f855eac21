"""Exact nearest neighbours by cosine, in blocks, with the point itself left out by its index."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lab.geometry import as_rows, normalise


class Neighbours(NamedTuple):
    """The k nearest rows of the gallery for each query, nearest first.

    ``indices`` (Q, k) rows of the gallery; ``similarities`` (Q, k) cosines in -1 .. 1, falling along each row.
    """

    indices: Tensor
    similarities: Tensor


def nearest(queries: Tensor, gallery: Tensor | None = None, *, k: int, block: int = 512) -> Neighbours:
    """The k rows of the gallery with the largest cosine to each query.

    Args:
        queries: (Q, d).
        gallery: (G, d), or None to search the queries themselves; then row i never counts as its own neighbour, also
            where another row equals it (the exclusion is by index, not by distance).
        k: 1 .. G (G - 1 without a gallery).
        block: queries a block.

    Returns:
        ``Neighbours(indices, similarities)``, each (Q, k).

    Raises:
        ValueError: k out of range, different numbers of columns, a zero or non-finite row.

    Cost: O(Q G d) time, O(block G) memory.

    Example:
        >>> nearest(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), k=1).indices.tolist()
        [[1], [0], [1]]
    """
    q = normalise(as_rows(queries, "queries"), "queries")
    g = q if gallery is None else normalise(as_rows(gallery, "gallery"), "gallery")
    if q.shape[1] != g.shape[1]:
        raise ValueError(f"gallery must have {q.shape[1]} columns like queries, got {g.shape[1]}")
    most = g.shape[0] - (gallery is None)
    if not 1 <= k <= most:
        raise ValueError(f"k must lie in 1 .. {most} (rows to choose from), got {k}")
    g = g.to(q.dtype)
    indices, similarities = [], []
    for start in range(0, q.shape[0], block):
        cosines = q[start : start + block] @ g.T
        if gallery is None:
            rows = torch.arange(cosines.shape[0], device=q.device)
            cosines[rows, rows + start] = -torch.inf
        top = cosines.topk(k, dim=1)
        indices.append(top.indices)
        similarities.append(top.values)
    return Neighbours(torch.cat(indices), torch.cat(similarities))
