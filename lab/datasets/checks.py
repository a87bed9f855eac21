"""Checks of the arguments of loaders and generators: each error names the argument, its value and what was expected."""

from __future__ import annotations

import math
import operator

import torch


def check_whole(value: int, name: str, *, low: int, high: int | None = None) -> int:
    """A whole number within bounds, as an ``int``.

    Args:
        value: the number (numpy integers count, booleans do not).
        name: the argument's name, for the message.
        low: smallest value allowed.
        high: largest value allowed, if any.

    Returns:
        The number.

    Raises:
        TypeError: not a whole number.
        ValueError: out of bounds.

    Example:
        >>> check_whole(3, "count", low=1)
        3
    """
    expected = f"at least {low}" if high is None else f"{low} to {high}"
    if isinstance(value, bool):
        raise TypeError(f"{name}: expected a whole number, {expected}, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected a whole number, {expected}, got {value!r}") from None
    if number < low or (high is not None and number > high):
        raise ValueError(f"{name}: expected {expected}, got {number}")
    return number


def check_real(value: float, name: str, *, low: float, high: float = math.inf, open_low: bool = False) -> float:
    """A finite number within bounds, as a ``float``.

    Args:
        value: the number.
        name: the argument's name, for the message.
        low: smallest value allowed.
        high: largest value allowed.
        open_low: whether ``low`` itself is refused.

    Returns:
        The number.

    Raises:
        TypeError: not a number.
        ValueError: not finite, or out of bounds.

    Example:
        >>> check_real(1, "noise", low=0)
        1.0
    """
    if isinstance(value, bool | str):
        raise TypeError(f"{name}: expected a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: expected a number, got {value!r}") from None
    if not math.isfinite(number) or number < low or number > high or (open_low and number == low):
        bound = f"above {low:g}" if open_low else f"at least {low:g}"
        raise ValueError(f"{name}: expected a finite number {bound} and at most {high:g}, got {number}")
    return number


def generator(seed: int) -> torch.Generator:
    """A generator of its own, so that no draw depends on any other.

    Args:
        seed: a whole number, 0 or larger.

    Returns:
        A CPU generator.

    Raises:
        TypeError: not a whole number.
        ValueError: negative or above 2**63 - 1.

    Example:
        >>> generator(3).initial_seed()
        3
    """
    return torch.Generator().manual_seed(check_whole(seed, "seed", low=0, high=2**63 - 1))
