"""Hyperbolic space of curvature -1: three ways to write a point, its distance, and gradient descent in it.

A point is kept as its **tangent coordinates**: the vector v in R^d whose direction leads from the origin to the point
and whose length is the hyperbolic distance to it. Any vector is a point, and nothing comes near a boundary: in the ball
a point at distance 37 has a length that float64 rounds to 1, here it has the length 37.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lab.geometry import check_embeddings, fails

_CHORD = "donot_use_mm_for_euclid_dist"
_LARGEST = {torch.float32: 40.0, torch.float64: 350.0}  # sinh of twice this still fits the dtype


def hyperbolic_distances(x: Tensor, y: Tensor) -> Tensor:
    """Hyperbolic distances between points in tangent coordinates.

    Formula: with lengths r, s and the chord c = |x/r - y/s| between the directions,
    sinh^2(D / 2) = sinh^2((r - s) / 2) + sinh(r) sinh(s) c^2 / 4.
    It is the law of cosines, cosh D = cosh r cosh s - sinh r sinh s cos(angle), without its cancellation.

    Args:
        x: (..., N, d), lengths up to 350 in float64, 40 in float32.
        y: (..., M, d).

    Returns:
        (..., N, M), >= 0, in the dtype of the rows, half precision as float32. The distance to the origin is the
        length; points on one line through the origin are as far apart as in flat space, all others farther, up to
        |x| + |y|. The gradient at distance 0 is 0.

    Raises:
        TypeError: not a floating tensor.
        ValueError: rows of different length, NaN, infinity or a row longer than the dtype can hold.

    Cost: O(N M d) time, O(N M) memory.

    Source: Ratcliffe, Foundations of Hyperbolic Manifolds, 3.5; curvature -1. Half angles are our own rearrangement.

    Relations: ``lab.losses.euclidean`` is the flat one; ``poincare_distances`` takes coordinates of the ball.

    Example:
        >>> hyperbolic_distances(torch.tensor([[3.0, 0.0]]), torch.tensor([[-4.0, 0.0], [0.0, 0.0]])).tolist()
        [[7.0, 3.0]]
    """
    x, y = check_points(x, "x"), check_points(y, "y")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"x and y must have rows of one length, got {tuple(x.shape)} and {tuple(y.shape)}")
    tiny = torch.finfo(x.dtype).tiny
    r, s = (torch.linalg.vector_norm(rows, dim=-1, keepdim=True) for rows in (x, y))
    chord = torch.cdist(x / r.clamp(min=tiny), y / s.clamp(min=tiny), compute_mode=_CHORD)
    s = s.mT
    # Each root is taken by itself: lengths of 350 have squares that no longer fit.
    across = (r / 2).sinh() * (s / 2).sinh() * (r / 2).cosh() * (s / 2).cosh()
    square = ((r - s) / 2).sinh().square() + across * chord.square()
    apart = square > tiny
    return torch.where(apart, 2 * torch.asinh(torch.where(apart, square, 1.0).sqrt()), square * 0)


def poincare_distances(x: Tensor, y: Tensor) -> Tensor:
    """Hyperbolic distances between points of the Poincare ball.

    Formula: D = arcosh(1 + 2 |x - y|^2 / ((1 - |x|^2)(1 - |y|^2))).

    Args:
        x: (..., N, d), rows shorter than 1.
        y: (..., M, d), likewise.

    Returns:
        (..., N, M), >= 0, computed as 2 arsinh(|x - y| / root of the product), which is exact near 0 too.

    Raises:
        ValueError: a row of length 1 or more, rows of different length, NaN or infinity.

    Cost: O(N M d).

    Source: poincar-embeddings-learning-hierarchical (Nickel and Kiela 2017).

    Relations: equal to ``hyperbolic_distances(from_ball(x), from_ball(y))``; near the boundary 1 - |x|^2 has few digits
    left in float64 (none from a distance of 37 on), which is why points are kept as tangent coordinates elsewhere.

    Example:
        >>> far = poincare_distances(torch.zeros(1, 2), torch.tensor([[0.5, 0.0]]))
        >>> round(far.item(), 4), round(math.log(3), 4)
        (1.0986, 1.0986)
    """
    x, y = _inside(x, "x"), _inside(y, "y")
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(f"x and y must have rows of one length, got {tuple(x.shape)} and {tuple(y.shape)}")
    room = (1 - x.square().sum(-1))[..., :, None] * (1 - y.square().sum(-1))[..., None, :]
    return 2 * torch.asinh(torch.cdist(x, y, compute_mode=_CHORD) / room.sqrt())


def to_ball(v: Tensor) -> Tensor:
    """Tangent coordinates to the Poincare ball: tanh(|v| / 2) v / |v|.

    Args:
        v: (..., N, d).

    Returns:
        (..., N, d), rows of length below 1, or exactly 1 where rounding leaves no other choice (|v| above 37 in
        float64).

    Raises:
        ValueError: NaN or infinity.

    >>> to_ball(torch.tensor([[2 * math.atanh(0.5), 0.0]], dtype=torch.float64)).round(decimals=9).tolist()
    [[0.5, 0.0]]
    """
    check_embeddings(v, "v")
    length = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    safe = length.clamp(min=torch.finfo(v.dtype).eps)
    return torch.where(length > safe / 2, torch.tanh(safe / 2) / safe, 0.5) * v


def from_ball(x: Tensor) -> Tensor:
    """The Poincare ball to tangent coordinates, the inverse of ``to_ball``: 2 artanh(|x|) x / |x|.

    Args:
        x: (..., N, d), rows shorter than 1.

    Raises:
        ValueError: a row of length 1 or more, NaN or infinity.

    >>> from_ball(torch.tensor([[0.0, math.tanh(1.0)]], dtype=torch.float64)).round(decimals=9).tolist()
    [[0.0, 2.0]]
    """
    x = _inside(x, "x")
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    safe = length.clamp(min=torch.finfo(x.dtype).eps)
    return torch.where(length > safe / 2, 2 * torch.atanh(safe) / safe, 2.0) * x


def to_lorentz(v: Tensor) -> Tensor:
    """Tangent coordinates to the hyperboloid, the exponential map at the origin: (cosh |v|, sinh(|v|) v / |v|).

    Args:
        v: (..., N, d), lengths up to 350 in float64, 40 in float32.

    Returns:
        (..., N, d + 1), the time coordinate first; -t^2 + |s|^2 = -1, and D = arcosh(t t' - <s, s'>).

    Raises:
        ValueError: NaN, infinity or a row too long for the dtype.

    >>> to_lorentz(torch.tensor([[0.0, 0.0]])).tolist()
    [[1.0, 0.0, 0.0]]
    """
    v = check_points(v, "v")
    length = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    safe = length.clamp(min=torch.finfo(v.dtype).eps)
    return torch.cat([length.cosh(), torch.where(length > safe / 2, safe.sinh() / safe, 1.0) * v], -1)


def from_lorentz(x: Tensor) -> Tensor:
    """The hyperboloid to tangent coordinates, the logarithm at the origin: arsinh(|s|) s / |s|.

    The time coordinate is not read: it follows from the others, which keep their digits near the origin.

    Args:
        x: (..., N, d + 1), d >= 1, the time coordinate first.

    Raises:
        ValueError: NaN or infinity, or no coordinate beside the time.

    >>> from_lorentz(torch.tensor([[math.cosh(2), math.sinh(2)]], dtype=torch.float64)).round(decimals=9).tolist()
    [[2.0]]
    """
    check_embeddings(x, "x")
    if x.shape[-1] < 2:
        raise ValueError(f"x must have a time coordinate and at least one more, got shape {tuple(x.shape)}")
    space = x[..., 1:]
    length = torch.linalg.vector_norm(space, dim=-1, keepdim=True)
    safe = length.clamp(min=torch.finfo(x.dtype).eps)
    return torch.where(length > safe / 2, torch.asinh(safe) / safe, 1.0) * space


def ball_step(x: Tensor, gradient: Tensor, rate: float, *, margin: float = 1e-5) -> Tensor:
    """One step of Riemannian gradient descent in the Poincare ball.

    Formula: x - rate (1 - |x|^2)^2 / 4 gradient, pulled back to the length 1 - margin where it left the ball. The
    factor is the inverse of the metric: a step of one length, hyperbolically, is short near the boundary.

    Args:
        x: (..., N, d), rows shorter than 1.
        gradient: of the same shape, the ordinary gradient of the loss.
        rate: above 0.
        margin: how far from the boundary rows are kept, in 0 .. 1.

    Returns:
        (..., N, d), rows of length at most 1 - margin.

    Raises:
        ValueError: a row of length 1 or more, shapes that differ, a rate or margin out of range, NaN or infinity.

    Source: poincar-embeddings-learning-hierarchical (Nickel and Kiela 2017), with its margin of 1e-5.

    Example:
        >>> ball_step(torch.tensor([[0.5, 0.0]]), torch.tensor([[-1.0, 0.0]]), 1.0).tolist()
        [[0.640625, 0.0]]
    """
    x = _inside(x, "x")
    check_embeddings(gradient, "gradient")
    if x.shape != gradient.shape:
        raise ValueError(f"gradient must have the shape of x, got {tuple(gradient.shape)} and {tuple(x.shape)}")
    if not (math.isfinite(rate) and rate > 0 and 0 < margin < 1):
        raise ValueError(f"rate must be above 0 and margin between 0 and 1, got {rate} and {margin}")
    moved = x - rate * (1 - x.square().sum(-1, keepdim=True)).square() / 4 * gradient
    length = torch.linalg.vector_norm(moved, dim=-1, keepdim=True)
    return moved * ((1 - margin) / length.clamp(min=1 - margin))


def check_points(x: Tensor, name: str = "points") -> Tensor:
    """Checked tangent coordinates in at least float32, short enough for the hyperbolic sine of their length.

    >>> check_points(torch.ones(1, 2).half()).dtype
    torch.float32
    """
    check_embeddings(x, name)
    x = x if x.dtype == torch.float64 else x.float()
    lengths = torch.linalg.vector_norm(x.detach(), dim=-1)
    if fails(lengths <= _LARGEST[x.dtype]):
        longest = float(lengths.max())
        raise ValueError(f"{name} has a row of length {longest:.3g}; at most {_LARGEST[x.dtype]:g} fits {x.dtype}")
    return x


def _inside(x: Tensor, name: str) -> Tensor:
    check_embeddings(x, name)
    x = x if x.dtype == torch.float64 else x.float()
    if fails(torch.linalg.vector_norm(x.detach(), dim=-1) < 1):
        raise ValueError(f"{name} must lie inside the ball: every row shorter than 1")
    return x
