"""Neural collapse as regularisers: classes shrink to their centre (NC1), centres spread to equal angles (NC2).

Both work on a partition into classes, so labels are one integer an item, the same for a whole stack. They are plain
functions of the whole batch: with several ranks, gather the rows first.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from lab.geometry import fails
from lab.losses.redundancy import zero_diagonal
from lab.losses.selection import check_pair_labels
from lab.losses.similarity import check_columns, full_rows, product, unit_rows
from lab.losses.variance_covariance import refuse_overflow


def class_index(labels: Any, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Which class every item is in, counted from 0 in the order of the labels, and how many items a class has.

    Raises:
        ValueError: labels that are not integers of shape (rows,).

    >>> [x.tolist() for x in class_index([7, 3, 7], 3, torch.device("cpu"))]
    [[1, 0, 1], [1, 2]]
    """
    labels = _one_label_each(labels, rows).to(device)
    _, index, counts = labels.unique(return_inverse=True, return_counts=True)
    return index, counts


def class_means(embeddings: Tensor, labels: Any) -> Tensor:
    """The mean row of every class that occurs.

    Args:
        embeddings: (..., N, d).
        labels: integers (N,), one class an item.

    Returns:
        (..., C, d), in increasing order of the labels; differentiable.

    Raises:
        ValueError: a non-finite row, labels of another dtype or length.

    Cost: O(N d).

    Relations: what ``nc2_loss`` takes; ``nc1_loss`` measures the distance to them.

    Example:
        >>> class_means(torch.tensor([[0.0], [2.0], [5.0]]), [4, 4, 9]).tolist()
        [[1.0], [5.0]]
    """
    x = full_rows(embeddings, "embeddings")
    index, counts = class_index(labels, x.shape[-2], x.device)
    return _means(x, index, counts)


def nc1_loss(embeddings: Tensor, labels: Any, *, centres: Tensor | None = None) -> Tensor:
    """NC1 term: the squared distance of items to the centre of their class, every class with the same weight.

    Formula: (1 / C) sum_c (1 / n_c) sum over i in c of |x_i - m_c|^2.

    Args:
        embeddings: (..., N, d), rows as they are.
        labels: integers (N,), one class an item.
        centres: (..., K, d), learned centres m, row c that of label c, labels in 0 .. K - 1; None for the class means
            of the batch, which take gradient too.

    Returns:
        Loss of the leading shape, >= 0; with means d s^2 (1 - 1 / n) for n rows a class of noise s an entry. Lower is
        more collapsed; a class of one item gives 0 with means. Shrinking everything lowers it too.

    Raises:
        ValueError: a non-finite row, labels of another dtype or length or beyond the centres, rows of different length,
            entries so large that the value overflows.

    Cost: O(N d).

    Source: inducing-neural-collapse-deep (Liu et al. 2023): the authors' code learns the centres and divides by the
    number of all classes, also of those the batch lacks; here C counts the classes that occur. The equal weight of
    classes is what sets it off from the center loss of Wen et al. 2016.

    Relations: ``nc2_loss`` keeps the centres apart; ``NeuralCollapse`` has both with learned centres.

    Data: labels

    Example:
        >>> nc1_loss(torch.tensor([[0.0], [2.0], [5.0]]), [0, 0, 1]).item()
        0.5
    """
    x = full_rows(embeddings, "embeddings")
    index, counts = class_index(labels, x.shape[-2], x.device)
    if centres is None:
        nearest = _means(x, index, counts)[..., index, :]
    else:
        own = full_rows(centres, "centres")
        check_columns(x, own, ("embeddings", "centres"))
        rows = _one_label_each(labels, x.shape[-2]).to(x.device)
        if fails((rows >= 0) & (rows < own.shape[-2])):
            raise ValueError(f"labels must lie in 0 .. {own.shape[-2] - 1}, the rows of centres, got {rows.tolist()}")
        nearest = own[..., rows, :]
    weights = 1 / (counts.numel() * counts.to(x.dtype))[index]
    return refuse_overflow(((x - nearest).square().sum(-1) * weights).sum(-1), "embeddings")


