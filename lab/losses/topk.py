"""A differentiable choice of the k largest scores, and the loss that asks it to choose the positives."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from lab.geometry import fails
from lab.losses.scores import check_scores
from lab.losses.selection import Pairs, Selected, WithoutPositives, over_anchors, select
from lab.losses.similarity import check_columns, divisor, product, unit_rows


class _Threshold(torch.autograd.Function):
    """The t at which sigmoid(u + t) sums to k along the last axis; entries of u may be minus infinity.

    With u sorted downwards, t lies between -u_k - log(m - k) and log k - u_(k+1), m the number of finite entries. There
    the sum is k where what the first k lack equals what the others have, and both sides are compared as logarithms, so
    that wide gaps lose no digits. The gradient follows from the sum staying k: dt = - sum_j v_j du_j / sum_j v_j,
    v = sigmoid'(u + t), taken as a softmax of log v so that it holds where every v underflows.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, k: Tensor) -> Tensor:
        k = k.long()[..., None]
        ordered = u.sort(-1, descending=True).values
        first = torch.arange(u.shape[-1], device=u.device) < k
        others = torch.isfinite(u).sum(-1, keepdim=True) - k
        low = -ordered.gather(-1, k - 1) - others.to(u.dtype).log()
        high = k.to(u.dtype).log() - ordered.gather(-1, k)
        for _ in range(80 if u.dtype == torch.float64 else 50):
            middle = low + (high - low) / 2
            a = ordered + middle
            lacking = logsigmoid(-a).masked_fill(~first, -torch.inf).logsumexp(-1, keepdim=True)
            having = logsigmoid(a).masked_fill(first, -torch.inf).logsumexp(-1, keepdim=True)
            enough = having >= lacking
            low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
        t = low + (high - low) / 2
        ctx.save_for_backward(u, t)
        return t

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        u, t = ctx.saved_tensors
        a = u + t
        return -grad * torch.softmax(logsigmoid(a) + logsigmoid(-a), -1), None


def _chosen(scores: Tensor, k: Tensor) -> Tensor:
    """u + t of scores over temperature (..., M), minus infinity where there is no candidate; 1 <= k < candidates."""
    # From the middle of the gap after the k-th score, t is small where that gap is wide, and keeps its digits.
    ordered = scores.detach().sort(-1, descending=True).values
    at = (k.long() - 1)[..., None]
    middle = (ordered.gather(-1, at) + ordered.gather(-1, at + 1)) / 2
    u = scores - middle
    return u + _Threshold.apply(u, k)


def soft_top_k(scores: Tensor, k: int | Tensor, *, temperature: float | Tensor) -> Tensor:
    """A soft choice of the k largest scores: numbers in 0 .. 1 that sum to k.

    Formula: z_i = sigmoid(x_i / tau + t), with the t for which sum_i z_i = k.

    Args:
        scores: (..., M), M >= 2.
        k: whole number, 1 .. M - 1; or whole numbers of the leading shape, one for each set of scores.
        temperature: tau > 0, a divisor; the smaller, the closer to the hard choice.

    Returns:
        (..., M): larger for larger scores; k / M each when all scores are equal. A shift of all scores changes nothing.

    Raises:
        ValueError: NaN or infinity, fewer than two scores, k out of range or of another shape, temperature not above 0.

    Cost: O(M log M) time and O(M) memory, and some 50 steps of bisection. Gradients are those of the exact solution, of
    any order, by the implicit function theorem.

    Source: dual-encoders-extreme-multi (Gupta et al. 2024), whose alpha is 1 / tau.

    Relations: ``soft_top_k_loss`` is the loss over it. Its k = 1 is not softmax, though both sum to 1.

    Example:
        >>> soft_top_k(torch.tensor([3.0, 1.0, 1.0, -5.0]), 2, temperature=0.01).round(decimals=3).tolist()
        [1.0, 0.5, 0.5, 0.0]
    """
    x = check_scores(scores, "scores", least=2)
    whole = isinstance(k, int) and not isinstance(k, bool)
    if not whole and not (isinstance(k, Tensor) and not k.is_floating_point() and k.dtype != torch.bool):
        raise ValueError(f"k must be a whole number or a tensor of whole numbers, got {k!r}")
    number = torch.as_tensor(k, device=x.device)
    if number.ndim and number.shape != x.shape[:-1]:
        raise ValueError(f"k must have the leading shape {tuple(x.shape[:-1])} of scores, got {tuple(number.shape)}")
    if fails((number >= 1) & (number < x.shape[-1])):
        raise ValueError(f"k must lie in 1 .. {x.shape[-1] - 1}, got {k}")
    x = x / divisor(temperature, 1)
    if fails(torch.isfinite(x.detach().amax(-1) - x.detach().amin(-1))):
        raise ValueError("scores are too large: their differences over temperature are not finite")
    return _chosen(x, number.expand(x.shape[:-1])).sigmoid().to(scores.dtype)


