"""InfoNCE and its closest kin: one positive an anchor, everything else in the batch a negative.

Conventions of the whole file: rows are normalised inside, so a logit is cosine / temperature; the temperature is a
divisor and nothing else scales the loss; the mean is taken over anchors; leading dimensions are kept, so a stack of S
batches (S, N, d) gives S losses.

Two arguments that all of them share change how the value is computed, never what it is:

- ``block``: large matrices of logits are not held but computed by blocks of rows, and again in backward. None decides
  by size, 0 holds the matrix, a number sets the rows a block.
- ``part``: a slice of rows that act as anchors in this call, while every row stays a candidate; None for all. The mean
  over equal parts is the whole loss, so several processes can share the anchors of one batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.geometry import check_same_shape
from lab.losses.blockwise import compare, rows_a_block
from lab.losses.similarity import check_columns, divisor, product, unit_rows
from lab.losses.stable import softplus

# Up to this many pairs one matrix of twice the size is faster than three matrices of this size.
_TOGETHER = 192


def anchor_rows(rows: int, part: slice | None) -> slice:
    """The slice of rows that act as anchors, with its bounds, checked.

    >>> anchor_rows(10, None), anchor_rows(10, slice(4, None))
    (slice(0, 10, None), slice(4, 10, None))
    """
    if part is None:
        return slice(0, rows)
    if not isinstance(part, slice):
        raise TypeError(f"part must be a slice of rows, got {type(part).__name__}")
    start, stop, step = part.indices(rows)
    if step != 1 or stop <= start or (part.stop is not None and part.stop > rows):
        raise ValueError(f"part must select neighbouring rows among the {rows} of the batch, got {part}")
    return slice(start, stop)


def info_nce(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    temperature: float | Tensor,
    block: int | None = None,
    part: slice | None = None,
) -> Tensor:
    """InfoNCE, one way: find each anchor's positive among the candidates.

    Formula: mean_i [ log sum_j exp(s_ij / tau) - s_ii / tau ], s_ij = cos(anchor_i, candidate_j). Without ``negatives``
    the candidates are all positives of the batch (j = i among them); with them, candidate i's own positive and all rows
    of ``negatives``.

    Args:
        anchors: (..., N, d).
        positives: (..., N, d); row i belongs to anchor i.
        negatives: (..., M, d) or None; shared by all anchors.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        block, part: see the top of the file.

    Returns:
        Loss of the leading shape (a scalar for 2-d input), in 0 .. log(candidates) + 2 / tau. All rows equal:
        log(candidates) at any temperature. Lower is better.

    Raises:
        ValueError: shapes differ, a zero or non-finite row, fewer than two candidates, temperature not above 0.

    Cost: O(N^2 d) time; O(N^2) memory up to N of about 1,400, O(N d) beyond.

    Source: cpc (van den Oord et al. 2018), with the positive in the denominator.

    Relations: ``symmetric_info_nce`` adds the other direction (CLIP); ``nt_xent`` also takes the anchors' own view as
    negatives (SimCLR); ``decoupled`` leaves the positive out of the denominator.

    Data: pairs

    Example:
        >>> round(info_nce(torch.ones(4, 3), torch.ones(4, 3), temperature=0.1).item(), 4)
        1.3863
    """
    check_same_shape(anchors, positives, ("anchors", "positives"))
    a = unit_rows(anchors, "anchors", min_rows=2 if negatives is None else 1)
    p = unit_rows(positives, "positives")
    own = anchor_rows(a.shape[-2], part)
    if negatives is None:
        a = a[..., own, :]
        if not block and rows_a_block(a.shape[-2], p.shape[-2], a.shape[:-2].numel()) is None:
            # With one direction alone the fused cross-entropy is the fastest form.
            logits = product(a / divisor(temperature), p)
            targets = torch.arange(own.start, own.stop, device=a.device).expand(a.shape[:-1]).flatten()
            return F.cross_entropy(logits.flatten(0, -2), targets, reduction="none").view(a.shape[:-1]).mean(-1)
        compared = compare(a, p, temperature, offset=own.start, block=block)
        return (compared.rows - compared.diagonal).mean(-1)
    n = unit_rows(negatives, "negatives")
    check_columns(a, n, ("anchors", "negatives"))
    a, p = a[..., own, :], p[..., own, :]
    positive = (a * p).sum(-1) / divisor(temperature, 1)
    others = compare(a, n, temperature, diagonal=False, block=block).rows
    return softplus(others - positive).mean(-1)


def symmetric_info_nce(
    x: Tensor, y: Tensor, *, temperature: float | Tensor, block: int | None = None, part: slice | None = None
) -> Tensor:
    """InfoNCE in both directions, averaged: the loss of CLIP at a fixed temperature.

    Formula: (info_nce(x, y) + info_nce(y, x)) / 2 over one matrix of logits.

    Args:
        x, y: (..., N, d), N >= 2; row i of one belongs to row i of the other.
        temperature: tau > 0, a divisor.
        block, part: see the top of the file.

    Returns:
        Loss of the leading shape, in 0 .. log N + 2 / tau; log N when all rows are equal. Lower is better.

    Raises: as ``info_nce``. Cost: as ``info_nce``.

    Source: clip (Radford et al. 2021).

    Data: pairs, two modalities

    Example:
        >>> round(symmetric_info_nce(torch.ones(4, 3), torch.ones(4, 3), temperature=0.1).item(), 4)
        1.3863
    """
    check_same_shape(x, y, ("x", "y"))
    x, y = unit_rows(x, "x", min_rows=2), unit_rows(y, "y")
    if part is None:
        both = compare(x, y, temperature, columns=True, block=block)
        return ((both.rows + both.columns) / 2 - both.diagonal).mean(-1)
    own = anchor_rows(x.shape[-2], part)
    forth = compare(x[..., own, :], y, temperature, offset=own.start, block=block)
    back = compare(y[..., own, :], x, temperature, offset=own.start, block=block)
    return ((forth.rows + back.rows) / 2 - forth.diagonal).mean(-1)


def two_view_sums(
    view1: Tensor, view2: Tensor, temperature: float | Tensor, block: int | None = None, part: slice | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Log-sum-exp over the 2N - 2 negatives of each anchor, and the positives.

    Returns ``(first, second, positive)``, each (..., anchors): the sums for the anchors of view 1 and of view 2 over
    both views without the row itself and its other view, and the logit of the pair.
    """
    check_same_shape(view1, view2, ("view1", "view2"))
    a, b = unit_rows(view1, "view1", min_rows=2), unit_rows(view2, "view2")
    n = a.shape[-2]
    if part is None and block is None and n <= _TOGETHER:
        # Row i of either half meets its other view on the diagonal, and itself half a matrix away from it.
        sums = compare(torch.cat([a, b], -2), torch.cat([b, a], -2), temperature, skip=(0, n, -n))
        return sums.rows[..., :n], sums.rows[..., n:], sums.diagonal[..., :n]
    own = anchor_rows(n, part)
    options = {"skip": (own.start,), "offset": own.start, "block": block}
    anchors1, anchors2 = a[..., own, :], b[..., own, :]
    cross = compare(anchors1, b, temperature, columns=part is None, **options)
    back = cross.columns if part is None else compare(anchors2, a, temperature, diagonal=False, **options).rows
    own1 = compare(anchors1, a, temperature, diagonal=False, **options).rows
    own2 = compare(anchors2, b, temperature, diagonal=False, **options).rows
    return torch.logaddexp(cross.rows, own1), torch.logaddexp(back, own2), cross.diagonal


