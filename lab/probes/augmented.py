"""How close augmentation brings the items of a class."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lab.geometry import as_rows, check_labels


class Concentration(NamedTuple):
    """Distances between items of one class: ``augmented`` with the closest pair of views, ``single`` with one view."""

    augmented: float
    single: float


def augmented_distances(views: Any) -> Tensor:
    """Distance between items when each may choose its view: the smallest over all pairs of views.

    Formula: d_A(i, j) = min over views u of i and v of j of |u - v|.

    Args:
        views: (N, M, D), floating: M views of each of N items, flattened.

    Returns:
        (N, N) float32 or float64, symmetric, 0 on the diagonal, at least 0. With M views drawn at random it is an upper
        estimate of the distance over all views, and falls as M grows.

    Raises:
        ValueError: another shape, NaN or infinity.

    Cost: O(N^2 M^2 D) time, O(N M^2) memory a block of items.

    Source: generalization-contrastive-self-supervised (Huang et al. 2021), the augmented distance.

    Example:
        >>> augmented_distances(torch.tensor([[[0.0], [3.0]], [[4.0], [9.0]]])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    x = views.detach() if isinstance(views, Tensor) else torch.as_tensor(views)
    if x.ndim != 3:
        raise ValueError(f"views must have shape (N, M, D), got {tuple(x.shape)}")
    n, m, _ = x.shape
    rows = as_rows(x.flatten(0, 1), "views")
    squares = rows.square().sum(1)
    blocks = []
    for start in range(0, n * m, 64 * m):
        part = slice(start, start + 64 * m)
        square = squares[part, None] + squares - 2 * rows[part] @ rows.T
        blocks.append(square.view(-1, m, n, m).amin((1, 3)))
    distances = torch.cat(blocks).clamp(min=0).sqrt()
    return ((distances + distances.T) / 2).fill_diagonal_(0)


def concentration(views: Any, labels: Any, *, share: float = 0.5) -> Concentration:
    """The distance within which augmentation brings a share of the pairs of one class, and that of single views.

    Formula: the ``share`` quantile of d_A over pairs i < j of one class (``augmented``), and of the distance between
    the first view of i and the second of j (``single``), which knows no choice of view.

    Args:
        views: (N, M, D), M >= 2 views of each item.
        labels: (N,) classes.
        share: of the pairs, between 0 and 1.

    Returns:
        ``Concentration(augmented, single)``, in the units of the views, augmented at most about single. Lower is more
        concentrated; where all views of an item are equal both are the plain distance.

    Raises:
        ValueError: fewer than two views, labels of another length, no pair of one class, share outside 0 .. 1.

    Cost: as ``augmented_distances``.

    Source: generalization-contrastive-self-supervised asks for a main part of each class, of share sigma, whose points
    all lie within delta of each other; the quantile over pairs is an estimate of delta that needs no search for it.

    Example:
        >>> views = torch.tensor([[[0.0], [3.0]], [[4.0], [9.0]]])
        >>> concentration(views, [0, 0])
        Concentration(augmented=1.0, single=9.0)
    """
    x = views.detach() if isinstance(views, Tensor) else torch.as_tensor(views)
    if x.ndim != 3 or x.shape[1] < 2:
        raise ValueError(f"views must have shape (N, M, D) with M >= 2, got {tuple(x.shape)}")
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}")
    labels = check_labels(labels, len(x)).to(x.device)
    pairs = (labels[:, None] == labels).triu(1)
    if not pairs.any():
        raise ValueError("labels must hold two items of one class")
    single = torch.linalg.vector_norm(x[:, None, 0] - x[None, :, 1], dim=-1)
    return Concentration(*(float(d[pairs].quantile(share)) for d in (augmented_distances(x), single)))
