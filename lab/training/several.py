"""Several devices: a process each, batches shared out, evaluation gathered."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lab.encoders import embed
from lab.losses import gather

__all__ = ["Shard", "embed_on_ranks", "on_ranks", "share_of"]

Result = TypeVar("Result")


def on_ranks(
    function: Callable[..., Result],
    *arguments: Any,
    devices: int,
    accelerator: str = "auto",
    precision: str = "32-true",
    strategy: str | None = None,
) -> Result:
    """Run a function in one process a device, each with a launched Fabric, and give back what the first returns.

    Args:
        function: ``function(fabric, *arguments)``; from a script it and its arguments must be picklable, so a function
            of a module; inside a notebook anything.
        arguments: passed on.
        devices: number of processes, at least 1.
        accelerator: "cuda", "mps", "cpu" (processes on one machine, by gloo) or "auto".
        precision: as Fabric names it.
        strategy: of Fabric; None takes processes started anew from a script ("ddp_spawn") and forked ones inside a
            notebook ("ddp_notebook"), where CUDA must not have been used before.

    Returns:
        What ``function`` returned on rank 0.

    Raises:
        ValueError: devices below 1, what Fabric does not know.

    Relations: inside, ``fit(..., fabric=fabric)`` with ``Shard(batches, fabric)`` and a loss from
    :func:`lab.losses.across_ranks` trains as one process with the whole batch would.

    Example:
        >>> on_ranks(lambda fabric, x: (fabric.world_size, x), 7, devices=1, accelerator="cpu")
        (1, 7)
    """
    from lightning_fabric import Fabric

    if isinstance(devices, bool) or not isinstance(devices, int) or devices < 1:
        raise ValueError(f"devices must be an int of at least 1, got {devices!r}")
    if strategy is None:
        strategy = "auto" if devices == 1 else "ddp_notebook" if _in_notebook() else "ddp_spawn"
    fabric = Fabric(accelerator=accelerator, devices=devices, precision=precision, strategy=strategy)  # type: ignore[arg-type]
    if devices == 1:
        return fabric.launch(function, *arguments)
    # tensors handed over between processes live only as long as the process they come from, so bytes are handed over
    made = fabric.launch(_as_bytes, function, *arguments)  # type: ignore[arg-type]
    return torch.load(io.BytesIO(made), weights_only=False)


def _as_bytes(fabric: Any, function: Callable[..., Any], *arguments: Any) -> bytes:
    result = function(fabric, *arguments)
    buffer = io.BytesIO()
    if fabric.global_rank == 0:
        torch.save(result, buffer)
    del result
    _leave()
    return buffer.getvalue()


def _leave() -> None:
    """End the process group, if the strategy made one, when all ranks are done with it.

    Otherwise its threads outlive the interpreter, and one that then lets go of a tensor can abort the process.
    """
    if not torch.distributed.is_initialized():
        return
    gc.collect()  # wrapped models hold the group as well
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


class Shard:
    """Each rank's rows of every batch: together exactly the batch one process would get, and no row twice.

    Every rank makes the whole batch and keeps its part, as data order and augmentation are drawn for the whole. So the
    result does not depend on the number of ranks.

    Args:
        batches: ``batches(step)`` gives a named tuple of tensors (or tuples of them, or None), such as
            :class:`lab.training.TwoViews` and :class:`lab.training.Rows`.
        fabric: gives the rank and the number of ranks.

    Raises:
        ValueError: a batch that the ranks cannot share equally.

    Cost: making a batch is not shared; on accelerators it is a small part of a step.

    Example:
        >>> from types import SimpleNamespace
        >>> from lab.training import Rows
        >>> batches = Rows(torch.arange(8), batch_size=4, seed=0)
        >>> parts = [Shard(batches, SimpleNamespace(global_rank=r, world_size=2))(0).index.tolist() for r in (0, 1)]
        >>> parts[0] + parts[1] == batches(0).index.tolist()
        True
    """

    def __init__(self, batches: Callable[[int], Any], fabric: Any) -> None:
        self.batches = batches
        self.rank, self.ranks = fabric.global_rank, fabric.world_size
        self.axis = 1 if getattr(batches, "stacked", False) else 0

    def to(self, device: torch.device | str) -> Shard:
        """The same with its data on another device."""
        from types import SimpleNamespace

        moved = self.batches.to(device) if hasattr(self.batches, "to") else self.batches
        return Shard(moved, SimpleNamespace(global_rank=self.rank, world_size=self.ranks))

    def __call__(self, step: int) -> Any:
        return self._part(self.batches(step))

    def _part(self, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, Tensor):
            rows = value.shape[self.axis]
            if rows % self.ranks:
                raise ValueError(f"batches: {rows} rows cannot be shared equally by {self.ranks} ranks")
            return value.chunk(self.ranks, self.axis)[self.rank]
        parts = [self._part(one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)


def share_of(rows: int, rank: int, ranks: int) -> slice:
    """The rows of one rank when ``rows`` are shared out in order, as equally as they can be; all are taken, none twice.

    >>> [share_of(7, rank, 3) for rank in range(3)]
    [slice(0, 3, None), slice(3, 5, None), slice(5, 7, None)]
    """
    size, more = divmod(rows, ranks)
    start = rank * size + min(rank, more)
    return slice(start, start + size + (rank < more))


def embed_on_ranks(
    encoder: nn.Module, rows: Tensor, fabric: Any, readout: str = "embedding", batch_size: int = 2048
) -> Tensor:
    """:func:`lab.encoders.embed` with the rows shared out; every rank gets all embeddings, in order and once each.

    Args:
        encoder: the same on all ranks.
        rows: (N, ...), the same on all ranks; N need be no multiple of the ranks.
        fabric: a launched Fabric.
        readout, batch_size: as :func:`lab.encoders.embed`.

    Returns:
        (N, d), or (S, N, d) for a stack.

    Raises:
        ValueError: fewer rows than ranks, and what ``embed`` refuses.

    Example:
        >>> from types import SimpleNamespace
        >>> from lab.encoders import embed, mlp
        >>> x, one = torch.rand(5, 4), SimpleNamespace(global_rank=0, world_size=1)
        >>> torch.equal(embed_on_ranks(mlp(4), x, one), embed(mlp(4), x))
        True
    """
    ranks = fabric.world_size
    if len(rows) < ranks:
        raise ValueError(f"rows must be at least as many as ranks, got {len(rows)} for {ranks}")
    mine = embed(encoder, rows[share_of(len(rows), fabric.global_rank, ranks)], readout, batch_size)  # type: ignore[arg-type]
    longest = -(-len(rows) // ranks)
    # collectives want equal shapes: the filling is cut off again by each rank's own length
    filled = torch.cat([mine, mine.new_zeros(*mine.shape[:-2], longest - mine.shape[-2], mine.shape[-1])], -2)
    everyone = gather(filled).unflatten(-2, (ranks, longest)).movedim(-3, 0)
    lengths = [len(range(*share_of(len(rows), rank, ranks).indices(len(rows)))) for rank in range(ranks)]
    return torch.cat([part[..., :length, :] for part, length in zip(everyone, lengths, strict=True)], -2)


def _in_notebook() -> bool:
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")
