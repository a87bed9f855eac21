"""Functions that keep their digits where the usual ones lose them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def softplus(z: Tensor) -> Tensor:
    """log(1 + exp(z)), exact in float64 too.

    By default torch takes z itself from 20 on, an error of 2e-9 that float64 shows; beyond 40 none is left.

    >>> import torch
    >>> softplus(torch.tensor(25.0, dtype=torch.float64)) > 25
    tensor(True)
    """
    return F.softplus(z, threshold=40.0)
