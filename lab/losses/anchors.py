"""Anchors against candidates: what every loss with labels computes first, and the means it takes last.

`measured` checks what the caller gave and returns one matrix of similarities or distances with its `Pairs`;
`over_terms` averages sums of several terms an anchor (pairs, triplets) so that every term weighs the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.selection import Pairs, Selected, WithoutPositives, over_anchors, select
from lab.losses.similarity import check_columns, full_rows

Measure = Callable[[Tensor, Tensor], Tensor]


def measured(
    embeddings: Tensor,
    labels: Any,
    measure: Measure,
    *,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    names: tuple[str, str] = ("embeddings", "reference"),
) -> tuple[Tensor, Pairs]:
    """Similarities or distances (..., N, M) from anchors to candidates, and which of them are positive and negative.

    Args:
        embeddings: (..., N, d), the anchors.
        labels, reference_labels, mask: as in ``select``.
        measure: (x, y) -> (..., N, M), such as the functions of ``lab.losses.similarity``.
        reference: (..., M, d), the candidates; None for the anchors themselves.
        names: what the caller calls anchors and candidates, for errors.

    Returns:
        ``(values, pairs)``, both of shape (..., N, M). Half precision has been raised to float32.

    Raises:
        ValueError: as ``select``; rows that are not finite, too few or of another length; leading shapes that do not
            fit; values so large that their squares would overflow.

    Example:
        >>> from lab.losses.similarity import dot
        >>> values, pairs = measured(torch.eye(3), torch.tensor([0, 0, 1]), dot)
        >>> values.shape, int(pairs.positive.sum())
        (torch.Size([3, 3]), 2)
    """
    x = full_rows(embeddings, names[0], min_rows=2 if reference is None else 1)
    y = x if reference is None else full_rows(reference, names[1])
    check_columns(x, y, names)
    columns = None if reference is None else y.shape[-2]
    pairs = select(labels, x.shape[-2], reference_labels=reference_labels, columns=columns, mask=mask, device=x.device)
    try:
        values = measure(x, y)
    except ValueError as error:
        called = {"x": names[0], "y": names[1]}
        first, _, rest = str(error).partition(" ")
        raise ValueError(f"{called.get(first, first)} {rest}") from error
    _check_values(values, x, y, names)
    if pairs.positive.shape == values.shape:
        return values, pairs
    try:
        return values, Pairs(pairs.positive.expand(values.shape), pairs.negative.expand(values.shape))
    except RuntimeError as error:
        got = tuple(pairs.positive.shape)
        raise ValueError(f"labels or mask select pairs of shape {got}, {names[0]} ask for {tuple(values.shape)}") from (
            error
        )


def _check_values(values: Tensor, x: Tensor, y: Tensor, names: tuple[str, str]) -> None:
    shape = (*torch.broadcast_shapes(x.shape[:-2], y.shape[:-2]), x.shape[-2], y.shape[-2])
    if values.shape != shape:
        raise ValueError(f"the distance or similarity must return shape {shape}, got {tuple(values.shape)}")
    limit = torch.finfo(values.dtype).max ** 0.4
    if fails(values.detach().abs() <= limit):
        raise ValueError(f"{names[0]} or {names[1]} have rows too long to compare: values beyond {limit:.0e}")


def log_sum_exp(values: Tensor, keep: Tensor, axis: int = -1) -> Tensor:
    """log of the sum of exp over the kept entries; minus infinity, with gradient 0, where none is kept.

    >>> log_sum_exp(torch.zeros(2, 3), torch.tensor([[True, True, False], [False, False, False]]))
    tensor([0.6931,   -inf])
    """
    return torch.logsumexp(values.masked_fill(~keep, -torch.inf), axis)


def over_terms(sums: Tensor, numbers: Tensor, counts: Tensor, without_positives: WithoutPositives = "drop") -> Selected:
    """The mean over all terms of all anchors that count, where anchors have several terms, or unequally many.

    Args:
        sums: (..., N), the sum of each anchor's terms.
        numbers: integers (..., N), how many terms each anchor has.
        counts, without_positives: as in ``over_anchors``; with "zero" an anchor that does not count weighs as much as
            the others do on average.

    Returns:
        `Selected`; the loss is 0 where no term is left.

    Example:
        >>> sums, numbers = torch.tensor([3.0, 1.0]), torch.tensor([3, 1])
        >>> over_terms(sums, numbers, torch.tensor([True, True])).loss
        tensor(1.)
    """
    anchors, terms = counts.sum(-1), torch.where(counts, numbers, 0).sum(-1)
    weight = anchors.to(sums.dtype) / terms.clamp(min=1).to(sums.dtype)
    return over_anchors(sums * weight[..., None], counts, without_positives)


def check_margin(value: float, name: str = "margin", *, least: float = 0.0) -> float:
    """Return ``value`` if it is finite and at least ``least``, else raise ``ValueError``.

    >>> check_margin(0.2)
    0.2
    """
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{name} must be finite and at least {least:g}, got {value}")
    return value


def check_option(value: str, options: tuple[str, ...], name: str) -> str:
    """Return ``value`` if it is one of ``options``, else raise ``ValueError``.

    >>> check_option("all", ("all", "active"), "average")
    'all'
    """
    if value not in options:
        raise ValueError(f"{name} must be one of {', '.join(options)}, got {value!r}")
    return value
