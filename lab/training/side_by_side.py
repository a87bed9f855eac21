"""Several models in one training run, on the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

__all__ = ["SideBySide"]


class SideBySide(nn.Module):
    """Models that share batches and nothing else: one for each condition of an experiment.

    The loss is the sum of the models' losses. As they share no weights, each gets the gradient of its own loss, and
    what comes out is what separate runs with the same batches give. Differences between two are paired by seed.

    Args:
        models: one a condition, such as a stack of seeds (:func:`lab.training.stack`) or :class:`lab.training.Towers`.
        objective: ``objective(model, batch)`` gives a loss of shape () or (S,); one for all, or a mapping with one for
            each name.

    Raises:
        ValueError: no model, or names of the objectives that are not those of the models.

    Relations: train it by ``fit(side, lambda model, batch: model(batch), batches, ...)``. Clipping the common
    gradient would couple the models; :func:`lab.training.fit` does not clip.

    Example:
        >>> import torch
        >>> from lab.encoders import mlp
        >>> from lab.training import Rows, fit
        >>> side = SideBySide({"half": mlp(4, 2), "whole": mlp(4, 2)},
        ...                   {"half": lambda m, b: 0.5 * m(b.rows[0]).square().mean(),
        ...                    "whole": lambda m, b: m(b.rows[0]).square().mean()})
        >>> history = fit(side, lambda model, batch: model(batch), Rows(torch.rand(8, 4), batch_size=4), steps=2)
        >>> list(side), side["half"](torch.rand(3, 4)).shape
        (['half', 'whole'], torch.Size([3, 2]))
    """

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        objective: Callable[[Any, Any], Tensor] | Mapping[str, Callable[[Any, Any], Tensor]],
    ) -> None:
        super().__init__()
        if not models:
            raise ValueError("models must hold at least one model, got none")
        if isinstance(objective, Mapping):
            if set(objective) != set(models):
                odd = sorted(map(str, set(objective) ^ set(models)))
                raise ValueError(f"objective must have the names of the models, but not both have {', '.join(odd)}")
            self.objectives = [objective[name] for name in models]
        else:
            self.objectives = [objective] * len(models)
        # a list beside the names: the names of torch's own dictionary of modules may hold no dot ("temperature 0.1")
        self.names = list(models)
        self.models = nn.ModuleList(models.values())

    def __getitem__(self, name: str) -> nn.Module:
        if name not in self.names:
            raise KeyError(f"no model is called {name!r}; there are {', '.join(map(repr, self.names))}")
        return self.models[self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def forward(self, batch: Any) -> Tensor:
        """The sum of all losses, () or (S,)."""
        losses = [own(model, batch) for own, model in zip(self.objectives, self.models, strict=True)]
        return sum(losses[1:], losses[0])
