"""Contrast for regression: embeddings ordered like real-valued targets.

Conventions of the whole file: targets are floating (N,) or (N, K), their distance is the sum of absolute differences;
a stack (S, N, d) gives S losses, with targets of its own (S, N) or shared ones (N,). ``reference`` with
``reference_targets`` replaces the batch as the candidates (a queue, other ranks, another modality); without it each
anchor is compared with the rest of the batch. Two views of a batch are one batch of twice the rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.selection import Selected, WithoutPositives, over_anchors
from lab.losses.similarity import divisor, euclidean, product, unit_rows
from lab.losses.targets import check_targets, order


def rank_n_contrast(
    embeddings: Tensor,
    targets: Tensor,
    *,
    temperature: float | Tensor,
    reference: Tensor | None = None,
    reference_targets: Tensor | None = None,
    mask: Tensor | None = None,
    distance: Callable[[Tensor, Tensor], Tensor] = euclidean,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Rank-N-Contrast: every other item is a positive, against all items whose target lies no nearer.

    Formula: mean_i mean_{j != i} - log [ exp(-D_ij / tau) / sum_{k in S_ij} exp(-D_ik / tau) ], D the distance of the
    embeddings, S_ij = {k != i : |y_i - y_k| >= |y_i - y_j|}, which holds j.

    Args:
        embeddings: (..., N, d), N >= 2, as they are (the paper's features are not normalised).
        targets: floating (N,) or (N, K), or with the leading shape. Items whose targets are equally far from the
            anchor's are in each other's denominators, so neither is preferred; equal means equal as computed in
            float64. With all targets equal the loss spreads every pair alike.
        temperature: tau > 0, a divisor; 2 in the paper.
        reference, reference_targets: (..., M, d) and their targets, the candidates; None for the batch itself.
        mask: booleans (..., N, M): pairs that may be used.
        distance: one of the package's distances, `euclidean` in the paper; `cosine_distance` gives cosines.
        without_positives: what becomes of anchors for whom the mask leaves no candidate.

    Returns:
        `Selected`: loss of the leading shape, >= 0, and the anchors left out. All rows equal: log((N - 1)!) / (N - 1)
        with distinct distances of targets, log(N - 1) with equal targets, at any temperature. Lower is better ordered;
        it tends to 0 where each step outward in the targets adds many tau of distance.

    Raises:
        ValueError: fewer than two rows, non-finite rows or targets, other lengths, integer targets, temperature not
            above 0, a mask that removes everything, rows so large that distances overflow.

    Cost: O(N^2 (d + log N)) time, O(N^2) memory: denominators are running sums over sorted targets, where the plain
    form takes O(N^3).

    Source: Rank-N-Contrast (Zha et al. 2023), formula and ties as in the authors' code; any number of views.

    Relations: ``conr`` contrasts only where predictions collide; ``supremix`` takes equal targets as positives and
    mixes harder ones; ``cosent`` orders similarities of pairs.

    Data: ordered targets

    Example:
        >>> round(rank_n_contrast(torch.ones(4, 2), torch.tensor([0.0, 1.0, 3.0, 7.0]), temperature=2.0).loss.item(), 4)
        0.5973
    """
    batch = order(embeddings, targets, reference=reference, reference_targets=reference_targets, mask=mask)
    logits = -distance(batch.anchors, batch.candidates) / divisor(temperature)
    if fails(torch.isfinite(logits.detach())):
        raise ValueError("embeddings are too large: their distances over temperature are not finite")
    # Sorted from the farthest target to the nearest, S_ij is a beginning of the row; unusable pairs come last.
    apart = batch.distances().masked_fill(~batch.usable, -1).expand(logits.shape)
    ascending, places = (-apart).contiguous().sort(-1)
    sums = torch.logcumsumexp(logits.gather(-1, places), -1)
    last = torch.searchsorted(ascending, (-apart).contiguous(), right=True) - 1
    usable = batch.usable.expand(logits.shape)
    counts = usable.sum(-1)
    terms = torch.where(usable, sums.gather(-1, last) - logits, 0).sum(-1) / counts.clamp(min=1)
    return over_anchors(terms, counts > 0, without_positives)


