"""The ground floor: rows on the unit sphere, and the checks every loss and probe begins with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

_unlooked = 0  # how many `unlooked` blocks are open


@contextmanager
def unlooked(active: bool = True) -> Iterator[None]:
    """A block in which values on an accelerator are taken for good, so that the host never waits for the device.

    To raise an error for a bad value is to wait until the device has computed it, at every check. Within the block
    `fails` answers False for tensors off the CPU; a zero row or an overflow then shows as a loss that is not finite.
    Shapes and dtypes are checked as ever, and so are all values on a CPU.

    Args:
        active: False makes the block do nothing.

    Relations: ``lab.training.fit`` opens it on an accelerator from the second step on, and looks at the losses
    themselves every 50 steps. In a loop of one's own it belongs around the loss.

    >>> with unlooked():
    ...     fails(torch.tensor([True, False]))
    True
    """
    global _unlooked
    _unlooked += active
    try:
        yield
    finally:
        _unlooked -= active


def fails(condition: Tensor) -> bool:
    """Whether a condition is false anywhere: what every check of values asks, outside `unlooked` blocks.

    >>> fails(torch.ones(2) > 0), fails(torch.tensor([1.0, -1.0]) > 0)
    (False, True)
    """
    return is_seen(condition) and not bool(condition.all())


def is_seen(x: Tensor) -> bool:
    """Whether values of a tensor may be looked at: not on an accelerator inside `unlooked`.

    >>> with unlooked():
    ...     is_seen(torch.ones(1)), is_seen(torch.ones(1, device="meta"))
    (True, False)
    """
    return not _unlooked or x.device.type == "cpu"


def check_embeddings(x: Any, name: str = "embeddings", *, min_rows: int = 1) -> Tensor:
    """Return ``x`` if it is a usable set of row vectors, else raise an error that names it.

    Args:
        x: tensor of shape (..., N, d), floating dtype.
        name: what the caller calls it; the error says this name.
        min_rows: smallest N that makes sense for the caller.

    Returns:
        The same tensor.

    Raises:
        TypeError: not a tensor, or not of a floating dtype.
        ValueError: fewer than two axes, fewer than ``min_rows`` rows, no columns, or a row with NaN or infinity.

    Cost: one pass over the data.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(x).__name__}")
    if not x.is_floating_point():
        raise TypeError(f"{name} must have a floating dtype, got {x.dtype}; convert it with .float()")
    if x.ndim < 2:
        raise ValueError(f"{name} must have shape (..., N, d), got {tuple(x.shape)}")
    if x.shape[-2] < min_rows:
        raise ValueError(f"{name} must have at least {min_rows} row(s), got shape {tuple(x.shape)}")
    if x.shape[-1] < 1 or x.numel() == 0:
        raise ValueError(f"{name} is empty: shape {tuple(x.shape)}")
    finite = torch.isfinite(x.detach())
    if fails(finite):
        bad = (~finite).any(dim=-1).nonzero()[0].tolist()
        raise ValueError(f"{name} holds NaN or infinity, first in row {bad[-1] if len(bad) == 1 else tuple(bad)}")
    return x


def check_same_shape(a: Tensor, b: Tensor, names: tuple[str, str]) -> None:
    """Raise ``ValueError`` naming both arguments unless they have one shape.

    >>> check_same_shape(torch.ones(2, 3), torch.ones(2, 3), ("view1", "view2"))
    """
    if a.shape != b.shape:
        raise ValueError(
            f"{names[0]} and {names[1]} must have the same shape, got {tuple(a.shape)} and {tuple(b.shape)}"
        )


def check_labels(labels: Any, rows: int, name: str = "labels") -> Tensor:
    """Return ``labels`` as a 1-d integer tensor of length ``rows``, else raise an error that names it.

    >>> check_labels([0, 1, 1], 3).tolist()
    [0, 1, 1]
    """
    try:
        labels = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} must hold integers, got {type(labels).__name__}") from error
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(f"{name} must hold integers, got {labels.dtype}")
    if labels.ndim != 1 or labels.shape[0] != rows:
        raise ValueError(f"{name} must have shape ({rows},), got {tuple(labels.shape)}")
    return labels.long()


def check_positive(value: float | Tensor, name: str) -> float | Tensor:
    """Return ``value`` if it is finite and above zero (every entry, for a tensor), else raise ``ValueError``.

    >>> check_positive(0.1, "temperature")
    0.1
    """
    if isinstance(value, Tensor):
        good = not fails(torch.isfinite(value.detach()) & (value.detach() > 0))
    else:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TypeError(f"{name} must be a number, got {type(value).__name__}")
        good = math.isfinite(value) and value > 0
    if not good:
        raise ValueError(f"{name} must be finite and above 0, got {value}")
    return value


def as_rows(x: Any, name: str = "embeddings", *, min_rows: int = 1) -> Tensor:
    """A 2-d, gradient-free tensor of rows from a tensor or an array; what a probe begins with.

    Half precision is raised to float32, since the sums that probes take lose most of their digits below it.

    >>> import numpy as np
    >>> as_rows(np.ones((2, 3), dtype=np.float16)).dtype
    torch.float32
    """
    x = x.detach() if isinstance(x, Tensor) else torch.as_tensor(x)
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    x = check_embeddings(x, name, min_rows=min_rows)
    if x.ndim != 2:
        raise ValueError(f"{name} must have shape (N, d), got {tuple(x.shape)}")
    return x


