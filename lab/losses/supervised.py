"""Supervised contrastive losses: several positives an anchor, and the three ways of putting them into one logarithm.

Under the name SupCon go losses with different values on the same data. Here they have names of their own:
``sup_con_out`` (the sum over positives outside the logarithm), ``sup_con_in`` (inside) and ``pairwise_sup_con`` (each
positive alone against the negatives). Rows are normalised inside, a logit is cosine / temperature, and no factor of
the temperature multiplies the loss.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lab.losses.anchors import check_option, log_sum_exp, measured, over_terms
from lab.losses.label_sums import label_sums, one_label
from lab.losses.selection import Pairs, Selected, WithoutPositives, over_anchors
from lab.losses.similarity import cosine, divisor
from lab.losses.stable import softplus


def _logits(
    embeddings: Tensor,
    labels: Any,
    temperature: float | Tensor,
    reference: Tensor | None,
    reference_labels: Any,
    mask: Tensor | None,
) -> tuple[Tensor, Pairs]:
    by = divisor(temperature)
    values, pairs = measured(
        embeddings, labels, cosine, reference=reference, reference_labels=reference_labels, mask=mask
    )
    return values / by, pairs


def _mean_positive(logits: Tensor, positive: Tensor) -> Tensor:
    return torch.where(positive, logits, 0).sum(-1) / positive.sum(-1).clamp(min=1)


def sup_con_out(
    embeddings: Tensor,
    labels: Any,
    *,
    temperature: float | Tensor,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
    block: int | None = None,
) -> Selected:
    """SupCon, the form its authors recommend: the mean over positives outside the logarithm.

    Formula: mean_i 1/|P(i)| sum over p in P(i) of [ log sum over a in A(i) of exp(s_ia / tau) - s_ip / tau ], s the
    cosine, P(i) the anchor's positives, A(i) all its positives and negatives, never the anchor itself.

    Args:
        embeddings: (..., N, d), N >= 2; the anchors, and without ``reference`` the candidates too. Normalised inside.
        labels: integers (..., N), booleans (..., N, L) for several labels an item, or a `Pairs`.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        reference: (..., M, d), candidates in place of the batch: a queue, other ranks, another modality.
        reference_labels: their labels.
        mask: booleans (..., N, M), the pairs that may be used; a pair left out is in neither P(i) nor A(i).
        without_positives: "drop", "zero" or "error", what to do with anchors that have no positive.
        block: with one integer label an item and no mask, the logits are taken by blocks of rows and never held: None
            decides by size, 0 holds them, a number sets the rows a block.

    Returns:
        `Selected`: the loss of the leading shape, >= log of the fewest positives an anchor has, at most
        log(candidates) + 2 / tau, and the number of anchors dropped. All rows equal: log(N - 1) at any temperature.
        Classes of n collapsed to a simplex of C: log((n - 1) e^(1/tau) + n (C - 1) e^(-1/((C - 1) tau))) - 1/tau.
        Lower is better.

    Raises:
        ValueError: a zero or non-finite row, one class, no positive at all, labels of another length or kind, a mask
            that removes every positive or negative, temperature not above 0.

    Cost: O(N M d) time; O(N M) memory up to about 1,400 x 1,400 logits, O((N + M) d) beyond. With several labels an
    item, a mask or `Pairs`: O(N M) always.

    Source: supervised contrastive learning (Khosla et al. 2020), L_out, equation 2. pytorch-metric-learning's
    SupConLoss is the same where no anchor's loss is 0 (such anchors it leaves out of the mean). The authors' code
    multiplies by tau / 0.07, which is left out here, and averages anchors without positives as 0 ("zero").

    Relations: ``sup_con_in`` is never larger; ``pairwise_sup_con`` keeps the other positives out of the denominator;
    with one positive an anchor all three are equal, and equal to ``nt_xent`` for two views.

    Data: labels

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(sup_con_out(torch.ones(4, 3), labels, temperature=0.1).loss.item(), 4)
        1.0986
    """
    if one_label(labels, mask):
        candidates = {"reference": reference, "reference_labels": reference_labels}
        sums = label_sums(embeddings, labels, temperature, **candidates, inside=False, block=block)
        return over_anchors(sums.everyone - sums.positives, sums.number > 0, without_positives)
    logits, pairs = _logits(embeddings, labels, temperature, reference, reference_labels, mask)
    terms = log_sum_exp(logits, pairs.positive | pairs.negative) - _mean_positive(logits, pairs.positive)
    return over_anchors(terms, pairs.positive.any(-1), without_positives)


def sup_con_in(
    embeddings: Tensor,
    labels: Any,
    *,
    temperature: float | Tensor,
    mean_of_positives: bool = True,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
    block: int | None = None,
) -> Selected:
    """SupCon with the sum over positives inside the logarithm: satisfied by an anchor's nearest positive.

    Formula: mean_i [ log sum over a in A(i) of exp(s_ia / tau) - log 1/|P(i)| sum over p in P(i) of exp(s_ip / tau) ].

    Args:
        embeddings, labels, temperature, reference, reference_labels, mask, without_positives, block: as
            ``sup_con_out``.
        mean_of_positives: whether the positives are averaged (the paper) or summed; summed, the value is lower by the
            mean of log |P(i)| and the gradient is the same.

    Returns:
        `Selected`. All rows equal: log(N - 1), or log((N - 1) / |P|) summed. Summed, the loss is >= 0. Lower is better.

    Raises: as ``sup_con_out``. Cost: as ``sup_con_out``.

    Source: supervised contrastive learning (Khosla et al. 2020), L_in, equation 3. solo-learn's loss with labels is
    ``mean_of_positives=False``.

    Relations: at most ``sup_con_out`` (Jensen's inequality), equal where all positives are equally near.

    Data: labels

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(sup_con_in(torch.ones(4, 3), labels, temperature=0.1).loss.item(), 4)
        1.0986
    """
    if one_label(labels, mask):
        candidates = {"reference": reference, "reference_labels": reference_labels}
        sums = label_sums(embeddings, labels, temperature, **candidates, inside=True, block=block)
        number, terms = sums.number, sums.everyone - sums.positives
    else:
        logits, pairs = _logits(embeddings, labels, temperature, reference, reference_labels, mask)
        number = pairs.positive.sum(-1)
        terms = log_sum_exp(logits, pairs.positive | pairs.negative) - log_sum_exp(logits, pairs.positive)
    if mean_of_positives:
        terms = terms + number.clamp(min=1).to(terms.dtype).log()
    return over_anchors(terms, number > 0, without_positives)


def pairwise_sup_con(
    embeddings: Tensor,
    labels: Any,
    *,
    temperature: float | Tensor,
    average: Literal["pairs", "anchors"] = "pairs",
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Supervised contrast pair by pair: each positive alone against the negatives, the other positives left out.

    Formula: mean over (i, p), p in P(i), of log[ 1 + sum over n in N(i) of exp((s_in - s_ip) / tau) ].

    Args:
        embeddings, labels, temperature, reference, reference_labels, mask, without_positives: as ``sup_con_out``.
        average: "pairs" weighs all positive pairs the same, so a class of n items counts n (n - 1) times; "anchors"
            averages over an anchor's positives first. The two agree for classes of one size.

    Returns:
        `Selected`; the loss is >= 0. All rows equal, classes of n: log(1 + N - n). Lower is better.

    Raises: as ``sup_con_out``; an unknown ``average``. Cost: as ``sup_con_out``.

    Source: what pytorch-metric-learning calls NTXentLoss when it is given labels ("pairs"); that code adds the smallest
    float inside the logarithm, which caps a pair's loss at 87.3 in float32 and then kills its gradient. Here nothing is
    added.

    Relations: at most ``sup_con_out`` averaged over anchors, since positives do not compete with each other; has 0 as
    its limit for collapsed classes, where ``sup_con_out`` keeps log(n - 1).

    Data: labels

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(pairwise_sup_con(torch.ones(4, 3), labels, temperature=0.1).loss.item(), 4)
        1.0986
    """
    check_option(average, ("pairs", "anchors"), "average")
    logits, pairs = _logits(embeddings, labels, temperature, reference, reference_labels, mask)
    others = log_sum_exp(logits, pairs.negative)[..., None]
    # A candidate that is no positive adds softplus(-inf) = 0.
    terms = softplus(others - logits.masked_fill(~pairs.positive, torch.inf))
    counts, numbers = pairs.positive.any(-1), pairs.positive.sum(-1)
    if average == "pairs":
        return over_terms(terms.sum(-1), numbers, counts, without_positives)
    return over_anchors(terms.sum(-1) / numbers.clamp(min=1), counts, without_positives)
