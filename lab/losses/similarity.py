"""How near two sets of rows are: the similarities and distances that losses are built from, and their checks.

Every function takes ``(x, y)`` of shapes (..., N, d) and (..., M, d) and returns (..., N, M), so each can be handed to
a loss that has a ``similarity`` or ``distance`` argument. Products are taken in at least float32, also under autocast:
a cosine divided by a small temperature has no digits to lose.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lab.geometry import check_embeddings, check_positive, fails, normalise


def full_rows(x: Tensor, name: str, *, min_rows: int = 1) -> Tensor:
    """Checked rows as they are, in at least float32: sums want more digits than half precision has."""
    check_embeddings(x, name, min_rows=min_rows)
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def unit_rows(x: Tensor, name: str, *, min_rows: int = 1) -> Tensor:
    """Checked unit rows in at least float32: exponentials of cosines want more digits than half precision has."""
    half = isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16)
    return normalise(x.float() if half else x, name, min_rows=min_rows)


def divisor(temperature: float | Tensor, axes: int = 2, name: str = "temperature") -> float | Tensor:
    """A checked temperature that divides a stack of matrices: a tensor of shape (S,) gives every batch its own."""
    check_positive(temperature, name)
    if isinstance(temperature, Tensor) and temperature.ndim:
        return temperature.reshape(*temperature.shape, *([1] * axes))
    return temperature


def without_diagonal(logits: Tensor) -> Tensor:
    """The same square logits with minus infinity on the diagonal, set before any maximum is taken."""
    n = logits.shape[-1]
    return logits.masked_fill(torch.eye(n, dtype=torch.bool, device=logits.device), -torch.inf)


def check_columns(x: Tensor, y: Tensor, names: tuple[str, str]) -> None:
    """Raise ``ValueError`` naming both arguments unless their rows have one length.

    >>> check_columns(torch.ones(2, 3), torch.ones(5, 3), ("x", "y"))
    """
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"{names[0]} and {names[1]} must have rows of one length, got {tuple(x.shape)} and {tuple(y.shape)}"
        )


def product(x: Tensor, y: Tensor) -> Tensor:
    """Inner products x y^T of rows that are checked already, in their own precision whatever autocast asks for."""
    kind = x.device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return x @ y.mT
    with torch.autocast(x.device.type, enabled=False):
        return x @ y.mT


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Inner products of the rows as they are: <x_i, y_j>. A similarity; any value.

    Args:
        x: (..., N, d). y: (..., M, d).

    Returns: (..., N, M). Raises: ValueError for non-finite rows or rows of different length. Cost: O(N M d).

    >>> dot(torch.ones(1, 2), torch.ones(3, 2)).tolist()
    [[2.0, 2.0, 2.0]]
    """
    x, y = full_rows(x, "x"), full_rows(y, "y")
    check_columns(x, y, ("x", "y"))
    return product(x, y)


def cosine(x: Tensor, y: Tensor) -> Tensor:
    """Cosines of the angles between rows: <x_i, y_j> / (|x_i| |y_j|). A similarity in -1 .. 1.

    Args:
        x: (..., N, d). y: (..., M, d). Normalised inside.

    Returns: (..., N, M). Raises: ValueError for zero or non-finite rows or rows of different length.
    Cost: O(N M d).

    >>> cosine(torch.eye(2), 3 * torch.ones(1, 2)).round(decimals=4).tolist()
    [[0.707099974155426], [0.707099974155426]]
    """
    x, y = unit_rows(x, "x"), unit_rows(y, "y")
    check_columns(x, y, ("x", "y"))
    return product(x, y)


def cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 - cosine of the angle between rows. A distance in 0 .. 2; half the squared distance of the unit rows.

    Args, Returns, Raises, Cost: as ``cosine``.

    >>> cosine_distance(torch.eye(2), torch.eye(2)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    return 1 - cosine(x, y)


def euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distances between rows as they are: |x_i - y_j|. A distance, >= 0.

    Differences are taken entry by entry: the usual shortcut by inner products gives a row a distance of about 1e-3 to
    itself and errs by per cents at small distances. The gradient at distance 0 is 0.

    Args:
        x: (..., N, d). y: (..., M, d).

    Returns: (..., N, M). Raises: ValueError for non-finite rows or rows of different length. Cost: O(N M d), some
    times slower than a matrix product.

    >>> euclidean(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
    [[5.0]]
    """
    x, y = full_rows(x, "x"), full_rows(y, "y")
    check_columns(x, y, ("x", "y"))
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def squared_euclidean(x: Tensor, y: Tensor) -> Tensor:
    """Squared Euclidean distances between rows as they are: |x_i - y_j|^2. A distance, >= 0.

    Expanded into inner products after the common mean is taken out (it changes no distance), so it is as fast as a
    matrix product; the error is about 1e-7 of the largest squared norm in float32.

    Args:
        x: (..., N, d). y: (..., M, d).

    Returns: (..., N, M). Raises: ValueError for non-finite rows or rows of different length. Cost: O(N M d).

    >>> squared_euclidean(torch.zeros(1, 2), torch.tensor([[3.0, 4.0]])).tolist()
    [[25.0]]
    """
    x, y = full_rows(x, "x"), full_rows(y, "y")
    check_columns(x, y, ("x", "y"))
    centre = y.detach().mean(-2, keepdim=True)
    x, y = x - centre, y - centre
    squares = x.square().sum(-1)[..., :, None] + y.square().sum(-1)[..., None, :]
    return (squares - 2 * product(x, y)).clamp(min=0)


def snr(x: Tensor, y: Tensor) -> Tensor:
    """Signal-to-noise distance: how much of an anchor's variance the difference makes up.

    Formula: Var(x_i - y_j) / Var(x_i), the variance taken over the entries of a row. Not symmetric: x is the anchor.

    Args:
        x: (..., N, d), the anchors, d >= 2. y: (..., M, d).

    Returns: (..., N, M), >= 0; 0 where the rows differ by a constant. About 2 for unrelated rows of one variance.

    Raises: ValueError for non-finite rows, rows of different length, or an anchor all of whose entries are equal.

    Cost: O(N M d).

    Source: Yuan et al. 2019, signal-to-noise ratio as a distance for deep metric learning.

    >>> snr(torch.tensor([[1.0, -1.0]]), torch.tensor([[1.0, -1.0], [-1.0, 1.0]])).tolist()
    [[0.0, 4.0]]
    """
    x, y = full_rows(x, "x"), full_rows(y, "y")
    check_columns(x, y, ("x", "y"))
    x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    signal = x.square().sum(-1, keepdim=True)
    if fails(signal > 0):
        raise ValueError("x has a row whose entries are all equal: it has no variance to compare with")
    noise = signal + y.square().sum(-1)[..., None, :] - 2 * product(x, y)
    return noise.clamp(min=0) / signal
