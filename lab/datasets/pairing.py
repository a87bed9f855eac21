"""Which item gives the second view: the item itself, or another one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def partners(labels: Any, own: float, *, seed: int, within_class: bool = True) -> Tensor:
    """For each item the item that gives its second view; views get independent given the class as ``own`` falls to 0.

    With probability ``own`` it is the item itself. Otherwise it is an item at random, of the same class (then the two
    views share the class and nothing else) or of any class (then they share nothing).

    Args:
        labels: (N,) integer classes.
        own: share of items that keep their own second view, in 0 .. 1.
        seed: of the draws.
        within_class: whether strangers come from the same class.

    Returns:
        (N,) int64 row numbers. The strangers are a permutation, so each second view is used as often as before where
        ``own`` is 0; an item may by chance be its own stranger.

    Raises:
        ValueError: own outside 0 .. 1, labels not one-dimensional or empty.

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> bool((labels[partners(labels, 0.0, seed=0)] == labels).all()), partners(labels, 1.0, seed=0).tolist()
        (True, [0, 1, 2, 3])
    """
    y = torch.as_tensor(labels)
    if y.ndim != 1 or len(y) == 0:
        raise ValueError(f"labels must have shape (N,) with N >= 1, got {tuple(y.shape)}")
    if not 0 <= own <= 1:
        raise ValueError(f"own must lie in 0 .. 1, got {own}")
    generator = torch.Generator().manual_seed(seed)
    stranger = torch.empty(len(y), dtype=torch.long)
    for rows in [(y == c).nonzero()[:, 0] for c in y.unique()] if within_class else [torch.arange(len(y))]:
        stranger[rows] = rows[torch.randperm(len(rows), generator=generator)]
    keeps = torch.rand(len(y), generator=generator) < own
    return torch.where(keeps, torch.arange(len(y)), stranger)