def normalise(x: Tensor, name: str = "embeddings", *, min_rows: int = 1) -> Tensor:
    """Scale every row to unit Euclidean length: x / |x|.

    Rows of extreme length are divided by their largest entry first, so lengths from 1e-38 to 1e38 come through. Half
    precision is computed in float32 and returned in the dtype that came in.

    Args:
        x: (..., N, d), floating dtype, any scale.
        name: what the caller calls it, for the error.
        min_rows: smallest N that makes sense for the caller.

    Returns:
        (..., N, d), unit rows; differentiable.

    Raises:
        ValueError: a zero row (it has no direction), NaN or infinity.

    Cost: O(N d).

    Example:
        >>> normalise(torch.tensor([[3.0, 4.0]])).tolist()
        [[0.6000000238418579, 0.800000011920929]]
    """
    fast = _normalise_ordinary(x, min_rows)
    if fast is not None:
        return fast
    check_embeddings(x, name, min_rows=min_rows)
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    # The direction does not depend on the scale, so the gradient may take this factor for a constant.
    largest = wide.detach().abs().amax(dim=-1, keepdim=True)
    if fails(largest > 0):
        bad = (largest[..., 0] == 0).nonzero()[0].tolist()
        where = bad[-1] if len(bad) == 1 else tuple(bad)
        raise ValueError(f"{name} has a zero row, which has no direction: row {where}")
    wide = wide / largest
    return (wide / torch.linalg.vector_norm(wide, dim=-1, keepdim=True)).to(x.dtype)


def _normalise_ordinary(x: Tensor, min_rows: int) -> Tensor | None:
    """Unit rows where every length is ordinary, which also proves entries finite; None where a closer look is due."""
    if not isinstance(x, Tensor) or x.dtype not in (torch.float32, torch.float64) or not is_seen(x):
        return None
    if x.ndim < 2 or x.shape[-2] < min_rows or x.numel() == 0:
        return None
    lengths = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    shortest, longest = torch.aminmax(lengths.detach())
    # Squares of entries neither overflow nor vanish in float32 between these lengths; NaN fails the comparison.
    return x / lengths if shortest.item() > 1e-15 and longest.item() < 1e15 else None


def log_sphere_mgf(kappa: float, d: int) -> float:
    """log E exp(kappa <u, v>) for a fixed unit v and u uniform on the unit sphere in R^d.

    Formula: log 0F1(; d/2; kappa^2 / 4) = log sum_m (kappa^2/4)^m / (m! (d/2)_m), summed in the log domain, since
    the Bessel function that is usually put here underflows from about d = 300 on.

    Args:
        kappa: concentration, any finite number (the value is even in it).
        d: dimension of the space, at least 1.

    Returns:
        A float >= 0; 0 at kappa = 0; between 0 and |kappa|.

    Raises:
        ValueError: kappa not finite or d < 1.

    Cost: O(kappa) terms.

    Relations: the limit of uniformity at parameter t is ``-2t + log_sphere_mgf(2t, d)``; InfoNCE's denominator on the
    uniform sphere tends to ``log_sphere_mgf(1 / temperature, d)``.

    Example:
        >>> round(-4 + log_sphere_mgf(4.0, 128), 4)
        -3.9375
    """
    if not math.isfinite(kappa):
        raise ValueError(f"kappa must be finite, got {kappa}")
    if d < 1:
        raise ValueError(f"d must be at least 1, got {d}")
    if kappa == 0:
        return 0.0
    m = torch.arange(int(abs(kappa)) + 100, dtype=torch.float64)
    half = torch.tensor(d / 2, dtype=torch.float64)
    terms = m * (2 * math.log(abs(kappa) / 2)) - torch.lgamma(m + 1) - torch.lgamma(half + m) + torch.lgamma(half)
    return float(torch.logsumexp(terms, 0))


def pairwise_log_mean_exp(x: Tensor, scale: float, *, block: int = 512) -> float:
    """log of the mean of exp(scale <x_i, x_j>) over all pairs i < j, in blocks.

    Args:
        x: (N, d) rows, N >= 2; used as they are (normalise them first where cosines are meant).
        scale: factor on the inner product.
        block: rows a block; memory is block x 8192 numbers.

    Returns:
        A float. Inner products and the sums of single rows in the dtype of ``x``, all further sums in float64.

    Raises:
        ValueError: fewer than two rows, NaN or infinity.

    Cost: O(N^2 d) time, O(block + N d) memory: never an N x N matrix.

    Example:
        >>> pairwise_log_mean_exp(torch.eye(3), 2.0)
        0.0
    """
    check_embeddings(x, "x", min_rows=2)
    x = x.detach()
    n, columns = x.shape[0], max(block, 8192)
    # One buffer for all blocks: fresh memory for each would cost as much as the products.
    buffer = x.new_empty(min(block, n) * min(columns, n))
    parts: list[Tensor] = []
    for i in range(0, n, block):
        rows = x[i : i + block] * scale
        size = rows.shape[0]
        for j in range(i, n, columns):
            others = x[j : j + columns]
            products = torch.mm(rows, others.T, out=buffer[: size * len(others)].view(size, len(others)))
            if i == j:
                itself = torch.ones(size, size, dtype=torch.bool, device=x.device).tril_()
                products[:, :size].masked_fill_(itself, -torch.inf)
            peak = products.amax()
            if peak == -torch.inf:  # the last row alone has no pair left
                continue
            parts.append(peak.double() + products.sub_(peak).exp_().sum(-1).sum(dtype=torch.float64).log())
    return float(torch.logsumexp(torch.stack(parts), 0)) - math.log(n * (n - 1) / 2)
