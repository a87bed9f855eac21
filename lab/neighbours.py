"""Exact nearest neighbours by cosine, Euclidean distance or inner product, the point itself left out by its index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from lab.exact_search import Part, search
from lab.geometry import as_rows, check_embeddings, normalise

Metric = Literal["cosine", "euclidean", "dot"]

# Rows of either side that are prepared (raised to float32, normalised or centred) at a time, and numbers in them.
PART_ROWS, PART_NUMBERS = 2**16, 2**25


class Neighbours(NamedTuple):
    """The k nearest rows of the gallery for each query, nearest first.

    ``indices`` (Q, k) rows of the gallery; ``similarities`` (Q, k), falling along each row: cosines in -1 .. 1, inner
    products, or Euclidean distances times -1.
    """

    indices: Tensor
    similarities: Tensor


def nearest(
    queries: Any,
    gallery: Any | None = None,
    *,
    k: int,
    block: int = 512,
    metric: Metric = "cosine",
    exclude: Any | None = None,
) -> Neighbours:
    """The k rows of the gallery nearest to each query: largest cosine, smallest distance or largest inner product.

    Args:
        queries: (Q, d), tensor or array (a memory-mapped one too), float16 to float64.
        gallery: (G, d), or None to search the queries themselves; then row i never counts as its own neighbour, also
            where another row equals it (the exclusion is by index, not by distance).
        k: 1 .. G (G - 1 where one row of the gallery is left out for each query).
        block: queries a block, where torch searches (below).
        metric: "cosine", "euclidean" or "dot". Rows are normalised for "cosine" alone.
        exclude: (Q,) integers: the one row of the gallery that never counts for that query, for queries that are a
            sample of the gallery. Only with a gallery.

    Returns:
        ``Neighbours(indices, similarities)``, each (Q, k), on the device of the queries; similarities in float32, or
        in float64 where either side is. Where two computed similarities are equal the smaller index comes first. Which
        of several enter the list at all where the k-th and the next are equal but for rounding is decided in float64,
        for equals there (within 2^-44 of the largest possible score, or at one distance) by the smaller index.

    Raises:
        ValueError: k or block out of range, different numbers of columns, a non-finite row, a zero row under "cosine",
            ``exclude`` that does not fit, an inner product or a distance beyond the range of the dtype.

    Cost: O(Q G d) time; memory O((Q + G) k + d) beside 2^16 prepared rows and, where torch searches, block x 2^16
    scores. float32 on a CPU goes through the exact search of FAISS, on as many threads as torch uses; float64, GPUs and
    processors that the matrix library inside FAISS does not know go through blocks of torch.

    Convention: Euclidean candidates are found by |x|^2 + |y|^2 - 2<x, y> after the gallery's mean is taken off, which
    in float32 is blind to distances below about 1e-3 of the rows' spread. So the distances of the candidates are
    computed from differences of the rows, and a query whose k nearest the bound on rounding leaves in doubt is searched
    again, among more candidates and then by differences alone. Tiny distances and large offsets thus come out right.

    Example:
        >>> nearest(torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), k=1).indices.tolist()
        [[1], [0], [1]]
    """
    if metric not in get_args(Metric):
        raise ValueError(f'metric must be "cosine", "euclidean" or "dot", got {metric!r}')
    if block < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    one_set = gallery is None
    q_all = _matrix(queries, "queries")
    g_all = q_all if one_set else _matrix(gallery, "gallery")
    names = ("queries", "queries" if one_set else "gallery")
    if q_all.shape[1] != g_all.shape[1]:
        raise ValueError(f"gallery must have {q_all.shape[1]} columns like queries, got {g_all.shape[1]}")
    n_queries, n_gallery = q_all.shape[0], g_all.shape[0]
    device = q_all.device if isinstance(q_all, Tensor) else torch.device("cpu")
    own = _left_out(exclude, one_set, n_queries, n_gallery, device)
    most = n_gallery - (own is not None)
    if not 1 <= k <= most:
        raise ValueError(f"k must lie in 1 .. {most} (rows to choose from), got {k}")
    wide = any(str(side.dtype).endswith("float64") for side in (q_all, g_all))
    dtype = torch.float64 if wide else torch.float32

    asked = k + (own is not None)
    best: dict[int, tuple[Tensor, Tensor]] = {}
    with _full_precision(device), torch.autocast(device.type, enabled=False):
        centre = _mean(g_all, names[1], device) if metric == "euclidean" else None
        for g_start in _starts(g_all):
            g = _prepared(g_all, g_start, names[1], metric, centre, dtype, device)
            for q_start in _starts(q_all):
                q = g if one_set and q_start == g_start else None
                q = q or _prepared(q_all, q_start, names[0], metric, centre, dtype, device)
                values, indices = search(q, g, min(asked, g.rows.shape[0]), metric, block)
                indices = indices + g_start
                if q_start in best:
                    values = torch.cat([best[q_start][0], values], 1)
                    indices = torch.cat([best[q_start][1], indices], 1)
                    # A stable sort keeps the earlier part, whose indices are smaller, before its equals.
                    values, order = values.sort(dim=1, descending=True, stable=True)
                    values, indices = values[:, :asked], indices.gather(1, order[:, :asked])
                best[q_start] = values, indices
    values = torch.cat([pair[0] for pair in best.values()])
    indices = torch.cat([pair[1] for pair in best.values()])
    if own is not None:
        values, indices = _without(own, values, indices)
    values = values.to(dtype) + 0.0  # no distance of -0.0
    if not torch.isfinite(values).all():
        raise ValueError(f"queries and gallery hold values too large for {metric} similarities in {dtype}")
    return Neighbours(indices, values)


def _matrix(x: Any, name: str) -> Any:
    """A tensor or array of shape (N, d); what its rows hold is checked when they are read."""
    x = x.detach() if isinstance(x, Tensor) else x if isinstance(x, np.ndarray) else torch.as_tensor(x)
    if x.ndim != 2 or 0 in x.shape:
        as_rows(x, name)  # raises, naming the shape
    return x


def _left_out(exclude: Any, one_set: bool, n_queries: int, n_gallery: int, device: torch.device) -> Tensor | None:
    if one_set:
        if exclude is not None:
            raise ValueError("exclude needs a gallery; without one every row leaves itself out")
        return torch.arange(n_queries, device=device)
    if exclude is None:
        return None
    own = torch.as_tensor(exclude, device=device)
    if own.is_floating_point() or own.is_complex() or own.shape != (n_queries,):
        raise ValueError(f"exclude must hold {n_queries} integers, got {own.dtype} of shape {tuple(own.shape)}")
    if int(own.min()) < 0 or int(own.max()) >= n_gallery:
        raise ValueError(f"exclude must lie in 0 .. {n_gallery - 1}, got {int(own.min())} .. {int(own.max())}")
    return own.long()


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """float32 products in float32, also where the caller lets a GPU shorten them."""
    before = torch.get_float32_matmul_precision()
    if device.type == "cpu" or before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _part_rows(x: Any) -> int:
    return max(1, min(PART_ROWS, PART_NUMBERS // x.shape[1]))


def _starts(x: Any) -> range:
    return range(0, x.shape[0], _part_rows(x))


def _read(x: Any, start: int, name: str, device: torch.device, *, unit: bool = False) -> Tensor:
    part = x[start : start + _part_rows(x)]
    if isinstance(part, np.ndarray) and not part.flags.writeable:
        part = part.copy()
    try:
        rows = torch.as_tensor(part).to(device)
        rows = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
        return normalise(rows, name) if unit else check_embeddings(rows, name)
    except ValueError as error:
        raise ValueError(f"{error} (counted from row {start})" if start else str(error)) from None


def _mean(x: Any, name: str, device: torch.device) -> Tensor:
    return torch.stack([_read(x, start, name, device).double().sum(0) for start in _starts(x)]).sum(0) / x.shape[0]


def _prepared(
    x: Any, start: int, name: str, metric: Metric, centre: Tensor | None, dtype: torch.dtype, device: torch.device
) -> Part:
    raw = _read(x, start, name, device, unit=metric == "cosine").to(dtype)
    return Part(raw, raw if centre is None else (raw.double() - centre).to(dtype))


def _without(own: Tensor, values: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Drop each query's own row wherever it stands, or the last where nearer ones have displaced it."""
    hit = indices == own[:, None]
    place = torch.where(hit.any(1), hit.int().argmax(1), indices.shape[1] - 1)
    keep = torch.ones_like(hit).scatter_(1, place[:, None], False)
    return values[keep].view(len(own), -1), indices[keep].view(len(own), -1)
