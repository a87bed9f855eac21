"""No step asks the device for a value, seen by watching every torch operation that hands one to Python."""

from __future__ import annotations

import math
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lab import geometry
from lab.augment import Augment
from lab.encoders import conv_net
from lab.losses import Queue, info_nce, sup_con_out
from lab.training import Callback, Checkpoints, Momentum, NonFiniteLoss, TwoViews, fit, loop, stack

IMAGES = torch.rand(64, 1, 14, 14, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(64) % 4
WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2", "aten::equal", "aten::bincount"}


class Watch(TorchDispatchMode):
    """Notes where a value or a size that hangs on values was asked for; torch's optimisers count steps on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in WAITING:
            frame, trail = sys._getframe(1), []
            while frame is not None:
                trail.append(frame)
                frame = frame.f_back  # type: ignore[assignment]
            names = [f"{f.f_code.co_filename}:{f.f_lineno}" for f in trail]
            if not any("/torch/optim/" in name for name in names):
                self.asked.append(f"{func._schema.name} from {next((n for n in names if '/lab/' in n), names[0])}")
        return func(*args, **(kwargs or {}))


class Between(Callback):
    """Watches the steps after the first one and before the one at whose end the losses are read."""

    def __init__(self, last: int) -> None:
        self.last, self.watch = last, Watch()

    def after_step(self, run: Any) -> None:
        if run.done == 1:
            self.watch.__enter__()
        if run.done == self.last:
            self.watch.__exit__(None, None, None)


@pytest.fixture
def as_if_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU taken for an accelerator by the loop and by every check of values."""
    monkeypatch.setattr(loop, "_looking_waits", lambda device: True)
    monkeypatch.setattr(geometry, "is_seen", lambda x: not geometry._unlooked)


def contrast(model: Any, batch: Any) -> Tensor:
    return info_nce(model(batch.view1), model(batch.view2), temperature=0.2)


def steps_that_ask(model: Any, objective: Any, batches: Any, **options: Any) -> list[str]:
    between = Between(last=8)
    fit(model, objective, batches, steps=9, callbacks=[between, *options.pop("callbacks", ())], **options)
    return between.watch.asked


@pytest.mark.usefixtures("as_if_elsewhere")
def test_contrast_of_two_views() -> None:
    assert steps_that_ask(conv_net(), contrast, TwoViews(IMAGES, 16, Augment.weak()), clip=1.0, accumulate=2) == []


@pytest.mark.usefixtures("as_if_elsewhere")
def test_stacked_seeds_with_labels() -> None:
    def supervised(model: Any, batch: Any) -> Tensor:
        return sup_con_out(model(batch.view1), batch.label, temperature=0.2).loss

    batches = TwoViews(IMAGES, 16, Augment.weak(), seed=[0, 1], labels=LABELS)
    assert steps_that_ask(stack([conv_net(), conv_net()]), supervised, batches, optimiser="sgd") == []


@pytest.mark.usefixtures("as_if_elsewhere")
def test_a_queue_and_a_momentum_encoder() -> None:
    model = conv_net()
    slow, queue = Momentum(model, momentum=0.9), Queue(32, 64)

    def moco(model: Any, batch: Any) -> Tensor:
        with torch.no_grad():
            keys = slow.model(batch.view2)
        loss = info_nce(model(batch.view1), keys, negatives=queue.rows if len(queue) else None, temperature=0.2)
        queue.enqueue(keys)
        return loss

    assert steps_that_ask(model, moco, TwoViews(IMAGES, 16, Augment.weak()), callbacks=[slow]) == []


@pytest.mark.usefixtures("as_if_elsewhere")
def test_the_watch_sees_an_objective_that_asks() -> None:
    def asking(model: Any, batch: Any) -> Tensor:
        loss = contrast(model, batch)
        return loss if loss.item() > 0 else loss * 2

    found = steps_that_ask(conv_net(), asking, TwoViews(IMAGES, 16, Augment.weak()))
    assert len(found) == 7 and "_local_scalar_dense" in found[0]


def test_on_a_cpu_every_step_looks() -> None:
    assert steps_that_ask(conv_net(), contrast, TwoViews(IMAGES, 16, Augment.weak()))


@pytest.mark.usefixtures("as_if_elsewhere")
def test_a_zero_row_is_named_in_the_first_step_and_stops_the_run_in_a_later_one() -> None:
    def emptied(at: int) -> Any:
        def objective(model: Any, batch: Any) -> Tensor:
            steps.append(0)
            rows = model(batch.view1)
            return info_nce(rows * (len(steps) <= at), model(batch.view2), temperature=0.2)

        steps: list[int] = []
        return objective

    batches = TwoViews(IMAGES, 16, Augment.weak())
    with pytest.raises(ValueError, match="anchors has a zero row"):
        fit(conv_net(), emptied(0), batches, steps=9)
    with pytest.raises(NonFiniteLoss, match="at step 4") as caught:
        fit(conv_net(), emptied(3), batches, steps=9)
    assert caught.value.__notes__ == [f"rows of the batch: {batches(3).index.tolist()}"]


@pytest.mark.usefixtures("as_if_elsewhere")
def test_the_last_good_checkpoint_is_one_before_the_fault(tmp_path: Any) -> None:
    calls: list[int] = []

    def spoiled(model: Any, batch: Any) -> Tensor:
        calls.append(0)
        return contrast(model, batch) * (math.nan if len(calls) == 6 else 1)

    saved = Checkpoints(tmp_path, every=2)
    with pytest.raises(NonFiniteLoss, match="at step 6") as caught:
        fit(conv_net(), spoiled, TwoViews(IMAGES, 16, Augment.weak()), steps=9, callbacks=[saved])
    assert caught.value.__notes__[-1] == f"last good checkpoint: {tmp_path / 'step-00000004.json'}"
    assert [path.name for path in sorted(tmp_path.glob("*.json"))] == ["step-00000002.json", "step-00000004.json"]
