"""InfoLOOB, which leaves the positive out of the denominator, and CLOOB, which retrieves both sides beforehand.

Conventions of the whole file: rows are normalised inside, a logit is cosine / temperature, temperatures are divisors,
the mean is taken over anchors, and leading dimensions are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lab.geometry import check_same_shape, fails, normalise
from lab.losses.similarity import check_columns, divisor, product, unit_rows, without_diagonal


def info_loob(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    temperature: float | Tensor,
    times_temperature: bool = False,
) -> Tensor:
    """InfoLOOB, one way: InfoNCE with each anchor's own positive left out of the denominator.

    Formula: mean_i [ log sum over j != i of exp(s_ij / tau) - s_ii / tau ], s_ij = cos(anchor_i, positive_j). With
    ``negatives`` the sum runs over all rows of ``negatives`` instead.

    InfoNCE stops learning where the positive dominates its denominator; here the gradient towards the positive stays
    1 / tau however near it is.

    Args:
        anchors: (..., N, d).
        positives: (..., N, d); row i belongs to anchor i.
        negatives: (..., M, d) or None; shared by all anchors.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        times_temperature: multiply the loss by tau, so that the pull towards the positive does not depend on it.

    Returns:
        Loss of the leading shape, within 2 / tau of log(number of negatives), which it is when all rows are equal; no
        floor at 0. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows (without ``negatives``), a zero or non-finite row, temperature
            not above 0.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: cloob (Fürst et al. 2022), one of its two directions. The published formula has no factor; the authors' code
    multiplies by the temperature, which is ``times_temperature=True``. log(N - 1) - loss is the leave-one-out estimate
    of the mutual information: with endless negatives a lower bound for any encoder, in a finite batch it exceeds the
    mutual information at the best encoder, and it is never capped at log N as InfoNCE's is.

    Relations: ``info_nce`` has the positive in the denominator; ``decoupled`` also takes negatives from the anchors'
    own view; ``cloob`` uses it on retrieved rows.

    Data: pairs, two modalities

    Example:
        >>> round(info_loob(torch.ones(4, 3), torch.ones(4, 3), temperature=0.1).item(), 4)
        1.0986
    """
    check_same_shape(anchors, positives, ("anchors", "positives"))
    a = unit_rows(anchors, "anchors", min_rows=2 if negatives is None else 1)
    p = unit_rows(positives, "positives")
    tau = divisor(temperature)
    if negatives is None:
        logits = product(a, p) / tau
        positive = torch.diagonal(logits, dim1=-2, dim2=-1)
        loss = (torch.logsumexp(without_diagonal(logits), -1) - positive).mean(-1)
    else:
        n = unit_rows(negatives, "negatives")
        check_columns(n, a, ("negatives", "anchors"))
        positive = (a * p).sum(-1, keepdim=True) / tau
        loss = (torch.logsumexp(product(a, n) / tau, -1) - positive[..., 0]).mean(-1)
    return temperature * loss if times_temperature else loss


def hopfield_retrieve(state: Tensor, stored: Tensor, *, temperature: float | Tensor) -> Tensor:
    """What a modern Hopfield network answers: each state replaced by the mean of the stored rows that resemble it.

    Formula: r_i = normalise( sum_j p_ij y_j ), p_i = softmax over j of <x_i, y_j> / temperature, with x and y the unit
    rows of ``state`` and ``stored``. A small temperature returns the nearest stored row, a large one their mean, and in
    between what co-occurs in the stored rows is amplified.

    Args:
        state: (..., N, d), the queries.
        stored: (..., M, d), the memory; gradient flows into it.
        temperature: above 0, a divisor: 1 / beta of the literature; a tensor of the leading shape for a stack.

    Returns:
        (..., N, d), unit rows; all equal to the one stored direction when the stored rows are equal.

    Raises:
        ValueError: rows of different length, a zero or non-finite row, temperature not above 0, stored rows that
            cancel out and leave no direction.

    Cost: O(N M d) time, O(N M) memory.

    Source: cloob (Fürst et al. 2022), one step of the update rule, normalised after retrieval as in the authors' code.

    Relations: ``cloob`` retrieves both modalities from both memories.

    Example:
        >>> hopfield_retrieve(torch.ones(1, 2), torch.eye(2), temperature=0.1).round(decimals=4).tolist()
        [[0.707099974155426, 0.707099974155426]]
    """
    x, y = unit_rows(state, "state"), unit_rows(stored, "stored")
    check_columns(x, y, ("state", "stored"))
    weights = torch.softmax(product(x, y) / divisor(temperature), -1)
    retrieved = product(weights, y.mT)
    if fails((retrieved.detach() != 0).any(-1)):
        raise ValueError("stored rows cancel out: the mean that a state retrieves is 0 and has no direction")
    return normalise(retrieved, "stored")


def cloob(
    x: Tensor,
    y: Tensor,
    *,
    temperature: float | Tensor,
    hopfield_temperature: float | Tensor,
    times_temperature: bool = False,
) -> Tensor:
    """CLOOB: InfoLOOB in both directions on rows retrieved from the two batches as memories.

    Formula: info_loob(R(x, x), R(y, x)) + info_loob(R(y, y), R(x, y)), where R(state, stored) is
    ``hopfield_retrieve`` at ``hopfield_temperature``.

    Args:
        x, y: (..., N, d), N >= 2; row i of one belongs to row i of the other.
        temperature: tau > 0 of the logits, a divisor.
        hopfield_temperature: above 0, a divisor of the cosines in the retrieval: 1 / beta.
        times_temperature: multiply the loss by tau.

    Returns:
        Loss of the leading shape, within 4 / tau of 2 log(N - 1), which it is when all rows are equal. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, a temperature not above 0, rows that
            cancel out in retrieval.

    Cost: O(N^2 d) time, O(N^2) memory, six products of the size of the batch.

    Source: cloob (Fürst et al. 2022): the sum of both directions as published (a mean would be half of it);
    ``times_temperature=True`` as in the authors' code.

    Relations: ``symmetric_info_nce`` (CLIP) without retrieval and with the positive in the denominator.

    Data: two modalities, pairs

    Example:
        >>> value = cloob(torch.ones(4, 3), torch.ones(4, 3), temperature=0.1, hopfield_temperature=0.125)
        >>> round(value.item(), 4)
        2.1972
    """
    check_same_shape(x, y, ("x", "y"))
    u, v = unit_rows(x, "x", min_rows=2), unit_rows(y, "y")
    divisor(hopfield_temperature, name="hopfield_temperature")
    x_from_x, y_from_x, y_from_y, x_from_y = (
        hopfield_retrieve(state, stored, temperature=hopfield_temperature)
        for state, stored in ((u, u), (v, u), (v, v), (u, v))
    )
    return info_loob(x_from_x, y_from_x, temperature=temperature, times_temperature=times_temperature) + info_loob(
        y_from_y, x_from_y, temperature=temperature, times_temperature=times_temperature
    )
