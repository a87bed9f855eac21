"""Every item is a class of its own, with a stored row in place of a weight: softmax and NCE over a bank of rows.

Conventions of the whole file: ``bank`` (..., n, d) holds one row an item and takes no gradient, ``index`` says which of
them a row of the batch is, rows and bank are normalised inside, a logit is cosine / temperature.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from lab.geometry import fails
from lab.losses.similarity import check_columns, divisor, product, unit_rows


def instance_softmax(
    x: Tensor,
    index: Tensor,
    bank: Tensor,
    sampled: Tensor | None = None,
    *,
    temperature: float | Tensor,
    proximal: float = 0.0,
    rescale: bool = False,
) -> Tensor:
    """The non-parametric softmax: which of all stored items is this?

    Formula: mean_i [ log sum_j exp(<x_i, v_j> / tau) - <x_i, v_index_i> / tau ] + proximal * mean_i |x_i -
    v_index_i|^2, j over the whole bank, or over item i itself and its ``sampled`` items.

    Args:
        x: (..., N, d), rows of the batch.
        index: integers (N,) or (..., N): the item of each row.
        bank: (..., n, d), n >= 2, one row an item. No gradient.
        sampled: None for the whole bank, or integers (..., N, m): the items that stand for all others. One that is the
            row's own item is left out.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        proximal: lambda, at least 0: how strongly a row is held to its stored predecessor.
        rescale: count each sampled item (n - 1) / m times, so that the sum estimates that of the whole bank.

    Returns:
        Loss of the leading shape, >= 0; when all rows are equal log n, or log(1 + m) with m others sampled. Lower is
        better.

    Raises:
        ValueError: index or sampled no integers, of another shape or outside the bank, fewer than two stored rows, rows
            of different length, a zero or non-finite row, temperature not above 0, proximal negative.

    Cost: O(N n d) time and O(N n) memory for the whole bank, O(N m d) for samples.

    Source: unsupervised-feature-learning-non (Wu et al. 2018), equations 2 and 10.

    Relations: ``instance_nce`` replaces the softmax by as many binary decisions; ``info_nce`` compares within the
    batch. `MemoryBank` keeps the rows.

    Data: one set

    Example:
        >>> round(instance_softmax(torch.ones(2, 3), torch.tensor([0, 4]), torch.ones(8, 3), temperature=0.1).item(), 4)
        2.0794
    """
    z, index, own = _own_rows(x, index, bank, proximal)
    tau = divisor(temperature)
    positive = (z * own).sum(-1) / divisor(temperature, 1)
    if sampled is None:
        rows = unit_rows(bank, "bank").detach().to(z.dtype)
        total = torch.logsumexp(product(z, rows) / tau, -1)
    else:
        sampled = _check_index(sampled, "sampled", bank.shape[-2], z.shape[:-1], extra=True)
        logits = _against(z, bank, sampled) / tau
        logits = logits.masked_fill(sampled == index.unsqueeze(-1), -torch.inf)
        if rescale:
            logits = logits + math.log((bank.shape[-2] - 1) / sampled.shape[-1])
        total = torch.logsumexp(torch.cat([positive.unsqueeze(-1), logits], -1), -1)
    return (total - positive).mean(-1) + _pull(z, own, proximal)


def instance_nce(
    x: Tensor,
    index: Tensor,
    bank: Tensor,
    noise: Tensor,
    *,
    temperature: float | Tensor,
    log_constant: float | Tensor,
    proximal: float = 0.0,
) -> Tensor:
    """Noise-contrastive estimation of the non-parametric softmax: own item or noise, asked 1 + m times a row.

    Formula: mean_i [ - log h(i, index_i) - sum_k log(1 - h(i, noise_ik)) ] + proximal * mean_i |x_i - v_index_i|^2,
    h = P / (P + m / n), P(i, j) = exp(<x_i, v_j> / tau) / Z: the probability that item j was meant and not drawn as one
    of m uniform noise items.

    Args:
        x: (..., N, d), rows of the batch.
        index: integers (N,) or (..., N): the item of each row.
        bank: (..., n, d), n >= 2, one row an item. No gradient.
        noise: integers (..., N, m), items drawn uniformly from the bank; the own item may be among them.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        log_constant: log Z, a finite number or a tensor of the leading shape, see ``log_partition``.
        proximal: lambda, at least 0.

    Returns:
        Loss of the leading shape, > 0; log(1 + m) + m log(1 + 1 / m) when all rows are equal and Z is theirs. Lower is
        better; values for different m are not comparable.

    Raises:
        ValueError: as ``instance_softmax``, and a log_constant that is not finite.

    Cost: O(N m d), whatever the size of the bank.

    Source: unsupervised-feature-learning-non (Wu et al. 2018), equations 4 to 7 and 10; the noise items are rows of the
    bank compared with x_i, as in the authors' code, which adds 1e-7 inside its logarithms where here log-sigmoids are
    taken.

    Relations: ``instance_softmax`` is what it estimates.

    Data: one set

    Example:
        >>> noise = torch.tensor([[1, 2, 3]])
        >>> value = instance_nce(
        ...     torch.ones(1, 3), torch.tensor([0]), torch.ones(8, 3), noise, temperature=1.0,
        ...     log_constant=1 + math.log(8)
        ... )
        >>> round(value.item(), 4) == round(math.log(4) + 3 * math.log(4 / 3), 4)
        True
    """
    z, index, own = _own_rows(x, index, bank, proximal)
    count = bank.shape[-2]
    noise = _check_index(noise, "noise", count, z.shape[:-1], extra=True)
    constant = torch.as_tensor(log_constant, dtype=z.dtype, device=z.device)
    if fails(torch.isfinite(constant)):
        raise ValueError(f"log_constant must be finite, got {log_constant}")
    shift = constant.detach() + math.log(noise.shape[-1] / count)  # log of Z m / n
    yes = (z * own).sum(-1) / divisor(temperature, 1) - (shift.unsqueeze(-1) if shift.ndim else shift)
    no = _against(z, bank, noise) / divisor(temperature) - (shift[..., None, None] if shift.ndim else shift)
    return (softplus(-yes) + softplus(no).sum(-1)).mean(-1) + _pull(z, own, proximal)


def log_partition(x: Tensor, bank: Tensor, sampled: Tensor | None = None, *, temperature: float | Tensor) -> Tensor:
    """log Z of the non-parametric softmax, one number for all rows of the batch.

    Formula: log of the mean over i of n times the mean over j of exp(<x_i, v_j> / tau), j over the bank or over
    ``sampled`` items.

    Args:
        x: (..., N, d).
        bank: (..., n, d).
        sampled: None for the whole bank, or integers (..., N, m), drawn uniformly.
        temperature: tau > 0, a divisor.

    Returns:
        Tensor of the leading shape, without gradient; log n + 1 / tau when all rows are equal.

    Raises: as ``instance_softmax``. Cost: O(N n d), or O(N m d) for samples.

    Source: unsupervised-feature-learning-non (Wu et al. 2018), equation 8, from random items alone; the authors' code
    also counts each row's own item, which makes Z too large.

    Example:
        >>> round(log_partition(torch.ones(2, 3), torch.ones(8, 3), temperature=1.0).item(), 4)
        3.0794
    """
    z = unit_rows(x, "x").detach()
    check_columns(z, bank, ("x", "bank"))
    if sampled is None:
        logits = product(z, unit_rows(bank, "bank").detach().to(z.dtype)) / divisor(temperature)
    else:
        sampled = _check_index(sampled, "sampled", bank.shape[-2], z.shape[:-1], extra=True)
        logits = _against(z, bank, sampled) / divisor(temperature)
    number = logits.shape[-1] * logits.shape[-2]
    return torch.logsumexp(logits.flatten(-2), -1) + math.log(bank.shape[-2] / number)


def _own_rows(x: Tensor, index: Tensor, bank: Tensor, proximal: float) -> tuple[Tensor, Tensor, Tensor]:
    """Unit rows, the checked index of each, and the stored unit row of each."""
    if isinstance(proximal, bool) or not isinstance(proximal, int | float) or not 0 <= proximal < math.inf:
        raise ValueError(f"proximal must be a finite number of at least 0, got {proximal!r}")
    z = unit_rows(x, "x")
    unit_rows(bank[..., :1, :], "bank")
    if bank.shape[-2] < 2:
        raise ValueError(f"bank must hold at least two rows, got shape {tuple(bank.shape)}")
    check_columns(z, bank, ("x", "bank"))
    index = _check_index(index, "index", bank.shape[-2], z.shape[:-1])
    return z, index, _rows(bank, index, z)


def _rows(bank: Tensor, index: Tensor, like: Tensor) -> Tensor:
    """Unit rows (..., K, d) of a bank at index (..., K), without gradient."""
    stored = bank.detach().expand(*index.shape[:-1], *bank.shape[-2:])
    return unit_rows(torch.take_along_dim(stored, index.unsqueeze(-1), -2), "bank").to(like.dtype)


def _against(z: Tensor, bank: Tensor, items: Tensor) -> Tensor:
    """Cosines (..., N, m) of each row with its own list of items."""
    rows = _rows(bank, items.flatten(-2), z).unflatten(-2, items.shape[-2:])
    return product(z.unsqueeze(-2), rows).squeeze(-2)


def _pull(z: Tensor, own: Tensor, proximal: float) -> Tensor | float:
    return proximal * (z - own).square().sum(-1).mean(-1) if proximal else 0.0


def _check_index(index: Any, name: str, count: int, rows: torch.Size, *, extra: bool = False) -> Tensor:
    """Integers of the shape of the rows (with an axis for samples if ``extra``), inside the bank."""
    if not isinstance(index, Tensor) or index.dtype == torch.bool or index.is_floating_point() or index.is_complex():
        kind = index.dtype if isinstance(index, Tensor) else type(index).__name__
        raise ValueError(f"{name} must be a tensor of integers, got {kind}")
    items = index.shape[:-1] if extra else index.shape
    shared = rows[-1:] if items == rows[-1:] else rows
    if items != shared or (extra and index.shape[-1] < 1):
        expected = f"{tuple(rows)}" + (" and an axis of items" if extra else "")
        raise ValueError(f"{name} must have shape {expected}, got {tuple(index.shape)}")
    if fails((index >= 0) & (index < count)):
        raise ValueError(f"{name} must lie in 0 .. {count - 1}, the rows of bank")
    shape = (*rows, index.shape[-1]) if extra else rows
    return index.long().expand(shape)
