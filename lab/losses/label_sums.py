"""Sums over an anchor's positives and over all candidates when positives are told by one label, in linear memory.

With one integer label an item the positives of an anchor are its class, so their mean needs class sums instead of an
N x M matrix, and the masks a general selection would hold are compared block by block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lab.geometry import fails, is_seen
from lab.losses.blockwise import compare
from lab.losses.selection import Pairs, check_pair_labels
from lab.losses.similarity import check_columns, divisor, product, unit_rows, without_diagonal

# Up to this many pairs one fused pass over logits and mask that are held is the fastest form.
_FEW = 2**17


class LabelSums(NamedTuple):
    """What a supervised contrastive loss needs of its logits, one number an anchor, (..., N).

    Attributes:
        everyone: log-sum-exp over all candidates but the anchor.
        positives: mean logit of the positives, or their log-sum-exp where asked for; 0 or minus infinity without any.
        number: how many positives the anchor has.
    """

    everyone: Tensor
    positives: Tensor
    number: Tensor


def one_label(labels: Any, mask: Any) -> bool:
    """Whether positives are told by one label an item alone, so that `label_sums` applies."""
    if mask is not None or isinstance(labels, Pairs):
        return False
    return not (isinstance(labels, Tensor) and labels.dtype == torch.bool)


def label_sums(
    embeddings: Tensor,
    labels: Any,
    temperature: float | Tensor,
    *,
    reference: Tensor | None,
    reference_labels: Any,
    inside: bool,
    block: int | None,
) -> LabelSums:
    """Sums over candidates and positives of each anchor.

    Args:
        embeddings, labels, temperature, reference, reference_labels: as in ``sup_con_out``.
        inside: whether the positives are summed inside the logarithm, which costs a second pass over the logits.
        block: as in ``compare``.

    Raises:
        ValueError: as ``sup_con_out``.

    Cost: O(N M d) time; memory as ``compare`` and O(N d).
    """
    x = unit_rows(embeddings, "embeddings", min_rows=2 if reference is None else 1)
    own = check_pair_labels(labels, x.shape[-2]).to(x.device)
    if reference is None:
        if reference_labels is not None:
            raise ValueError("reference_labels were given without a reference")
        y, other = x, own
    else:
        y = unit_rows(reference, "reference")
        check_columns(x, y, ("embeddings", "reference"))
        if reference_labels is None:
            raise ValueError("reference_labels are missing: the candidates of reference need labels too")
        other = check_pair_labels(reference_labels, y.shape[-2], "reference_labels").to(x.device)
    skip = (0,) if reference is None else ()
    divisor(temperature)
    stack = torch.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    for name, given in (("labels", own), ("reference_labels", other)):
        if given.ndim > 1 and given.shape[:-1] != stack:
            raise ValueError(f"{name} must have the leading shape {tuple(stack)} of embeddings, got {given.shape}")
    x, y = x.expand(*stack, *x.shape[-2:]), y.expand(*stack, *y.shape[-2:])
    own, other = own.expand(*stack, -1), other.expand(*stack, -1)
    if block is None and own.shape[-1] * other.shape[-1] <= _FEW and not inside:
        alike = own[..., :, None] == other[..., None, :]
        if skip:
            alike = alike & ~torch.eye(own.shape[-1], dtype=torch.bool, device=x.device)
        number = alike.sum(-1)
        _check(number, other.shape[-1] - len(skip))
        logits = product(x / divisor(temperature), y)
        # The logarithms of the shares have the sum over everyone taken off already.
        shares = torch.log_softmax(without_diagonal(logits) if skip else logits, -1)
        mean = shares.masked_fill(~alike, 0).sum(-1) / number.clamp(min=1)
        return LabelSums(torch.zeros_like(mean), mean, number)
    numbers, classes = _numbered(torch.cat([own, other], -1))
    own_class, other_class = numbers[..., : own.shape[-1]], numbers[..., own.shape[-1] :]
    count = _counts(own_class, other_class, classes) - len(skip)
    _check(count, other.shape[-1] - len(skip))
    everyone = compare(x, y, temperature, skip=skip, diagonal=False, block=block).rows
    if inside:

        def same(part: slice) -> Tensor:
            return own_class[..., part, None] == other_class[..., None, :]

        kept = compare(x, y, temperature, skip=skip, diagonal=False, block=block, keep=same).rows
        return LabelSums(everyone, kept, count)
    mean = _mean_of_positives(x, y, own_class, other_class, classes, count, bool(skip))
    return LabelSums(everyone, mean / divisor(temperature, 1), count)


def _check(number: Tensor, most: int) -> None:
    if fails((number > 0).any()):
        raise ValueError("labels leave no positive pair: no two items share a label")
    if fails(~(number == most).all()):
        raise ValueError("labels hold one class: there is no negative pair")


def _numbered(labels: Tensor) -> tuple[Tensor, int]:
    """Labels (..., N) counted from 0 in their order, and a number of classes that suffices for all of them."""
    ordered, order = labels.sort(-1)
    rises = F.pad((ordered[..., 1:] != ordered[..., :-1]).cumsum(-1), (1, 0))
    numbers = torch.empty_like(labels).scatter_(-1, order, rises)
    return numbers, int(numbers.max()) + 1 if is_seen(numbers) else labels.shape[-1]


def _counts(own: Tensor, other: Tensor, classes: int) -> Tensor:
    sizes = torch.zeros(*other.shape[:-1], classes, dtype=torch.long, device=other.device)
    return sizes.scatter_add_(-1, other, torch.ones_like(other)).gather(-1, own)


def _mean_of_positives(
    x: Tensor, y: Tensor, own: Tensor, other: Tensor, classes: int, count: Tensor, exclude: bool
) -> Tensor:
    """Mean cosine to the positives: <x_i, sum of its class less x_i itself> / count, 0 where there is none.

    The sums are taken in double precision, since a small temperature multiplies their error.
    """
    wide_x, wide_y = x.double(), y.double()
    shape = (*y.shape[:-2], classes, y.shape[-1])
    index = other[..., None].expand(wide_y.shape)
    sums = torch.zeros(shape, dtype=torch.float64, device=y.device).scatter_add(-2, index, wide_y)
    mine = sums.gather(-2, own[..., None].expand(wide_x.shape))
    if exclude:
        mine = mine - wide_y
    return ((wide_x * mine).sum(-1) / count.clamp(min=1)).to(x.dtype)
