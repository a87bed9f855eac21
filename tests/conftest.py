"""What all tests share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

# One thread a worker, set before torch is imported: several workers with several threads each wait for one another, and
# the small products of most tests take up to ten times as long.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


@pytest.fixture
def largest_tensor() -> Callable[[], AbstractContextManager]:
    """Under ``with largest_tensor() as largest:``, ``largest.numbers`` is the size of the largest tensor made."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            for one in made if isinstance(made, tuple | list) else (made,):
                if isinstance(one, torch.Tensor):
                    self.numbers = max(self.numbers, one.numel())
            return made

    return Largest
