"""Cosine classifiers with learned class weights, and margins that make them stricter.

Conventions of the whole file: embeddings and class weights are normalised inside, so a logit is cosine / temperature;
the scale s of the literature is 1 / temperature. Labels are class indices 0 .. C - 1, booleans with one column a class
(then the mean over an item's classes), or `Pairs` of items and classes. ``mask`` (..., N, C) leaves classes out of an
item's sum. Leading dimensions are kept. `ClassProxies` owns the weights where they are learned.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from lab.geometry import check_embeddings
from lab.losses.class_logits import check_between, class_cosines, class_cross_entropy, class_pairs, class_rows
from lab.losses.selection import Pairs, Selected, WithoutPositives, check_pair_labels
from lab.losses.similarity import divisor, product


def normalised_softmax(
    embeddings: Tensor,
    labels: Any,
    weights: Tensor,
    *,
    temperature: float | Tensor,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Cross-entropy over cosines to class weights.

    Formula: mean_i - log [ exp(cos(x_i, w_y) / tau) / sum_c exp(cos(x_i, w_c) / tau) ].

    Args:
        embeddings: (..., N, d).
        labels: see the top of the file.
        weights: (C, d) or (..., C, d), C >= 2.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        mask: booleans (..., N, C): classes an item is compared with; None for all.
        without_positives: what becomes of items whose class the mask removed.

    Returns:
        `Selected`, the loss in 0 .. log C + 2 / tau. All cosines equal: log C. Items on the vertices of a simplex that
        are the weights: log(1 + (C - 1) exp(-C / ((C - 1) tau))). Lower is better.

    Raises:
        ValueError: a zero or non-finite row, fewer than two classes, a label without a weight, temperature not above
            0, a mask that removes everything.

    Cost: O(N C d).

    Source: Zhai and Wu 2019 (no bias, tau 0.05); NormFace (Wang et al. 2017) has the same formula.

    Relations: ``cosface`` and ``arcface`` at margin 0; ``proxy_nca`` with the own proxy in the denominator at twice the
    temperature; ``fixed_classifier`` does not normalise the embeddings.

    Data: labels

    Example:
        >>> round(normalised_softmax(torch.ones(2, 3), [0, 1], torch.ones(4, 3), temperature=0.1).loss.item(), 4)
        1.3863
    """
    logits = class_cosines(embeddings, weights, "weights") / divisor(temperature)
    pairs = class_pairs(labels, *logits.shape[-2:], mask=mask, device=logits.device)
    return class_cross_entropy(logits, pairs, without_positives)


