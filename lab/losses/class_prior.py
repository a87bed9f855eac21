"""Contrast of an item with whole classes, weighted by how frequent they are: for long-tailed data."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.class_logits import one_dtype
from lab.losses.selection import Pairs, Selected, WithoutPositives, check_pair_labels, over_anchors, select
from lab.losses.similarity import check_columns, divisor, product, unit_rows


def mutual_information_contrast(
    embeddings: Tensor,
    labels: Any,
    *,
    temperature: float | Tensor,
    prior: Tensor | None = None,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Each item finds its class, scored by the mean over the class's items, under the classes' prior.

    Formula: mean_i - log [ pi_y exp(s_iy) / sum_c pi_c exp(s_ic) ], s_ic = log mean over candidates j of class c of
    exp(cos(x_i, x_j) / tau). A bound on the mutual information of embeddings and labels.

    Args:
        embeddings: (..., N, d); normalised inside.
        labels: integers (..., N), class indices 0 .. C - 1 where a prior is given.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch its own.
        prior: (C,), above 0: the classes' frequencies in the training set, in any unit. None takes the candidates
            of each item as they are, so that means become sums.
        reference, reference_labels: (..., M, d) and their labels: a queue that holds every class, as in the paper;
            None compares the batch with itself, without the item itself.
        mask: booleans (..., N, M): pairs that may be used, for instance not an item with itself in the queue.
        without_positives: what becomes of items whose class has no candidate.

    Returns:
        `Selected`. All rows equal: - log(pi_y / sum of pi over the classes present), at any temperature. Classes
        without candidates are left out of an item's sum. Lower is better.

    Raises:
        ValueError: a zero or non-finite row, labels that are no integers, without a prior of their class or of one
            class, temperature not above 0, a prior not above 0, a mask that removes everything.

    Cost: O(N M d) time, O(N (M + C)) memory.

    Source: long-tailed-recognition-mutual (Suh and Seo 2023), its contrastive term; there trained beside the same with
    learned class weights, which is ``normalised_softmax`` with log(prior) added to the logits.

    Relations: with ``prior=None`` it is SupCon with the sum over positives inside the logarithm (L_in); a uniform
    prior is class averaging, which a long tail wants at test time; the true prior in training gives just that.

    Data: labels

    Example:
        >>> x, pi = torch.ones(4, 3), torch.tensor([3.0, 1.0])
        >>> round(mutual_information_contrast(x, [0, 0, 1, 1], temperature=0.1, prior=pi).loss.item(), 4)
        0.837
    """
    if isinstance(labels, Pairs):
        raise ValueError("labels must be integers: negatives of hand-made pairs belong to no class")
    x = unit_rows(embeddings, "embeddings", min_rows=2 if reference is None else 1)
    y = x if reference is None else unit_rows(reference, "reference")
    check_columns(x, y, ("embeddings", "reference"))
    logits = product(*one_dtype(x, y)) / divisor(temperature)
    n, m = logits.shape[-2:]
    columns = None if reference is None else m
    pairs = select(labels, n, reference_labels=reference_labels, columns=columns, mask=mask, device=x.device)
    own = check_pair_labels(labels, n)
    other = own if reference is None else check_pair_labels(reference_labels, m, "reference_labels")
    if own.dtype == torch.bool:
        raise ValueError("labels must be integers, one class an item, got booleans")
    log_prior, own, other = _class_indices(own.to(x.device), other.to(x.device), prior, logits)

    lead = torch.broadcast_shapes(logits.shape, pairs.positive.shape)
    index = other[..., None, :].expand(lead)
    allowed = (pairs.positive | pairs.negative).expand(lead)
    logits = logits.expand(lead).masked_fill(~allowed, -torch.inf)
    zeros = logits.new_zeros(*lead[:-1], len(log_prior))
    numbers = zeros.scatter_add(-1, index, allowed.to(logits.dtype))
    present = numbers > 0
    highest = (zeros - torch.inf).scatter_reduce(-1, index, logits.detach(), "amax")
    highest = torch.where(present, highest, 0)
    sums = zeros.scatter_add(-1, index, (logits - highest.gather(-1, index)).exp())
    scores = torch.where(present, sums, 1).log() + highest
    if prior is not None:
        scores = scores - torch.where(present, numbers, 1).log() + log_prior
    counts = present.gather(-1, own[..., None].expand(*lead[:-1], 1))[..., 0]
    # Items that do not count keep all their scores, so that no row consists of minus infinity alone.
    scores = scores.masked_fill(~present & counts[..., None], -torch.inf)
    logs = torch.log_softmax(scores, -1).gather(-1, own[..., None].expand(*lead[:-1], 1))[..., 0]
    return over_anchors(-logs, counts, without_positives)


def _class_indices(own: Tensor, other: Tensor, prior: Tensor | None, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of class weights, and labels as indices into them."""
    if prior is None:
        classes, indices = torch.unique(torch.cat([own.flatten(), other.flatten()]), return_inverse=True)
        first, second = indices[: own.numel()], indices[own.numel() :]
        return like.new_zeros(len(classes)), first.reshape(own.shape), second.reshape(other.shape)
    if not isinstance(prior, Tensor) or prior.ndim != 1:
        raise ValueError(f"prior must be a tensor of shape (C,), got {getattr(prior, 'shape', type(prior).__name__)}")
    if fails(torch.isfinite(prior.detach()) & (prior.detach() > 0)):
        raise ValueError("prior must be finite and above 0 for every class")
    for name, labels in (("labels", own), ("reference_labels", other)):
        if fails((labels >= 0) & (labels < len(prior))):
            raise ValueError(f"{name} must lie in 0 .. {len(prior) - 1}, the classes that prior has")
    return prior.double().log().to(like), own, other
