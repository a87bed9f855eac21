"""Contrast for regression with mixed embeddings as harder positives and negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.selection import Selected, WithoutPositives, over_anchors
from lab.losses.similarity import divisor, product, unit_rows
from lab.losses.targets import order


def mixing_shares(
    shape: tuple[int, ...], beta: tuple[int, int], *, like: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """Numbers of a Beta(a, b) distribution with whole a, b >= 1: the a-th smallest of a + b - 1 uniform numbers.

    Args:
        shape: of the result. beta: (a, b). like: gives dtype and device. generator: of that device; None for the
            global one.

    Returns: numbers in 0 .. 1, a / (a + b) on average. Raises: ValueError for a or b not whole or below 1.
    Cost: a + b - 1 uniform numbers each.

    >>> like = torch.zeros((), dtype=torch.float64)
    >>> shares = mixing_shares((4000,), (2, 8), like=like, generator=torch.Generator().manual_seed(0))
    >>> round(shares.mean().item(), 2)
    0.2
    """
    a, b = beta
    if not (isinstance(a, int) and isinstance(b, int) and a >= 1 and b >= 1):
        raise ValueError(f"beta must be two whole numbers of at least 1, got {beta}")
    uniform = torch.rand(*shape, a + b - 1, dtype=like.dtype, device=like.device, generator=generator)
    return uniform.kthvalue(a, -1).values


def _brackets(
    lower: Tensor, upper: Tensor, number: int | None, generator: torch.Generator | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates below and above each anchor in pairs: their places, twice (..., N, Q), and whether the pair exists."""
    anchors, m = lower.shape[:-1], lower.shape[-1]
    if number is None:
        places = torch.arange(m, device=lower.device)
        low, high = places.repeat_interleave(m).expand(*anchors, -1), places.repeat(m).expand(*anchors, -1)
        return low, high, (lower[..., :, None] & upper[..., None, :]).flatten(-2)
    exists = (lower.any(-1) & upper.any(-1))[..., None]
    drawn = []
    for side in (lower, upper):
        chances = (side | ~exists).flatten(0, -2).double()
        places = torch.multinomial(chances, number, replacement=True, generator=generator)
        drawn.append(places.unflatten(0, anchors))
    return drawn[0], drawn[1], exists.expand(*anchors, number)


