"""Who is compared with whom: positives, negatives, masks and the mean over anchors, for every loss that has labels.

One mechanism serves labels, several labels an item, a queue, another modality and hand-made pairs: a `Pairs` of two
boolean matrices. A loss calls `select` on what it was given, computes one term an anchor, and hands the terms to
`over_anchors`, which decides about anchors without positives and counts them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from lab.geometry import fails

WithoutPositives = Literal["drop", "zero", "error"]


class Selected(NamedTuple):
    """A loss over selected anchors, and how many anchors it leaves out.

    Attributes:
        loss: the value, of the leading shape; call ``.backward()`` on it.
        dropped: integer tensor: anchors of the batch that have no positive and did not count.
    """

    loss: Tensor
    dropped: Tensor


@dataclass(frozen=True)
class Pairs:
    """Which candidates are an anchor's positives, and which its negatives.

    Attributes:
        positive, negative: boolean tensors (..., N, M), row = anchor, column = candidate. An entry may be in neither
            (the anchor itself, a pair left out), never in both.

    Example:
        >>> pairs = Pairs(positive=torch.eye(2, dtype=torch.bool), negative=~torch.eye(2, dtype=torch.bool))
        >>> pairs.keep(torch.tensor([[True, False], [True, True]])).negative.tolist()
        [[False, False], [True, False]]
    """

    positive: Tensor
    negative: Tensor

    def __post_init__(self) -> None:
        for name in ("positive", "negative"):
            _check_mask(getattr(self, name), name)
        if self.positive.shape != self.negative.shape:
            raise ValueError(
                "positive and negative must have the same shape, got "
                f"{tuple(self.positive.shape)} and {tuple(self.negative.shape)}"
            )
        if fails(~(self.positive & self.negative)):
            raise ValueError("positive and negative overlap: a pair cannot be both")

    def keep(self, mask: Tensor) -> Pairs:
        """The same pairs without those where ``mask`` (..., N, M) is False."""
        _check_mask(mask, "mask")
        if mask.shape[-2:] != self.positive.shape[-2:]:
            raise ValueError(f"mask must have shape {tuple(self.positive.shape)}, got {tuple(mask.shape)}")
        return Pairs(self.positive & mask, self.negative & mask)


def by_label(labels: Tensor, reference_labels: Tensor | None = None) -> Pairs:
    """Pairs from labels: positives carry the anchor's label, negatives another.

    Args:
        labels: integers (..., N), one label an anchor; or booleans (..., N, L), the set of labels of each anchor: then
            items that share one are positives and items that share none are negatives.
        reference_labels: the same for the candidates; None when the candidates are the anchors themselves, and then
            nobody is his own positive.

    Returns:
        `Pairs` of shape (..., N, M).

    Raises:
        ValueError: a dtype that is neither, or two different kinds.

    Cost: O(N M), or O(N M L) for sets of labels.

    Example:
        >>> by_label(torch.tensor([0, 0, 1])).positive.long().tolist()
        [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    """
    own = reference_labels is None
    other = labels if reference_labels is None else reference_labels
    several = labels.dtype == torch.bool
    if several != (other.dtype == torch.bool):
        raise ValueError("labels and reference_labels must be of one kind, both integers or both booleans")
    same = (labels.float() @ other.float().mT) > 0 if several else labels[..., :, None] == other[..., None, :]
    if not own:
        return Pairs(same, ~same)
    itself = torch.eye(same.shape[-1], dtype=torch.bool, device=same.device)
    return Pairs(same & ~itself, ~same & ~itself)


def by_index(rows: int, columns: int | None = None, *, device: torch.device | None = None) -> Pairs:
    """Pairs by position: candidate i is the positive of anchor i, every other candidate a negative.

    >>> by_index(2, 3).negative.long().tolist()
    [[0, 1, 1], [1, 0, 1]]
    """
    columns = rows if columns is None else columns
    if columns < rows:
        raise ValueError(f"there are {rows} anchors and only {columns} candidates")
    positive = torch.eye(rows, columns, dtype=torch.bool, device=device)
    return Pairs(positive, ~positive)


def select(
    labels: Any,
    rows: int,
    *,
    reference_labels: Any = None,
    columns: int | None = None,
    mask: Tensor | None = None,
    device: torch.device | None = None,
    needs_negatives: bool = True,
) -> Pairs:
    """The pairs a loss works on, from whatever its caller gave, checked.

    Args:
        labels: integers (..., N), booleans (..., N, L), or a `Pairs` of shape (..., N, M).
        rows: N, the number of anchors.
        reference_labels: labels of the candidates, where they are not the anchors themselves.
        columns: M, the number of candidates; None where the candidates are the anchors.
        mask: booleans (..., N, M): pairs that may be used; None for all.
        device: where the rows are; labels are moved there.
        needs_negatives: whether the loss means nothing without negatives.

    Returns:
        `Pairs` of shape (..., N, M), with at least one positive (and one negative).

    Raises:
        ValueError: labels of the wrong kind or length, reference_labels missing, one class, all labels different, a
            mask that removes every positive or every negative.

    Example:
        >>> select(torch.tensor([0, 1, 0]), 3).positive.sum().item()
        2
    """
    if isinstance(labels, Pairs):
        wanted = (rows, rows if columns is None else columns)
        if labels.positive.shape[-2:] != wanted:
            raise ValueError(f"labels must select pairs of shape {wanted}, got {tuple(labels.positive.shape)}")
        pairs = labels
    else:
        own = check_pair_labels(labels, rows, "labels").to(device)
        if columns is None:
            if reference_labels is not None:
                raise ValueError("reference_labels were given without a reference")
            pairs = by_label(own)
        else:
            if reference_labels is None:
                raise ValueError("reference_labels are missing: the candidates of reference need labels too")
            pairs = by_label(own, check_pair_labels(reference_labels, columns, "reference_labels").to(device))
        if fails(pairs.positive.any()):
            raise ValueError("labels leave no positive pair: no two items share a label")
        if needs_negatives and fails(pairs.negative.any()):
            raise ValueError("labels hold one class: there is no negative pair")
    if mask is not None:
        pairs = pairs.keep(mask.to(device) if isinstance(mask, Tensor) else mask)
    name = "labels" if mask is None else "mask"
    if fails(pairs.positive.any()):
        raise ValueError(f"{name} leaves no positive pair")
    if needs_negatives and fails(pairs.negative.any()):
        raise ValueError(f"{name} leaves no negative pair")
    return pairs


def check_pair_labels(labels: Any, rows: int, name: str = "labels") -> Tensor:
    """Labels as integers (..., rows) or booleans (..., rows, L), else a ``ValueError`` that names them.

    >>> check_pair_labels([0, 1, 1], 3).tolist()
    [0, 1, 1]
    """
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must be a tensor of integers, got {type(labels).__name__}") from error
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"{name} must hold integers (or booleans, one column a label), got {labels.dtype}")
    several = labels.dtype == torch.bool
    axis = -2 if several else -1
    if labels.ndim < -axis or labels.shape[axis] != rows:
        expected = f"(..., {rows}, L)" if several else f"(..., {rows})"
        raise ValueError(f"{name} must have shape {expected}, got {tuple(labels.shape)}")
    return labels if several else labels.long()


def over_anchors(terms: Tensor, counts: Tensor, without_positives: WithoutPositives = "drop") -> Selected:
    """The mean of one term an anchor, over the anchors that count.

    Args:
        terms: (..., N); where an anchor does not count, its term is ignored, whatever its value. (Its gradient is
            multiplied by 0, so it must not be infinite: mask before the logarithm.)
        counts: booleans (..., N): the anchors that have what the loss needs, a positive as a rule.
        without_positives: "drop" averages over the anchors that count; "zero" gives the others the term 0 and averages
            over all; "error" refuses a batch that has such anchors.

    Returns:
        `Selected`: the mean of the leading shape, and how many anchors do not count.

    Raises:
        ValueError: no anchor counts, anchors do not count and ``without_positives`` is "error", or an unknown option.

    Example:
        >>> terms, counts = torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False])
        >>> over_anchors(terms, counts)
        Selected(loss=tensor(2.), dropped=tensor(1))
        >>> round(over_anchors(terms, counts, "zero").loss.item(), 4)
        1.3333
    """
    if without_positives not in ("drop", "zero", "error"):
        raise ValueError(f"without_positives must be drop, zero or error, got {without_positives!r}")
    number = counts.sum(-1)
    dropped = counts.shape[-1] - number
    if without_positives == "error" and fails(dropped == 0):
        raise ValueError(f"{int(dropped.max())} anchor(s) have no positive, and without_positives is error")
    if fails(number > 0):
        raise ValueError("labels or mask leave no anchor with a positive")
    total = torch.where(counts, terms, 0).sum(-1)
    divisor = number if without_positives == "drop" else terms.shape[-1]
    return Selected(total / divisor, dropped)


def _check_mask(mask: Any, name: str) -> None:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"{name} must be a tensor of booleans, got {kind}")
    if mask.ndim < 2:
        raise ValueError(f"{name} must have shape (..., N, M), got {tuple(mask.shape)}")