def nt_xent(
    view1: Tensor,
    view2: Tensor,
    *,
    temperature: float | Tensor,
    margin: float = 0.0,
    block: int | None = None,
    part: slice | None = None,
) -> Tensor:
    """NT-Xent, the loss of SimCLR: each of the 2N rows finds its other view among the 2N - 1 remaining rows.

    Formula: mean over the 2N rows of log[ exp((s+ - m) / tau) + sum over the 2N - 2 others of exp(s / tau) ]
    - (s+ - m) / tau. With m > 0 it is NT-Xent-AM: the positive's cosine alone is lowered by the margin.

    Args:
        view1, view2: (..., N, d), N >= 2; row i of one is the other view of row i.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        margin: m, a cosine, 0 .. 2; 0 is the plain loss.
        block, part: see the top of the file.

    Returns:
        Loss of the leading shape, >= 0; log(2N - 1) when all rows are equal and m = 0, at any temperature;
        log(1 + 2(N - 1) exp(-N / ((N - 1) tau))) for aligned pairs on a simplex. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, temperature not above 0, margin
            outside 0 .. 2.

    Cost: as ``info_nce``, with four matrices of N x N in place of one, of which three are computed.

    Source: SimCLR (Chen et al. 2020); margin: additive-margin-contrastive-self, symmetric form over both views.

    Relations: ``info_nce`` (one way, no negatives from the anchors' own view), ``decoupled`` (positive left out of the
    denominator).

    Data: pairs

    Example:
        >>> round(nt_xent(torch.ones(4, 3), torch.ones(4, 3), temperature=0.5).item(), 4)
        1.9459
    """
    if not 0 <= margin <= 2:
        raise ValueError(f"margin must lie in 0 .. 2 (it is a cosine), got {margin}")
    first, second, positive = two_view_sums(view1, view2, temperature, block, part)
    if margin:
        positive = positive - margin / divisor(temperature, 1)
    terms = softplus(first - positive) + softplus(second - positive)
    return terms.mean(-1) / 2
