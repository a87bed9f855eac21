"""The k nearest rows of one part of a gallery, exactly: by FAISS for float32 where it is fast, else by torch."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

# Columns are first compared in groups of this many: a maximum costs less than finding the k largest.
GROUP = 16
# Candidates beyond the k nearest that are looked at where rounding leaves Euclidean neighbours in doubt.
SPARE = 16
# Products of equal rows differ by rounding, so scores nearer to each other than this share of the largest possible one
# are in doubt in float32, and count as equal in float64.
EQUAL = {torch.float32: 2.0**-20, torch.float64: 2.0**-44}
# On a CPU a tile of scores of this many queries and gallery rows stays in its cache while the largest are picked.
TILE = 256, 8192
# Kernels of OpenBLAS for processors without AVX; also what an OpenBLAS takes that does not know a newer processor.
WITHOUT_AVX = {"prescott", "core2", "penryn", "dunnington", "atom", "nehalem", "generic"}


class Part(NamedTuple):
    """Some rows of one side in one dtype.

    Attributes:
        raw: (N, d), the rows whose differences count: as they came, or unit rows for cosines.
        rows: (N, d), what is multiplied: the same, or less the gallery's mean for Euclidean distances.
    """

    raw: Tensor
    rows: Tensor


def search(q: Part, g: Part, k: int, metric: str, block: int, spare: int = 1) -> tuple[Tensor, Tensor]:
    """The k largest similarities of each query and their rows in this part of the gallery, smaller index first."""
    rows = g.rows.shape[0]
    asked = min(rows, k + spare)
    on_cpu = q.rows.device.type == "cpu"
    if on_cpu and q.rows.dtype == torch.float32 and faiss_is_fast():
        values, indices = _by_faiss(q.rows, g.rows, asked, metric)
    else:
        rows_at_once, columns = (min(block, TILE[0]), TILE[1]) if on_cpu else (block, rows)
        values, indices = _by_blocks(q, g, asked, metric, rows_at_once, columns)
    found = (indices >= 0).all(1)  # FAISS has no index for scores out of range
    indices = indices.clamp(min=0)
    if metric == "euclidean":
        last = values[:, -1].double()
        values, indices = _ordered(-_distances(q.raw, g.raw, indices), indices)
        reach = _lengths(q.rows) + _lengths(g.rows).max()
        rounding = (q.rows.shape[1] + 8) * torch.finfo(q.rows.dtype).eps / 2 * reach.square()
        # No row left out has a squared distance below -last - rounding.
        sure = torch.isfinite(last + rounding) & ((last + rounding < -values[:, k - 1].square()) | (asked == rows))
    else:
        tied = (values[:, 1:] == values[:, :-1]).any(1).nonzero()[:, 0]
        if len(tied):
            values[tied], indices[tied] = _ordered(values[tied], indices[tied])
        sure = torch.isfinite(values[:, 0])
        if asked > k:
            scale = 1.0 if metric == "cosine" else (_lengths(q.rows) * _lengths(g.rows).max()).to(values.dtype)
            sure &= values[:, k - 1] - values[:, k] > EQUAL[values.dtype] * scale
    values, indices = values[:, :k].contiguous(), indices[:, :k].contiguous()
    doubtful = (~(sure & found)).nonzero()[:, 0]
    if len(doubtful):
        some = Part(q.raw[doubtful], q.rows[doubtful])
        if metric == "euclidean" and spare < SPARE:
            again = search(some, g, k, metric, block, SPARE)
        else:
            again = _searched_again(some, g, k, metric, block)
        values[doubtful], indices[doubtful] = again[0].to(values.dtype), again[1]
    return values, indices


def _lengths(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1, dtype=torch.float64)


def _distances(q: Tensor, g: Tensor, indices: Tensor, block: int = 64) -> Tensor:
    """Euclidean distances (Q, k), float64, of each query to its own rows of the gallery, from their differences."""
    found = []
    for rows, ours in zip(q.split(block), indices.split(block), strict=True):
        differences = g.index_select(0, ours.flatten()).view(*ours.shape, -1).sub_(rows[:, None])
        found.append(torch.linalg.vector_norm(differences.double(), dim=2))
    return torch.cat(found)


@cache
def faiss_is_fast() -> bool:
    """Whether the matrix library inside FAISS knows this processor; if not, torch searches two to three times faster.

    Example:
        >>> isinstance(faiss_is_fast(), bool)
        True
    """
    import faiss  # noqa: F401  # loads the library that is looked at
    from threadpoolctl import threadpool_info

    kernels = [str(found.get("architecture", "")).lower() for found in threadpool_info() if _is_in_faiss(found)]
    return not (set(kernels) & WITHOUT_AVX and torch.backends.cpu.get_cpu_capability().startswith("AVX"))


def _is_in_faiss(library: dict[str, str]) -> bool:
    return library.get("internal_api") == "openblas" and "faiss" in library.get("filepath", "")


def _by_faiss(q: Tensor, g: Tensor, k: int, metric: str) -> tuple[Tensor, Tensor]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(torch.get_num_threads())
    try:
        kind = faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT
        values, indices = faiss.knn(q.numpy(), g.numpy(), k, kind)
    finally:
        faiss.omp_set_num_threads(before)
    return torch.from_numpy(-values if metric == "euclidean" else values), torch.from_numpy(indices)


def _by_blocks(q: Part, g: Part, k: int, metric: str, block: int, columns: int) -> tuple[Tensor, Tensor]:
    """The k largest by products of ``block`` queries with ``columns`` rows of the gallery."""
    found = []
    squares = g.rows.square().sum(1) if metric == "euclidean" else None
    for rows in q.rows.split(block):
        best: list[tuple[Tensor, Tensor]] = []
        for start in range(0, len(g.rows), columns):
            tile = g.rows[start : start + columns]
            if squares is None:
                scores = rows @ tile.T
            else:  # less the query's own square, which changes no order
                scores = torch.addmm(squares[start : start + columns], rows, tile.T, beta=-1, alpha=2)
            values, indices = _largest(scores, min(k, len(tile)))
            best.append((values, indices + start))
        values, indices = (torch.cat(side, 1) for side in zip(*best, strict=True))
        if len(best) > 1:
            values, order = values.topk(k, dim=1)
            indices = indices.gather(1, order)
        if squares is not None:
            values = values - rows.square().sum(1, keepdim=True)
        found.append((values, indices))
    return torch.cat([one[0] for one in found]), torch.cat([one[1] for one in found])


def _largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, by way of the k groups of columns with the largest maxima, which hold them."""
    columns = scores.shape[1]
    if columns < 4 * GROUP * k:
        values, indices = scores.topk(k, dim=1)
        return values, indices
    groups = columns // GROUP
    best = scores[:, : groups * GROUP].unflatten(1, (GROUP, groups)).amax(1).topk(k, dim=1, sorted=False).indices
    members = best[:, None] + torch.arange(GROUP, device=scores.device)[:, None] * groups
    rest = torch.arange(groups * GROUP, columns, device=scores.device).expand(scores.shape[0], -1)
    candidates = torch.cat([members.flatten(1), rest], 1)
    top = scores.gather(1, candidates).topk(k, dim=1)
    return top.values, candidates.gather(1, top.indices)


