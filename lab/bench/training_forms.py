"""The forms of training that the benchmark compares, as calls without arguments."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from lab.augment import Augment
from lab.encoders import conv_net, mlp
from lab.losses import nt_xent, sup_con_out
from lab.training import Rows, TwoViews, fit, stack
from lab.training.optimisers import rate_factor

BATCH = 128
STEPS = 200  # about as long as an encoder of a notebook trains: what setting up costs is seen, in its true share
MEMBERS = 5


def images(rows: int) -> Tensor:
    """Pictures of 14 x 14 for a benchmark of speed: what is on them does not matter."""
    return torch.rand(rows, 1, 14, 14, generator=torch.Generator().manual_seed(0))


def two_views(model: Any, batch: Any) -> Tensor:
    """NT-Xent at 0.1."""
    return nt_xent(model(batch.view1), model(batch.view2), temperature=0.1)


def bare(model: nn.Module, objective: Callable[..., Tensor], batches: Callable[[int], Any], device: str) -> Tensor:
    """The loop one would write by hand: forward, backward, update, and the same schedule; the losses."""
    model.to(device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    losses = []
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * rate_factor(step + 1, STEPS, 0.1, "cosine")
        loss = objective(model, batches(step))
        losses.append(loss.detach())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    return torch.stack(losses).cpu()


def views_on(device: str, rows: int) -> TwoViews:
    """Batches of two views on a device."""
    return TwoViews(images(rows), min(BATCH, rows), Augment(), seed=0).to(device)


def prepare(name: str, form: str, rows: int) -> Callable[[], object]:
    """One call of one form of one comparison.

    Args:
        name: "loop" (a small conv net on two views), "seeds" (five perceptrons) or "labels" (classes, for the loop of
            another library).
        form: "lab", "bare", "one by one" or "pytorch-metric-learning"; "lab:DEVICE:PRECISION" for other than the CPU.
        rows: pictures to draw from.

    Raises:
        ValueError: an unknown comparison or form.
        ImportError: the other library is not installed.
    """
    form, _, place = form.partition(":")
    device, _, precision = place.partition(":")
    device, precision = device or "cpu", precision or "auto"
    if (name, form) == ("loop", "lab"):
        batches = views_on(device, rows)
        options: dict[str, Any] = {"steps": STEPS, "device": device, "precision": precision}
        return lambda: fit(conv_net(), two_views, batches, **options)
    if (name, form) == ("loop", "bare"):
        batches = views_on(device, rows)
        return lambda: bare(conv_net(), two_views, batches, device)
    if name == "seeds":
        size = min(64, rows)
        if form == "lab":
            together = TwoViews(images(rows), size, Augment(), seed=list(range(MEMBERS)))
            nets = lambda: stack([mlp(196, seed=s) for s in range(MEMBERS)])  # noqa: E731
            return lambda: fit(nets(), two_views, together, steps=STEPS, device="cpu")
        if form == "one by one":
            each = [TwoViews(images(rows), size, Augment(), seed=s) for s in range(MEMBERS)]
            return lambda: [
                fit(mlp(196, seed=s), two_views, own, steps=STEPS, device="cpu") for s, own in enumerate(each)
            ]
    if name == "labels":
        labels = torch.arange(rows) % 10
        if form == "lab":
            known = Rows(images(rows), labels, batch_size=min(BATCH, rows))
            return lambda: fit(conv_net(), with_labels, known, steps=STEPS, device="cpu")
        if form == "pytorch-metric-learning":
            return theirs(images(rows), labels)
    raise ValueError(f"there is no comparison {name!r} with form {form!r}")


def with_labels(model: Any, batch: Any) -> Tensor:
    """SupCon at 0.1."""
    rows, labels = batch.rows
    return sup_con_out(model(rows), labels, temperature=0.1).loss


class _Labelled(nn.Module):
    """Our loss in the place of theirs, so that loops are compared and not losses."""

    def forward(self, embeddings: Tensor, labels: Tensor, *_: object) -> Tensor:
        return sup_con_out(embeddings, labels, temperature=0.1).loss


def theirs(x: Tensor, labels: Tensor) -> Callable[[], object]:
    """The trainer of pytorch-metric-learning on the same net, data, batch and loss."""
    import logging

    from pytorch_metric_learning.trainers import MetricLossOnly, base_trainer

    logging.getLogger("PML").setLevel(logging.ERROR)
    base_trainer.tqdm = SimpleNamespace(tqdm=partial(tqdm, disable=True))  # it has no switch for its bars

    def call() -> None:
        net = conv_net()
        trainer = MetricLossOnly(
            models={"trunk": net},
            optimizers={"trunk_optimizer": torch.optim.AdamW(net.parameters(), lr=1e-3)},
            batch_size=min(BATCH, len(x)),
            loss_funcs={"metric_loss": _Labelled()},
            dataset=torch.utils.data.TensorDataset(x, labels),
            iterations_per_epoch=STEPS,
            dataloader_num_workers=0,
            data_device="cpu",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own use of torch
            trainer.train(num_epochs=1)

    return call
