"""Nested state as named tensors and JSON: what a checkpoint is made of, without unpickling anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["pack", "unpack"]


def pack(value: Any, tensors: dict[str, Tensor], path: str = "") -> Any:
    """A JSON form of a nested value; tensors and arrays in it are put into `tensors` under their path.

    Args:
        value: dicts with keys of str or int, lists, tuples, numbers, strings, bools, None, tensors and numeric arrays.
        tensors: filled with contiguous CPU copies, each its own memory.
        path: name of the value so far.

    Returns:
        What ``json`` can write and :func:`unpack` turns back into an equal value.

    Raises:
        TypeError: anything else; names where it stands.

    Example:
        >>> kept = {}
        >>> form = pack({"weight": torch.ones(2), "betas": (0.9, 0.999)}, kept)
        >>> list(kept), unpack(form, kept)["betas"]
        (['weight'], (0.9, 0.999))
    """
    if isinstance(value, Tensor):
        # contiguous, whatever the memory format: a format for channels is kept by the tensor it is copied into
        tensors[path] = value.detach().cpu().contiguous().clone()
        return {"tensor": path}
    if isinstance(value, np.ndarray) and value.dtype != object:
        tensors[path] = torch.from_numpy(value.copy())
        return {"array": path}
    if isinstance(value, np.generic):
        return pack(value.item(), tensors, path)
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    inside = f"{path}." if path else ""
    if isinstance(value, dict):
        for key in value:
            if isinstance(key, bool) or not isinstance(key, str | int):
                raise TypeError(f"{path or 'state'} has a key that is neither str nor int: {key!r}")
        return {"dict": [[key, pack(one, tensors, f"{inside}{key}")] for key, one in value.items()]}
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [pack(one, tensors, f"{inside}{i}") for i, one in enumerate(value)]}
    raise TypeError(f"{path or 'state'} cannot be saved without pickling: {type(value).__name__}")


def unpack(form: Any, tensors: dict[str, Tensor]) -> Any:
    """The value that :func:`pack` was given; see there.

    Raises:
        KeyError: a tensor is missing.
    """
    ((kind, inner),) = form.items()
    if kind == "tensor":
        return tensors[inner]
    if kind == "array":
        return tensors[inner].numpy()
    if kind == "value":
        return inner
    if kind == "dict":
        return {key: unpack(one, tensors) for key, one in inner}
    made = [unpack(one, tensors) for one in inner]
    return made if kind == "list" else tuple(made)
