"""The triplet loss: an anchor's positives nearer than its negatives, by all triplets or chosen ones.

No tensor of N x N x N is made. Hinges over all triplets come from sorted distances and their running sums; soft ones
are summed by blocks of anchors and computed again in backward.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from lab.losses.anchors import Measure, check_margin, check_option, measured, over_terms
from lab.losses.selection import Pairs, Selected, WithoutPositives
from lab.losses.similarity import euclidean
from lab.losses.stable import softplus

# Numbers in one block of soft triplets.
BLOCK_NUMBERS = 2**21


def triplet(
    embeddings: Tensor,
    labels: Any,
    *,
    margin: float,
    selection: Literal["all", "semihard", "hard"],
    average: Literal["all", "active"],
    soft: bool = False,
    farthest_otherwise: bool = False,
    distance: Measure = euclidean,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """The triplet loss: a positive nearer to its anchor than a negative, by a margin.

    Formula: mean over the selected triplets (a, p, n) of [d_ap - d_an + m]_+, or of log(1 + exp(d_ap - d_an + m)) with
    ``soft``.

    Args:
        embeddings: (..., N, d), N >= 2; used as they are by the default distance.
        labels, reference, reference_labels, mask, without_positives: as ``sup_con_out``; an anchor without negatives
            does not count either.
        margin: m >= 0; with ``soft`` 0 in the literature.
        selection: "all" triplets; "semihard", for each pair (a, p) the nearest of the negatives farther than p; "hard",
            for each anchor its farthest positive and its nearest negative.
        average: over "all" selected triplets, or over the "active" ones, whose term is above 0. No default: the first
            fades as training goes on, the second does not.
        soft: softplus in place of the hinge; no triplet ever comes to rest.
        farthest_otherwise: what "semihard" does for a pair (a, p) that has no negative farther than p: take the
            farthest negative, or leave the pair out.
        distance: (x, y) -> (..., N, M); ``euclidean``, ``squared_euclidean``, ``snr``, ``cosine_distance`` ...

    Returns:
        `Selected`; the loss is >= 0, and 0 where no triplet is selected or none is active. All rows equal: m, or
        log(1 + e^m) soft ("semihard": 0 without ``farthest_otherwise``). Lower is better.

    Raises:
        ValueError: as ``sup_con_out``; margin below 0, an unknown ``selection`` or ``average``.

    Cost: O(N M d + N M log M) time, O(N M) memory; soft over all triplets O(N M P) time for P positives an anchor.

    Source: FaceNet (Schroff et al. 2015) for the hinge on ``squared_euclidean`` of unit rows and for semi-hard
    negatives; in defense of the triplet loss (Hermans et al. 2017) for "hard" (batch hard), "active" and the soft
    margin, on ``euclidean``. ``farthest_otherwise=True`` is TensorFlow's triplet_semihard_loss; pytorch-metric-learning
    calls semihard all triplets with d_ap < d_an <= d_ap + m, and its TripletMarginLoss is "all" with "active" on unit
    rows.
    The distance ``snr``: signal-noise-ratio (Yuan et al. 2019).

    Relations: ``proto_triplet`` compares with class means; ``generalised_lifted_structure`` is a soft form of "hard".

    Data: labels

    Example:
        >>> rows, labels = torch.tensor([[0.0], [1.0], [3.0], [4.0]]), torch.tensor([0, 0, 1, 1])
        >>> triplet(rows, labels, margin=1.5, selection="hard", average="all").loss
        tensor(0.2500)
    """
    check_triplet_options(margin, selection, average)
    d, pairs = measured(embeddings, labels, distance, reference=reference, reference_labels=reference_labels, mask=mask)
    return over_triplets(d, pairs, margin, selection, average, soft, farthest_otherwise, without_positives)


def check_triplet_options(margin: float, selection: str, average: str) -> None:
    """Raise ``ValueError`` naming the argument unless the options of ``triplet`` are known ones.

    >>> check_triplet_options(0.2, "hard", "all")
    """
    check_margin(margin)
    check_option(selection, ("all", "semihard", "hard"), "selection")
    check_option(average, ("all", "active"), "average")


def over_triplets(
    d: Tensor,
    pairs: Pairs,
    margin: float,
    selection: str,
    average: str,
    soft: bool = False,
    farthest_otherwise: bool = False,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """The triplet loss from distances (..., N, M) that are known already; arguments as in ``triplet``.

    >>> pairs = Pairs(torch.tensor([[False, True, False]]), torch.tensor([[False, False, True]]))
    >>> over_triplets(torch.tensor([[0.0, 2.0, 3.0]]), pairs, 1.5, "all", "all").loss
    tensor(0.5000)
    """
    counts = pairs.positive.any(-1) & pairs.negative.any(-1)
    if selection == "all":
        sums, numbers, active = _soft_sums(d, pairs, margin) if soft else _hinge_sums(d, pairs, margin)
    else:
        if selection == "hard":
            positives, negatives, chosen = _hard(d, pairs, counts)
        else:
            positives, negatives, chosen = _semihard(d, pairs, farthest_otherwise)
        violation = torch.where(chosen, positives - negatives + margin, -torch.inf)
        terms = softplus(violation) if soft else F.relu(violation)
        sums, numbers, active = terms.sum(-1), chosen.sum(-1), (terms > 0).sum(-1)
    return over_terms(sums, numbers if average == "all" else active, counts, without_positives)


def _hard(d: Tensor, pairs: Pairs, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    farthest = d.masked_fill(~pairs.positive, -torch.inf).amax(-1, keepdim=True)
    nearest = d.masked_fill(~pairs.negative, torch.inf).amin(-1, keepdim=True)
    return farthest, nearest, counts[..., None]


def _semihard(d: Tensor, pairs: Pairs, farthest_otherwise: bool) -> tuple[Tensor, Tensor, Tensor]:
    negatives = d.masked_fill(~pairs.negative, torch.inf).sort(-1).values
    number = pairs.negative.sum(-1, keepdim=True)
    beyond = torch.searchsorted(negatives.detach(), d.detach().contiguous(), right=True)
    has = number > 0 if farthest_otherwise else beyond < number
    beyond = torch.minimum(beyond, (number - 1).clamp(min=0))
    return d, negatives.gather(-1, beyond), pairs.positive & has


def _hinge_sums(d: Tensor, pairs: Pairs, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Each anchor's sum of hinges over all its triplets, how many it has, and how many are active.

    For a positive at distance d_p, the active negatives are those nearer than t = d_p + m, and their hinges sum to
    (number of them) * t - (sum of their distances).
    """
    negatives = d.masked_fill(~pairs.negative, torch.inf).sort(-1).values
    running = F.pad(negatives.masked_fill(negatives == torch.inf, 0).cumsum(-1), (1, 0))
    threshold = d + margin
    number = torch.searchsorted(negatives.detach(), threshold.detach().contiguous())
    sums = torch.where(pairs.positive, number * threshold - running.gather(-1, number), 0).sum(-1)
    active = torch.where(pairs.positive, number, 0).sum(-1)
    return sums, pairs.positive.sum(-1) * pairs.negative.sum(-1), active


def _soft_sums(d: Tensor, pairs: Pairs, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """As ``_hinge_sums``, with softplus; every triplet is active."""
    most = int(pairs.positive.sum(-1).max())
    positives = d.masked_fill(~pairs.positive, -torch.inf).topk(most, -1).values.flatten(0, -2)
    negatives = d.masked_fill(~pairs.negative, torch.inf).flatten(0, -2)
    block = max(1, BLOCK_NUMBERS // (most * d.shape[-1]))
    parts = [
        checkpoint(_soft_block, p, n, margin, use_reentrant=False)
        for p, n in zip(positives.split(block), negatives.split(block), strict=True)
    ]
    numbers = pairs.positive.sum(-1) * pairs.negative.sum(-1)
    return torch.cat(parts).reshape(d.shape[:-1]), numbers, numbers


def _soft_block(positives: Tensor, negatives: Tensor, margin: float) -> Tensor:
    return softplus(positives[:, :, None] - negatives[:, None, :] + margin).sum((-2, -1))