def soft_top_k_loss(
    embeddings: Tensor,
    labels: Tensor | Pairs,
    *,
    k: int | None,
    temperature: float | Tensor,
    reference: Tensor | None = None,
    reference_labels: Tensor | None = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Soft top-k loss: each anchor's positives among its k best candidates, no matter in which order.

    Formula: mean_i mean_{p in P_i} - log z_ip, z_i = soft_top_k(cosines of anchor i / tau, k).

    Args:
        embeddings: (..., N, d), the anchors (queries). Normalised inside.
        labels: integers (..., N), booleans (..., N, L) for several labels an item, or `Pairs`.
        k: how many are chosen, at least 1 and below every anchor's number of candidates; None for each anchor's own
            number of positives.
        temperature: tau > 0, a divisor.
        reference, reference_labels: (..., M, d) and their labels, the candidates (documents, classes); None for the
            batch itself, each item without itself.
        mask: booleans (..., N, M): pairs that may be used; others are no candidates.
        without_positives: what becomes of anchors without a positive.

    Returns:
        `Selected`: loss of the leading shape, >= 0, and the anchors left out. All rows equal: log(m / k) with m
        candidates. An anchor with more than k positives cannot reach 0; one whose candidates are all positives has 0
        under k = None. Lower is better.

    Raises:
        ValueError: a zero or non-finite row, labels or mask that do not fit or leave no positive or no negative, k out
            of range, temperature not above 0.

    Cost: O(N M (d + log M)) time, O(N M) memory, and some 50 steps of bisection, which keep nothing.

    Source: dual-encoders-extreme-multi (Gupta et al. 2024). With more positives than k the authors draw k of them;
    here all count (pass a mask to draw).

    Relations: the multi-positive decoupled softmax compares each positive with all negatives alone; here positives
    below place k push every candidate above them down.

    Data: labels, two modalities

    Example:
        >>> loss = soft_top_k_loss(torch.ones(6, 2), torch.tensor([0, 0, 0, 1, 1, 1]), k=2, temperature=0.1).loss
        >>> round(loss.item(), 4)
        0.9163
    """
    if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 1):
        raise ValueError(f"k must be a whole number of at least 1 or None, got {k!r}")
    anchors = unit_rows(embeddings, "embeddings", min_rows=3 if reference is None else 1)
    candidates = anchors if reference is None else unit_rows(reference, "reference", min_rows=2)
    check_columns(anchors, candidates, ("embeddings", "reference"))
    n, m = anchors.shape[-2], None if reference is None else candidates.shape[-2]
    pairs = select(labels, n, reference_labels=reference_labels, columns=m, mask=mask, device=anchors.device)
    logits = product(anchors, candidates) / divisor(temperature)
    positive, usable = pairs.positive.expand(logits.shape), (pairs.positive | pairs.negative).expand(logits.shape)
    positives, available = positive.sum(-1), usable.sum(-1)
    counts = positives > 0
    number = positives if k is None else torch.full_like(positives, k)
    if k is not None and fails(~(counts & (available <= k))):
        raise ValueError(f"k must be below each anchor's number of candidates, got {k}")
    # Where there is nothing to choose (no positive, or no negative) stands a choice among all, which is not used.
    idle = ~counts | (number >= available)
    number = torch.where(idle, 1, number)
    open_logits = logits.masked_fill(~(usable | idle[..., None]), -torch.inf)
    chosen = torch.where(positive & ~idle[..., None], logsigmoid(_chosen(open_logits, number)), 0)
    return over_anchors(-chosen.sum(-1) / positives.clamp(min=1), counts, without_positives)
