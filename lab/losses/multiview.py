"""Contrastive losses for more than two views of each sample.

Conventions of the whole file: ``views`` is one tensor (..., V, N, d), or a sequence of V tensors (..., N, d) as several
encoders return them; row i of every view belongs to sample i. Rows are normalised inside, a logit is cosine /
temperature, the mean is taken over samples, and leading dimensions are kept, so a stack (S, V, N, d) gives S losses.
The order of the views never matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lab.geometry import check_same_shape
from lab.losses.similarity import divisor, product, unit_rows, without_diagonal


def unit_views(views: Tensor | Sequence[Tensor], *, min_rows: int = 2) -> Tensor:
    """Checked unit rows of all views as one tensor (..., V, N, d), from either form in which views are given.

    Raises:
        TypeError: neither a tensor nor a sequence of tensors.
        ValueError: fewer than two views or than ``min_rows`` rows, shapes differ, a zero or non-finite row.

    Example:
        >>> unit_views([torch.ones(3, 4), torch.ones(3, 4)]).shape
        torch.Size([2, 3, 4])
    """
    if isinstance(views, Tensor):
        if views.ndim < 3:
            raise ValueError(f"views must have shape (..., V, N, d), got {tuple(views.shape)}")
        stacked = views
    else:
        if not isinstance(views, Sequence) or not all(isinstance(view, Tensor) for view in views):
            raise TypeError(f"views must be a tensor or a sequence of tensors, got {type(views).__name__}")
        for k, view in enumerate(views[1:], start=1):
            check_same_shape(views[0], view, ("views[0]", f"views[{k}]"))
        if views and views[0].ndim < 2:
            raise ValueError(f"views[0] must have shape (..., N, d), got {tuple(views[0].shape)}")
        stacked = torch.stack(list(views), -3) if views else torch.empty(0, 0, 0)
    if stacked.shape[-3] < 2:
        raise ValueError(f"views must hold at least two views, got {stacked.shape[-3]}")
    return unit_rows(stacked, "views", min_rows=min_rows)


def _same_view(count: int, device: torch.device) -> Tensor:
    return torch.eye(count, dtype=torch.bool, device=device)


def _cross_logits(z: Tensor, temperature: float | Tensor) -> Tensor:
    """(..., V, N, V, N): row i of view l against row j of view m."""
    v, n = z.shape[-3:-1]
    rows = z.flatten(-3, -2)
    return (product(rows, rows) / divisor(temperature)).unflatten(-1, (v, n)).unflatten(-3, (v, n))


def _positives(z: Tensor, temperature: float | Tensor) -> Tensor:
    """(..., N, V, V): every view of a sample against its every other view; the diagonal is the row itself."""
    samples = z.transpose(-3, -2)
    return product(samples, samples) / divisor(temperature, 3)


def pairwise_info_nce(views: Tensor | Sequence[Tensor], *, temperature: float | Tensor) -> Tensor:
    """Symmetric InfoNCE averaged over all pairs of views: the usual way of putting many views to use.

    Formula: 2 / (V (V - 1)) sum over l < m of symmetric_info_nce(view_l, view_m).

    Args:
        views: (..., V, N, d) or a sequence of V tensors (..., N, d); V >= 2, N >= 2.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.

    Returns:
        Loss of the leading shape, in 0 .. log N + 2 / tau; log N when all rows are equal. Lower is better.

    Raises:
        ValueError: fewer than two views or rows, shapes differ, a zero or non-finite row, temperature not above 0.
        TypeError: views is neither a tensor nor a sequence of tensors.

    Cost: O(V^2 N^2 d) time, O(V^2 N^2) memory.

    Source: principled-framework-multi-view, there the baseline PWE; its code averages NT-Xent, which also takes
    negatives from the anchor's own view. Symile's baseline, pairwise CLIP, sums the pairs instead of averaging them.

    Relations: equals ``symmetric_info_nce`` for two views. Each sample enters V (V - 1) terms; ``mv_info_nce`` has one
    term a sample.

    Data: several views

    Example:
        >>> round(pairwise_info_nce(torch.ones(3, 4, 2), temperature=0.1).item(), 4)
        1.3863
    """
    z = unit_views(views)
    v = z.shape[-3]
    denominators = torch.logsumexp(_cross_logits(z, temperature), -1).transpose(-3, -2)
    terms = (denominators - _positives(z, temperature)).mean(-3)
    return terms.masked_fill(_same_view(v, z.device), 0).sum((-2, -1)) / (v * (v - 1))


def mv_info_nce(views: Tensor | Sequence[Tensor], *, temperature: float | Tensor, own_view: bool = False) -> Tensor:
    """MV-InfoNCE: all pairs of views inside one logarithm a sample, still coupled by the positives below the line.

    Formula: - mean_i log [ sum over l != m of exp(s(il, im) / tau) / sum over l != m and j of exp(s(il, jm) / tau) ].

    Args:
        views: (..., V, N, d) or a sequence of V tensors (..., N, d); V >= 2, N >= 2.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        own_view: whether the denominator also takes the other rows of the anchor's own view (l = m, j != i).

    Returns:
        Loss of the leading shape, in 0 .. log N + 2 / tau without ``own_view``; log N when all rows are equal, with
        ``own_view`` log((V N - 1) / (V - 1)). Lower is better.

    Raises: as ``pairwise_info_nce``. Cost: O(V^2 N^2 d) time, O(V^2 N^2) memory.

    Source: principled-framework-multi-view. The published formula leaves the anchor's own view out of the denominator
    and is the default; the authors' code puts it in, which is ``own_view=True``.

    Relations: ``pairwise_info_nce`` takes the logarithm before summing over views, so for two views the two are close
    but not equal; ``mv_dhel`` leaves the positives out of the denominator.

    Data: several views

    Example:
        >>> round(mv_info_nce(torch.ones(3, 4, 2), temperature=0.1).item(), 4)
        1.3863
    """
    z = unit_views(views)
    v, n = z.shape[-3:-1]
    same = _same_view(v, z.device)
    logits = _cross_logits(z, temperature)
    if own_view:
        itself = _same_view(v * n, z.device).unflatten(-1, (v, n)).unflatten(0, (v, n))
        logits = logits.masked_fill(itself, -torch.inf)
        rows = torch.logsumexp(logits, -1).transpose(-3, -2)
    else:
        rows = torch.logsumexp(logits, -1).transpose(-3, -2).masked_fill(same, -torch.inf)
    positives = _positives(z, temperature).masked_fill(same, -torch.inf)
    return (torch.logsumexp(rows.flatten(-2), -1) - torch.logsumexp(positives.flatten(-2), -1)).mean(-1)


def mv_dhel_parts(views: Tensor | Sequence[Tensor], *, temperature: float | Tensor) -> tuple[Tensor, Tensor]:
    """The two sides of MV-DHEL: how well the views of a sample agree, and how crowded each view is.

    Formula: agreement = mean_i log sum over l < m of exp(s(il, im) / tau), one number;
    crowding_l = mean_i log sum over j != i of exp(s(il, jl) / tau), one number a view.

    Args:
        views: (..., V, N, d) or a sequence of V tensors (..., N, d); V >= 2, N >= 2.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.

    Returns:
        ``(agreement, crowding)`` of shapes (...) and (..., V). All rows equal: log(V (V - 1) / 2) + 1 / tau and
        log(N - 1) + 1 / tau.

    Raises: as ``pairwise_info_nce``. Cost: O(V N^2 d + V^2 N d) time, O(V N^2 + V^2 N) memory.

    Source: principled-framework-multi-view.

    Relations: ``mv_dhel`` = crowding.sum(-1) - agreement. Whatever the number of views, ``agreement`` pulls with a
    total weight of one while ``crowding`` pushes once a view, so their balance shifts with V.

    Example:
        >>> agreement, crowding = mv_dhel_parts(torch.ones(3, 4, 2), temperature=1.0)
        >>> round(agreement.item(), 4), round(crowding[0].item(), 4)
        (2.0986, 2.0986)
    """
    z = unit_views(views)
    v = z.shape[-3]
    first, second = torch.triu_indices(v, v, 1, device=z.device)
    agreement = torch.logsumexp(_positives(z, temperature)[..., first, second], -1).mean(-1)
    own = without_diagonal(product(z, z) / divisor(temperature, 3))
    return agreement, torch.logsumexp(own, -1).mean(-1)


def mv_dhel(views: Tensor | Sequence[Tensor], *, temperature: float | Tensor) -> Tensor:
    """MV-DHEL: all views aligned in one term a sample, spread out within each view separately (decoupled).

    Formula: - mean_i log [ sum over l < m of exp(s(il, im) / tau) / product over l of sum over j != i of
    exp(s(il, jl) / tau) ].

    Args:
        views: (..., V, N, d) or a sequence of V tensors (..., N, d); V >= 2, N >= 2.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.

    Returns:
        Loss of the leading shape, any sign; V log(N - 1) - log(V (V - 1) / 2) + (V - 1) / tau when all rows are equal.
        Lower is better. Values for different V are not comparable.

    Raises: as ``pairwise_info_nce``. Cost: O(V N^2 d + V^2 N d) time, O(V N^2 + V^2 N) memory: linear in V where the
    coupled losses are quadratic.

    Source: principled-framework-multi-view; pairs l < m and j != i as in the authors' code. Summing over ordered pairs
    would add the constant - log 2.

    Relations: for two views it is DHEL, crowding of view 1 + crowding of view 2 - mean positive cosine / tau;
    ``mv_dhel_parts`` returns the two sides.

    Data: several views

    Example:
        >>> round(mv_dhel(torch.eye(3).expand(2, 3, 3), temperature=1.0).item(), 4)
        0.3863
    """
    agreement, crowding = mv_dhel_parts(views, temperature=temperature)
    return crowding.sum(-1) - agreement
