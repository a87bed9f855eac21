"""One training loop, on Lightning Fabric, for one model or several stacked ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lab.training.history import History

__all__ = ["NonFiniteLoss", "fit"]

_CHECK_EVERY = 50  # steps between looks at the losses where looking means waiting for an accelerator


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; names the step and, in a stack, the member."""


def fit(
    model: nn.Module,
    objective: Callable[[Any, Any], Tensor],
    batches: Callable[[int], Any],
    *,
    steps: int,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    optimiser: Literal["adamw", "sgd"] = "adamw",
    warmup: float = 0.1,
    schedule: Literal["cosine", "constant"] = "cosine",
    device: str | torch.device = "auto",
    precision: str = "auto",
    probe: Callable[[nn.Module, int], dict[str, Any]] | None = None,
    probe_every: int | None = None,
) -> History:
    r"""Train a model in place by gradient steps on an objective.

    The rate at step t = 1..T with :math:`W = \lceil wT \rceil` warm-up steps is :math:`\eta t / W` for t <= W, then
    :math:`\tfrac{\eta}{2}(1 + \cos(\pi (t - W) / (T - W + 1)))` ("cosine") or :math:`\eta` ("constant").

    Args:
        model: trained in place and left on the device; a stack from :func:`lab.training.stack` trains S models at once.
        objective: ``objective(model, batch)`` gives a loss of shape (), or (S,) with one value a member of a stack.
        batches: ``batches(step)`` for step 0..steps-1, such as :class:`lab.training.TwoViews`; moved to the device.
        steps: number of updates, at least 1.
        lr: greatest learning rate, above 0.
        weight_decay: at least 0, on all parameters; decoupled in AdamW, added to the gradient in SGD.
        optimiser: "adamw" (betas 0.9 and 0.999) or "sgd" (momentum 0.9).
        warmup: share of the steps in which the rate rises linearly, 0..1.
        schedule: "cosine" or "constant".
        device: "auto" (an accelerator where there is one), "cpu", "cuda", "cuda:1", "mps" or a torch device.
        precision: "auto" (bfloat16 mixed on an accelerator that has it natively, else the model's own precision), or a
            Lightning Fabric name such as "32-true", "64-true", "bf16-mixed".
        probe: ``probe(model, step)`` with the model in evaluation mode and no gradient; called before the first update
            (step 0), after every ``probe_every`` updates and after the last.
        probe_every: updates between probes; None means only before the first and after the last.

    Returns:
        :class:`History` with the losses (steps,) or (steps, S), the probes and the seconds taken.

    Raises:
        ValueError: a parameter outside its range, an unknown name, a loss of the wrong shape or without gradient.
        NonFiniteLoss: the loss of a step is NaN or infinite; on a CPU before the update, so weights are still finite.

    Cost: about 0.1 ms a step beyond forward, backward and update.

    Relations: a loss of shape (S,) is summed for the backward pass: as members share no weights, each gets the gradient
    of its own loss, so the stack is S single runs. :func:`lab.training.train_two_views` wraps the common case.

    Example:
        >>> from lab.encoders import mlp
        >>> from lab.training import Rows
        >>> x = torch.rand(64, 4)
        >>> model = mlp(4, dim=4)
        >>> objective = lambda model, batch: ((model(batch.rows[0]) - batch.rows[0]) ** 2).mean()
        >>> history = fit(model, objective, Rows(x, batch_size=16), steps=30)
        >>> bool(history.loss[-1] < history.loss[0])
        True
    """
    _check(steps, lr, weight_decay, warmup, probe_every)
    if schedule not in ("cosine", "constant"):
        raise ValueError(f"schedule must be 'cosine' or 'constant', got {schedule!r}")
    start = time.perf_counter()
    fabric = _fabric(device, precision, model)
    raw = model
    raw.to(fabric.device)
    wrapped, optim = fabric.setup(raw, _optimiser(raw, optimiser, lr, weight_decay), move_to_device=False)
    if hasattr(batches, "to"):
        batches = batches.to(fabric.device)
    waits = fabric.device.type != "cpu"
    losses: list[Tensor] = []
    probes: list[dict[str, Any]] = []

    def look(done: int) -> None:
        if probe is not None and (done in (0, steps) or (probe_every is not None and done % probe_every == 0)):
            probes.append({"step": done, **_probe(probe, raw, done)})

    mode = raw.training
    wrapped.train()
    try:
        look(0)
        for step in range(steps):
            rate = lr * _factor(step + 1, steps, warmup, schedule)
            for group in optim.param_groups:
                group["lr"] = rate
            batch = batches(step)
            if waits:
                batch = fabric.to_device(batch)
            try:
                loss = _checked_loss(objective(wrapped, batch), losses)
            except Exception as error:
                error.add_note(f"raised by the objective at step {step + 1} of {steps}")
                raise
            losses.append(loss.detach())
            if not waits or (step + 1) % _CHECK_EVERY == 0 or step + 1 == steps:
                _refuse_non_finite(losses[-_CHECK_EVERY:] if waits else losses[-1:], step + 1)
            fabric.backward(loss.sum() if loss.ndim else loss)
            optim.step()
            optim.zero_grad()
            look(step + 1)
    finally:
        wrapped.train(mode)
    return History(torch.stack(losses).cpu(), time.perf_counter() - start, probes)


