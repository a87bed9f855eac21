"""Fashion pictures with an attribute set by hand: turned, dimmed, shrunk or repeated by a known amount."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.datasets.checks import generator

Variation = Literal["turn", "quarter turn", "brightness", "scale", "count"]


@dataclass(frozen=True)
class VariedPictures:
    """Pictures, each changed by an amount of its own; entry i is the same picture in every tensor.

    Attributes:
        name: the variation, such as "turn".
        kind: "ordinal", or "circular" for "turn".
        images: (N, 1, size, size) float32 in [0, 1].
        values: (N,) float32: degrees clockwise of both turns, the factor of brightness or scale, the number of copies.
        family: (N,) int64: the place of the original picture, all different.
        item_kind: (N,) int64: the class of the original.
    """

    name: str
    kind: Literal["ordinal", "circular"]
    images: Tensor
    values: Tensor
    family: Tensor
    item_kind: Tensor

    def __len__(self) -> int:
        return len(self.values)


def turned(images: Tensor, degrees: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """Each picture turned clockwise and shrunk about its middle, on black.

    Args:
        images: (N, C, size, size) floating.
        degrees: (N,), each picture's own angle, positive clockwise as seen.
        scale: (N,) or a number above 0: below 1 the content shrinks.

    Returns:
        (N, C, size, size), read by bilinear interpolation; what comes from outside the picture is 0.

    Raises:
        ValueError: images without four axes or not square, another number of angles or scales, scale not above 0.

    Cost: O(N C size^2).

    Example:
        >>> corner = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
        >>> turned(corner, torch.tensor([90.0])).round().tolist()
        [[[[0.0, 1.0], [0.0, 0.0]]]]
    """
    if images.ndim != 4 or images.shape[-1] != images.shape[-2]:
        raise ValueError(f"images must have shape (N, C, size, size), got {tuple(images.shape)}")
    sizes = torch.as_tensor(scale, dtype=images.dtype).expand(len(images)) if not isinstance(scale, Tensor) else scale
    for name, given in (("degrees", degrees), ("scale", sizes)):
        if given.shape != (len(images),):
            raise ValueError(f"{name} must have shape ({len(images)},), got {tuple(given.shape)}")
    if not bool((sizes > 0).all()):
        raise ValueError(f"scale must be above 0, got {float(sizes.min())}")
    angle = torch.deg2rad(degrees).to(images.dtype)
    # The grid says where each pixel of the result is read from: the inverse of the turn (y points down).
    cos, sin, none = angle.cos() / sizes, angle.sin() / sizes, torch.zeros_like(angle)
    inverse = torch.stack([torch.stack([cos, sin, none], -1), torch.stack([-sin, cos, none], -1)], 1)
    grid = F.affine_grid(inverse, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def varied_fashion(images: Tensor, labels: Tensor, variation: Variation, *, seed: int) -> VariedPictures:
    """Change each picture by a random amount that is known, so that the amount can be looked for in an embedding.

    - "turn": turned by an angle uniform in 0..360 degrees, a circular attribute; "quarter turn": in 0..90 degrees;
    - "brightness": multiplied by a factor uniform in 0.3..1; "scale": shrunk to 0.4..1 of its size;
    - "count": one to four copies of half the size in random quarters of the picture, each number equally likely.

    Args:
        images: (N, 1, size, size) floating in [0, 1], with an even size, such as those of :func:`lab.datasets.fashion`.
        labels: (N,) int64 classes, handed on as ``item_kind``.
        variation: one of the five names.
        seed: of the amounts, 0 or larger.

    Returns:
        :class:`VariedPictures`; amounts are independent of the pictures.

    Raises:
        ValueError: another name, images or labels of another shape, an odd size, a negative seed.

    Cost: O(N size^2), about 1 ms for 100 pictures.

    Relations: :class:`lab.augment.Augment` draws amounts that are thrown away; here they are kept.

    Example:
        >>> found = varied_fashion(torch.rand(8, 1, 14, 14), torch.arange(8), "brightness", seed=0)
        >>> found.images.shape, bool(((found.values >= 0.3) & (found.values <= 1)).all())
        (torch.Size([8, 1, 14, 14]), True)
    """
    if variation not in get_args(Variation):
        raise ValueError(f"variation must be one of {', '.join(get_args(Variation))}, got {variation!r}")
    if images.ndim != 4 or images.shape[-1] != images.shape[-2] or images.shape[-1] % 2:
        raise ValueError(f"images must have shape (N, C, size, size) with an even size, got {tuple(images.shape)}")
    if labels.shape != (len(images),):
        raise ValueError(f"labels must have shape ({len(images)},), got {tuple(labels.shape)}")
    draw = generator(seed)
    uniform = torch.rand(len(images), generator=draw)
    if variation in ("turn", "quarter turn"):
        values = uniform * (360.0 if variation == "turn" else 90.0)
        changed = turned(images, values)
    elif variation == "brightness":
        values = _between(uniform, 0.3, 1.0)
        changed = images * values[:, None, None, None]
    elif variation == "scale":
        values = _between(uniform, 0.4, 1.0)
        changed = turned(images, torch.zeros_like(values), values)
    else:
        values = 1 + (4 * uniform).floor().clamp(max=3)
        # A quarter is filled where its place in a random order comes before the number of copies.
        places = torch.rand(len(images), 4, generator=draw).argsort(1).argsort(1)
        filled = (places < values[:, None]).to(images.dtype).view(-1, 1, 2, 2)
        half = images.shape[-1] // 2
        mask = filled.repeat_interleave(half, 2).repeat_interleave(half, 3)
        changed = F.avg_pool2d(images, 2).repeat(1, 1, 2, 2) * mask
    return VariedPictures(
        name=variation,
        kind="circular" if variation == "turn" else "ordinal",
        images=changed,
        values=values,
        family=torch.arange(len(images)),
        item_kind=labels,
    )


def _between(uniform: Tensor, low: float, high: float) -> Tensor:
    """Numbers in 0..1 stretched to low..high."""
    return low + (high - low) * uniform
