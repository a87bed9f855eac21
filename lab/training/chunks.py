"""Batches of pairs larger than memory: embeddings chunk by chunk, with the gradient of the whole batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

__all__ = ["in_chunks"]


def in_chunks(model: Callable[[Any], Tensor], rows: Tensor, size: int, *, axis: int = 0) -> Tensor:
    """Embeddings of a large batch, of which only one chunk at a time is inside the model, forwards and backwards.

    The loss sees all embeddings at once, so every row is compared with every other. Activations inside the model are
    not kept but computed again, chunk by chunk, when the gradient comes back; the random numbers of dropout are drawn
    again as they were. Value and gradient are those of ``model(rows)``. Accumulating gradients over small batches is
    another thing: there, rows of different batches never meet.

    Args:
        model: maps (size, ...) to (size, d), row by row; may include augmentation that draws from the global generator,
            or from one made inside from a fixed seed (a generator made outside would have moved on at the second call).
        rows: (B, ...) inputs; (S, B, ...) with ``axis=1`` for a stack.
        size: rows in a chunk, at least 1.
        axis: that of the rows in the input; embeddings have it at the same place.

    Returns:
        (B, d), or (S, B, d).

    Raises:
        ValueError: size below 1, no rows, a model with batch normalisation in training mode, whose statistics would be
            those of a chunk.

    Cost: one more forward pass; memory for the activations of one chunk, and for the embeddings.

    Source: gradient caching: Gao et al. 2021 (GradCache), whose two passes are here one recomputation in backward.

    Relations: :mod:`lab.losses` can go through its logits in blocks (``block=``), so that neither the activations nor
    the logits of a large batch are held.

    Example:
        >>> net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
        >>> z = in_chunks(net, torch.rand(10, 3), 4)
        >>> z.shape, z.requires_grad
        (torch.Size([10, 2]), True)
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"size must be an int of at least 1, got {size!r}")
    if rows.shape[axis] == 0:
        raise ValueError("rows must hold at least one row, got none")
    for part in model.modules() if isinstance(model, nn.Module) else ():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training:
            raise ValueError("model must have no batch normalisation in training mode: a chunk is not the batch")
    if not torch.is_grad_enabled():
        return torch.cat([model(chunk) for chunk in rows.split(size, axis)], axis)
    made = [checkpoint(model, chunk, use_reentrant=False, preserve_rng_state=True) for chunk in rows.split(size, axis)]
    return torch.cat(made, axis)
