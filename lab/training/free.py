"""Embeddings without an encoder: one free row an item, brought to the minimum of a full-batch loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def free_embeddings(
    objective: Callable[[Tensor], Tensor], rows: int, dim: int, *, seed: int, steps: int = 200
) -> Tensor:
    """Rows that minimise an exact loss, found by L-BFGS with line search in float64.

    Args:
        objective: ``objective(embeddings)`` gives a scalar loss for (rows, dim).
        rows, dim: shape of the embeddings, at least 1.
        seed: of the standard normal start.
        steps: most iterations; it stops earlier where the gradient vanishes.

    Returns:
        (rows, dim) float64, without gradient, not normalised. A local minimum: losses on the sphere may have several.

    Raises:
        ValueError: a size below 1, a loss that is no finite scalar.

    Cost: some 1.2 evaluations of the loss and its gradient a step.

    Relations: ``fit`` trains a model on batches; here there is neither model nor batch, so nothing but the loss and the
    start decides the result.

    Example:
        >>> target = torch.eye(3, dtype=torch.float64)
        >>> z = free_embeddings(lambda z: (z - target).square().sum(), 3, 3, seed=0)
        >>> bool(torch.allclose(z, target))
        True
    """
    for name, value in (("rows", rows), ("dim", dim), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {value!r}")
    start = torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    z = start.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [z], max_iter=steps, history_size=20, tolerance_grad=1e-9, tolerance_change=1e-12, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = objective(z)
        if loss.ndim or not torch.isfinite(loss):
            raise ValueError(f"objective must return a finite scalar, got {loss.detach()}")
        loss.backward()
        return loss

    optimiser.step(closure)
    return z.detach()
