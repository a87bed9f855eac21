"""How an answer differs from the expected one, as a sentence a learner can act on."""

from __future__ import annotations

from typing import Any

import numpy as np

# what a dtype holds: truth values, whole numbers, real numbers, complex numbers
_LADDER = {"b": 0, "i": 1, "u": 1, "f": 2, "c": 3}


def difference(answer: Any, expected: Any, tolerance: float) -> str | None:
    """What is wrong with `answer`, or None when it agrees with `expected`.

    Numbers, one-element arrays without axes and tensors without axes are the same thing; float32 and float64 are too.

    Args:
        answer: what a function returned.
        expected: what it should have returned: a number, bool, string, array, tensor, or tuple or list of them.
        tolerance: largest difference relative to max(1, |expected|).

    >>> difference(-0.5, 0.5, 1e-6)
    'the sign is turned round: got -0.5, expected 0.5.'
    >>> difference(0.5, 0.5, 1e-6) is None
    True
    """
    if isinstance(expected, (tuple, list)):
        return _sequence(answer, expected, tolerance)
    if expected is None or isinstance(expected, str):
        return None if answer == expected else f"got {answer!r}, expected {expected!r}."
    want, got = _array(expected), _array(answer)
    if want is None:
        raise TypeError(f"expected answers are numbers, bools, strings, arrays, tensors or tuples, got {expected!r}")
    if got is None:
        return f"the answer is of type {type(answer).__name__}, expected {_kind(expected)}."
    return _shape(got, want) or _dtype(got, want) or _not_finite(got, want) or _value(got, want, tolerance)


def _sequence(answer: Any, expected: Any, tolerance: float) -> str | None:
    if not isinstance(answer, (tuple, list)):
        kind = type(answer).__name__
        return f"the answer is of type {kind}, expected {len(expected)} values: return them as a tuple."
    if len(answer) != len(expected):
        return f"{len(answer)} values are returned, expected {len(expected)}."
    for i, (a, e) in enumerate(zip(answer, expected, strict=True)):
        if (found := difference(a, e, tolerance)) is not None:
            return f"value {i + 1} of {len(expected)}: {found}"
    return None


def _array(value: Any) -> np.ndarray | None:
    if hasattr(value, "detach"):  # a torch tensor, told apart without importing torch
        value = value.detach().cpu()
        if str(value.dtype) in ("torch.bfloat16", "torch.float16"):
            value = value.float()
        value = value.numpy()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return None
    return array if array.dtype.kind in "biufc" else None


def _kind(value: Any) -> str:
    if hasattr(value, "detach"):
        return f"a tensor of shape {tuple(value.shape)}"
    return f"an array of shape {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def _shape(got: np.ndarray, want: np.ndarray) -> str | None:
    if got.shape == want.shape:
        return None
    hint = ""
    if got.squeeze().shape == want.squeeze().shape:
        hint = " Only axes of length 1 differ: look at keepdim."
    elif got.shape == want.shape[::-1]:
        hint = " The axes are swapped."
    elif got.ndim < want.ndim:
        hint = " One reduction (sum, mean ...) too many, or over the wrong axis."
    elif got.ndim > want.ndim:
        hint = " A reduction (sum, mean ...) is missing."
    return f"the shape is {got.shape}, expected {want.shape}.{hint}"


def _dtype(got: np.ndarray, want: np.ndarray) -> str | None:
    g, w = _LADDER[got.dtype.kind], _LADDER[want.dtype.kind]
    if g == w or (got.ndim == 0 and 0 not in (g, w)):  # a plain 2 stands for 2.0, but a truth value is no number
        return None
    hint = ": a division or a conversion to float is missing" if (g, w) == (1, 2) else ""
    return f"the dtype is {got.dtype}, expected {want.dtype}{hint}."


def _not_finite(got: np.ndarray, want: np.ndarray) -> str | None:
    bad = ~np.isfinite(got) & np.isfinite(want)
    if not bad.any():
        return None
    what = "NaN" if np.isnan(got[bad]).any() else "infinity"
    return f"{what} in the answer ({bad.sum()} of {bad.size} values): a division by 0, a log of 0 or an exp too large."


def _value(got: np.ndarray, want: np.ndarray, tolerance: float) -> str | None:
    rounding = max(float(np.finfo(a.dtype).eps) if a.dtype.kind in "fc" else 0.0 for a in (got, want))
    g, w = (a.astype(np.complex128 if a.dtype.kind == "c" else np.float64) for a in (got, want))
    allowed = max(tolerance, 64 * rounding) * np.maximum(1.0, np.abs(np.where(np.isfinite(w), w, 1.0)))
    with np.errstate(invalid="ignore"):
        off = ~((np.abs(g - w) <= allowed) | (g == w) | (np.isnan(g) & np.isnan(w)))
    if not off.any():
        return None
    if want.dtype.kind == "b":
        return f"{off.sum()} of {off.size} values are the wrong way round."
    at = tuple(int(i) for i in np.argwhere(off)[0])
    where = f" at {at if len(at) > 1 else at[0]}" if at else ""
    seen = f"got {_short(got[at])}, expected {_short(want[at])}{where}."
    if (np.abs(g + w) <= allowed).all():
        return f"the sign is turned round: {seen}"
    safe = np.abs(w) > allowed
    if safe.any() and np.isfinite(w).all() and "c" not in (got.dtype.kind, want.dtype.kind):
        ratio = float(np.median(g[safe] / w[safe]))
        if ratio > 0 and (np.abs(g - ratio * w) <= allowed * max(1.0, ratio)).all() and off.size > 1:
            return f"every value is {ratio:.4g} times the expected one: {seen}"
    some = f"{off.sum()} of {off.size} values differ; " if off.size > 1 else ""
    return f"{some}{seen}"


def _short(value: Any) -> str:
    return f"{value.item():.6g}" if value.dtype.kind in "fc" else str(value.item())
