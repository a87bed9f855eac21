"""The sum of a sigmoid loss over all pairs of a large batch, without holding their logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lab.losses.blockwise import diagonal_of, row_parts, rows_a_block, scaled_rows
from lab.losses.similarity import divisor, product
from lab.losses.stable import softplus

# Up to this many pairs plain operations cost less than the calls of a function of our own.
_FEW = 2**16


def total_softplus(
    x: Tensor,
    y: Tensor,
    temperature: float | Tensor,
    bias: float | Tensor,
    *,
    offset: int = 0,
    block: int | None = None,
) -> Tensor:
    """Sum over all pairs of log(1 + exp(-z)) for the positives and log(1 + exp(z)) for all others.

    The logit is z_ij = <x_i, y_j> / temperature + bias, and the positive of row i is row i + offset of y.

    Args:
        x: (..., N, d), checked rows. y: (..., M, d), M >= N + offset, of the same dtype.
        temperature: as in `compare`.
        bias: a number, a scalar tensor or one of the leading shape; takes a gradient.
        offset: row of y that is the positive of row 0 of x.
        block: as in `compare`.

    Returns:
        The sum, of the leading shape, >= 0. Differentiable once in blocks.

    Cost: as `compare`.
    """
    tau = divisor(temperature)
    size = None if block == 0 else rows_a_block(x.shape[-2], y.shape[-2], x.shape[:-2].numel(), block)
    shift = torch.as_tensor(bias, dtype=x.dtype, device=x.device)
    if block != 0 and not (block is None and x.shape[:-1].numel() * y.shape[-2] <= _FEW):
        inverse = torch.as_tensor(1 / temperature, dtype=x.dtype, device=x.device)
        return _Softplus.apply(x, y, inverse, shift, size, offset)
    logits = product(x, y) / tau + shift[..., None, None]
    signs = torch.ones_like(logits)
    torch.diagonal(signs, offset, -2, -1).fill_(-1)
    return softplus(logits * signs).sum((-2, -1))


class _Softplus(torch.autograd.Function):
    """The sum by blocks of rows, or from one matrix that is held where ``block`` is None."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, inverse: Tensor, shift: Tensor, block: int | None, offset: int
    ) -> Tensor:
        total = x.new_zeros(())
        for part in row_parts(x.shape[-2], block or x.shape[-2]):
            logits = product(scaled_rows(x, inverse, part), y).add_(shift[..., None, None])
            diagonal_of(logits, part, offset).neg_()
            total = total + softplus(logits).sum((-2, -1))
        ctx.save_for_backward(x, y, inverse, shift, None if block else logits)
        ctx.options = (block, offset)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y, inverse, shift, held = ctx.saved_tensors
        block, offset = ctx.options
        grad_x, grad_y = torch.empty_like(x), torch.zeros_like(y)
        grad_inverse, grad_shift = x.new_zeros(x.shape[:-2]), x.new_zeros(x.shape[:-2])
        for part in row_parts(x.shape[-2], block or x.shape[-2]):
            scaled = scaled_rows(x, inverse, part)
            if held is None:
                weights = product(scaled, y).add_(shift[..., None, None])
                diagonal_of(weights, part, offset).neg_()
                weights.sigmoid_()
            else:
                weights = torch.sigmoid(held)
            diagonal_of(weights, part, offset).neg_()
            weights *= grad[..., None, None]
            pulled = product(weights, y.mT)
            grad_x[..., part, :] = pulled * inverse[..., None, None]
            grad_y += product(weights.mT, scaled.mT)
            if ctx.needs_input_grad[2]:
                grad_inverse += (pulled * x[..., part, :]).sum((-2, -1))
            if ctx.needs_input_grad[3]:
                grad_shift += weights.sum((-2, -1))
        return grad_x, grad_y, grad_inverse.sum_to_size(inverse.shape), grad_shift.sum_to_size(shift.shape), None, None
