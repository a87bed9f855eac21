"""Clipping, accumulation, several optimisers, compilation and callbacks against loops written out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lab.encoders import mlp
from lab.training import Callback, NonFiniteLoss, Rows, fit, stack

DATA = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
PLAIN: dict[str, Any] = {"warmup": 0, "schedule": "constant", "device": "cpu"}


def autoencode(model: Any, batch: Any) -> Tensor:
    return ((model(batch.rows[0]) - batch.rows[0]) ** 2).mean((-2, -1))


def same(a: nn.Module, b: nn.Module) -> None:
    for mine, theirs in zip(a.parameters(), b.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_clipping_is_that_of_a_bare_loop_and_changes_something() -> None:
    model, bare, free = (mlp(6, dim=6, seed=2) for _ in range(3))
    batches = Rows(DATA, batch_size=8, seed=1)
    fit(model, autoencode, batches, steps=5, lr=0.1, optimiser="sgd", weight_decay=0, clip=0.1, **PLAIN)
    optimiser = torch.optim.SGD(bare.parameters(), lr=0.1, momentum=0.9)
    for step in range(5):
        optimiser.zero_grad()
        autoencode(bare, batches(step)).backward()
        torch.nn.utils.clip_grad_norm_(bare.parameters(), 0.1)
        optimiser.step()
    same(model, bare)
    fit(free, autoencode, batches, steps=5, lr=0.1, optimiser="sgd", weight_decay=0, **PLAIN)
    assert (next(free.parameters()) - next(model.parameters())).abs().max() > 1e-3


def test_clipping_a_stack_is_refused() -> None:
    model = stack([mlp(6, dim=6, seed=s) for s in (0, 1)])
    with pytest.raises(ValueError, match="clip must be None for a stack"):
        fit(model, autoencode, Rows(DATA, batch_size=8, seed=[0, 1]), steps=1, clip=1.0)


def test_accumulated_batches_make_one_update_of_their_mean() -> None:
    model, bare = (mlp(6, dim=6, seed=2) for _ in range(2))
    batches = Rows(DATA, batch_size=8, seed=1)
    history = fit(model, autoencode, batches, steps=3, lr=0.1, optimiser="sgd", weight_decay=0, accumulate=4, **PLAIN)
    optimiser = torch.optim.SGD(bare.parameters(), lr=0.1, momentum=0.9)
    for step in range(3):
        optimiser.zero_grad()
        loss = sum(autoencode(bare, batches(4 * step + k)) for k in range(4)) / 4
        loss.backward()
        optimiser.step()
        assert history.loss[step].item() == pytest.approx(loss.item(), rel=1e-5)
    same(model, bare)


def test_several_optimisers_each_with_its_own_rate_under_one_schedule() -> None:
    model, bare = (mlp(6, dim=6, seed=2) for _ in range(2))
    batches = Rows(DATA, batch_size=8, seed=1)

    def make(net: Any) -> list[torch.optim.Optimizer]:
        return [torch.optim.SGD(net.backbone.parameters(), lr=0.2), torch.optim.Adam(net.head.parameters(), lr=0.01)]

    fit(model, autoencode, batches, steps=4, optimiser=make, warmup=0.5, schedule="constant", device="cpu")
    made = make(bare)
    for step in range(4):
        for optimiser, rate in zip(made, (0.2, 0.01), strict=True):
            optimiser.param_groups[0]["lr"] = rate * min(1, (step + 1) / 2)
            optimiser.zero_grad()
        autoencode(bare, batches(step)).backward()
        for optimiser in made:
            optimiser.step()
    same(model, bare)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: [], "one or several torch optimisers"),
        (lambda net: "adam", "one or several torch optimisers"),
        (lambda net: [torch.optim.SGD(net.parameters(), lr=1), torch.optim.SGD(net.parameters(), lr=1)], "two optim"),
    ],
)
def test_optimisers_that_cannot_be(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit(mlp(6), autoencode, Rows(DATA, batch_size=8), steps=1, optimiser=make)


class Log(Callback):
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def begin(self, run: Any) -> None:
        self.calls.append(("begin", run.done, run.model.training))

    def after_step(self, run: Any) -> None:
        self.calls.append(("step", run.done, len(run.losses), len(run.batch.index)))
        run.stop = run.done == 3

    def failed(self, run: Any, error: BaseException) -> None:
        self.calls.append(("failed", run.done, type(error)))

    def end(self, run: Any) -> None:
        self.calls.append(("end", run.done))


def test_callbacks_are_called_in_their_places_and_may_stop_the_run() -> None:
    log = Log()
    history = fit(mlp(6, dim=6).eval(), autoencode, Rows(DATA, batch_size=8), steps=9, callbacks=[log], device="cpu")
    steps = [("step", k, k, 8) for k in (1, 2, 3)]
    assert log.calls == [("begin", 0, False), *steps, ("end", 3)]
    assert len(history.loss) == 3


def test_a_failure_is_told_to_callbacks_with_the_rows_of_the_batch() -> None:
    log, batches = Log(), Rows(DATA, batch_size=8, seed=5)

    def objective(model: Any, batch: Any) -> Tensor:
        return autoencode(model, batch) * (math.nan if torch.equal(batch.index, batches(1).index) else 1)

    with pytest.raises(NonFiniteLoss, match="step 2") as caught:
        fit(mlp(6, dim=6), objective, batches, steps=4, callbacks=[log], device="cpu")
    assert log.calls[-1] == ("failed", 1, NonFiniteLoss)
    assert caught.value.__notes__ == [f"rows of the batch: {batches(1).index.tolist()}"]


def test_rows_of_the_member_whose_loss_is_not_finite() -> None:
    batches = Rows(DATA, batch_size=4, seed=[3, 4])
    model = stack([mlp(6, dim=6, seed=s) for s in (3, 4)])
    with pytest.raises(NonFiniteLoss, match="member 1") as caught:
        fit(model, lambda m, b: autoencode(m, b) * torch.tensor([1, math.inf]), batches, steps=1, device="cpu")
    assert caught.value.__notes__ == [f"rows of the batch: {batches(0).index[1].tolist()}"]


def test_a_compiled_model_trains_the_same_weights() -> None:
    model, plain = (mlp(6, dim=6, seed=2) for _ in range(2))
    for net, options in ((model, {"compile": "aot_eager"}), (plain, {})):
        fit(net, autoencode, Rows(DATA, batch_size=8, seed=1), steps=3, lr=1e-2, device="cpu", **options)
    assert type(model) is type(plain) and list(model.state_dict()) == list(plain.state_dict())
    for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": 0.0}, "clip must be a finite number above 0, got 0.0"),
        ({"accumulate": 0}, "accumulate must be an int of at least 1, got 0"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        fit(mlp(6, dim=6), autoencode, Rows(DATA, batch_size=8), steps=1, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize(("precision", "itself"), [("auto", True), ("32-true", True), ("bf16-mixed", False)])
def test_the_objective_gets_the_model_itself_where_no_precision_is_converted(precision, itself) -> None:
    model, seen = nn.Linear(3, 2), []

    def objective(called: Any, batch: Any) -> Tensor:
        seen.append(called)
        return called(batch).square().mean()

    fit(model, objective, lambda step: torch.ones(4, 3), steps=2, device="cpu", precision=precision)
    assert [called is model for called in seen] == [itself, itself]
