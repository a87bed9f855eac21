"""Whole trainings in one call, for several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from lab.augment import Augment
from lab.encoders import Encoder, conv_net
from lab.training.batches import TwoViews
from lab.training.loop import fit
from lab.training.stacked import stack

__all__ = ["train_two_views"]


def train_two_views(
    images: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    seeds: Sequence[int],
    steps: int,
    batch_size: int = 128,
    augment: Augment | None = None,
    make: Callable[..., Encoder] = conv_net,
    stacked: bool = True,
    lr: float = 3e-3,
    **fit_options: Any,
) -> list[Encoder]:
    """Encoders trained on two views of each image, one a seed, with a loss of two sets of embeddings.

    Seed s sets the weights (``make(seed=s)``), the order of the images and their augmentation, so two calls with equal
    seeds and different losses are paired.

    Args:
        images: (N, C, H, W), floating, values in 0..1.
        loss: ``loss(z1, z2)`` for embeddings (S, B, d) gives (S,), as the losses of :mod:`lab.losses` do; with
            ``stacked=False`` it gets (B, d) and gives a scalar.
        seeds: at least one.
        steps: updates of each encoder.
        batch_size: images in a batch; a loss sees twice as many embeddings.
        augment: how a view is made; None is ``Augment()``.
        make: ``make(seed=s)`` gives an encoder for the images.
        stacked: train all seeds as one (faster) or one after another; the same encoders up to rounding.
        lr: greatest learning rate.
        fit_options: passed on to :func:`lab.training.fit`, such as ``weight_decay`` or ``device``.

    Returns:
        One trained encoder a seed, in evaluation mode.

    Raises:
        ValueError: no seed, and whatever :func:`lab.training.fit` and :class:`lab.training.TwoViews` refuse.

    Cost: see :func:`lab.training.stack`.

    Relations: two lines over :func:`lab.training.fit`; write them out where the objective needs more than two views.

    Example:
        >>> import torch
        >>> from lab.losses import nt_xent
        >>> encoders = train_two_views(torch.rand(64, 1, 14, 14), lambda a, b: nt_xent(a, b, temperature=0.2),
        ...                            seeds=[0, 1], steps=2, batch_size=16)
        >>> len(encoders), encoders[0].training
        (2, False)
    """
    if not seeds:
        raise ValueError("seeds must hold at least one seed, got none")
    view = Augment() if augment is None else augment
    encoders = [make(seed=seed) for seed in seeds]

    def objective(model: Any, batch: Any) -> Tensor:
        return loss(model(batch.view1), model(batch.view2))

    if stacked and len(encoders) > 1:
        model = stack(encoders)
        fit(model, objective, TwoViews(images, batch_size, view, list(seeds)), steps=steps, lr=lr, **fit_options)
        encoders = model.unstack()
    else:
        for seed, encoder in zip(seeds, encoders, strict=True):
            fit(encoder, objective, TwoViews(images, batch_size, view, seed), steps=steps, lr=lr, **fit_options)
    for encoder in encoders:
        encoder.eval()
    return encoders
