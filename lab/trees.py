"""Trees: their distances, two embeddings that need no optimisation, and how well an embedding keeps a tree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lab.hyperbolic import from_lorentz


def tree_distances(parent: Any) -> Tensor:
    """Number of edges between any two nodes of a tree.

    Args:
        parent: (N,) integers, the row of each node's parent, parents before children; -1 at the root, row 0.

    Returns:
        (N, N) float64, symmetric, 0 on the diagonal.

    Raises:
        ValueError: not a tree in this order.

    Cost: O(N^2).

    Example:
        >>> tree_distances([-1, 0, 0, 1]).int().tolist()
        [[0, 1, 1, 2], [1, 0, 2, 1], [1, 2, 0, 3], [2, 1, 3, 0]]
    """
    parents = check_tree(parent)
    far = torch.zeros(len(parents), len(parents), dtype=torch.float64)
    for node, up in enumerate(parents[1:], 1):
        far[node, :node] = far[up, :node] + 1
        far[:node, node] = far[node, :node]
    return far


def tree_depths(parent: Any) -> Tensor:
    """Number of edges from the root to each node: (N,) int64. Args and Raises as ``tree_distances``.

    >>> tree_depths([-1, 0, 0, 1]).tolist()
    [0, 1, 1, 2]
    """
    depths = [0]
    for up in check_tree(parent)[1:]:
        depths.append(depths[up] + 1)
    return torch.tensor(depths)


def ancestor_links(parent: Any) -> Tensor:
    """Which node is an ancestor of which: (N, N) bool, row i marks all ancestors of node i, itself not among them.

    Args, Raises: as ``tree_distances``. Cost: O(N^2). Relations: the transitive closure of "is a child of".

    >>> ancestor_links([-1, 0, 0, 1]).int().tolist()
    [[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0]]
    """
    parents = check_tree(parent)
    links = torch.zeros(len(parents), len(parents), dtype=torch.bool)
    for node, up in enumerate(parents[1:], 1):
        links[node] = links[up]
        links[node, up] = True
    return links


def tree_in_plane(parent: Any, *, edge: float, turn: float = 0.0) -> Tensor:
    """A tree in the hyperbolic plane, node by node, without optimisation.

    Every node is put at distance ``edge`` from its parent, and the edges at a node point in evenly spread directions.
    Since the plane widens exponentially, branches that part once never meet again if edges are long.

    Formula: the frame of a child is that of its parent, turned, then moved forward: G' = G R(angle) T(edge) with
    R = diag(exp(i angle / 2), exp(-i angle / 2)) and T = [[cosh, sinh], [sinh, cosh]](edge / 2). A frame
    [[a, b], [conj b, conj a]] stands for the point at distance 2 arsinh |b| in the direction arg a + arg b.

    Args:
        parent: (N,) integers, parents before children, -1 at the root, row 0.
        edge: hyperbolic length of an edge, above 0. Longer edges keep the tree better, as far as float64 can tell the
            directions apart: depth times edge up to about 35.
        turn: angle of the first edge at the root, in radians; the order of the children is that of the rows.

    Returns:
        (N, 2) float64 tangent coordinates, the root at the origin; every edge has the length ``edge`` exactly.

    Raises:
        ValueError: not a tree in this order, edge not above 0, a tree too deep for the edge (points beyond 350).

    Cost: O(N).

    Source: representation-tradeoffs-hyperbolic-embeddings (De Sa and others 2018), after Sarkar 2011. They reflect
    points of the ball; moving frames give the same points, and no digits are lost at the boundary.

    Example:
        >>> tree_in_plane([-1, 0, 0], edge=2.0).round(decimals=9).abs().tolist()
        [[0.0, 0.0], [2.0, 0.0], [2.0, 0.0]]
    """
    parents = check_tree(parent)
    if isinstance(edge, bool) or not isinstance(edge, int | float) or not math.isfinite(edge) or edge <= 0:
        raise ValueError(f"edge must be a finite number above 0, got {edge!r}")
    deepest = int(tree_depths(parents).max())
    if deepest * edge > 350:
        raise ValueError(f"edge must be at most {350 / deepest:.3g} for a tree of depth {deepest}, got {edge}")
    children: list[list[int]] = [[] for _ in parents]
    for node, up in enumerate(parents[1:], 1):
        children[up].append(node)
    ahead, aside = math.cosh(edge / 2), math.sinh(edge / 2)
    half = complex(math.cos(turn / 2), math.sin(turn / 2))
    frames = [(half, 0j)] * len(parents)
    for node, below in enumerate(children):
        a, b = frames[node]
        directions = len(below) + (node > 0)
        for i, child in enumerate(below):
            # the edge to the parent points backwards, at an angle of pi
            angle = 2 * math.pi * i / directions if node == 0 else math.pi + 2 * math.pi * (i + 1) / directions
            turned = complex(math.cos(angle / 2), math.sin(angle / 2))
            p, q = a * turned, b * turned.conjugate()
            frames[child] = (p * ahead + q * aside, p * aside + q * ahead)
    first, second = (torch.tensor([frame[k] for frame in frames], dtype=torch.complex128) for k in (0, 1))
    radius, direction = 2 * torch.asinh(second.abs()), first.angle() + second.angle()
    return torch.stack([radius * direction.cos(), radius * direction.sin()], -1)


def hyperbolic_mds(distances: Any, dim: int) -> Tensor:
    """Hyperbolic multidimensional scaling: points from their distances, by one eigendecomposition (h-MDS).

    Formula: -cosh(D_ij) is the Lorentz product of points i and j. Its eigenvectors for the ``dim`` largest eigenvalues,
    times their roots, are the space coordinates; the time coordinates follow from t^2 = 1 + |s|^2.

    Args:
        distances: (N, N), symmetric, not negative, 0 on the diagonal, at most 300.
        dim: dimensions, 1 .. N - 1.

    Returns:
        (N, dim) float64 tangent coordinates, up to an isometry; exact where the distances are those of points in
        ``dim`` dimensions.

    Raises:
        ValueError: no such matrix, dim out of range.

    Cost: O(N^3).

    Source: representation-tradeoffs-hyperbolic-embeddings (De Sa and others 2018). The eigenvectors are taken of the
    Lorentz products themselves, so the centre is the one they imply, and no search for a centre comes first.

    Relations: flat space would have the squared distances, doubly centred, in place of -cosh.

    Example:
        >>> line = torch.tensor([[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]])
        >>> x = hyperbolic_mds(line, 1)
        >>> (x - x.T).abs().float().tolist() == line.tolist()
        True
    """
    far = torch.as_tensor(distances).double()
    if far.ndim != 2 or far.shape[0] != far.shape[1] or len(far) < 2 or not bool(torch.isfinite(far).all()):
        raise ValueError(f"distances must be a finite square matrix of at least two rows, got shape {tuple(far.shape)}")
    if bool((far < 0).any()) or bool(far.diagonal().any()) or not torch.allclose(far, far.T) or float(far.max()) > 300:
        raise ValueError("distances must be symmetric, in 0 .. 300, with a diagonal of 0")
    if isinstance(dim, bool) or not isinstance(dim, int) or not 1 <= dim < len(far):
        raise ValueError(f"dim must lie in 1 .. {len(far) - 1}, got {dim!r}")
    values, vectors = torch.linalg.eigh(-far.cosh())
    space = vectors[:, -dim:] * values[-dim:].clamp(min=0).sqrt()
    time = (1 + space.square().sum(1, keepdim=True)).sqrt()
    return from_lorentz(torch.cat([time, space], 1))


def link_precision(distances: Any, linked: Any, *, ignore: Any = None) -> Tensor:
    """Average precision with which each node finds its linked nodes by distance.

    Formula: AP_i = (1 / n_i) sum over linked j of (linked nodes as near as j) / (nodes as near as j), the node itself
    and ignored ones not counted. Its mean over nodes is the MAP of a graph embedding.

    Args:
        distances: (N, N), smaller is nearer; row i belongs to node i.
        linked: (N, N) bool, the links that row i should find; the diagonal is left out.
        ignore: (N, N) bool or None, nodes that row i neither should find nor is blamed for finding.

    Returns:
        (nodes with a link,) float64 in 0 .. 1, in the order of the rows. A random order gives about n_i / N for few
        links. Nodes equally near count as nearer, so a collapsed embedding earns no more than that.

    Raises:
        ValueError: shapes differ, NaN, no link at all.

    Cost: O(N^2 log N).

    Source: poincar-embeddings-learning-hierarchical ranks each link among non-links and averages; representation-
    tradeoffs-hyperbolic-embeddings gives this formula for graphs. They are the same quantity.

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [3.0]])
        >>> links = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]]).bool()
        >>> link_precision((line - line.T).abs(), links).tolist()
        [1.0, 1.0, 1.0]
    """
    far = torch.as_tensor(distances).double().clone()
    wanted = torch.as_tensor(linked).bool().clone()
    if far.ndim != 2 or far.shape[0] != far.shape[1] or wanted.shape != far.shape:
        raise ValueError(
            f"distances and linked must be square and alike, got {tuple(far.shape)} and {tuple(wanted.shape)}"
        )
    if bool(far.isnan().any()):
        raise ValueError("distances holds NaN")
    far.fill_diagonal_(torch.inf)
    wanted.fill_diagonal_(False)
    if ignore is not None:
        skip = torch.as_tensor(ignore).bool()
        if skip.shape != far.shape:
            raise ValueError(f"ignore must have shape {tuple(far.shape)}, got {tuple(skip.shape)}")
        far = far.masked_fill(skip & ~wanted, torch.inf)
    rows = wanted.any(1).nonzero()[:, 0]
    if not len(rows):
        raise ValueError("linked must hold at least one link off the diagonal, got none")
    found = []
    for part in rows.split(512):
        count = wanted[part].sum(1, keepdim=True)
        hits = far[part].masked_fill(~wanted[part], torch.inf).topk(int(count.max()), dim=1, largest=False).values
        real = torch.arange(hits.shape[1]) < count
        # a group of equal distances counts from its last place on
        everything = torch.searchsorted(far[part].sort(dim=1).values, hits, right=True)
        own = torch.searchsorted(hits, hits, right=True).minimum(count)
        found.append(torch.where(real, own / everything.double(), 0.0).sum(1) / count[:, 0])
    return torch.cat(found)


def distortion(distances: Any, true: Any) -> tuple[float, float]:
    """How far embedded distances are from being the true ones times a constant: mean and worst.

    Formula: with the ratios q_ij = embedded / true over pairs i < j, the mean of |q_ij / c - 1| for the constant c that
    is their median, and the worst max q / min q.

    Args:
        distances: (N, N) of the embedding, N >= 2, not negative.
        true: (N, N), above 0 off the diagonal.

    Returns:
        (mean, worst): mean >= 0, worst >= 1 (infinite where two nodes coincide). 0 and 1 for a perfect embedding.

    Raises:
        ValueError: shapes differ, true distances not above 0, all embedded ones 0.

    Cost: O(N^2).

    Source: representation-tradeoffs-hyperbolic-embeddings; scaled by the median, as lengths of edges are free.

    Example:
        >>> true = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
        >>> distortion(3 * true, true)
        (0.0, 1.0)
    """
    far, wanted = torch.as_tensor(distances).double(), torch.as_tensor(true).double()
    if far.shape != wanted.shape or far.ndim != 2 or far.shape[0] != far.shape[1] or len(far) < 2:
        raise ValueError(f"distances and true must be square and alike, got {tuple(far.shape)}, {tuple(wanted.shape)}")
    i, j = torch.triu_indices(len(far), len(far), 1)
    if not bool((wanted[i, j] > 0).all()):
        raise ValueError("true must be above 0 off the diagonal")
    ratio = far[i, j] / wanted[i, j]
    middle = float(ratio.median())
    if not (math.isfinite(middle) and middle > 0):
        raise ValueError("distances must be finite and mostly above 0")
    least = float(ratio.min())
    return float((ratio / middle - 1).abs().mean()), float(ratio.max()) / least if least > 0 else math.inf


def check_tree(parent: Any) -> Sequence[int]:
    """The parents as a list, if row 0 is the root (-1) and every other parent comes before its child.

    >>> check_tree(torch.tensor([-1, 0]))
    [-1, 0]
    """
    rows = np.asarray(parent.cpu() if isinstance(parent, Tensor) else parent)
    if rows.ndim != 1 or not len(rows) or not np.issubdtype(rows.dtype, np.integer):
        raise ValueError(f"parent must be a row of integers, got shape {rows.shape} of {rows.dtype}")
    if rows[0] != -1 or (rows[1:] < 0).any() or (rows[1:] >= np.arange(1, len(rows))).any():
        raise ValueError("parent must be -1 in row 0 and name an earlier row in every other")
    found: list[int] = rows.tolist()
    return found
