"""A temperature of its own for every anchor, from a worst case over reweighted negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lab.geometry import check_positive, check_same_shape, fails, is_seen
from lab.losses.similarity import product, unit_rows

_STEPS = 60  # more than Newton ever needs; bisection alone halves the bracket as often


def best_temperature(similarities: Tensor, *, rho: float, low: float, high: float | None = None) -> Tensor:
    r"""The temperature that minimises tau log mean_j exp(h_j / tau) + tau rho in every row, exactly.

    The minimum over tau > 0 equals the largest sum_j p_j h_j over weights p with KL(p || uniform) <= rho: the worst
    reweighting of the negatives within a budget. The derivative in tau is rho - KL(p_tau || uniform) with
    p_tau = softmax(h / tau), and that divergence only falls with tau, from log(M / copies of the maximum) to 0. So the
    temperature is the one at which the softmax has spent the budget.

    Args:
        similarities: (..., N, M), M >= 2, one row an anchor, one column a negative; minus infinity leaves one out. A
            constant added to a row changes nothing, so h_j = s_j - s_positive and s_j give the same temperature.
        rho: the budget, in nats, above 0.
        low: smallest temperature, above 0; also the answer where the minimum lies at 0, which is the case when rho is
            at least log(M / copies of the maximum), or when all similarities of a row are equal.
        high: largest temperature, or None for no limit; the solution never exceeds range / sqrt(8 rho).

    Returns:
        (..., N), between ``low`` and ``high``, without gradient; to 1e-6 relative in float32 and 1e-12 in float64
        where the problem itself is well conditioned. Normal similarities of standard deviation s give about
        s / sqrt(2 rho).

    Raises:
        TypeError: not a floating tensor.
        ValueError: NaN or plus infinity, a row with fewer than two negatives, rho or low not above 0, high below low.

    Cost: O(N M) a step, about 5 steps of Newton, kept inside a bracket that bisection shrinks.

    Source: not-all-semantics-created (Qiu et al. 2023), whose stochastic algorithm approaches this solution for the
    whole data set; here it is computed for the negatives that are given.

    Relations: ``individual_info_nce`` is the loss at this temperature.

    Example:
        >>> best_temperature(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), rho=0.5, low=0.01).round(decimals=3).tolist()
        [0.48100000619888306]
    """
    check_positive(rho, "rho")
    check_positive(low, "low")
    if high is not None and (not math.isfinite(high) or high < low):
        raise ValueError(f"high must be finite and at least low = {low}, got {high}")
    h, keep = _centred(similarities)
    count = keep.sum(-1).double()
    ignored = None if is_seen(keep) and bool(keep.all()) else ~keep
    spread = -h.amin(-1)  # the largest is 0
    # KL(p_tau || uniform) <= range^2 / (8 tau^2), so the root lies below this.
    above = (spread / math.sqrt(8 * rho)).clamp_min(low)
    below = torch.full_like(above, low)
    # Where the softmax is still flatter at low than the budget allows, the minimum lies at or below low.
    at_low = _divergence(h, ignored, count, below)[0] <= rho
    # Normal similarities of standard deviation s would give s / sqrt(2 rho).
    guess = (h.square().sum(-1) / count - (h.sum(-1) / count).square()).clamp_min(0).sqrt() / math.sqrt(2 * rho)
    tau = torch.where(at_low, below, torch.minimum(torch.maximum(guess, below), above))
    for _ in range(_STEPS):
        divergence, variance = _divergence(h, ignored, count, tau)
        below = torch.where(divergence > rho, tau, below)
        above = torch.where(divergence > rho, above, tau)
        # Newton on log KL against log tau, nearly a line of slope -2: d KL / d log tau = -variance of h / tau.
        step = (divergence / rho).clamp_min(1e-300).log() * divergence / variance.clamp_min(1e-300)
        newton = tau * step.clamp(-3, 3).exp()
        following = torch.where((newton >= below) & (newton <= above), newton, (below * above).sqrt())
        moved = torch.where(at_low, torch.zeros_like(tau), (following / tau - 1).abs()).amax()
        tau = torch.where(at_low, tau, following)
        # The error after such a step is of the order of its square.
        if is_seen(moved) and moved < 1e-6:
            break
    tau = tau.clamp(low, high)
    return tau.to(similarities.dtype)


def individual_info_nce(
    anchors: Tensor, positives: Tensor, *, rho: float, low: float, temperature: Tensor | None = None
) -> Tensor:
    """InfoNCE in which each anchor chooses its temperature: the robust contrastive loss of iSogCLR.

    Formula: mean_i [ tau_i log mean over j != i of exp((s_ij - s_ii) / tau_i) + tau_i rho ], s_ij = cos(anchor_i,
    positive_j), at the tau_i >= low that minimises it.

    Args:
        anchors: (..., N, d), N >= 3.
        positives: (..., N, d); row i belongs to anchor i.
        rho: budget of the divergence in nats, above 0; small budgets give large temperatures.
        low: smallest temperature, above 0.
        temperature: (..., N) above 0, or None for ``best_temperature`` of these negatives.

    Returns:
        Loss of the leading shape: the anchors' mean of the worst-case cosine of the negatives less the positive's, so
        between -2 and 2 (plus low * rho where tau_i = low); low * rho when all rows are equal. Lower is better. The
        gradient treats tau_i as a constant, which is exact at the minimum.

    Raises:
        ValueError: shapes differ, fewer than three rows, a zero or non-finite row, rho, low or temperature not above 0,
            temperature of another shape.

    Cost: O(N^2 d) time, O(N^2) memory; solving adds about 6 passes over the N^2 cosines.

    Source: not-all-semantics-created (Qiu et al. 2023). Convention: multiplied by tau as there (a plain InfoNCE is
    not), the positive left out of the denominator, negatives from the other view only.

    Relations: at one fixed tau its gradient is tau times that of ``info_nce`` without the positive in the denominator.

    Data: pairs, two modalities

    Example:
        >>> round(individual_info_nce(torch.eye(3), torch.eye(3), rho=0.1, low=0.05).item(), 4)
        -0.995
    """
    check_same_shape(anchors, positives, ("anchors", "positives"))
    cosines = product(unit_rows(anchors, "anchors", min_rows=3), unit_rows(positives, "positives"))
    n = cosines.shape[-1]
    # All entries but the diagonal, row by row: the flat matrix without its first entry has the others every n + 1.
    negatives = cosines.flatten(-2)[..., 1:].unflatten(-1, (n - 1, n + 1))[..., :-1].reshape(*cosines.shape[:-1], n - 1)
    if temperature is None:
        tau = best_temperature(negatives.detach(), rho=rho, low=low)
    else:
        check_positive(rho, "rho")
        check_positive(temperature, "temperature")
        if not isinstance(temperature, Tensor) or temperature.shape != cosines.shape[:-1]:
            got = tuple(temperature.shape) if isinstance(temperature, Tensor) else temperature
            raise ValueError(f"temperature must have shape {tuple(cosines.shape[:-1])}, got {got}")
        tau = temperature
    positive = torch.diagonal(cosines, dim1=-2, dim2=-1)
    log_mean = torch.logsumexp(negatives / tau[..., None], -1) - math.log(n - 1)
    return (tau * (log_mean + rho) - positive).mean(-1)


def _centred(similarities: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in float64 less their maximum (0 where one is left out), and which entries count."""
    if not isinstance(similarities, Tensor) or not similarities.is_floating_point():
        got = similarities.dtype if isinstance(similarities, Tensor) else type(similarities).__name__
        raise TypeError(f"similarities must be a floating tensor, got {got}")
    if similarities.ndim < 2:
        raise ValueError(f"similarities must have shape (..., N, M), got {tuple(similarities.shape)}")
    h = similarities.detach().double()
    if fails(h < torch.inf):
        raise ValueError("similarities holds NaN or plus infinity")
    keep = h > -torch.inf
    if similarities.shape[-1] < 2 or fails(keep.sum(-1) >= 2):
        raise ValueError("similarities must have at least two negatives in every row")
    return (h - h.amax(-1, keepdim=True)).masked_fill_(~keep, 0), keep


def _divergence(h: Tensor, ignored: Tensor | None, count: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """KL of softmax(h / tau) from the uniform distribution, and the variance of h / tau under it.

    The largest h of a row is 0, so no exponential can overflow and their sum is at least 1.
    """
    logits = h / tau[..., None]
    weights = logits.exp()
    if ignored is not None:
        weights.masked_fill_(ignored, 0)
    total = weights.sum(-1)
    mean = weights.mul_(logits).sum(-1) / total
    second = weights.mul_(logits).sum(-1) / total
    return mean - total.log() + count.log(), second - mean.square()
