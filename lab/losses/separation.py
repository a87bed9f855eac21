"""How well scores of positives stand above scores of negatives, over all of them at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.scores import check_scores
from lab.losses.similarity import divisor


class _MeanSoftplus(torch.autograd.Function):
    """Mean of softplus(n_j - p_i) over all pairs, in blocks; the gradient is summed on the way, pairs are not kept.

    Where the gradient is to be differentiated again it is computed anew from all pairs at once.
    """

    @staticmethod
    def forward(ctx: Any, p: Tensor, n: Tensor, block: int) -> Tensor:
        needed = any(ctx.needs_input_grad)
        rows = max(1, block // n.shape[-1])
        total = n.new_zeros(n.shape[:-1], dtype=torch.float64)
        up, down = [], torch.zeros_like(n)
        for part in p.split(rows, -1):
            differences = n[..., None, :] - part[..., :, None]
            total += torch.nn.functional.softplus(differences).sum((-2, -1), dtype=torch.float64)
            if needed:
                slopes = differences.sigmoid_()
                up.append(slopes.sum(-1))
                down += slopes.sum(-2)
        pairs = p.shape[-1] * n.shape[-1]
        if needed:
            ctx.save_for_backward(p, n, -torch.cat(up, -1) / pairs, down / pairs)
        return (total / pairs).to(n.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        p, n, up, down = ctx.saved_tensors
        if torch.is_grad_enabled():
            slopes = (n[..., None, :] - p[..., :, None]).sigmoid() / (p.shape[-1] * n.shape[-1])
            up, down = -slopes.sum(-1), slopes.sum(-2)
        return grad[..., None] * up, grad[..., None] * down, None


def mann_whitney(
    positive_scores: Tensor, negative_scores: Tensor, *, temperature: float | Tensor, block: int = 2**20
) -> Tensor:
    """Mann-Whitney loss: every positive score above every negative score, also across queries; bounds 1 - AUC.

    Formula: mean over i, j of log(1 + exp((n_j - p_i) / tau)).

    Args:
        positive_scores: (..., P), scores of what belongs together, of all queries.
        negative_scores: (..., M), scores of what does not, of all queries.
        temperature: tau > 0, a divisor; 1 in the paper.
        block: how many pairs are held at once.

    Returns:
        Loss of the leading shape, > 0; log 2 when all scores are equal. At least log 2 times (1 - AUC), at any
        temperature, ties counted half. Lower is better.

    Raises:
        ValueError: no scores, leading shapes differ, NaN or infinity, temperature not above 0, block below 1, scores so
            large that differences overflow.

    Cost: O(P M) time, O(P + M + block) memory, also in backward; O(P M) memory for second derivatives.

    Source: optimizing-what-matters (Sheikholeslami et al. 2025), where positives and negatives of all queries of a
    batch are pooled.

    Relations: ``info_nce`` compares within a query only, so that a shift of one query's scores changes nothing there
    and raises this loss; ``cosent`` takes one logarithm over all pairs and graded targets.

    Data: scores

    Example:
        >>> round(mann_whitney(torch.zeros(2), torch.zeros(5), temperature=1.0).item(), 4)
        0.6931
    """
    p, n = check_scores(positive_scores, "positive_scores"), check_scores(negative_scores, "negative_scores")
    if p.shape[:-1] != n.shape[:-1]:
        raise ValueError(
            "positive_scores and negative_scores must have one leading shape, got "
            f"{tuple(p.shape)} and {tuple(n.shape)}"
        )
    if isinstance(block, bool) or not isinstance(block, int) or block < 1:
        raise ValueError(f"block must be a whole number of at least 1, got {block}")
    tau = divisor(temperature, 1)
    dtype = torch.promote_types(p.dtype, n.dtype)
    p, n = (p / tau).to(dtype), (n / tau).to(dtype)
    spread = torch.stack([n.detach().amax(-1) - p.detach().amin(-1), p.detach().amax(-1) - n.detach().amin(-1)])
    if fails(torch.isfinite(spread)):
        raise ValueError("positive_scores and negative_scores are too large: their differences are not finite")
    return _MeanSoftplus.apply(p, n, block)
