"""Differentiable sorting networks, and the loss that asks a network to sort positives above negatives (GroCo).

A sorting network compares fixed pairs of wires, layer by layer, and swaps them where they stand in the wrong order.
Relaxed, a swap happens in part: with v = (b - a) / temperature for the values a, b on a pair of wires, the share that
stays in place is s(v) = 1 / (1 + exp(-v)) ("logistic") or 1/2 + arctan(v) / pi ("cauchy"). Shares are kept as
logarithms, so that no temperature makes a probability 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from lab.geometry import fails
from lab.losses.multiview import unit_views
from lab.losses.scores import check_scores
from lab.losses.similarity import divisor, product, without_diagonal

Network = Literal["odd_even", "bitonic"]
Relaxation = Literal["logistic", "cauchy"]
# Stands for log 0 where minus infinity would turn sums of two of them into NaN.
LOG_ZERO = -1e30


def sorting_network(wires: int, network: Network = "odd_even") -> list[list[tuple[int, int]]]:
    """The layers of a sorting network: pairs (i, j), i < j, after which the smaller value is on wire i.

    Args:
        wires: how many values it sorts, at least 1.
        network: "odd_even" compares neighbours, in ``wires`` layers; "bitonic" needs about log2(wires)^2 / 2 layers.
            Where ``wires`` is no power of 2, it is the next larger network with the largest values left away.

    Returns:
        A list of layers; no wire is in two pairs of one layer.

    Raises:
        ValueError: wires below 1, an unknown network.

    Cost: O(wires^2) pairs, or O(wires log^2 wires) for "bitonic".

    Source: Batcher 1968; Petersen et al. 2021 for their use here. The bitonic network is the form in which all pairs
    point upwards, the same as the alternating one up to the names of the wires.

    Relations: ``soft_sort`` runs it.

    Example:
        >>> sorting_network(3)
        [[(0, 1)], [(1, 2)], [(0, 1)]]
        >>> sorting_network(4, "bitonic")
        [[(0, 1), (2, 3)], [(0, 3), (1, 2)], [(0, 1), (2, 3)]]
    """
    if isinstance(wires, bool) or not isinstance(wires, int) or wires < 1:
        raise ValueError(f"wires must be a whole number of at least 1, got {wires}")
    if network == "odd_even":
        return [[(i, i + 1) for i in range(layer % 2, wires - 1, 2)] for layer in range(wires if wires > 1 else 0)]
    if network != "bitonic":
        raise ValueError(f"network must be odd_even or bitonic, got {network!r}")
    layers = []
    size = 2
    while size < 2 * wires:
        # Two sorted halves: the first against the mirrored second, then both halves by halving steps.
        layers.append([(start + i, start + size - 1 - i) for start in range(0, wires, size) for i in range(size // 2)])
        step = size // 4
        while step:
            layers.append([(i, i + step) for i in range(wires) if not i & step])
            step //= 2
        size *= 2
    return [[pair for pair in layer if pair[1] < wires] for layer in layers]


def soft_sort(
    values: Tensor,
    *,
    temperature: float | Tensor,
    network: Network = "odd_even",
    relaxation: Relaxation = "cauchy",
) -> tuple[Tensor, Tensor]:
    """Values sorted upwards by a relaxed network, and the relaxed permutation that does it.

    Args:
        values: (..., n).
        temperature: tau > 0, a divisor: the inverse of the steepness of the literature.
        network: "odd_even" or "bitonic", see ``sorting_network``.
        relaxation: "cauchy" or "logistic", see the top of the file.

    Returns:
        ``(ordered, permutation)``: (..., n), which tends to the sorted values at small temperature, and (..., n, n),
        entry (i, r) the share of value i that comes to rank r. Rows and columns sum to 1, and
        ordered = values @ permutation.

    Raises:
        ValueError: no or non-finite values, temperature not above 0, an unknown network or relaxation.

    Cost: O(n^2) a layer, time and memory.

    Source: Petersen et al. 2021 (logistic) and 2022 (Cauchy: shares that keep the order of the values), without their
    remapping of activations; learning-by-sorting uses odd-even with Cauchy.

    Relations: ``score_ordering`` needs groups of ranks only and never forms the permutation.

    Example:
        >>> ordered, permutation = soft_sort(torch.tensor([2.0, 1.0]), temperature=0.01, relaxation="logistic")
        >>> ordered.tolist(), permutation.round().tolist()
        ([1.0, 2.0], [[0.0, 1.0], [1.0, 0.0]])
    """
    x = check_scores(values, "values")
    layers = _layers(x.shape[-1], network, x.device)
    x, shares = _run(x, layers, temperature, relaxation)
    permutation = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand(*x.shape, -1)
    for (low, high), (stay, swap) in zip(layers, shares, strict=True):
        stay, swap = stay.exp()[..., None, :], swap.exp()[..., None, :]
        a, b = permutation[..., low], permutation[..., high]
        permutation = permutation.index_copy(-1, low, stay * a + swap * b).index_copy(-1, high, swap * a + stay * b)
    return x, permutation


def score_ordering(
    positive_scores: Tensor,
    negative_scores: Tensor,
    *,
    temperature: float | Tensor,
    network: Network = "odd_even",
    relaxation: Relaxation = "cauchy",
) -> Tensor:
    """How far a relaxed sorting network has to reach across the groups to bring all positives above all negatives.

    Formula: both groups sorted upwards, negatives below positives; then - mean over the P + M values of the log of the
    share that the network leaves in the value's own group of ranks (M lowest for negatives, P highest for positives).

    Args:
        positive_scores: (..., P), scores of one query's positives, larger is better.
        negative_scores: (..., M), of its negatives.
        temperature: tau > 0, a divisor; a tensor broadcasts against the leading shape.
        network, relaxation: as in ``soft_sort``.

    Returns:
        (...), one value a query, >= 0; tends to 0 when all positives lie far above all negatives. Two equal scores
        give log 2. Lower is better.

    Raises:
        ValueError: no or non-finite scores, leading shapes differ, temperature not above 0, an unknown network or
            relaxation.

    Cost: O(P + M) a layer, P + M layers for "odd_even".

    Source: learning-by-sorting (Shvetsova et al. 2023): binary cross-entropy between groups of ranks of the relaxed
    permutation and those of the right order. The order within a group costs nothing.

    Relations: ``group_ordering`` applies it to views; ``mann_whitney`` compares every pair with the same weight.

    Data: scores

    Example:
        >>> round(score_ordering(torch.zeros(1), torch.zeros(1), temperature=1.0).item(), 4)
        0.6931
    """
    positives = check_scores(positive_scores, "positive_scores")
    negatives = check_scores(negative_scores, "negative_scores")
    if positives.shape[:-1] != negatives.shape[:-1]:
        raise ValueError(
            "positive_scores and negative_scores must have one leading shape, got "
            f"{tuple(positives.shape)} and {tuple(negatives.shape)}"
        )
    return _ordering(positives, negatives, temperature, network, relaxation)


def group_ordering(
    views: Tensor | Sequence[Tensor],
    *,
    temperature: float | Tensor,
    negatives: int,
    network: Network = "odd_even",
    relaxation: Relaxation = "cauchy",
    stop_gradient: bool = True,
) -> Tensor:
    """GroCo: for every row, its other views must be sorted above its nearest negatives.

    Formula: mean over views l and samples i of ``score_ordering`` between the cosines to the other views of sample i
    and the largest cosines to other samples of view l.

    Args:
        views: (..., V, N, d) or a sequence of V tensors (..., N, d), V >= 2, N >= 2. Normalised inside.
        temperature: tau > 0, a divisor of differences of cosines; 1 is the default steepness of the authors' code. A
            tensor of the leading shape gives each batch of a stack its own.
        negatives: how many of the nearest negatives are sorted, in 1 .. N - 1; 10 by default in the authors' code.
        network, relaxation: as in ``soft_sort``; odd-even and Cauchy in the paper's experiments.
        stop_gradient: whether a row's positives and negatives are constants while it is the anchor, as in the authors'
            code. Every row is an anchor in turn.

    Returns:
        Loss of the leading shape, >= 0. Lower is better. Right but close orders still cost, since swaps are soft.

    Raises:
        ValueError: fewer than two views or rows, shapes differ, a zero or non-finite row, negatives out of range,
            temperature not above 0, an unknown network or relaxation.

    Cost: O(V N^2 d + V N L (V + negatives)) time with L layers, O(V N^2) memory.

    Source: learning-by-sorting (Shvetsova et al. 2023).

    Relations: ``score_ordering`` is the loss of one row; ``mv_info_nce`` weighs all negatives by one softmax.

    Data: pairs, several views

    Example:
        >>> x = torch.eye(3)
        >>> loss = group_ordering([x, x], temperature=0.01, negatives=2, relaxation="logistic")
        >>> round(loss.item(), 4)
        0.0
    """
    z = unit_views(views)
    v, n = z.shape[-3:-1]
    if isinstance(negatives, bool) or not isinstance(negatives, int) or not 1 <= negatives < n:
        raise ValueError(f"negatives must be a whole number in 1 .. {n - 1} for {n} rows, got {negatives}")
    others = z.detach() if stop_gradient else z
    samples = product(z.transpose(-3, -2), others.transpose(-3, -2))
    apart = (~torch.eye(v, dtype=torch.bool)).flatten().nonzero()[:, 0].to(z.device)
    positive = samples.flatten(-2)[..., apart].unflatten(-1, (v, v - 1)).transpose(-3, -2)
    nearest = without_diagonal(product(z, others)).topk(negatives, -1).values
    tau = divisor(temperature, 2)
    return _ordering(positive, nearest, tau, network, relaxation).mean((-2, -1))


def _ordering(
    positives: Tensor, negatives: Tensor, temperature: float | Tensor, network: Network, relaxation: Relaxation
) -> Tensor:
    m, p = negatives.shape[-1], positives.shape[-1]
    x = torch.cat([negatives.sort(-1).values, positives.sort(-1).values], -1)
    layers = _layers(m + p, network, x.device)
    _, shares = _run(x, layers, temperature, relaxation)
    # Backwards from the ranks: log of the share of each wire that ends among the high ranks, and among the low ones.
    top = torch.full_like(x, LOG_ZERO)
    low_ranks = torch.arange(m + p, device=x.device) < m
    high, low = top.masked_fill(~low_ranks, 0), top.masked_fill(low_ranks, 0)
    for (i, j), (stay, swap) in zip(reversed(layers), reversed(shares), strict=True):
        high, low = (
            side.index_copy(-1, i, torch.logaddexp(stay + side[..., i], swap + side[..., j])).index_copy(
                -1, j, torch.logaddexp(swap + side[..., i], stay + side[..., j])
            )
            for side in (high, low)
        )
    return -torch.where(low_ranks, low, high).mean(-1)


def _layers(wires: int, network: Network, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """The pairs of every layer as two index tensors."""
    made = []
    for layer in sorting_network(wires, network):
        if layer:
            low, high = zip(*layer, strict=True)
            made.append((torch.tensor(low, device=device), torch.tensor(high, device=device)))
    return made


def _run(
    x: Tensor, layers: list[tuple[Tensor, Tensor]], temperature: float | Tensor, relaxation: Relaxation
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Values after the network, and for every layer the logs of the shares that stay in place and that swap."""
    if relaxation not in ("logistic", "cauchy"):
        raise ValueError(f"relaxation must be logistic or cauchy, got {relaxation!r}")
    tau = divisor(temperature, 1)
    if fails(torch.isfinite(((x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)) / tau).detach())):
        raise ValueError("temperature is too small for scores or values so far apart: their quotient overflows")
    shares = []
    for low, high in layers:
        a, b = x[..., low], x[..., high]
        v = (b - a) / tau
        stay, swap = _log_share(v, relaxation), _log_share(-v, relaxation)
        moved = swap.exp() * (b - a)
        x = x.index_copy(-1, low, a + moved).index_copy(-1, high, b - moved)
        shares.append((stay, swap))
    return x, shares


def _log_share(v: Tensor, relaxation: Relaxation) -> Tensor:
    if relaxation == "logistic":
        return torch.nn.functional.logsigmoid(v)
    # arctan2(1, -v) / pi equals 1/2 + arctan(v) / pi and keeps its digits where that is near 0.
    return torch.atan2(torch.ones_like(v), -v).log() - math.log(math.pi)
