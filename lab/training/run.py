"""The state of a training run while it lasts, and what may look at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Callback", "Run"]


@dataclass
class Run:
    """What :func:`lab.training.fit` hands to its callbacks.

    Attributes:
        model: the model as it was given, on its device.
        optimisers: those of torch, in the order they step.
        steps: updates asked for.
        fabric: the Lightning Fabric in use; ``fabric.device``, ``fabric.global_rank``.
        done: updates made so far. A callback may set it in ``begin``, with all else that belongs to that moment.
        losses: one detached tensor a step, () or (S,).
        probes: what the probe returned, one dict each, with "step".
        batch: the batch of the current step.
        stop: set it to end training after this step.
    """

    model: nn.Module
    optimisers: list[torch.optim.Optimizer]
    steps: int
    fabric: Any
    done: int = 0
    losses: list[Tensor] = field(default_factory=list)
    probes: list[dict[str, Any]] = field(default_factory=list)
    batch: Any = None
    stop: bool = False


class Callback:
    """What may happen around a step; override what is needed. None of them may change the gradient.

    Example:
        >>> import torch
        >>> from lab.encoders import mlp
        >>> from lab.training import Rows, fit
        >>> class Count(Callback):
        ...     seen = 0
        ...     def after_step(self, run):
        ...         self.seen = run.done
        >>> count = Count()
        >>> _ = fit(mlp(4), lambda m, b: m(b.rows[0]).square().mean(), Rows(torch.rand(8, 4), batch_size=4), steps=3,
        ...         callbacks=[count])
        >>> count.seen
        3
    """

    def begin(self, run: Run) -> None:
        """Once, before the first step, with the model on its device; may restore an earlier state into ``run``."""

    def after_step(self, run: Run) -> None:
        """After each update and its probe."""

    def failed(self, run: Run, error: BaseException) -> None:
        """When a step raised; ``run.done`` is the number of updates before it. May add a note to the error."""

    def end(self, run: Run) -> None:
        """Once, after the last step; not after an error."""