def cosface(
    embeddings: Tensor,
    labels: Any,
    weights: Tensor,
    *,
    temperature: float | Tensor,
    margin: float,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """CosFace (AM-Softmax): the cosine to the own class counts as lower by a margin.

    Formula: cross-entropy of logits (cos_c - margin [c = y]) / tau.

    Args: as ``normalised_softmax``;
        margin: a cosine in 0 .. 2; 0.35 in the paper, with tau = 1 / 64.

    Returns:
        `Selected`, the loss > 0. All cosines equal: log(1 + (C - 1) exp(margin / tau)). Lower is better.

    Raises: as ``normalised_softmax``; ValueError for a margin outside 0 .. 2.

    Cost: O(N C d).

    Source: Wang et al. 2018 (CosFace), at the same time AM-Softmax.

    Relations: ``normalised_softmax`` at margin 0; ``arcface`` has the margin on the angle;
    ``orthogonal_code_cosine`` is this loss with fixed binary codes for weights.

    Data: labels

    Example:
        >>> x = torch.ones(2, 3)
        >>> round(cosface(x, [0, 1], torch.ones(2, 3), temperature=1.0, margin=0.5).loss.item(), 4)
        0.9741
    """
    check_between(margin, "margin", 0, 2)
    cosines, tau = class_cosines(embeddings, weights, "weights"), divisor(temperature)
    pairs = class_pairs(labels, *cosines.shape[-2:], mask=mask, device=cosines.device)
    return class_cross_entropy(cosines / tau, pairs, without_positives, (cosines - margin) / tau)


def angular_margin(cosines: Tensor, sines: Tensor, margin: float, *, monotone: bool = True) -> Tensor:
    """cos(theta + margin) from cos(theta) and sin(theta), without an arc cosine and its infinite gradients.

    Formula: cos(theta) cos(m) - sin(theta) sin(m) where theta <= pi - m; beyond, cos(theta) - m sin(m) if ``monotone``,
    else the same formula goes on (and grows again).

    Args:
        cosines, sines: of one shape, or two that broadcast; angles 0 .. pi.
        margin: m in radians, 0 .. pi / 2.
        monotone: see above. The monotone form jumps down at theta = pi - m by m sin(m) + cos(m) - 1 >= 0.

    Returns: the margined cosines. Raises: ValueError for a margin out of range. Cost: O(1) an entry.

    Example:
        >>> c, s = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.0, 1.0, 0.0])
        >>> [round(value, 4) for value in angular_margin(c, s, 0.5).tolist()]
        [0.8776, -0.4794, -1.2397]
    """
    check_between(margin, "margin", 0, math.pi / 2)
    within = cosines * math.cos(margin) - sines * math.sin(margin)
    if not monotone:
        return within
    return torch.where(cosines >= -math.cos(margin), within, cosines - margin * math.sin(margin))


def _own(positive: Tensor, labels: Any) -> tuple[Tensor, ...]:
    """Where the items stand with their classes, as indices; at the first class where the mask left none."""
    if isinstance(labels, Pairs) or check_pair_labels(labels, positive.shape[-2]).dtype == torch.bool:
        return positive.nonzero(as_tuple=True)
    # One class an item needs no look at the values, for which an accelerator would have to be waited for.
    places = torch.meshgrid(*(torch.arange(n, device=positive.device) for n in positive.shape[:-1]), indexing="ij")
    return (*places, positive.to(torch.uint8).argmax(-1))


def _sines(x: Tensor, w: Tensor, cosines: Tensor, where: tuple[Tensor, ...], rows: Tensor) -> Tensor:
    """Sines of the angles at the entries ``where`` of the cosines, 0 elsewhere: the length of x beside its row of w.

    It has all its digits also at small angles, where sqrt(1 - cos^2) has lost half of them, and gradient 0 at 0.
    """
    lead = cosines.shape[:-2]
    items = x.expand(*lead, *x.shape[-2:])[where[:-1]]
    classes = w.expand(*lead, *w.shape[-2:])[(*where[:-2], rows)]
    beside = items - cosines[where][..., None] * classes
    return torch.zeros_like(cosines).index_put(where, torch.linalg.vector_norm(beside, dim=-1))


def arcface(
    embeddings: Tensor,
    labels: Any,
    weights: Tensor,
    *,
    temperature: float | Tensor,
    margin: float,
    monotone: bool = True,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """ArcFace: the angle to the own class counts as larger by a margin.

    Formula: cross-entropy of cos(theta_c + margin [c = y]) / tau; where theta_y + margin > pi see ``monotone``.

    Args: as ``normalised_softmax``;
        margin: an angle in radians, 0 .. pi / 2; 0.5 in the paper, with tau = 1 / 64.
        monotone: True puts cos(theta) - margin sin(margin) where theta + margin > pi, so that the logit never grows
            with the angle (the authors' first code, pytorch-metric-learning); False leaves the formula as it stands
            (their later code), where the worst items are pushed the wrong way.

    Returns:
        `Selected`, the loss > 0. All cosines 1: log(1 + (C - 1) exp((1 - cos(margin)) / tau)). Lower is better.

    Raises: as ``normalised_softmax``; ValueError for a margin outside 0 .. pi / 2.

    Cost: O(N C d).

    Source: Deng et al. 2019. The sine is the length of the item beside its class weight, with gradient 0 at 0: finite
    also for items that lie on their class weight.

    Relations: ``normalised_softmax`` at margin 0; ``sub_centre_arcface`` for several weights a class.

    Data: labels

    Example:
        >>> x = torch.ones(2, 3)
        >>> round(arcface(x, [0, 1], torch.ones(2, 3), temperature=1.0, margin=0.5).loss.item(), 4)
        0.7562
    """
    check_embeddings(weights, "weights")
    return sub_centre_arcface(
        embeddings,
        labels,
        weights[..., None, :],
        temperature=temperature,
        margin=margin,
        monotone=monotone,
        mask=mask,
        without_positives=without_positives,
    )


def sub_centre_arcface(
    embeddings: Tensor,
    labels: Any,
    weights: Tensor,
    *,
    temperature: float | Tensor,
    margin: float,
    monotone: bool = True,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Sub-centre ArcFace: several weights a class, of which the nearest counts, so that noisy items gather elsewhere.

    Formula: ``arcface`` with cos(theta_c) = max_k cos(x, w_ck).

    Args: as ``arcface``;
        weights: (C, K, d) or (..., C, K, d), K weights a class; 3 in the paper.

    Returns: as ``arcface``. Raises: as ``arcface``. Cost: O(N C K d).

    Source: Deng et al. 2020. Where two weights of a class are equally near, the first counts.

    Relations: ``arcface`` at K = 1.

    Data: labels

    Example:
        >>> x, w = torch.eye(2), torch.eye(2)[:, None]
        >>> round(sub_centre_arcface(x, [0, 1], w, temperature=1.0, margin=0.0).loss.item(), 4)
        0.3133
    """
    check_embeddings(weights, "weights")
    if weights.ndim < 3:
        raise ValueError(f"weights must have shape (..., C, K, d), got {tuple(weights.shape)}")
    if weights.shape[-3] < 2:
        raise ValueError(f"weights must hold at least two classes, got shape {tuple(weights.shape)}")
    x, w = class_rows(embeddings, weights.flatten(-3, -2), "weights")
    every = product(x, w).unflatten(-1, weights.shape[-3:-1])
    nearest = every.argmax(-1, keepdim=True)
    cosines, tau = every.gather(-1, nearest)[..., 0], divisor(temperature)
    pairs = class_pairs(labels, *cosines.shape[-2:], mask=mask, device=cosines.device)
    own = _own(pairs.positive.expand(cosines.shape), labels)
    sines = _sines(x, w, cosines, own, own[-1] * weights.shape[-2] + nearest[..., 0][own])
    adjusted = angular_margin(cosines, sines, margin, monotone=monotone)
    return class_cross_entropy(cosines / tau, pairs, without_positives, adjusted / tau)
