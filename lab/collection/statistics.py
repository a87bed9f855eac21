"""Intervals for the mean over seeds, and rank correlation: the statistics verdicts rest on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

METHODS = ("t", "bca")
RESAMPLES = 9999


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval: `value` in [`low`, `high`] from `n` values by `method`."""

    value: float
    low: float
    high: float
    n: int
    method: str


def mean_interval(values: Any, method: str = "t", confidence: float = 0.95, seed: int = 0) -> Interval:
    """Confidence interval for the mean of independent values, one a seed.

    ``t``: mean +- t(n - 1, (1 + confidence) / 2) * s / sqrt(n). ``bca``: the bias-corrected and accelerated bootstrap
    over 9,999 resamples, for skewed values; with fewer than about ten values it is narrower than it should be.

    Args:
        values: n >= 2 finite numbers (list, array or tensor, one axis).
        method: ``t`` or ``bca``.
        confidence: share of intervals that hold the true mean, in (0, 1).
        seed: seed of the resampling (``bca`` only).

    Returns:
        Interval(value, low, high, n, method); zero width when all values are equal.

    Raises:
        ValueError: fewer than two values, NaN or Inf, more than one axis, unknown method, confidence outside (0, 1).

    Cost: O(n) for ``t``, O(9999 n) time and memory for ``bca``.

    Source: Student 1908; Efron 1987, with ties of the bootstrap distribution counted half, as SciPy does.

    >>> i = mean_interval([1.0, 2.0, 3.0])
    >>> round(i.value, 3), round(i.low, 3), round(i.high, 3)
    (2.0, -0.484, 4.484)
    """
    x = as_values(values, "values", at_least=2)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    if np.all(x == x[0]):  # rounding in the mean must not open an interval
        exact = float(x[0])
        return Interval(exact, exact, exact, x.size, method)
    mean = float(x.mean())
    low, high = _student(x, confidence) if method == "t" else _bca(x, confidence, seed)
    return Interval(mean, low, high, x.size, method)


def paired_interval(a: Any, b: Any, method: str = "t", confidence: float = 0.95, seed: int = 0) -> Interval:
    """Confidence interval for the mean of a - b, where a[i] and b[i] come from the same seed.

    Pairing removes what both conditions share (data order, initialisation), so it sees smaller effects than two
    separate intervals. Args, Returns and Raises as `mean_interval`; different lengths raise ValueError.

    >>> paired_interval([1.0, 2.0, 4.0], [0.0, 1.0, 3.0])
    Interval(value=1.0, low=1.0, high=1.0, n=3, method='t')
    """
    x, y = as_values(a, "a", at_least=2), as_values(b, "b", at_least=2)
    if x.size != y.size:
        raise ValueError(f"a and b must be paired by seed, got {x.size} and {y.size} values")
    return mean_interval(x - y, method, confidence, seed)


def spearman(a: Any, b: Any) -> float:
    """Spearman's rank correlation: Pearson's correlation of the ranks, ties ranked by their mean.

    Args:
        a: n >= 3 finite numbers.
        b: as many, paired with a.

    Returns:
        A value in [-1, 1]; 0 is expected without any relation, +1 or -1 for a monotone one.

    Raises:
        ValueError: fewer than three values, different lengths, NaN, or all values equal (no ranking to correlate).

    >>> spearman([1, 2, 3, 4], [1, 8, 27, 64])
    1.0
    """
    x, y = as_values(a, "a", at_least=3), as_values(b, "b", at_least=3)
    if x.size != y.size:
        raise ValueError(f"a and b must have the same length, got {x.size} and {y.size}")
    for name, values in (("a", x), ("b", y)):
        if np.all(values == values[0]):
            raise ValueError(f"{name} has {values.size} equal values, so their ranks carry no order")
    p, q = _ranks(x), _ranks(y)
    p, q = p - p.mean(), q - q.mean()
    return float(np.clip(p @ q / math.sqrt((p @ p) * (q @ q)), -1.0, 1.0))


def as_values(values: Any, name: str, at_least: int = 1) -> np.ndarray:
    """`values` as a float64 array with one axis; ValueError naming `name` when too short, nested or not finite."""
    if hasattr(values, "detach"):  # a torch tensor, told apart without importing torch
        values = values.detach().cpu()
    elif isinstance(values, (list, tuple)):
        values = [float(v) if hasattr(v, "detach") else v for v in values]
    try:
        x = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, got {values!r}") from None
    if x.ndim != 1:
        raise ValueError(f"{name} must be one number a seed (one axis), got shape {x.shape}")
    if x.size < at_least:
        raise ValueError(f"{name} must hold at least {at_least} values, got {x.size}")
    if not np.isfinite(x).all():
        raise ValueError(f"{name} must be finite, got {x.tolist()}")
    return x


def _student(x: np.ndarray, confidence: float) -> tuple[float, float]:
    # scipy.special holds the quantile that scipy.stats.t.ppf returns, at a fraction of its import time
    from scipy.special import stdtrit

    half = float(stdtrit(x.size - 1, 0.5 + confidence / 2)) * float(x.std(ddof=1)) / math.sqrt(x.size)
    mean = float(x.mean())
    return mean - half, mean + half


def _bca(x: np.ndarray, confidence: float, seed: int) -> tuple[float, float]:
    from scipy.special import ndtr, ndtri

    n, mean = x.size, x.mean()
    draws = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    means = x[draws].mean(axis=1)
    below = (np.count_nonzero(means < mean) + np.count_nonzero(means <= mean)) / (2 * RESAMPLES)
    bias = ndtri(below)
    left_out = (x.sum() - x) / (n - 1)
    spread = left_out.mean() - left_out
    acceleration = (spread**3).sum() / (6 * (spread**2).sum() ** 1.5)
    z = bias + ndtri(np.array([0.5 - confidence / 2, 0.5 + confidence / 2]))
    low, high = np.percentile(means, 100 * ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def _ranks(x: np.ndarray) -> np.ndarray:
    _, place, count = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[place]
