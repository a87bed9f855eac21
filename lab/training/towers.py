"""Two encoders, one for each side of a pair."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from lab.encoders import Encoder, embed
from lab.training.batches import Rows
from lab.training.loop import fit
from lab.training.stacked import stack

__all__ = ["Towers", "new_towers", "train_towers"]


class Towers(nn.Module):
    """Two encoders into one space, such as one for pictures and one for texts; or two stacks of S seeds.

    Args:
        left: an :class:`lab.encoders.Encoder`, or several stacked by :func:`lab.training.stack`.
        right: the same for the other side; its inputs may differ, the length of its embeddings may not.

    Relations: the losses of pairs (:func:`lab.losses.symmetric_info_nce`, ``sigmoid``, ...) take what it returns.

    Example:
        >>> import torch
        >>> from lab.encoders import mlp
        >>> towers = Towers(mlp(10, dim=4), mlp(7, dim=4))
        >>> x, y = towers(torch.rand(5, 10), torch.rand(5, 7))
        >>> x.shape, y.shape
        (torch.Size([5, 4]), torch.Size([5, 4]))
    """

    def __init__(self, left: nn.Module, right: nn.Module) -> None:
        super().__init__()
        self.left = left
        self.right = right

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """The embeddings of both sides, (B, d) or (S, B, d), not normalised."""
        return self.left(left), self.right(right)

    def embed(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """Both sides without gradient and in evaluation mode, (N, d), or (S, N, d) for stacks; not normalised."""
        return embed(self.left, left), embed(self.right, right)


def train_towers(
    left: Tensor,
    right: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    seeds: Sequence[int],
    steps: int,
    make: tuple[Callable[..., Encoder], Callable[..., Encoder]],
    batch_size: int = 128,
    lr: float = 3e-3,
    **fit_options: Any,
) -> Towers:
    """Two towers for each seed, trained as two stacks by a loss of pairs.

    Seed s sets the weights of both towers (the right one's by a number of its own, so that equal makers start apart)
    and the order of the pairs; two calls with equal seeds and different losses are paired.

    Args:
        left: (N, ...) inputs of one side.
        right: (N, ...) inputs of the other; row i belongs to row i of ``left``.
        loss: ``loss(x, y)`` for embeddings (S, B, d) gives (S,), as the losses of pairs in :mod:`lab.losses` do.
        seeds: at least one.
        steps: updates.
        make: two functions, ``make[0](seed=s)`` and ``make[1](seed=s)``, that give the encoders.
        batch_size: pairs in a batch.
        lr: greatest learning rate.
        fit_options: passed on to :func:`lab.training.fit`, such as ``weight_decay``, ``probe`` or ``device``.

    Returns:
        :class:`Towers` of two stacks of S = len(seeds) encoders.

    Raises:
        ValueError: no seed, sides of different lengths, and what :func:`lab.training.fit` refuses.

    Example:
        >>> import torch
        >>> from functools import partial
        >>> from lab.encoders import mlp
        >>> from lab.losses import symmetric_info_nce
        >>> towers = train_towers(torch.rand(64, 10), torch.rand(64, 7), partial(symmetric_info_nce, temperature=0.1),
        ...                       seeds=[0, 1], steps=2, make=(partial(mlp, 10, dim=4), partial(mlp, 7, dim=4)),
        ...                       batch_size=16)
        >>> towers.embed(torch.rand(5, 10), torch.rand(5, 7))[0].shape
        torch.Size([2, 5, 4])
    """
    if not seeds:
        raise ValueError("seeds must hold at least one seed, got none")
    batches = Rows(left, right, batch_size=batch_size, seed=list(seeds))
    towers = new_towers(seeds, make)
    fit(towers, lambda model, batch: loss(*model(*batch.rows)), batches, steps=steps, lr=lr, **fit_options)
    return towers


def new_towers(seeds: Sequence[int], make: tuple[Callable[..., Encoder], Callable[..., Encoder]]) -> Towers:
    """Untrained towers of S seeds, as :func:`train_towers` starts with.

    Args:
        seeds: at least one.
        make: two functions of ``seed``; the right one gets ``seed + 2**31``.

    Returns:
        :class:`Towers` of two stacks.

    Example:
        >>> from functools import partial
        >>> from lab.encoders import mlp
        >>> new_towers([0, 1], (partial(mlp, 10), partial(mlp, 7))).left.members
        2
    """
    left, right = make
    return Towers(stack([left(seed=s) for s in seeds]), stack([right(seed=s + 2**31) for s in seeds]))
