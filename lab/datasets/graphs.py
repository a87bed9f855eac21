"""Augmentation graphs: all views of a small world as nodes, the probability of each positive pair as an edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class AugmentationGraph:
    """A graph of views.

    Attributes:
        weights: (N, N) float64, symmetric, not negative, sum 1; entry ij is the probability that a positive pair is
            (i, j). Positive semidefinite after normalisation, as each pair shares one natural item.
        groups: (N,) int64, the community of each view, 0 .. G - 1; communities of one branch are numbered in a row.
    """

    weights: torch.Tensor
    groups: torch.Tensor

    @property
    def mass(self) -> torch.Tensor:
        """(N,) probability of each view, the row sums of the weights."""
        return self.weights.sum(1)

    def shuffled(self, seed: int) -> AugmentationGraph:
        """The same weights on other edges, drawn at random: a graph of the same density without communities.

        Weights on the diagonal stay, the others are permuted above it and mirrored below.

        Example:
            >>> graph = augmentation_graph((3,), (0.2,), views=8, naturals=20, reach=4, seed=0)
            >>> bool(torch.isclose(graph.shuffled(1).weights.sum(), torch.tensor(1.0, dtype=torch.float64)))
            True
        """
        n = len(self.weights)
        generator = torch.Generator().manual_seed(seed)
        i, j = torch.triu_indices(n, n, 1)
        upper = torch.zeros_like(self.weights)
        upper[i, j] = self.weights[i, j][torch.randperm(len(i), generator=generator)]
        return AugmentationGraph(upper + upper.T + torch.diag(self.weights.diag()), self.groups.clone())


def augmentation_graph(
    branching: Sequence[int], leak: Sequence[float], *, views: int, naturals: int, reach: int, seed: int
) -> AugmentationGraph:
    """A graph of communities in a tree, made as data augmentation makes it.

    Each natural item lives in one community. Its augmentation gives a view of the item's own community with
    probability 1 - sum(leak), spread evenly over ``reach`` views drawn for it; with probability leak[0] one of
    ``reach`` views drawn from the branch one level up, and so on to the whole tree. Then
    w_ij = mean over items of A(i | item) A(j | item).

    Args:
        branching: children at each level from the root down: (9,) is nine communities, (3, 3) three branches of three.
        leak: one probability a level, from the lowest branch up to the whole tree; sum below 1.
        views: nodes a community, at least 2.
        naturals: items a community, at least 1.
        reach: views that an item can become at each level, 1 .. views.
        seed: of the draws.

    Returns:
        ``AugmentationGraph`` of N = views x communities nodes. Its normalised adjacency has one eigenvalue 1 and gaps
        below the product of the first 1, 2, ... entries of ``branching``.

    Raises:
        ValueError: a size out of range, as many leaks as levels are not given, or a view that no item reaches.

    Cost: O(naturals N^2 communities) time, milliseconds for some hundred nodes.

    Source: the definition of the augmentation graph in HaoChen et al. (2021).

    Example:
        >>> graph = augmentation_graph((3,), (0.2,), views=8, naturals=20, reach=4, seed=0)
        >>> graph.weights.shape, graph.groups.bincount().tolist()
        (torch.Size([24, 24]), [8, 8, 8])
    """
    if not branching or any(b < 2 for b in branching):
        raise ValueError(f"branching must be numbers of at least 2, got {branching!r}")
    if len(leak) != len(branching) or any(p < 0 for p in leak) or sum(leak) >= 1:
        raise ValueError(f"leak must be {len(branching)} probabilities with a sum below 1, got {leak!r}")
    if views < 2 or naturals < 1 or not 1 <= reach <= views:
        raise ValueError(
            f"views >= 2, naturals >= 1 and 1 <= reach <= views are needed, got {views}, {naturals}, {reach}"
        )
    generator = torch.Generator().manual_seed(seed)
    communities = math.prod(branching)
    groups = torch.arange(communities).repeat_interleave(views)
    homes = torch.arange(communities).repeat_interleave(naturals)
    chances = torch.zeros(len(homes), len(groups), dtype=torch.float64)
    for level, share in enumerate([1 - sum(leak), *leak]):
        width = math.prod(branching[len(branching) - level :])  # communities in the branch at this level
        inside = homes[:, None] // width == groups // width
        score = torch.rand(chances.shape, generator=generator, dtype=torch.float64).masked_fill(~inside, -1)
        drawn = score.topk(reach, dim=1).indices
        chances.scatter_add_(1, drawn, torch.full(drawn.shape, share / reach, dtype=torch.float64))
    weights = chances.T @ chances / len(homes)
    if (weights.sum(1) == 0).any():
        raise ValueError("some view is reached by no item: raise naturals or reach")
    weights = (weights + weights.T) / 2
    return AugmentationGraph(weights / weights.sum(), groups)
