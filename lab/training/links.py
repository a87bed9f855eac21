"""Free embeddings of the nodes of a graph, learned from its links: in the Poincare ball or in flat space."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lab.hyperbolic import ball_step, from_ball

__all__ = ["link_embeddings"]

BURN = 0.1  # share of the steps at a tenth of the rate, in which the angles are settled


def link_embeddings(
    links: Tensor,
    dim: int,
    *,
    seeds: Sequence[int],
    steps: int,
    space: Literal["ball", "flat"] = "ball",
    rate: float | None = None,
    batch_size: int = 256,
    negatives: int = 64,
) -> Tensor:
    """One embedding of all nodes a seed, such that linked nodes come to lie near each other.

    Formula: -log exp(-D(u, v)) / (exp(-D(u, v)) + sum_w exp(-D(u, w))), mean over a batch of links (u, v), with w the
    ``negatives`` nodes drawn for the batch, less those linked to u and u itself.

    Args:
        links: (N, N) bool; a True in row u and column v is the link (u, v). Of one seed; or (S, N, N), one graph each.
        dim: dimensions, at least 1.
        seeds: of the start, the batches and the negatives; at least one.
        steps: updates.
        space: "ball": D is the hyperbolic distance, and a step is that of Riemannian gradient descent,
            ``lab.hyperbolic.ball_step``. "flat": D = |u - v|, and a step is that of Adam.
        rate: largest rate, after a tenth of the steps at a tenth of it, falling along a cosine. None: 100 in the ball,
            0.3 in flat space, the best of several for trees of some 1,000 nodes.
        batch_size: links a step.
        negatives: nodes a step that are held against every link of the batch.

    Returns:
        (S, N, dim) float64, without gradient: tangent coordinates at the origin of the ball
        (``lab.hyperbolic.hyperbolic_distances`` takes them), or points of flat space.

    Raises:
        ValueError: links that are no square matrices or have no link, a size below 1, an unknown space.

    Cost: O(steps S batch_size negatives dim); 0.5 s for 100 steps of 5 seeds in 5 dimensions on one core.

    Source: poincar-embeddings-learning-hierarchical (Nickel and Kiela 2017). There every link has negatives of its own
    and a rate of its own; the gradient of a mean over 256 links is 1/256 of theirs, so a rate of 100 is 0.4 of theirs.

    Relations: ``lab.training.free_embeddings`` minimises a loss over all pairs by L-BFGS.

    Example:
        >>> chain = torch.diag(torch.ones(4), 1).bool()
        >>> link_embeddings(chain | chain.T, 2, seeds=[0, 1], steps=3).shape
        torch.Size([2, 5, 2])
    """
    links = torch.as_tensor(links).bool()
    if links.ndim not in (2, 3) or links.shape[-1] != links.shape[-2]:
        raise ValueError(f"links must have shape (N, N) or (S, N, N), got {tuple(links.shape)}")
    if links.ndim == 3 and len(links) != len(seeds):
        raise ValueError(f"links must hold one graph a seed, got {len(links)} for {len(seeds)} seeds")
    for name, value in (("dim", dim), ("steps", steps), ("batch_size", batch_size), ("negatives", negatives)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {value!r}")
    if not seeds:
        raise ValueError("seeds must hold at least one seed, got none")
    if space not in ("ball", "flat"):
        raise ValueError(f"space must be 'ball' or 'flat', got {space!r}")
    known = [graph.nonzero() for graph in (links if links.ndim == 3 else [links] * len(seeds))]
    if not all(len(pairs) for pairs in known):
        raise ValueError("links must hold at least one link in every graph, got none")
    largest = (100.0 if space == "ball" else 0.3) if rate is None else rate
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    n = links.shape[-1]
    first = n * n * torch.arange(len(seeds))[:, None, None] if links.ndim == 3 else 0  # where a seed's graph begins
    x = torch.stack([1e-3 * torch.randn(n, dim, generator=draw) for draw in draws]).requires_grad_()
    adam = torch.optim.Adam([x], lr=largest) if space == "flat" else None
    for step in range(steps):
        chosen = [pairs[torch.randint(len(pairs), (batch_size,), generator=d)] for pairs, d in zip(known, draws)]  # noqa: B905
        u, v = torch.stack(chosen).unbind(-1)
        w = torch.stack([torch.randint(n, (negatives,), generator=draw) for draw in draws])
        unusable = links.take(first + n * u[..., None] + w[:, None]) | (u[..., None] == w[:, None])
        # gather is several times faster than indexing here, backwards too
        at = [x.gather(1, rows[..., None].expand(-1, -1, dim)) for rows in (u, v, w)]
        _loss(at[0], at[1], at[2], unusable, space).backward()
        now = largest * (0.1 if step < BURN * steps else 0.5 * (1 + math.cos(math.pi * step / steps)))
        if adam is not None:
            adam.param_groups[0]["lr"] = now
            adam.step()
            adam.zero_grad()
        else:
            assert x.grad is not None
            x = ball_step(x.detach(), x.grad, now).requires_grad_()
    found = x.detach().double()
    return from_ball(found) if space == "ball" else found


def _loss(u: Tensor, v: Tensor, w: Tensor, unusable: Tensor, space: str) -> Tensor:
    """Mean over links, summed over seeds: u and v (S, B, d), w (S, M, d), unusable (S, B, M)."""
    near = torch.linalg.vector_norm(u - v, dim=-1)
    far = torch.cdist(u, w, compute_mode="donot_use_mm_for_euclid_dist")
    if space == "ball":
        room_u, room_v, room_w = ((1 - rows.square().sum(-1)).sqrt() for rows in (u, v, w))
        near = 2 * _asinh(near / (room_u * room_v))
        far = 2 * _asinh(far / (room_u[..., None] * room_w[..., None, :]))
    others = (-far).masked_fill(unusable, -torch.inf).logsumexp(-1)
    return (torch.logaddexp(-near, others) + near).mean(-1).sum()


def _asinh(x: Tensor) -> Tensor:
    """The inverse of sinh for x >= 0, exact for small x too; torch's own takes three times as long on a CPU."""
    return torch.log1p(x + x.square() / (1 + (1 + x.square()).sqrt()))
