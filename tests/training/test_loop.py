"""The loop against updates worked out by hand and against a bare torch loop."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lab.encoders import conv_net, mlp
from lab.training import History, NonFiniteLoss, Rows, fit, stack

DATA = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


class Point(nn.Module):
    """One vector of parameters."""

    def __init__(self, *values: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(values, dtype=torch.float64))

    def forward(self) -> Tensor:
        return self.p


def steps_of(count: int) -> Any:
    return lambda step: step


def half_square(model: Any, _: Any) -> Tensor:
    return (model() ** 2).sum() / 2


def autoencode(model: Any, batch: Any) -> Tensor:
    return ((model(batch.rows[0]) - batch.rows[0]) ** 2).mean((-2, -1))


def test_sgd_with_momentum_and_decay_worked_out_by_hand() -> None:
    model = Point(2.0)
    options: dict[str, Any] = {"weight_decay": 0.5, "optimiser": "sgd", "warmup": 0, "schedule": "constant"}
    history = fit(model, half_square, steps_of(3), steps=3, lr=0.1, **options)
    p, speed, losses = 2.0, 0.0, []
    for _ in range(3):
        losses.append(p**2 / 2)
        speed = 0.9 * speed + (p + 0.5 * p)
        p -= 0.1 * speed
    assert model.p.item() == pytest.approx(p, rel=1e-12)
    assert history.loss.tolist() == pytest.approx(losses, rel=1e-12)


def test_adamw_worked_out_by_hand() -> None:
    model = Point(2.0, -1.0)
    fit(model, half_square, steps_of(4), steps=4, lr=0.1, weight_decay=0.2, warmup=0, schedule="constant")
    for i, start in enumerate((2.0, -1.0)):
        p, m, v = start, 0.0, 0.0
        for t in range(1, 5):
            m, v = 0.9 * m + 0.1 * p, 0.999 * v + 0.001 * p**2
            p -= 0.1 * 0.2 * p
            p -= 0.1 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert model.p[i].item() == pytest.approx(p, rel=1e-9)


def test_rate_rises_then_falls_as_stated() -> None:
    # with a constant gradient of 1 and no momentum left out, the position adds up the rates
    rates = []

    def objective(model: Any, _: Any) -> Tensor:
        rates.append(model().detach().item())
        return -model().sum()

    model = Point(0.0)
    fit(model, objective, steps_of(10), steps=10, lr=1.0, weight_decay=0, optimiser="sgd", warmup=0.2)
    expected = [0.5, 1.0] + [0.5 * (1 + math.cos(math.pi * k / 9)) for k in range(1, 9)]
    position, speed = 0.0, 0.0
    for rate, seen in zip(expected, rates, strict=True):
        assert seen == pytest.approx(position, abs=1e-12)
        speed = 0.9 * speed + 1
        position += rate * speed
    assert model.p.item() == pytest.approx(position, abs=1e-12)


def test_equals_a_bare_torch_loop() -> None:
    batches = Rows(DATA, batch_size=8, seed=1)
    model, bare = mlp(6, dim=6, seed=2), mlp(6, dim=6, seed=2)
    history = fit(model, autoencode, batches, steps=12, lr=1e-2, warmup=0, schedule="constant", weight_decay=0.01)
    optimiser = torch.optim.AdamW(bare.parameters(), lr=1e-2, weight_decay=0.01)
    for step in range(12):
        x = DATA[batches(step).index]
        loss = ((bare(x) - x) ** 2).mean()
        assert loss.item() == pytest.approx(history.loss[step].item(), rel=1e-5)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    for a, b in zip(model.parameters(), bare.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_probe_sees_evaluation_mode_and_the_stated_steps() -> None:
    model = conv_net(width=4, hidden=8, dim=6)
    seen = []

    def probe(current: nn.Module, step: int) -> dict[str, Any]:
        seen.append((step, current.training, torch.is_grad_enabled(), current is model))
        return {"double": 2 * step}

    def objective(current: Any, batch: Any) -> Tensor:
        assert current.training and torch.is_grad_enabled()
        return current(batch.rows[0]).square().mean()

    model.eval()
    images = torch.rand(9, 1, 14, 14)
    history = fit(model, objective, Rows(images, batch_size=4), steps=7, probe=probe, probe_every=3)
    assert seen == [(step, False, False, True) for step in (0, 3, 6, 7)]
    assert not model.training
    assert history.probe_frame()["double"].tolist() == [0, 6, 12, 14]
    assert history.probe_frame()["step"].tolist() == [0, 3, 6, 7]


def test_history_of_a_stack_has_one_column_a_member() -> None:
    model = stack([mlp(6, dim=6, seed=s) for s in (0, 1)])
    history = fit(model, autoencode, Rows(DATA, batch_size=8, seed=[0, 1]), steps=3)
    assert history.loss.shape == (3, 2) and history.seconds > 0
    frame = history.frame()
    assert frame["step"].tolist() == [1, 1, 2, 2, 3, 3] and frame["member"].tolist() == [0, 1] * 3
    assert frame["loss"].tolist() == history.loss.flatten().tolist()


def test_non_finite_loss_names_the_step_and_leaves_finite_weights() -> None:
    model = Point(1.0)

    def objective(current: Any, step: int) -> Tensor:
        return current().sum() * (math.inf if step == 4 else 1.0)

    with pytest.raises(NonFiniteLoss, match=r"got inf at step 5$"):
        fit(model, objective, steps_of(9), steps=9)
    assert model.p.isfinite().all()


def test_non_finite_loss_names_the_member_of_the_stack() -> None:
    model = stack([mlp(6, dim=6, seed=s) for s in range(3)])

    def objective(current: Any, batch: Any) -> Tensor:
        loss = autoencode(current, batch)
        return loss * torch.tensor([1.0, math.nan, 1.0])

    with pytest.raises(NonFiniteLoss, match="got nan at step 1, member 1 of the stack"):
        fit(model, objective, Rows(DATA, batch_size=8, seed=[0, 1, 2]), steps=2)


def test_an_error_in_the_objective_carries_the_step() -> None:
    def objective(current: Any, step: int) -> Tensor:
        if step == 2:
            raise ValueError("bad rows")
        return half_square(current, step)

    with pytest.raises(ValueError, match="bad rows") as caught:
        fit(Point(1.0), objective, steps_of(5), steps=5)
    assert caught.value.__notes__ == ["raised by the objective at step 3 of 5"]


def test_precision_follows_the_model_unless_asked() -> None:
    double = mlp(6, dim=6).double()
    history = fit(double, autoencode, Rows(DATA.double(), batch_size=8), steps=2)
    assert history.loss.dtype == torch.float64 and next(double.parameters()).dtype == torch.float64
    seen = []

    def objective(current: Any, batch: Any) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return autoencode(current, batch)

    fit(mlp(6, dim=6), objective, Rows(DATA, batch_size=8), steps=1, device="cpu")
    assert seen == [False]
    half = fit(mlp(6, dim=6), autoencode, Rows(DATA, batch_size=8), steps=1, device="cpu", precision="bf16-mixed")
    full = fit(mlp(6, dim=6), autoencode, Rows(DATA, batch_size=8), steps=1, device="cpu")
    assert half.loss[0] != full.loss[0] and half.loss[0].item() == pytest.approx(full.loss[0].item(), rel=0.02)


def test_two_runs_are_bit_equal() -> None:
    runs = [mlp(6, dim=6, seed=3) for _ in range(2)]
    for model in runs:
        fit(model, autoencode, Rows(DATA, batch_size=8, seed=7), steps=5)
    for a, b in zip(runs[0].parameters(), runs[1].parameters(), strict=True):
        assert torch.equal(a, b)


def test_importing_the_package_does_not_load_fabric() -> None:
    code = "import lab.training, sys; print('lightning_fabric' in sys.modules, 'pandas' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an int of at least 1, got 0"),
        ({"lr": 0.0}, "lr must be a finite number above 0, got 0.0"),
        ({"lr": math.nan}, "lr must be a finite number above 0, got nan"),
        ({"weight_decay": -1.0}, "weight_decay must be a finite number of at least 0, got -1.0"),
        ({"warmup": 1.5}, "warmup must be a share in 0..1, got 1.5"),
        ({"optimiser": "adam"}, "optimiser must be 'adamw' or 'sgd', got 'adam'"),
        ({"schedule": "linear"}, "schedule must be 'cosine' or 'constant', got 'linear'"),
        ({"probe_every": 0}, "probe_every must be an int of at least 1, got 0"),
        ({"device": "tpu"}, "device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got 'tpu'"),
        ({"device": "cuda:99"}, "device must be one this machine has, got 'cuda:99'"),
        ({"precision": "f8"}, "precision must be 'auto' or a name Lightning Fabric knows, got 'f8'"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        fit(Point(1.0), half_square, steps_of(2), **{"steps": 2, **options})
    assert str(caught.value) == message


def test_bad_objectives_and_models() -> None:
    with pytest.raises(ValueError, match=r"loss of shape \(\) or \(S,\) with a gradient, got shape \(1, 2\)"):
        fit(Point(1.0, 2.0), lambda m, _: m()[None], steps_of(1), steps=1)
    with pytest.raises(ValueError, match=r"got shape \(\) without gradient"):
        fit(Point(1.0), lambda m, _: m().sum().detach(), steps_of(1), steps=1)
    with pytest.raises(ValueError, match="got float"):
        fit(Point(1.0), lambda m, _: 1.0, steps_of(1), steps=1)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match=r"one shape at all steps, got \(\) then \(1,\)"):
        fit(Point(1.0), lambda m, step: m() if step else m().sum(), steps_of(2), steps=2)
    with pytest.raises(ValueError, match="model must have parameters that take a gradient"):
        fit(nn.ReLU(), lambda m, _: torch.ones(()), steps_of(1), steps=1)


def test_frame_of_a_single_run() -> None:
    frame = History(torch.tensor([3.0, 2.0]), 0.0).frame()
    assert frame.to_dict("list") == {"step": [1, 2], "member": [0, 0], "loss": [3.0, 2.0]}
