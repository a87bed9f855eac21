"""Fashion-MNIST, balanced: pictures of clothing in ten classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from lab.datasets import manifest

CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class Fashion:
    """Pictures of clothing with their classes.

    Attributes:
        train_images: (10000, 1, size, size) float32 in [0, 1]; 0 is the black background.
        train_labels: (10000,) int64 in 0..9; 1,000 of each.
        test_images: (2000, 1, size, size), likewise.
        test_labels: (2000,) int64; 200 of each.
        class_names: the ten names, by label.
    """

    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    class_names: tuple[str, ...]


def fashion(size: int = 28) -> Fashion:
    """Load 10,000 training and 2,000 test pictures of Fashion-MNIST, the first of each class in the source's order.

    A size of 28 / k is the mean over k x k squares, so a picture's mean brightness is the same at every size.

    Args:
        size: side of the pictures in pixels: 28, 14 or 7.

    Returns:
        :class:`Fashion`; new tensors at each call, which the caller may change.

    Raises:
        ValueError: another size.
        DamagedData: the file is missing or changed.

    Cost: about 0.1 s, 38 MB at size 28.

    Source: Xiao, Rasul and Vollgraf (2017), Fashion-MNIST.

    Example:
        >>> data = fashion(size=14)
        >>> data.train_images.shape, data.class_names[int(data.train_labels[0])]
        (torch.Size([10000, 1, 14, 14]), 'Ankle boot')
    """
    if size not in (28, 14, 7):
        raise ValueError(f"size: expected 28, 14 or 7 (whole squares of the original pixels), got {size!r}")
    with np.load(manifest.path("fashion/images.npz"), allow_pickle=False) as file:
        arrays = {name: torch.from_numpy(file[name]) for name in file.files}
    return Fashion(
        train_images=_scaled(arrays["train_images"], int(size)),
        train_labels=arrays["train_labels"].long(),
        test_images=_scaled(arrays["test_images"], int(size)),
        test_labels=arrays["test_labels"].long(),
        class_names=CLASS_NAMES,
    )


def _scaled(images: torch.Tensor, size: int) -> torch.Tensor:
    floats = images.unsqueeze(1).float().div_(255.0)
    factor = images.shape[-1] // size
    return floats if factor == 1 else torch.nn.functional.avg_pool2d(floats, factor)