def supremix(
    embeddings: Tensor,
    targets: Tensor,
    *,
    temperature: float | Tensor,
    window: float,
    mixed_positives: int | None = None,
    beta: tuple[int, int] | None = (2, 8),
    weight_offset: float = 1.0,
    detach_mixtures: bool = True,
    reference: Tensor | None = None,
    reference_targets: Tensor | None = None,
    mask: Tensor | None = None,
    generator: torch.Generator | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """SupReMix: supervised contrast for regression with mixtures as hard positives and hard negatives.

    Formula: mean_i mean_{p in P_i} - log [ e^{z_i.p / tau} / (sum_{q in P_i} e^{z_i.q / tau}
    + sum_{n in N_i} w_in e^{z_i.n / tau}) ], z unit rows. P_i: rows of the same target, and mixtures
    a z_j + (1 - a) z_k with y_i - window < y_j < y_i < y_k < y_i + window and a y_j + (1 - a) y_k = y_i. N_i: rows of
    another target, and each of them mixed with the anchor, b z_i + (1 - b) z_k, whose target is mixed alike.
    w_in = weight_offset + |y_i - y_n|. Mixtures are not normalised again.

    Args:
        embeddings: (..., N, d), N >= 2. Normalised inside.
        targets: floating (N,) or (N, 1), or with the leading shape. Equal targets are positives of each other and are
            never mixed with each other or with the anchor.
        temperature: tau > 0, a divisor.
        window: how far the targets of a mixed positive's parts may lie from the anchor's, above 0; 0 leaves mixed
            positives out.
        mixed_positives: how many mixed positives an anchor draws, with replacement; None for all there are.
        beta: (a, b), whole numbers: b ~ Beta(a, b), the anchor's share of a mixed negative, drawn anew at each call;
            None for no mixed negatives.
        weight_offset: the weight of a negative at distance 0, at least 0.
        detach_mixtures: whether only the anchor gets a gradient from mixtures, as in the authors' code.
        reference, reference_targets: (..., M, d) and their targets, the candidates and parts of mixtures; None for the
            batch itself.
        mask: booleans (..., N, M): pairs that may be used.
        generator: of the draws; None for the global one.
        without_positives: what becomes of anchors without a positive (as a rule those at the ends of the targets).

    Returns:
        `Selected`: loss of the leading shape, >= 0 where no weight is below 1, and the anchors without a positive. All
        rows equal: log(|P_i| + sum_n w_in), averaged over anchors, at any temperature. Lower is better.

    Raises:
        ValueError: fewer than two rows, a zero or non-finite row, targets that are not numbers or of other length,
            temperature not above 0, parameters out of range, no anchor with a positive.

    Cost: O(N^2 d + N Q) time and O(N^2 + N Q) memory with Q = ``mixed_positives``, N^2 for None. Mixtures are never
    built: their products with the anchor are mixtures of products.

    Source: mixup-your-own-pairs (Wu et al. 2023), weights and detached mixtures as in the authors' code (their
    distance "L1_inv"). It divides by |P_i| + 1, here by |P_i|. ``weight_offset=0`` weighs by distance alone.

    Relations: ``rank_n_contrast`` needs no equal targets and no window; without mixtures and with all weights 1 it is
    supervised contrast over equal targets.

    Data: ordered targets

    Example:
        >>> y = torch.tensor([0.0, 0.0, 2.0, 2.0])
        >>> round(supremix(torch.ones(4, 2), y, temperature=0.1, window=0.0, beta=None).loss.item(), 4)
        1.9459
    """
    for name, value in (("window", window), ("weight_offset", weight_offset)):
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and at least 0, got {value}")
    if mixed_positives is not None and (not isinstance(mixed_positives, int) or mixed_positives < 1):
        raise ValueError(f"mixed_positives must be a whole number of at least 1 or None, got {mixed_positives}")
    batch = order(embeddings, targets, reference=reference, reference_targets=reference_targets, mask=mask)
    if batch.own.shape[-1] != 1:
        raise ValueError(f"targets must be one number an item (vectors have no between), got {batch.own.shape[-1]}")
    z = unit_rows(embeddings, "embeddings")
    others = z if reference is None else unit_rows(reference, "reference")
    tau = divisor(temperature)
    logits = product(z, others) / tau
    mixable = product(z, others.detach()) / tau if detach_mixtures else logits
    step = (batch.other.mT - batch.own).expand(logits.shape)  # y_k - y_i
    usable = batch.usable.expand(logits.shape)
    same, differs = usable & (step == 0), usable & (step != 0)

    pulled, pulling = [logits], [same]
    pushed, pushing = [logits + (weight_offset + step.abs()).log().to(logits.dtype)], [differs]
    if window > 0:
        below, above = differs & (step < 0) & (step > -window), differs & (step > 0) & (step < window)
        low, high, exists = _brackets(below, above, mixed_positives, generator)
        under, over = -step.gather(-1, low), step.gather(-1, high)
        share = torch.where(exists, over / torch.where(exists, over + under, 1), 0).to(logits.dtype)
        pulled.append(share * mixable.gather(-1, low) + (1 - share) * mixable.gather(-1, high))
        pulling.append(exists)
    if beta is not None:
        share = mixing_shares(tuple(logits.shape), beta, like=logits, generator=generator)
        itself = (z * (z.detach() if detach_mixtures else z)).sum(-1, keepdim=True) / tau
        weight = weight_offset + (1 - share) * step.abs()
        pushed.append(share * itself + (1 - share) * mixable + weight.log().to(logits.dtype))
        pushing.append(differs)

    positive = torch.cat(pulling, -1)
    values = torch.cat(pulled, -1)
    counts = positive.sum(-1)
    entries = torch.cat([positive, *pushing], -1) | (counts == 0)[..., None]
    # Where a negative cannot be (its weight would be log 0) stands the finite product itself.
    finite = [torch.where(keep, value, logits) for value, keep in zip(pushed, pushing, strict=True)]
    total = torch.logsumexp(torch.cat([values, *finite], -1).masked_fill(~entries, -torch.inf), -1)
    terms = total - torch.where(positive, values, 0).sum(-1) / counts.clamp(min=1)
    if fails((counts > 0).any()):
        raise ValueError(f"targets leave no positive: no two are equal, and none lies between others within {window}")
    return over_anchors(terms, counts > 0, without_positives)
