"""One training loop, on Lightning Fabric, for one model or several stacked ones, on one device or many."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lab.geometry import unlooked
from lab.training.devices import choose_fabric
from lab.training.history import History
from lab.training.optimisers import Maker, make_optimisers, rate_factor
from lab.training.run import Callback, Run

__all__ = ["NonFiniteLoss", "fit"]

_CHECK_EVERY = 50  # steps between looks at the losses where looking means waiting for an accelerator


class NonFiniteLoss(ValueError):
    """The loss became NaN or infinite; names the step, in a stack the member, and the rows of the batch."""


def fit(
    model: nn.Module,
    objective: Callable[[Any, Any], Tensor],
    batches: Callable[[int], Any],
    *,
    steps: int,
    lr: float = 1e-3,
    weight_decay: float = 1e-4,
    optimiser: Literal["adamw", "sgd"] | Maker = "adamw",
    warmup: float = 0.1,
    schedule: Literal["cosine", "constant"] = "cosine",
    clip: float | None = None,
    accumulate: int = 1,
    device: str | torch.device = "auto",
    precision: str = "auto",
    compile: bool | str = False,
    fabric: Any = None,
    probe: Callable[[nn.Module, int], dict[str, Any]] | None = None,
    probe_every: int | None = None,
    callbacks: Sequence[Callback] = (),
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
        optimiser: "adamw" (betas 0.9 and 0.999), "sgd" (momentum 0.9), or a function of the model that returns one or
            several torch optimisers with rates and decay of their own; the schedule multiplies them all.
        warmup: share of the steps in which the rate rises linearly, 0..1.
        schedule: "cosine" or "constant".
        clip: greatest norm of the gradient over all parameters, above 0; None for no clipping. Not for a stack, whose
            members it would couple.
        accumulate: batches whose mean gradient makes one update; step t takes ``batches`` t * accumulate and on. NOT a
            larger batch for a loss of pairs: rows of different batches never meet. See :func:`lab.training.in_chunks`.
        device: "auto" (an accelerator where there is one), "cpu", "cuda", "cuda:1", "mps" or a torch device.
        precision: "auto" (bfloat16 mixed on an accelerator that has it natively, else the model's own precision), or a
            Lightning Fabric name such as "32-true", "64-true", "bf16-mixed".
        compile: pass the model through ``torch.compile``, or the name of a backend of it; pays on accelerators and in
            long runs.
        fabric: a launched Lightning Fabric in place of ``device`` and ``precision``, for several devices; see
            :func:`lab.training.on_ranks`.
        probe: ``probe(model, step)`` with the model in evaluation mode and no gradient; called before the first update
            (step 0), after every ``probe_every`` updates and after the last.
        probe_every: updates between probes; None means only before the first and after the last.
        callbacks: :class:`lab.training.Callback` objects, called in this order.

    Returns:
        :class:`History` with the losses (steps,) or (steps, S), the probes and the seconds taken.

    Raises:
        ValueError: a parameter outside its range, an unknown name, a loss of the wrong shape or without gradient.
        NonFiniteLoss: the loss of a step is NaN or infinite; on a CPU before the update, so weights are still finite,
            on an accelerator at the next look.

    Cost: about 0.1 ms a step beyond forward, backward and update. On an accelerator no step waits for the device: from
    the second step on the objective runs in :func:`lab.geometry.unlooked`, and losses are read every 50 steps.

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
    _check(steps, lr, weight_decay, warmup, probe_every, clip, accumulate)
    if schedule not in ("cosine", "constant"):
        raise ValueError(f"schedule must be 'cosine' or 'constant', got {schedule!r}")
    start = time.perf_counter()
    if fabric is None:
        fabric = choose_fabric(device, precision, model)
    model.to(fabric.device)
    made = make_optimisers(model, optimiser, lr, weight_decay)
    # torch's compiled module shares the weights, so `model` stays the one that is read, probed and saved
    backend = compile if isinstance(compile, str) else "inductor"
    inner: Any = torch.compile(model, backend=backend) if compile else model
    wrapped, *optims = fabric.setup(inner, *made, move_to_device=False)
    called = inner if _wrapper_does_nothing(fabric) else wrapped
    if hasattr(batches, "to"):
        batches = batches.to(fabric.device)
    waits = _looking_waits(fabric.device)
    run = Run(model, made, steps, fabric)
    mode = model.training
    recent: deque[list[Any]] = deque(maxlen=_CHECK_EVERY)  # rows of the batches whose losses nobody has looked at yet

    def look() -> None:
        run.probes.append({"step": run.done, **_probe(probe, model, run.done)})  # type: ignore[arg-type]

    try:
        for callback in callbacks:
            callback.begin(run)
        wrapped.train()
        if probe is not None and run.done == 0:
            look()
        while run.done < steps and not run.stop:
            factor = rate_factor(run.done + 1, steps, warmup, schedule)
            for optim in made:
                for group in optim.param_groups:
                    group["lr"] = group["initial_lr"] * factor
            losses = []
            recent.append([])
            for part in range(accumulate):
                batch = batches(run.done * accumulate + part)
                run.batch = batch = fabric.to_device(batch) if waits else batch
                try:
                    # The first step tells what is wrong with the data; later ones never wait for an accelerator.
                    with unlooked(waits and bool(run.losses)):
                        loss = _checked_loss(objective(called, batch), run.losses, clip)
                except Exception as error:
                    error.add_note(f"raised by the objective at step {run.done + 1} of {steps}")
                    raise
                losses.append(loss.detach())
                recent[-1].append(getattr(batch, "index", None))
                if not waits:
                    _refuse_non_finite(losses[-1:], run.done + 1, [recent[-1][-1:]])
                whole = loss.sum() if loss.ndim else loss
                with fabric.no_backward_sync(wrapped, enabled=part < accumulate - 1):
                    fabric.backward(whole / accumulate if accumulate > 1 else whole)
            run.losses.append(losses[0] if accumulate == 1 else torch.stack(losses).mean(0))
            if waits and ((run.done + 1) % _CHECK_EVERY == 0 or run.done + 1 == steps):
                _refuse_non_finite(run.losses[-len(recent) :], run.done + 1, list(recent))
            if clip is not None:
                fabric.clip_gradients(wrapped, optims[0], max_norm=clip, error_if_nonfinite=not waits)
            for optim in optims:
                optim.step()
                optim.zero_grad()
            run.done += 1
            if probe is not None and (run.done == steps or (probe_every and run.done % probe_every == 0)):
                look()
            for callback in callbacks:
                callback.after_step(run)
        for callback in callbacks:
            callback.end(run)
    except Exception as error:
        for callback in callbacks:
            callback.failed(run, error)
        raise
    finally:
        wrapped.train(mode)
    return History(torch.stack(run.losses).cpu(), time.perf_counter() - start, run.probes)


def _wrapper_does_nothing(fabric: Any) -> bool:
    """Whether Fabric's module hands all calls on as they are: on one device in the model's own precision.

    It takes a tenth of a millisecond a call even so, which a small model on a CPU would feel.
    """
    from lightning_fabric.strategies import SingleDeviceStrategy

    return isinstance(fabric.strategy, SingleDeviceStrategy) and fabric.strategy.precision.precision == "32-true"


def _looking_waits(device: torch.device) -> bool:
    """Whether reading a value means waiting for what the device has still to do."""
    return device.type != "cpu"


def _probe(probe: Callable[[nn.Module, int], dict[str, Any]], model: nn.Module, step: int) -> dict[str, Any]:
    mode = model.training
    model.eval()
    try:
        with torch.no_grad():
            return probe(model, step)
    finally:
        model.train(mode)


def _checked_loss(loss: Any, before: list[Tensor], clip: float | None) -> Tensor:
    if not isinstance(loss, Tensor) or loss.ndim > 1 or loss.numel() == 0 or not loss.requires_grad:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        gradient = "" if not isinstance(loss, Tensor) or loss.requires_grad else " without gradient"
        raise ValueError(f"objective must return a loss of shape () or (S,) with a gradient, got {got}{gradient}")
    if before and before[0].shape != loss.shape:
        first = tuple(before[0].shape)
        raise ValueError(f"objective must return one shape at all steps, got {first} then {tuple(loss.shape)}")
    if clip is not None and loss.numel() > 1:
        raise ValueError("clip must be None for a stack: the norm of all members would couple them")
    return loss


def _refuse_non_finite(losses: list[Tensor], step: int, rows: list[list[Any]]) -> None:
    """Raise for the first loss that is not finite; ``step`` is that of the last one in the list, from 1.

    ``rows`` are the row numbers of the batches behind each loss, None for batches without any.
    """
    table = torch.stack(losses) if len(losses) > 1 else losses[0][None]
    if bool(table.isfinite().all()):
        return
    where = (~table.isfinite()).nonzero()[0].tolist()
    value = table[tuple(where)].item()
    member = f", member {where[1]} of the stack" if len(where) > 1 else ""
    error = NonFiniteLoss(f"the loss must stay finite, got {value} at step {step - len(losses) + where[0] + 1}{member}")
    parts = [index for index in rows[where[0]] if isinstance(index, Tensor)]
    if parts:
        own = [index[where[1]] if len(where) > 1 and index.ndim > 1 else index for index in parts]
        error.add_note(f"rows of the batch: {[row for index in own for row in index.flatten().tolist()]}")
    raise error


def _check(
    steps: int,
    lr: float,
    weight_decay: float,
    warmup: float,
    probe_every: int | None,
    clip: float | None,
    accumulate: int,
) -> None:
    counts = {"steps": steps, "probe_every": 1 if probe_every is None else probe_every, "accumulate": accumulate}
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {count!r}")
    for name, value in (("lr", lr), ("clip", 1.0 if clip is None else clip)):
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{name} must be a finite number above 0, got {value}")
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"weight_decay must be a finite number of at least 0, got {weight_decay}")
    if not 0 <= warmup <= 1:
        raise ValueError(f"warmup must be a share in 0..1, got {warmup}")
