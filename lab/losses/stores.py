"""Stores of rows that outlive a batch: a first-in-first-out queue, and a bank with one row an item.

Stored rows never carry gradient, are part of the ``state_dict``, and follow ``.to(device)``. Storing makes a new
tensor, so a loss computed before may be differentiated after.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lab.geometry import check_embeddings, fails
from lab.losses.instance_discrimination import instance_nce, instance_softmax, log_partition
from lab.losses.selection import check_pair_labels
from lab.losses.similarity import unit_rows


class Queue(nn.Module):
    """The last ``size`` rows that were put in: negatives, or a reference with labels, from earlier batches.

    Args:
        size: rows it can hold, at least 1.
        dim: length of a row.
        labelled: whether each row has an integer label.
        stack: leading shape of the rows, for a stack of models trained as one.
        dtype: of the stored rows, floating.

    Attributes:
        rows: (..., len, d), what is stored, for the ``negatives`` or ``reference`` of a loss. Not in order of age.
        labels: (..., len) integers, for ``reference_labels``; None unless ``labelled``.
        steps: (len,) integers, the step at which each row was put in.

    Raises:
        ValueError: size or dim below 1; see ``enqueue``. An empty queue has rows of shape (..., 0, d), which losses
            refuse.

    Cost: O(size d) memory, and time a call of ``enqueue``.

    Source: He et al. 2020 (MoCo) for negatives, Wang et al. 2020 (cross-batch memory) with labels. Rows are stored as
    they come, and nothing random fills the queue before it is full. On several ranks put in the gathered rows, so that
    all queues stay equal.

    Data: pairs, labels

    Example:
        >>> queue = Queue(3, 2)
        >>> queue.enqueue(torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
        >>> queue.enqueue(torch.tensor([[3.0, 0.0], [4.0, 0.0]]))
        >>> sorted(queue.rows[:, 0].tolist()), len(queue)
        ([2.0, 3.0, 4.0], 3)
    """

    stored: Tensor
    stored_labels: Tensor | None
    stored_steps: Tensor
    cursor: Tensor
    filled: Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        *,
        labelled: bool = False,
        stack: tuple[int, ...] = (),
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        _check_size(size, "size")
        _check_size(dim, "dim")
        self.register_buffer("stored", torch.zeros(*stack, size, dim, dtype=dtype))
        self.register_buffer("stored_labels", torch.zeros(*stack, size, dtype=torch.long) if labelled else None)
        self.register_buffer("stored_steps", torch.full((size,), -1, dtype=torch.long))
        self.register_buffer("cursor", torch.zeros((), dtype=torch.long))  # where the next row goes
        self.register_buffer("filled", torch.zeros((), dtype=torch.long))
        self._count: int | None = 0  # `filled` as the host knows it, so that a step need not ask the device

    def __len__(self) -> int:
        if self._count is None:
            self._count = int(self.filled)
        return self._count

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._count = None

    @property
    def rows(self) -> Tensor:
        return self.stored[..., : len(self), :]

    @property
    def labels(self) -> Tensor | None:
        return None if self.stored_labels is None else self.stored_labels[..., : len(self)]

    @property
    def steps(self) -> Tensor:
        return self.stored_steps[: len(self)]

    @torch.no_grad()
    def enqueue(self, rows: Tensor, labels: Any = None, *, step: int = 0) -> None:
        """Put rows in; the oldest make room. Of more rows than the queue holds, the last ``size`` stay.

        Args:
            rows: (..., N, d), any N >= 1; copied without gradient, in the dtype of the queue.
            labels: integers (..., N), given if and only if the queue is labelled.
            step: number stored with each row, to tell how old it is.

        Raises:
            ValueError: rows of another shape or not finite, labels missing, not wanted, no integers or of another
                length.
        """
        check_embeddings(rows, "rows")
        size = self.stored.shape[-2]
        expected = (*self.stored.shape[:-2], rows.shape[-2], self.stored.shape[-1])
        if rows.shape != expected:
            raise ValueError(f"rows must have shape {expected}, got {tuple(rows.shape)}")
        if (labels is not None) != (self.stored_labels is not None):
            wanted = "needs" if labels is None else "takes no"
            raise ValueError(f"labels: this queue {wanted} labels")
        count = min(rows.shape[-2], size)
        places = (self.cursor + torch.arange(count, device=self.stored.device)) % size
        if self.stored_labels is not None:
            new = check_pair_labels(labels, rows.shape[-2])
            if new.dtype == torch.bool or new.shape != rows.shape[:-1]:
                raise ValueError(f"labels must be integers of shape {tuple(rows.shape[:-1])}, got {tuple(new.shape)}")
            new = new[..., -count:].to(self.stored.device)
            self.stored_labels = self.stored_labels.index_copy(-1, places, new)
        self.stored = self.stored.index_copy(-2, places, rows[..., -count:, :].detach().to(self.stored))
        self.stored_steps = self.stored_steps.index_fill(0, places, step)
        self.cursor = (self.cursor + count) % size
        self._count = min(len(self) + count, size)
        self.filled = torch.full_like(self.filled, self._count)


class MemoryBank(nn.Module):
    """One unit row for every item of a data set, moved towards the item's newest embedding.

    Formula: v_i <- normalise(momentum * v_i + (1 - momentum) * x), x the unit row of the embedding.

    Args:
        count: number of items, at least 2.
        dim: length of a row.
        momentum: share of the old row, 0 .. 1, 1 excluded. 0 replaces it, as in the paper; the authors' code has 0.5.
        generator: source of the random directions the rows begin with, on the CPU.
        dtype: of the stored rows, floating.

    Attributes:
        rows: (count, d), unit rows.
        log_constant: log Z of ``nce``; NaN until the first call estimates it, fixed from then on.

    Raises:
        ValueError: counts out of range, momentum out of range.

    Cost: O(count d) memory.

    Source: unsupervised-feature-learning-non (Wu et al. 2018).

    Relations: ``instance_softmax`` and ``instance_nce`` are the losses.

    Data: one set

    Example:
        >>> bank = MemoryBank(10, 3, momentum=0.5, generator=torch.Generator().manual_seed(0))
        >>> x, index = torch.eye(3), torch.tensor([2, 5, 7])
        >>> loss = bank.softmax(x, index, temperature=0.1)
        >>> bank.update(index, x)
        >>> bool(bank.softmax(x, index, temperature=0.1) < loss)
        True
    """

    rows: Tensor
    log_constant: Tensor

    def __init__(
        self,
        count: int,
        dim: int,
        *,
        momentum: float,
        generator: torch.Generator | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        _check_size(count, "count", 2)
        _check_size(dim, "dim")
        if isinstance(momentum, bool) or not isinstance(momentum, int | float) or not 0 <= momentum < 1:
            raise ValueError(f"momentum must lie in 0 .. 1, 1 excluded, got {momentum!r}")
        self.momentum = momentum
        self.register_buffer("rows", unit_rows(torch.randn(count, dim, generator=generator, dtype=dtype), "rows"))
        self.register_buffer("log_constant", torch.tensor(torch.nan, dtype=dtype))
        self._has_constant = False  # known to the host, so that a step need not ask the device

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._has_constant = False

    @torch.no_grad()
    def update(self, index: Tensor, x: Tensor) -> None:
        """Move the rows of items ``index`` (N,) towards ``x`` (N, d); each item at most once a call.

        Raises:
            ValueError: shapes that do not fit, a zero or non-finite row, an item outside the bank or given twice.
        """
        new = unit_rows(x, "x").to(self.rows)
        if new.shape != (len(new), self.rows.shape[-1]):
            raise ValueError(f"x must have shape (N, {self.rows.shape[-1]}), got {tuple(x.shape)}")
        index = torch.as_tensor(index, device=self.rows.device)
        if index.is_floating_point() or index.dtype == torch.bool or index.shape != new.shape[:1]:
            raise ValueError(f"index must be integers of shape ({len(new)},), got {index.dtype}, {tuple(index.shape)}")
        if fails((index >= 0) & (index < len(self.rows))):
            raise ValueError(f"index must lie in 0 .. {len(self.rows) - 1}")
        if fails(index.sort().values.diff() != 0):
            raise ValueError("index holds an item twice")
        mixed = self.momentum * self.rows[index] + (1 - self.momentum) * new
        mixed = torch.where((mixed == 0).all(-1, keepdim=True), new, mixed)  # exactly opposite, in equal shares
        self.rows = self.rows.index_copy(0, index.long(), unit_rows(mixed, "x"))

    def draw(self, rows: int, count: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Items (rows, count), each drawn uniformly from the whole bank, on its device (as ``generator`` must be)."""
        return torch.randint(len(self.rows), (rows, count), generator=generator, device=self.rows.device)

    def softmax(
        self, x: Tensor, index: Tensor, sampled: Tensor | None = None, *, temperature: float, proximal: float = 0.0
    ) -> Tensor:
        """``instance_softmax`` over the stored rows."""
        return instance_softmax(x, index, self.rows, sampled, temperature=temperature, proximal=proximal)

    def nce(self, x: Tensor, index: Tensor, noise: Tensor, *, temperature: float, proximal: float = 0.0) -> Tensor:
        """``instance_nce`` over the stored rows; the first call estimates Z from its noise items and keeps it."""
        if not self._has_constant and bool(self.log_constant.isnan()):
            self.log_constant = log_partition(x, self.rows, noise, temperature=temperature).to(self.log_constant)
        self._has_constant = True
        return instance_nce(
            x, index, self.rows, noise, temperature=temperature, log_constant=self.log_constant, proximal=proximal
        )


def _check_size(value: Any, name: str, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an int of at least {least}, got {value!r}")
