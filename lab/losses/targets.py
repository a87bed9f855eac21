"""Ordered targets: their checks, the distances between them, and which pairs of items a loss over them may use.

Targets are real numbers (N,) or real vectors (N, K), one an item. They carry no gradient and are compared in float64,
so that what is equal in the data stays equal. The distance between targets is the sum of absolute differences.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.selection import Pairs, select
from lab.losses.similarity import check_columns, full_rows


class Ordered(NamedTuple):
    """Checked anchors and candidates of a loss over ordered targets.

    Attributes:
        anchors, candidates: rows (..., N, d) and (..., M, d), in at least float32.
        own, other: their targets (..., N, K) and (..., M, K), float64.
        usable: booleans (..., N, M): the pairs that may be compared; never an item with itself.
    """

    anchors: Tensor
    candidates: Tensor
    own: Tensor
    other: Tensor
    usable: Tensor

    def distances(self) -> Tensor:
        """Distances of targets (..., N, M): the sum of absolute differences."""
        return torch.cdist(self.own, self.other, p=1.0)


def check_targets(targets: Any, rows: torch.Size | tuple[int, ...], name: str = "targets") -> Tensor:
    """Targets as float64 (..., N, K), else a ``ValueError`` that names them.

    Args:
        targets: floating (N,) or (N, K), shared by a stack; or with the leading shape of the rows in front.
        rows: shape of the rows without the last axis, (..., N). A tensor of just this shape is read as one number a
            row.
        name: what the caller calls them.

    Returns:
        (..., N, K) float64, without gradient.

    Raises:
        TypeError: not a tensor. ValueError: not floating, another length, NaN or infinity.

    Example:
        >>> check_targets(torch.tensor([1.0, 2.0]), (2,)).tolist()
        [[1.0], [2.0]]
    """
    if not isinstance(targets, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(targets).__name__}")
    if not targets.is_floating_point():
        raise ValueError(f"{name} must have a floating dtype, got {targets.dtype}; convert them with .float()")
    rows = tuple(rows)
    shape = tuple(targets.shape)
    if shape in (rows, rows[-1:]):
        columns = targets[..., None]
    elif len(shape) >= 2 and shape[-1] > 0 and shape[:-1] in (rows, rows[-1:]):
        columns = targets
    else:
        raise ValueError(f"{name} must have shape ({rows[-1]},) or ({rows[-1]}, K), got {shape}")
    columns = columns.detach().double()
    if fails(torch.isfinite(columns)):
        raise ValueError(f"{name} hold NaN or infinity")
    return columns


def order(
    embeddings: Tensor,
    targets: Tensor,
    *,
    reference: Tensor | None = None,
    reference_targets: Tensor | None = None,
    mask: Tensor | None = None,
) -> Ordered:
    """Everything a loss over ordered targets begins with, checked.

    Args:
        embeddings: (..., N, d), the anchors; N >= 2 where they are the candidates too.
        targets: (N,) or (N, K), or the same with the leading shape in front.
        reference: (..., M, d), the candidates; None for the anchors themselves, each but itself.
        reference_targets: targets of the candidates of ``reference``.
        mask: booleans (..., N, M), the pairs that may be used; None for all.

    Returns:
        `Ordered`.

    Raises:
        ValueError: rows or targets that do not fit, one of ``reference`` and ``reference_targets`` without the other, a
            mask that removes everything.

    Example:
        >>> order(torch.eye(3), torch.tensor([1.0, 2.0, 4.0])).distances().tolist()
        [[0.0, 1.0, 3.0], [1.0, 0.0, 2.0], [3.0, 2.0, 0.0]]
    """
    anchors = full_rows(embeddings, "embeddings", min_rows=2 if reference is None else 1)
    own = check_targets(targets, anchors.shape[:-1]).to(anchors.device)
    if reference is None:
        if reference_targets is not None:
            raise ValueError("reference_targets were given without a reference")
        candidates, other = anchors, own
    else:
        if reference_targets is None:
            raise ValueError("reference_targets are missing: the candidates of reference need targets too")
        candidates = full_rows(reference, "reference")
        check_columns(anchors, candidates, ("embeddings", "reference"))
        other = check_targets(reference_targets, candidates.shape[:-1], "reference_targets").to(anchors.device)
        if own.shape[-1] != other.shape[-1]:
            raise ValueError(
                f"targets and reference_targets must have as many columns, got {own.shape[-1]} and {other.shape[-1]}"
            )
    n, m = anchors.shape[-2], candidates.shape[-2]
    usable = torch.ones(n, m, dtype=torch.bool, device=anchors.device)
    if reference is None:
        usable.fill_diagonal_(False)
    pairs = Pairs(positive=usable, negative=torch.zeros_like(usable))
    pairs = select(pairs, n, columns=m, mask=mask, device=anchors.device, needs_negatives=False)
    return Ordered(anchors, candidates, own, other, pairs.positive)
