"""What two extremes can be expected to find: the correlation of their axis with an attribute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lab.geometry import as_rows, check_positive
from lab.probes.axis_fit import check_values

# Points of the integral over pairs, in steps of 0.2 on a logarithmic axis: exact to about 1e-9.
_STEP, _REACH = 0.2, 45.0


@dataclass(frozen=True)
class AxisModel:
    """Rows as z = mean + y b + n: an attribute y of mean 0 and variance 1, and noise n that does not depend on it.

    Attributes:
        slope: (d,) b, the change of a row with one standard deviation of the attribute; float64.
        noise: (d, d) covariance S of n; float64.
        signal: |b|^2, without what chance adds to it; 0 where chance explains all of it.
        along: b'Sb, likewise: noise in the direction of the attribute, times |b|^2.
        square: tr(S^2), likewise.
        rows: N, rows behind the estimate. scale: standard deviation of the attribute as given.
    """

    slope: Tensor
    noise: Tensor
    signal: float
    along: float
    square: float
    rows: int
    scale: float

    @property
    def noise_dimension(self) -> float:
        """tr(S)^2 / tr(S^2), the number of directions that noise of equal strength would fill, 1 .. d."""
        return float(self.noise.trace()) ** 2 / self.square

    def two_extremes(self, spread: float, *, over: Literal["joint", "pairs"] = "joint") -> float:
        """``two_extremes_correlation`` for extremes ``spread`` standard deviations apart; 0 without signal.

        >>> x = torch.linspace(-1, 1, 50)[:, None] * torch.tensor([1.0, 2.0]) + 0.1 * torch.eye(2).repeat(25, 1)
        >>> round(axis_model(x, range(50)).two_extremes(3.0), 2)
        1.0
        """
        check_positive(spread, "spread")
        if self.signal == 0:
            return 0.0
        if over == "joint":
            return _joint(self.signal, self.along, self.square, spread)
        shrunk = self.slope * math.sqrt(self.signal / float(self.slope @ self.slope))
        return two_extremes_correlation(spread, signal=shrunk, noise=self.noise, over=over)


def axis_model(x: Any, values: Any) -> AxisModel:
    """The model z = mean + y b + n of rows and an ordered attribute, by least squares for each column.

    Formula: b = cov(z, y) / sd(y); S = covariance of what is left, over N - 2. An estimate of b carries noise S / N, so
    tr(S) / N is taken off |b|^2 and tr(S^2) / N off b'Sb; tr(S^2) = m^2 (tr(Ŝ^2) - tr(Ŝ)^2 / m) / ((m - 1)(m + 2)) with
    m = N - 2, which is free of bias for normal noise also where d > N.

    Args:
        x: (N, d), N >= 5, used as it is. values: (N,) the attribute, not constant.

    Returns:
        ``AxisModel``. Null: an attribute unrelated to the rows has a signal of about 0.

    Raises:
        ValueError: too few rows, constant values, values of another length, non-finite entries, columns without noise.

    Cost: O(N d^2) time, O(d^2) memory.

    Relations: ``two_extremes_correlation`` says what two extremes make of it; ``ridge_axis`` fits an axis.

    Example:
        >>> y = torch.linspace(-1, 1, 100)
        >>> model = axis_model(torch.stack([y, torch.cos(40 * y)], 1), y)
        >>> round(model.signal, 2), round(model.noise_dimension, 2)
        (0.34, 1.02)
    """
    rows = as_rows(x, "x", min_rows=5).double()
    n = rows.shape[0]
    y = check_values(values, n).to(rows.device)
    y = y - y.mean()
    scale = float(y.square().mean().sqrt())
    centred = rows - rows.mean(0)
    slope = centred.T @ y / (n * scale)
    left = centred - torch.outer(y / scale, slope)
    freedom = n - 2
    noise = left.T @ left / freedom
    trace, raw = float(noise.trace()), float(noise.square().sum())
    if not trace > 0:
        raise ValueError("x must vary besides what the values explain: no noise is left in any column")
    square = freedom**2 / ((freedom - 1) * (freedom + 2)) * (raw - trace**2 / freedom)
    square = max(square, trace**2 / rows.shape[1])  # no covariance of this trace has less
    signal = max(0.0, float(slope @ slope) - trace / n)
    along = max(0.0, float(slope @ noise @ slope) - square / n)
    return AxisModel(slope, noise, signal, along, square, n, scale)


def two_extremes_correlation(
    spread: float,
    *,
    signal: Any,
    noise: Any,
    dimension: int | None = None,
    over: Literal["joint", "pairs"] = "joint",
) -> float:
    """Pearson's correlation, on fresh items, of an attribute with the axis drawn from a low to a high item.

    Formula: rows z = mean + y a u + n, unit vector u, y of variance 1, noise n of covariance S; the axis is the
    difference of two rows whose values are D apart. The correlation over items and pairs together is

    a^2 D / sqrt(a^4 D^2 + (2 + D^2) a^2 u'Su + 2 tr(S^2)),

    which for S = s^2 I is a^2 D / sqrt((a^2 D)^2 + (a D s)^2 + 2 s^2 a^2 + 2 s^4 d).

    Args:
        spread: D, in standard deviations of the attribute, above 0.
        signal: a, or a vector (d,) a u.
        noise: s, above 0, with ``dimension``; or the covariance (d, d), with a vector as signal.
        dimension: d, for a number as noise.
        over: "joint": the formula, which divides mean by mean; "pairs": the mean over pairs of what each pair's axis
            reaches, exact for normal noise, by an integral in one dimension. They part where noise fills few
            directions.

    Returns:
        Float in -1 .. 1, 0 without signal; towards a large spread it tends to a / sqrt(a^2 + u'Su), which is what the
        axis u itself reaches.

    Raises:
        ValueError: spread, noise or dimension out of range, shapes that do not fit, no noise, a noise that is not
            symmetric or not positive semidefinite, unknown ``over``.

    Cost: O(1); with a covariance O(d^2), "pairs" O(d^3).

    Source: own derivation; the axis is that of rankability-visual-embeddings. The values of y at the two ends are taken
    as given, and noise at the ends as anywhere else.

    Relations: ``extremes_axis`` draws the axis, ``axis_model`` estimates signal and noise; ``normal_spearman`` turns
    the result into a rank correlation; ``optimal_axis_correlation`` is what no axis exceeds.

    Example:
        >>> round(two_extremes_correlation(7.2, signal=1.0, noise=0.5, dimension=64), 3)
        0.841
    """
    check_positive(spread, "spread")
    if over not in ("joint", "pairs"):
        raise ValueError(f'over must be "joint" or "pairs", got {over!r}')
    b, covariance = _checked(signal, noise)
    if covariance is None:
        if dimension is None or isinstance(dimension, bool) or dimension < 1:
            raise ValueError(f"dimension must be a whole number from 1 up where noise is a number, got {dimension}")
        s2, a2 = float(noise) ** 2, float(b) ** 2
        if over == "joint":
            return math.copysign(_joint(a2, a2 * s2, s2**2 * dimension, spread), float(b))
        values = torch.full((dimension,), s2**2, dtype=torch.float64)
        values[0] = s2 * (a2 + s2)
        g, h = torch.zeros_like(values), torch.zeros_like(values)
        g[0], h[0] = math.sqrt(a2 * (a2 + s2)), math.sqrt(a2 / (a2 + s2))
        return math.copysign(_over_pairs(values, g, h, spread), float(b))
    signal2, along = float(b @ b), float(b @ covariance @ b)
    if signal2 == 0:
        return 0.0
    if over == "joint":
        return _joint(signal2, along, float(covariance.square().sum()), spread)
    size, turn = torch.linalg.eigh(covariance + torch.outer(b, b))
    kept = size > 1e-12 * size[-1]  # the signal lies in the span of what varies
    root, turn = size[kept].sqrt(), turn[:, kept]
    values, vectors = torch.linalg.eigh(root[:, None] * (turn.T @ covariance @ turn) * root)
    g, h = vectors.T @ (root * (turn.T @ b)), vectors.T @ ((turn.T @ b) / root)
    return _over_pairs(values.clamp(min=0), g, h, spread)


def optimal_axis_correlation(signal: Any, noise: Any) -> float:
    """Pearson's correlation of the attribute with the best of all axes, which no fit exceeds on fresh items.

    Formula: sqrt(q / (1 + q)) with q = a^2 u'S^-1 u; for S = s^2 I it is a / sqrt(a^2 + s^2). The axis is S^-1 u.

    Args:
        signal, noise: as in ``two_extremes_correlation``; a covariance must be invertible.

    Returns:
        Float in 0 .. 1. Null 0.

    Raises:
        ValueError: as ``two_extremes_correlation``; a covariance that cannot be inverted.

    Cost: O(1), with a covariance O(d^3).

    Example:
        >>> round(optimal_axis_correlation(1.0, 0.5), 4)
        0.8944
    """
    b, covariance = _checked(signal, noise)
    if covariance is None:
        q = (float(b) / float(noise)) ** 2
    else:
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if int(failed) != 0:
            raise ValueError("noise must be positive definite, so that it can be inverted")
        q = float(b @ torch.cholesky_solve(b[:, None], factor)[:, 0])
    return math.sqrt(q / (1 + q))


def normal_spearman(pearson: float) -> float:
    """Spearman's correlation of two normal variables with Pearson's correlation r: (6 / pi) asin(r / 2).

    Args:
        pearson: -1 .. 1.

    Returns:
        Float in -1 .. 1, nearer to 0 than r by at most 0.018.

    Raises:
        ValueError: outside -1 .. 1.

    Source: Pearson 1907.

    >>> round(normal_spearman(0.7), 4), normal_spearman(1.0)
    (0.6829, 1.0)
    """
    if not -1 <= pearson <= 1:
        raise ValueError(f"pearson must lie in -1 .. 1, got {pearson}")
    return min(1.0, max(-1.0, 6 / math.pi * math.asin(pearson / 2)))


def _joint(signal: float, along: float, square: float, spread: float) -> float:
    """The formula with |b|^2, b'Sb and tr(S^2)."""
    above = signal * spread
    return above / math.sqrt(above**2 + (2 + spread**2) * along + 2 * square)


def _over_pairs(values: Tensor, g: Tensor, h: Tensor, spread: float) -> float:
    """Mean of b'w / sqrt(w'Tw) over w ~ N(D b, 2 S), T = S + bb'.

    1 / sqrt(Q) is the integral of exp(-t Q) / sqrt(pi t) over t > 0, and for each t the mean is that of a normal. With
    R the root of T: ``values`` are the eigenvalues of R S R, g = V'Rb and h = V'R^-1 b in its eigenvectors V.
    """
    typical = spread**2 * float(g @ g) + 2 * float(values.sum())  # the mean of w'Tw
    t = torch.exp(torch.arange(-_REACH, _REACH, _STEP, dtype=torch.float64))[:, None] / typical
    shrink = 1 / (1 + 4 * t * values)
    inner = spread * (shrink @ (g * h))
    exponent = t[:, 0] * spread**2 * (shrink @ g.square()) + torch.log1p(4 * t * values).sum(1) / 2
    found = (t[:, 0].sqrt() * inner * torch.exp(-exponent)).sum() * _STEP / math.sqrt(math.pi)
    return max(-1.0, min(1.0, float(found)))


def _checked(signal: Any, noise: Any) -> tuple[Any, Tensor | None]:
    """(a, None) for a number as noise, (vector, covariance) for a matrix; both checked."""
    b, s = (torch.as_tensor(v, dtype=torch.float64).detach() for v in (signal, noise))
    for name, v in (("signal", b), ("noise", s)):
        if not torch.isfinite(v).all():
            raise ValueError(f"{name} must be finite")
    if s.ndim == 0:
        check_positive(float(s), "noise")
        if b.ndim > 1:
            raise ValueError(f"signal must be a number or a vector, got shape {tuple(b.shape)}")
        return (float(b) if b.ndim == 0 else float(b.norm())), None
    if b.ndim != 1 or s.shape != (len(b), len(b)):
        raise ValueError(f"signal must be a vector (d,) and noise (d, d), got {tuple(b.shape)} and {tuple(s.shape)}")
    size = float(s.abs().max())
    if not size > 0 or float((s - s.T).abs().max()) > 1e-8 * size:
        raise ValueError("noise must be a symmetric matrix and not zero")
    if float(torch.linalg.eigvalsh(s)[0]) < -1e-8 * size:
        raise ValueError("noise must be positive semidefinite")
    return b, s