def nc2_loss(centres: Tensor, *, form: Literal["angle", "cosine"]) -> Tensor:
    """NC2 term: class centres, seen from their common mean, as far apart in angle as they can be.

    Formula: u_c = (m_c - mean m) normalised. "angle": - mean_c min over c' != c of the angle between u_c and u_c'.
    "cosine": mean over c != c' of (<u_c, u_c'> + 1 / (C - 1))^2.

    Args:
        centres: (..., C, d), C >= 2: ``class_means`` of a batch, or learned centres. Centred and normalised inside.
        form: "angle" is the paper's and pushes each centre from its nearest; "cosine" pulls all cosines to that of the
            simplex. Both are smallest at the simplex, which needs d >= C - 1.

    Returns:
        Loss of the leading shape. "angle": in -pi .. 0, - arccos(-1 / (C - 1)) at the simplex. "cosine": 0 at the
        simplex, at most (C / (C - 1))^2. Two centres always are a simplex. Lower is better.

    Raises:
        ValueError: fewer than two centres, a non-finite one, one at the mean of all (it has no direction), an unknown
            form.

    Cost: O(C^2 d) time, O(C^2) memory.

    Source: inducing-neural-collapse-deep (Liu et al. 2023). "cosine" is the squared Frobenius form of the authors'
    variants, as a mean over pairs. Their angle is an arccos clamped at cosine 0.99999, whose gradient is 0 just where
    centres coincide; here it comes from |u - u'| and |u + u'|, and only exact coincidence has gradient 0.

    Relations: ``nc1_loss`` shrinks the classes; ``uniformity`` spreads rows without centring them.

    Data: labels, one set

    Example:
        >>> nc2_loss(torch.eye(3), form="cosine").abs().item() < 1e-12
        True
        >>> round(nc2_loss(torch.eye(3), form="angle").item(), 4)
        -2.0944
    """
    if form not in ("angle", "cosine"):
        raise ValueError(f"form must be angle or cosine, got {form!r}")
    m = full_rows(centres, "centres", min_rows=2)
    # The direction does not depend on the scale; without it squares of large centres overflow.
    scale = m.detach().abs().amax((-2, -1), keepdim=True)
    m = m / scale.clamp(min=torch.finfo(m.dtype).tiny)
    m = m - m.mean(-2, keepdim=True)
    if fails(m.detach().abs().amax(-1) > 4 * torch.finfo(m.dtype).eps):
        raise ValueError("centres hold one that lies at the mean of all, up to rounding: it has no direction")
    u = unit_rows(m, "centres")
    count = u.shape[-2]
    cosines = product(u, u)
    if form == "cosine":
        return zero_diagonal(cosines + 1 / (count - 1)).square().sum((-2, -1)) / (count * (count - 1))
    itself = torch.eye(count, dtype=torch.bool, device=u.device)
    nearest = cosines.detach().masked_fill(itself, -torch.inf).argmax(-1)
    other = torch.take_along_dim(u, nearest[..., None], -2)
    return -2 * torch.atan2(_length(u - other), _length(u + other)).mean(-1)


class NeuralCollapse(nn.Module):
    """``nc1_loss`` and ``nc2_loss`` on learned class centres.

    Args:
        classes: C, at least 2.
        dim: d, length of a row.
        form: as in ``nc2_loss``.
        generator: source of the initial centres, standard normal.

    Attributes:
        centres: (C, d), learned.

    Raises:
        ValueError: fewer than two classes, dim below 1, an unknown form; as the two losses.

    Cost: O(N d + C^2 d).

    Source: inducing-neural-collapse-deep (Liu et al. 2023): both terms are added to a classification loss, each with
    its weight.

    Data: labels

    Example:
        >>> terms = NeuralCollapse(3, 2, form="angle", generator=torch.Generator().manual_seed(0))
        >>> nc1, nc2 = terms(torch.zeros(4, 2), [0, 1, 2, 2])
        >>> nc1.shape, nc2.shape
        (torch.Size([]), torch.Size([]))
    """

    def __init__(
        self, classes: int, dim: int, *, form: Literal["angle", "cosine"], generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        if classes < 2:
            raise ValueError(f"classes must be at least 2, got {classes}")
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.centres = nn.Parameter(torch.randn(classes, dim, generator=generator))
        self.form = form

    def forward(self, embeddings: Tensor, labels: Any) -> tuple[Tensor, Tensor]:
        """``(nc1, nc2)`` of a batch."""
        return nc1_loss(embeddings, labels, centres=self.centres), nc2_loss(self.centres, form=self.form)


def _one_label_each(labels: Any, rows: int) -> Tensor:
    checked = check_pair_labels(labels, rows)
    if checked.dtype == torch.bool or checked.ndim != 1:
        raise ValueError(f"labels must be integers of shape ({rows},), one class an item, got {tuple(checked.shape)}")
    return checked


def _means(x: Tensor, index: Tensor, counts: Tensor) -> Tensor:
    sums = x.new_zeros(*x.shape[:-2], counts.numel(), x.shape[-1]).index_add(-2, index, x)
    return sums / counts[:, None]


def _length(x: Tensor) -> Tensor:
    """Row norms whose gradient at 0 is 0."""
    squares = x.square().sum(-1)
    zero = squares == 0
    return torch.where(zero, 0, torch.where(zero, 1, squares).sqrt())
