"""How many directions a set of embeddings uses."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lab.geometry import as_rows


def singular_values(x: Any, *, center: bool) -> Tensor:
    """Singular values of the rows in float64, largest first, (min(N, d),); centred only when asked."""
    rows = as_rows(x, "x").double()
    if center:
        rows = rows - rows.mean(0)
    return torch.linalg.svdvals(rows)


def effective_rank(x: Any, *, on: Literal["sigma", "lambda"] = "sigma", center: bool) -> float:
    """exp of the entropy of the normalised spectrum: the number of directions in use.

    Formula: p_i = s_i / sum s (on="sigma") or s_i^2 / sum s^2 (on="lambda"), value exp(-sum p_i log p_i).

    Args:
        x: (N, d), tensor or array, not normalised here.
        on: "sigma" for singular values (Roy and Vetterli 2007; RankMe), "lambda" for their squares. They differ widely:
            a mean far from zero costs far more on "lambda".
        center: whether the mean row is taken off first. No default, since it changes the meaning.

    Returns:
        Float in 1 .. min(N, d); k for k equal directions; a finite sample of an isotropic cloud gives less than d.
        Higher means more directions. Invariant to rotation and scale.

    Raises:
        ValueError: all rows zero (after centring: all equal), NaN or infinity; unknown ``on``.

    Cost: O(N d min(N, d)).

    Example:
        >>> round(effective_rank(torch.eye(5), center=False), 6)
        5.0
    """
    if on not in ("sigma", "lambda"):
        raise ValueError(f'on must be "sigma" or "lambda", got {on!r}')
    s = singular_values(x, center=center)
    s = s if on == "sigma" else s.square()
    if float(s.sum()) <= 0:
        raise ValueError("x has no spectrum: all rows are zero" + (" after centring" if center else ""))
    p = s / s.sum()
    return float(torch.special.entr(p).sum().exp())


def participation_ratio(x: Any, *, center: bool) -> float:
    """(sum of eigenvalues)^2 / sum of squared eigenvalues of the second-moment matrix.

    Args:
        x: (N, d), tensor or array. center: whether the mean row is taken off first.

    Returns:
        Float in 1 .. min(N, d). Null (isotropic cloud of N rows): d / (1 + d / N). Higher means more directions.

    Raises:
        ValueError: all rows zero (after centring: all equal), NaN or infinity.

    Cost: O(N d min(N, d)).

    Example:
        >>> round(participation_ratio(torch.eye(5), center=False), 6)
        5.0
    """
    eigenvalues = singular_values(x, center=center).square()
    if float(eigenvalues.sum()) <= 0:
        raise ValueError("x has no spectrum: all rows are zero" + (" after centring" if center else ""))
    return float(eigenvalues.sum().square() / eigenvalues.square().sum())
