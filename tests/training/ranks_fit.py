"""What each process of a run over several devices does; a module, so that started processes can import it."""

from __future__ import annotations

import atexit
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lab.encoders import mlp
from lab.losses import across_ranks, symmetric_info_nce
from lab.training import Rows, Shard, Towers, embed_on_ranks, fit

torch.set_num_threads(1)
LEFT = torch.randn(50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
RIGHT = torch.randn(50, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def towers() -> nn.Module:
    return Towers(mlp(6, 3, 8, seed=1), mlp(5, 3, 8, seed=2)).double()


def both(fabric: Any, folder: Path) -> list[dict[str, Any]]:
    """With and without the rows of the other rank, in one start of the processes; each notes its end in `folder`."""

    def note() -> None:
        group = torch.distributed.is_initialized()
        (folder / str(fabric.global_rank)).write_text("still in the group" if group else "left the group")

    atexit.register(note)
    return [train(fabric, shared) for shared in (True, False)]


def train(fabric: Any, shared: bool) -> dict[str, Any]:
    """Losses, weights and embeddings; with ``shared`` off no row of another rank is seen: the negative control."""
    model = towers()
    loss = across_ranks(symmetric_info_nce, rows=("x", "y")) if shared else symmetric_info_nce
    batches = Rows(LEFT, RIGHT, batch_size=12, seed=3)
    seen: list[list[int]] = []

    def objective(net: Any, batch: Any) -> torch.Tensor:
        seen.append(batch.index.tolist())
        return loss(*net(*batch.rows), temperature=0.2)

    options: dict[str, Any] = {"optimiser": "sgd", "lr": 0.1, "weight_decay": 0.01, "fabric": fabric}
    history = fit(model, objective, Shard(batches, fabric) if fabric.world_size > 1 else batches, steps=8, **options)
    embedded = embed_on_ranks(model.left, LEFT[:49], fabric)
    rows = [seen]
    if fabric.world_size > 1:
        rows = [[], []]
        torch.distributed.all_gather_object(rows, seen)
    return {"loss": history.loss, "weights": [p.detach() for p in model.parameters()], "rows": rows, "out": embedded}