def _fabric(device: str | torch.device, precision: str, model: nn.Module) -> Any:
    """A Fabric for one device; imported here because it takes more than a second."""
    from lightning_fabric import Fabric

    name = str(device)
    kind, _, number = name.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in present or (number and not number.isdigit()):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {name!r}")
    if not present[kind] or (kind == "cuda" and number and int(number) >= torch.cuda.device_count()):
        raise ValueError(f"device must be one this machine has, got {name!r}")
    if precision == "auto":
        native = kind == "cuda" and torch.cuda.get_device_capability()[0] >= 8
        double = any(p.dtype == torch.float64 for p in model.parameters())
        # "32-true" converts nothing, so a float64 model stays one; "64-true" would return outputs in float32
        precision = "bf16-mixed" if native and not double else "32-true"
    devices: Any = [int(number)] if kind == "cuda" and number else 1
    try:
        return Fabric(accelerator=kind, devices=devices, precision=precision)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"precision must be 'auto' or a name Lightning Fabric knows, got {precision!r}") from error


def _optimiser(model: nn.Module, name: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model must have parameters that take a gradient, got none")
    if name == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)
    if name == "sgd":
        return torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=0.9, fused=True)
    raise ValueError(f"optimiser must be 'adamw' or 'sgd', got {name!r}")


def _factor(t: int, steps: int, warmup: float, schedule: str) -> float:
    """Share of the greatest rate at update t = 1..steps."""
    rising = math.ceil(warmup * steps)
    if t <= rising:
        return t / rising
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (t - rising) / (steps - rising + 1)))


def _probe(probe: Callable[[nn.Module, int], dict[str, Any]], model: nn.Module, step: int) -> dict[str, Any]:
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            return probe(model, step)
    finally:
        model.train(mode)


def _checked_loss(loss: Any, before: list[Tensor]) -> Tensor:
    if not isinstance(loss, Tensor) or loss.ndim > 1 or loss.numel() == 0 or not loss.requires_grad:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        gradient = "" if not isinstance(loss, Tensor) or loss.requires_grad else " without gradient"
        raise ValueError(f"objective must return a loss of shape () or (S,) with a gradient, got {got}{gradient}")
    if before and before[0].shape != loss.shape:
        first = tuple(before[0].shape)
        raise ValueError(f"objective must return one shape at all steps, got {first} then {tuple(loss.shape)}")
    return loss


def _refuse_non_finite(losses: list[Tensor], step: int) -> None:
    """Raise for the first loss that is not finite; ``step`` is that of the last one in the list, from 1."""
    table = torch.stack(losses) if len(losses) > 1 else losses[0][None]
    if bool(table.isfinite().all()):
        return
    where = (~table.isfinite()).nonzero()[0].tolist()
    value = table[tuple(where)].item()
    member = f", member {where[1]} of the stack" if len(where) > 1 else ""
    raise NonFiniteLoss(f"the loss must stay finite, got {value} at step {step - len(losses) + where[0] + 1}{member}")


def _check(steps: int, lr: float, weight_decay: float, warmup: float, probe_every: int | None) -> None:
    for name, count in (("steps", steps), ("probe_every", 1 if probe_every is None else probe_every)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {count!r}")
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr must be a finite number above 0, got {lr}")
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"weight_decay must be a finite number of at least 0, got {weight_decay}")
    if not 0 <= warmup <= 1:
        raise ValueError(f"warmup must be a share in 0..1, got {warmup}")