def conr(
    embeddings: Tensor,
    targets: Tensor,
    predictions: Tensor,
    *,
    width: float,
    push: float,
    temperature: float | Tensor,
    weights: Tensor | None = None,
    reference: Tensor | None = None,
    reference_targets: Tensor | None = None,
    reference_predictions: Tensor | None = None,
    mask: Tensor | None = None,
    weigh_anchors: bool = False,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """ConR: push apart what the model predicts alike although the targets differ; a regulariser beside a regression.

    Formula: mean_i mean_{p in P_i} - log [ e^{s_ip} / (sum_{q in P_i} e^{s_iq} + sum_{n in N_i} w_in e^{s_in}) ],
    s = cosine / tau, w_in = eta_i exp(push |y_i - y_n|), P_i = {j != i : |y_i - y_j| <= width},
    N_i = {j : |y_i - y_j| > width and |f_i - f_j| <= width}, f the predictions. An anchor without negatives has the
    term 0 and stays in the mean.

    Args:
        embeddings: (..., N, d), N >= 2. Normalised inside.
        targets: floating (N,) or (N, K), or with the leading shape. Equal targets are positives.
        predictions: the model's outputs, of the shape of targets; they choose negatives and get no gradient.
        width: the targets' distance up to which two items count as alike, at least 0; in units of the targets.
        push: how fast the weight of a negative grows with the distance of targets, at least 0; 0 for equal weights.
        temperature: tau > 0, a divisor.
        weights: eta, positive (N,) or with the leading shape: how rare the anchor's target is (inverse density); None
            for 1.
        reference, reference_targets, reference_predictions: candidates instead of the batch itself.
        mask: booleans (..., N, M): pairs that may be used.
        weigh_anchors: whether the anchor's term is multiplied by eta_i once more.
        without_positives: what becomes of anchors without a positive.

    Returns:
        `Selected`: loss of the leading shape, >= 0, and the anchors without a positive. 0 where no negative is left,
        that is where predictions are right to within the width. All rows equal: log(|P_i| + sum_n w_in), averaged.
        Lower is better.

    Raises:
        ValueError: as ``rank_n_contrast``; a zero row; predictions of another shape; weights not above 0; width or push
            negative; no two targets within the width.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: conr (Keramati et al. 2024): the formula, mean over all anchors. The authors' AgeDB code differs: each
    candidate that is no positive adds exp(0) = 1 to the denominator, and the term is weighted by eta_i again (here
    ``weigh_anchors``); their NYUD2 code has w_in = push eta_i |y_i - y_n|.

    Relations: supervised contrast within ``width`` when all predictions are equal and ``push`` is 0;
    ``rank_n_contrast`` needs no width and no predictions.

    Data: ordered targets

    Example:
        >>> y, f = torch.tensor([0.0, 0.0, 5.0, 5.0]), torch.zeros(4)
        >>> round(conr(torch.ones(4, 2), y, f, width=1.0, push=0.0, temperature=0.1).loss.item(), 4)
        1.0986
    """
    for name, value in (("width", width), ("push", push)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and at least 0, got {value}")
    batch = order(embeddings, targets, reference=reference, reference_targets=reference_targets, mask=mask)
    rows = unit_rows(embeddings, "embeddings")
    others = rows if reference is None else unit_rows(reference, "reference")
    own = check_targets(predictions, rows.shape[:-1], "predictions").to(rows.device)
    if (reference is None) != (reference_predictions is None):
        raise ValueError("reference_predictions must be given with a reference, and only then")
    other = own
    if reference_predictions is not None:
        other = check_targets(reference_predictions, others.shape[:-1], "reference_predictions").to(rows.device)
    for name, columns in (("predictions", own), ("reference_predictions", other)):
        if columns.shape[-1] != batch.own.shape[-1]:
            raise ValueError(f"{name} must have {batch.own.shape[-1]} column(s) like targets, got {columns.shape[-1]}")
    logits = product(rows, others) / divisor(temperature)
    apart = batch.distances().expand(logits.shape)
    positive = (apart <= width) & batch.usable
    negative = (apart > width) & batch.usable & (torch.cdist(own, other, p=1.0) <= width)
    if fails(positive.any()):
        raise ValueError(f"targets leave no positive pair within width {width}")
    strength = push * apart
    eta = torch.ones((), dtype=logits.dtype, device=logits.device)
    if weights is not None:
        eta = check_targets(weights, rows.shape[:-1], "weights").to(rows.device)[..., 0]
        if fails(eta > 0):
            raise ValueError("weights must be above 0")
        strength = strength + eta.log()[..., None]
    strength = strength.to(logits.dtype)
    if fails(torch.isfinite(strength)):
        raise ValueError("push is too large for these targets: the weights of negatives overflow")
    pushed = torch.where(positive, logits, logits + strength)
    # An anchor with neither kind keeps one finite entry, so that no gradient is NaN; its term is not used.
    entries = positive | negative
    spare = ~entries.any(-1, keepdim=True)
    total = torch.logsumexp(pushed.masked_fill(~(entries | spare), -torch.inf), -1)
    counts = positive.sum(-1)
    pulled = torch.where(positive, logits, 0).sum(-1) / counts.clamp(min=1)
    terms = torch.where(negative.any(-1) & (counts > 0), total - pulled, 0)
    if weigh_anchors:
        terms = terms * eta.to(terms.dtype)
    return over_anchors(terms, counts > 0, without_positives)