def _searched_again(q: Part, g: Part, k: int, metric: str, block: int) -> tuple[Tensor, Tensor]:
    """The k nearest with equals in order of their index, in float64; distances from differences alone."""
    distances = metric == "euclidean"
    gallery = (g.raw if distances else g.rows).double()
    early = len(gallery) - torch.arange(len(gallery), device=gallery.device)
    scale = 1.0 if metric == "cosine" else float(_lengths(q.rows).max() * _lengths(g.rows).max())
    equal = 0.0 if distances else EQUAL[torch.float64] * scale
    found = []
    for rows in (q.raw if distances else q.rows).double().split(block):
        if distances:
            scores = -torch.cdist(rows, gallery, compute_mode="donot_use_mm_for_euclid_dist")
        else:
            scores = rows @ gallery.T
        smallest = _largest(scores, k)[0].amin(1, keepdim=True)
        farther = torch.where(scores >= smallest - equal, early, 0)
        rank = torch.where(scores > smallest + equal, early + len(gallery), farther)
        indices = rank.topk(k, dim=1).indices
        found.append(_ordered(scores.gather(1, indices), indices))
    return torch.cat([one[0] for one in found]), torch.cat([one[1] for one in found])


def _ordered(values: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Columns of each row by falling value, equals by rising index."""
    indices, order = indices.sort(dim=1)
    values, order = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, indices.gather(1, order)
