"""The global random generators, as state that can be kept and put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch

__all__ = ["restore_generators", "state_of_generators"]


def state_of_generators() -> dict[str, Any]:
    """States of the global generators of Python, NumPy and torch (on the CPU and on every CUDA device).

    Relations: data order and augmentation in this package have generators of their own, made from seed and step; what
    hangs on the global ones is dropout and whatever a loss of one's own draws.

    Example:
        >>> state = state_of_generators()
        >>> first = torch.rand(2)
        >>> restore_generators(state)
        >>> bool((torch.rand(2) == first).all())
        True
    """
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": [name, np.asarray(keys, dtype=np.int64), position, has_gauss, gauss],
        "torch": torch.get_rng_state(),
        "cuda": list(torch.cuda.get_rng_state_all()) if torch.cuda.is_available() else [],
    }


def restore_generators(state: dict[str, Any]) -> None:
    """Put the states back; those of CUDA devices that are not there are left out."""
    random.setstate(state["python"])
    name, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((name, keys.astype(np.uint32), position, has_gauss, gauss))
    torch.set_rng_state(state["torch"])
    for device, one in enumerate(state["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(one, device)
