"""Two directions for an attribute that runs in a circle, where one direction has to cut it open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lab.probes.axis_fit import Axis, check_values, ridge_axis


@dataclass(frozen=True)
class CircularAxes:
    """Two directions whose scores are the cosine and the sine of an angle.

    Attributes:
        cosine, sine: the axes; their directions need not be at right angles.
    """

    cosine: Axis
    sine: Axis

    def angle(self, x: Any) -> Tensor:
        """The guessed angle of rows (N, d), float64, in degrees, 0 <= angle < 360.

        >>> first, second = torch.eye(2).double()
        >>> CircularAxes(Axis(first, 1.0, 0.0), Axis(second, 1.0, 0.0)).angle(torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
        tensor([ 90., 180.], dtype=torch.float64)
        """
        degrees = torch.rad2deg(torch.atan2(self.sine.score(x), self.cosine.score(x))) % 360
        return torch.where(degrees == 360, 0.0, degrees)  # the remainder of a tiny negative angle rounds up


def circular_axes(x: Any, degrees: Any, *, penalty: float | None = None) -> CircularAxes:
    """Ridge regression of the cosine and of the sine of an angle on the rows.

    Formula: ``ridge_axis`` of cos(t) and of sin(t); the angle of a row is atan2(sine score, cosine score).

    Args:
        x: (N, d), N >= 2, used as it is. degrees: (N,) angles, of any turn; neither all cosines nor all sines equal.
        penalty: as in ``ridge_axis``, for both; None chooses it for each by leave-one-out.

    Returns:
        ``CircularAxes``. Rows that hold a circle without noise give every angle exactly as the penalty vanishes.

    Raises:
        ValueError: what ``ridge_axis`` refuses; angles that are constant, or non-finite.

    Cost: twice that of ``ridge_axis``.

    Source: regression on the two components, as is usual for circular responses (Jammalamadaka and SenGupta 2001).

    Relations: ``angular_error`` scores the angles. A single axis orders a full circle, cut open anywhere, with a
    Spearman correlation of at most 3/4, since it scores cos(t - p), which takes every value twice.

    Example:
        >>> t = torch.arange(0, 360, 10)
        >>> x = torch.stack([torch.cos(torch.deg2rad(t)), torch.sin(torch.deg2rad(t))], 1)
        >>> float(angular_error(t, circular_axes(x, t, penalty=1e-9).angle(x)).max()) < 1e-3
        True
    """
    angle = torch.deg2rad(check_values(degrees, torch.as_tensor(degrees).numel(), "degrees"))
    return CircularAxes(ridge_axis(x, angle.cos(), penalty=penalty), ridge_axis(x, angle.sin(), penalty=penalty))


def angular_error(degrees: Any, guessed: Any) -> Tensor:
    """How far apart two angles are on the circle, the short way round.

    Formula: |((guessed - degrees + 180) mod 360) - 180|.

    Args:
        degrees, guessed: (N,) angles, of any turn.

    Returns:
        (N,) float64, 0 .. 180 degrees. Unrelated angles: uniform, so mean and median are 90. Lower is better.

    Raises:
        ValueError: lengths differ, non-finite entries.

    Example:
        >>> angular_error([350.0, 0.0], [10.0, 540.0]).tolist()
        [20.0, 180.0]
    """
    first, second = (torch.as_tensor(given).detach().double() for given in (degrees, guessed))
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"guessed must have the shape of degrees, (N,), got {tuple(second.shape)}")
    if not bool(torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise ValueError("degrees and guessed must be finite")
    return ((second - first + 180) % 360 - 180).abs()
