"""Optimisers and the course of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import nn

__all__ = ["Maker", "make_optimisers", "rate_factor"]

Maker = Callable[[nn.Module], "torch.optim.Optimizer | Sequence[torch.optim.Optimizer]"]


def make_optimisers(model: nn.Module, kind: str | Maker, lr: float, weight_decay: float) -> list[torch.optim.Optimizer]:
    """The optimisers of a model; each group of parameters remembers its greatest rate as "initial_lr".

    Args:
        model: with at least one parameter that takes a gradient.
        kind: "adamw" (betas 0.9 and 0.999), "sgd" (momentum 0.9), or a function of the model that returns one or
            several optimisers with rates and decay of their own; together they must hold no parameter twice.
        lr: greatest rate, for the named kinds.
        weight_decay: decoupled in AdamW, added to the gradient in SGD; for the named kinds.

    Returns:
        At least one optimiser.

    Raises:
        ValueError: nothing to train, an unknown kind, a function that returns something else or a parameter twice.

    Example:
        >>> sgd, adam = make_optimisers(
        ...     nn.Linear(2, 1), lambda m: [torch.optim.SGD([m.bias], lr=1.0), torch.optim.Adam([m.weight])], 0.1, 0)
        >>> sgd.param_groups[0]["initial_lr"], adam.param_groups[0]["initial_lr"]
        (1.0, 0.001)
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("model must have parameters that take a gradient, got none")
    if callable(kind):
        given = kind(model)
        made = [given] if isinstance(given, torch.optim.Optimizer) else list(given)
        if not made or not all(isinstance(one, torch.optim.Optimizer) for one in made):
            raise ValueError("optimiser must return one or several torch optimisers")
        held = [p for one in made for group in one.param_groups for p in group["params"]]
        if len({id(p) for p in held}) != len(held):
            raise ValueError("optimiser must not put a parameter into two optimisers")
    elif kind == "adamw":
        made = [torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True)]
    elif kind == "sgd":
        made = [torch.optim.SGD(parameters, lr=lr, weight_decay=weight_decay, momentum=0.9, fused=True)]
    else:
        raise ValueError(f"optimiser must be 'adamw' or 'sgd', got {kind!r}")
    for one in made:
        for group in one.param_groups:
            group["initial_lr"] = group["lr"]
    return made


def rate_factor(t: int, steps: int, warmup: float, schedule: str) -> float:
    r"""Share of the greatest rate at update t = 1..steps.

    With :math:`W = \lceil wT \rceil` steps of warm-up t / W up to there, then
    :math:`\tfrac12 (1 + \cos(\pi (t - W) / (T - W + 1)))` ("cosine") or 1 ("constant").

    Example:
        >>> [round(rate_factor(t, 4, 0.5, "cosine"), 2) for t in (1, 2, 3, 4)]
        [0.5, 1.0, 0.75, 0.25]
    """
    rising = math.ceil(warmup * steps)
    if t <= rising:
        return t / rising
    if schedule == "constant":
        return 1.0
    return 0.5 * (1 + math.cos(math.pi * (t - rising) / (steps - rising + 1)))
