"""From class probabilities to a label: the Frechet mean under a metric of the labels, and the temperature before it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from lab.geometry import as_rows, check_labels

# Labels whose expected squared distances agree to this share of the largest squared distance count as tied.
EQUAL = 1e-9


class Decision(NamedTuple):
    """Labels (N,) int64, and the expected squared distance to each of them (N,) float64, the Frechet variance."""

    labels: Tensor
    variance: Tensor


def frechet_mean(probabilities: Any, distances: Any, *, block: int = 8192) -> Decision:
    """The label that is nearest to a distribution over classes in expected squared distance, in place of the argmax.

    Formula: y* = argmin_y sum_k P(k | x) d(y, y_k)^2, y over all labels, k over the classes that were trained.

    Args:
        probabilities: (N, K) of the trained classes, at least 0, rows summing to 1; tensor or array.
        distances: (L, K), at least 0: from each label that may be named to each trained class. L may exceed K: labels
            without training data can be named, if they lie between trained ones.
        block: rows at a time; changes memory and nothing else.

    Returns:
        `Decision`: labels as rows of ``distances``, the first of tied ones, and their variance, at least 0; the
        variance is 0 for a certain class and grows with doubt between labels that lie far apart.

    Raises:
        ValueError: another number of columns, negative or non-finite entries, rows that do not sum to 1, block below 1.

    Cost: O(N K L) time, O(block L) memory.

    Source: Loki, geometry-aware-adaptation-pretrained (Roberts et al. 2023), the rule of its first equation.

    Relations: with d = 1 between any two different labels it is the argmax, and a label that was not trained is never
        named. With labels on a line it is the label nearest to the mean, so nothing outside the trained range can be
        named. Minimising sum_k P(k | x) d(y, y_k) instead would give the median. `temperature_scale` makes
        probabilities fit for it; `lab.probes.frechet_distance`, of two clouds, is another thing.

    Example:
        >>> places, trained = torch.arange(5.0), torch.tensor([0.0, 2.0, 4.0])
        >>> distances = (places[:, None] - trained).abs()
        >>> frechet_mean([[0.5, 0.5, 0.0], [0.1, 0.8, 0.1]], distances).labels.tolist()
        [1, 2]
    """
    p, far = as_rows(probabilities, "probabilities").double(), as_rows(distances, "distances").double()
    if far.shape[1] != p.shape[1]:
        raise ValueError(f"distances must have {p.shape[1]} columns, one a class, got {far.shape[1]}")
    for name, x in (("probabilities", p), ("distances", far)):
        if not bool(torch.isfinite(x).all()) or float(x.min()) < 0:
            raise ValueError(f"{name} must be finite and at least 0")
    total = p.sum(1, keepdim=True)
    if float((total - 1).abs().max()) > 1e-2:  # room for half precision
        raise ValueError(f"probabilities must sum to 1 in each row, got {float(total[(total - 1).abs().argmax()]):.4g}")
    if isinstance(block, bool) or not isinstance(block, int) or block < 1:
        raise ValueError(f"block must be an int of at least 1, got {block!r}")
    square = far.square().T.to(p.device)
    slack = EQUAL * float(square.max())
    labels, variances = [], []
    for rows in (p / total).split(block):
        expected = rows @ square
        least = expected.min(1, keepdim=True).values
        labels.append((expected <= least + slack).int().argmax(1))  # the first one that is as good as the best
        variances.append(least[:, 0])
    return Decision(torch.cat(labels), torch.cat(variances))


def temperature_scale(logits: Any, labels: Any, *, low: float = 1e-3, high: float = 1e3) -> float:
    """The temperature at which softmax(logits / tau) gives held-out labels the greatest likelihood.

    Formula: argmin_tau mean_i [ log sum_k exp(z_ik / tau) - z_iy / tau ]. In beta = 1 / tau the mean is convex; its
    slope, the mean of (sum_k p_ik z_ik - z_iy), is brought to 0 by bisection.

    Args:
        logits: (N, K) of held-out items, finite; tensor or array.
        labels: (N,) integers in 0 .. K - 1.
        low, high: range of the temperature, 0 < low < high.

    Returns:
        A float from ``low`` to ``high``, a divisor; above 1 where the model was too sure of itself. ``high`` where the
        logits say nothing about the labels, ``low`` where the largest is right for all items.

    Raises:
        ValueError: other lengths, a label out of range, non-finite logits, an empty range.

    Cost: 60 passes over the logits.

    Source: temperature scaling (Guo et al. 2017).

    Example:
        >>> logits = torch.tensor([3.0, 1.0, 1.0, 1.0]).log().repeat(4, 1)
        >>> round(temperature_scale(logits, [0, 1, 2, 0]), 4)  # class 0 is right in two of four, as 3 : 1 : 1 : 1 says
        1.0
    """
    z = as_rows(logits, "logits").double()
    y = check_labels(labels, len(z)).to(z.device)
    if not bool(torch.isfinite(z).all()):
        raise ValueError("logits must be finite")
    if int(y.min()) < 0 or int(y.max()) >= z.shape[1]:
        raise ValueError(f"labels must lie in 0 .. {z.shape[1] - 1}, got {int(y.min())} to {int(y.max())}")
    if not 0 < low < high:
        raise ValueError(f"low and high must satisfy 0 < low < high, got {low} and {high}")
    own = z.gather(1, y[:, None])[:, 0]

    def slope(tau: float) -> float:
        return float(((z / tau).softmax(1) * z).sum(1).mean() - own.mean())

    if slope(low) <= 0:  # even the sharpest could be sharper
        return low
    if slope(high) >= 0:
        return high
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if slope(middle) < 0 else (middle, high)
    return (low * high) ** 0.5
