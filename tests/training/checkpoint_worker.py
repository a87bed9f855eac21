"""A training run that is killed from outside."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import nn

from lab.losses import Queue, info_nce
from lab.training import Checkpoints, Momentum, Rows, fit


def main(folder: str, result: str, slow: bool) -> None:
    """Train with checkpoints in `folder` and write the end to `result`; `slow` stretches the writing of files."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = torch.randn(64, 6)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.BatchNorm1d(16), nn.Linear(16, 4))
    slow_net, queue = Momentum(net, momentum=0.9, final=1.0), Queue(32, 4)
    queue.enqueue(torch.randn(8, 4))

    def objective(model: nn.Module, batch) -> torch.Tensor:
        time.sleep(0.005)
        keys = slow_net.model(batch.rows[0])
        loss = info_nce(model(batch.rows[0]), keys, queue.rows, temperature=0.2)
        queue.enqueue(keys)
        return loss

    if slow:
        import safetensors.torch

        def half_then_whole(tensors, path) -> None:
            whole = safetensors.torch.save(tensors)
            with Path(path).open("wb") as file:
                file.write(whole[: len(whole) // 2])
                file.flush()
                time.sleep(0.05)  # most kills fall into here
                file.write(whole[len(whole) // 2 :])

        safetensors.torch.save_file = half_then_whole
    saved = Checkpoints(folder, every=3, also={"momentum": slow_net, "queue": queue})
    history = fit(
        net, objective, Rows(data, batch_size=8, seed=1), steps=60, lr=1e-2, device="cpu", callbacks=[slow_net, saved],
        probe=lambda model, step: {"first": model[0].weight.mean().item()}, probe_every=10,
    )  # fmt: skip
    torch.save(
        {"net": net.state_dict(), "slow": slow_net.state_dict(), "queue": queue.state_dict(), "loss": history.loss,
         "probes": history.probes}, result + ".part",
    )  # fmt: skip
    Path(result + ".part").rename(result)
