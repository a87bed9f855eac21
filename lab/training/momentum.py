"""A slowly following copy of a model."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from lab.training.run import Callback, Run

__all__ = ["Momentum"]


class Momentum(Callback):
    r"""The exponential moving average of a model's weights: a momentum encoder, or weights to evaluate with.

    Formula: after each update :math:`\theta' \leftarrow m \theta' + (1 - m) \theta`; buffers (such as the statistics of
    batch normalisation) are copied.

    Args:
        model: what is followed, or a part of it: the copy begins equal to it.
        momentum: share of the old weights, 0..1; 0 copies the model at each step.
        final: momentum at the last step, reached along a half cosine; None keeps it constant.

    Attributes:
        model: the copy, without gradient and in evaluation mode; call it like the model.

    Raises:
        ValueError: momentum outside 0..1.

    Cost: one pass over the weights a step.

    Source: He et al. 2020 (MoCo) for the constant, Grill et al. 2020 (BYOL) for the cosine to 1.

    Relations: give it to ``fit(..., callbacks=[momentum])``, and use ``momentum.model`` in the objective. Kept by
    ``Checkpoints(..., also={"momentum": momentum})``.

    Example:
        >>> from lab.training import Rows, fit
        >>> net = nn.Linear(2, 1, bias=False)
        >>> before, slow = net.weight.detach().clone(), Momentum(net, momentum=0.75)
        >>> _ = fit(net, lambda m, b: m(b.rows[0]).square().mean(), Rows(torch.rand(4, 2), batch_size=2), steps=1,
        ...         callbacks=[slow])
        >>> torch.allclose(slow.model.weight, 0.75 * before + 0.25 * net.weight)
        True
    """

    def __init__(self, model: nn.Module, *, momentum: float, final: float | None = None) -> None:
        for name, value in (("momentum", momentum), ("final", momentum if final is None else final)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in 0..1, got {value!r}")
        self.followed = model
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.momentum, self.final = momentum, final

    def begin(self, run: Run) -> None:
        """Follow the model to its device."""
        self.model.to(run.fabric.device)

    @torch.no_grad()
    def after_step(self, run: Run) -> None:
        """Take a step towards the model."""
        share = self.momentum
        if self.final is not None:
            share = self.final - (self.final - self.momentum) * 0.5 * (1 + math.cos(math.pi * run.done / run.steps))
        slow, fast = ([p.detach() for p in net.parameters()] for net in (self.model, self.followed))
        torch._foreach_lerp_(slow, fast, 1 - share)
        for mine, theirs in zip(self.model.buffers(), self.followed.buffers(), strict=True):
            mine.copy_(theirs)

    def state_dict(self) -> dict[str, Any]:
        """That of the copy."""
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Into the copy."""
        self.model.load_state_dict(state)
