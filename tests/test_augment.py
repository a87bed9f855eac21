"""Augmentation against plain loops over pixels, exact special cases and known distributions."""

from __future__ import annotations

import math

import pytest
import torch

from lab.augment import Augment, Draws


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draws(**columns: float) -> Draws:
    """One image's random numbers; what is not named is one half."""
    place = {"area": 0, "aspect": 1, "x": 2, "y": 3, "angle": 4, "brightness": 5, "contrast": 6, "flip": 7}
    place |= {"erase": 8, "erase_area": 9, "erase_aspect": 10, "erase_y": 11, "erase_x": 12}
    uniform = torch.full((1, 13), 0.5, dtype=torch.float64)
    for name, value in columns.items():
        uniform[0, place[name]] = value
    return Draws(uniform, None)


def picture(channels: int = 1, height: int = 7, width: int = 9) -> torch.Tensor:
    return torch.rand(1, channels, height, width, dtype=torch.float64, generator=generator(5))


def bilinear(image: torch.Tensor, row: float, column: float) -> float:
    """Value between pixel centres, the border repeated outside."""
    height, width = image.shape
    row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
    top, left = min(int(row), height - 2), min(int(column), width - 2)
    a, b = row - top, column - left
    values = image[top : top + 2, left : left + 2].tolist()
    upper, lower = (v[0] * (1 - b) + v[1] * b for v in values)
    return upper * (1 - a) + lower * a


def test_none_is_the_identity() -> None:
    images = torch.rand(3, 2, 5, 6)
    assert torch.equal(Augment.none()(images, generator()), images)


def test_geometry_at_rest_is_the_identity_and_the_flip_is_exact() -> None:
    image, augment = picture(3), Augment(crop=(1.0, 1.0), flip=True, brightness=0.0)
    torch.testing.assert_close(augment.apply(image, draws(flip=0.7)), image, atol=1e-6, rtol=0)
    torch.testing.assert_close(augment.apply(image, draws(flip=0.3)), image.flip(-1), atol=1e-6, rtol=0)


@pytest.mark.parametrize("flip", [0.2, 0.8])
@pytest.mark.parametrize(("area", "aspect", "x", "y", "angle"), [(0.0, 0.1, 0.9, 0.3, 0.5), (0.6, 0.8, 0.0, 1.0, 0.9)])
def test_crop_rotation_and_flip_equal_a_loop_over_pixels(
    flip: float, area: float, aspect: float, x: float, y: float, angle: float
) -> None:
    image = picture()
    height, width = image.shape[-2:]
    augment = Augment(crop=(0.3, 0.9), flip=True, rotate=40.0, brightness=0.0)
    got = augment.apply(image, draws(area=area, aspect=aspect, x=x, y=y, angle=angle, flip=flip))

    share = 0.3 + 0.6 * area
    ratio = math.exp((2 * aspect - 1) * math.log(4 / 3))
    box_width, box_height = width * math.sqrt(share * ratio), height * math.sqrt(share / ratio)
    middle_x = box_width / 2 + x * (width - box_width)
    middle_y = box_height / 2 + y * (height - box_height)
    turn = math.radians(40 * (2 * angle - 1))
    for i in range(height):
        for j in range(width):
            # offset of the pixel's centre from the middle, in pixels; mirror, turn, shrink to the box
            dx, dy = j + 0.5 - width / 2, i + 0.5 - height / 2
            dx = -dx if flip < 0.5 else dx
            across = (math.cos(turn) * dx - math.sin(turn) * dy) * box_width / width
            down = (math.sin(turn) * dx + math.cos(turn) * dy) * box_height / height
            expected = bilinear(image[0, 0], middle_y + down - 0.5, middle_x + across - 0.5)
            assert got[0, 0, i, j].item() == pytest.approx(expected, abs=1e-9)


def test_brightness_then_contrast_equal_a_loop() -> None:
    image = picture(2)
    augment = Augment(crop=(1.0, 1.0), flip=False, brightness=0.4, contrast=0.5)
    got = augment.apply(image, draws(brightness=0.9, contrast=0.1))
    bright = [v * (1 + 0.4 * 0.8) for v in image.flatten().tolist()]
    mean = sum(bright) / len(bright)
    expected = [min(1.0, max(0.0, mean + (v - mean) * (1 - 0.5 * 0.8))) for v in bright]
    torch.testing.assert_close(got.flatten(), torch.tensor(expected, dtype=torch.float64))


def test_erased_rectangle_holds_the_mean_and_nothing_else_changes() -> None:
    image = picture(1, 20, 20)
    augment = Augment(crop=(1.0, 1.0), flip=False, brightness=0.0, erase=0.5)
    kept = augment.apply(image, draws(erase=0.5))
    assert torch.equal(kept, image)
    # area 0.05 + 0.2, aspect 1: a side of one half, placed at the top left
    erased = augment.apply(image, draws(erase=0.49, erase_area=1.0, erase_aspect=0.5, erase_y=0.0, erase_x=0.0))
    expected = image.clone()
    expected[..., :10, :10] = image.mean()
    torch.testing.assert_close(erased, expected)


def test_noise_has_the_stated_deviation_and_values_stay_in_range() -> None:
    grey = torch.full((50, 1, 14, 14), 0.5)
    noisy = Augment(crop=(1.0, 1.0), flip=False, brightness=0.0, noise=0.05)(grey, generator())
    assert (noisy - grey).std().item() == pytest.approx(0.05, rel=0.03)
    assert (noisy - grey).mean().item() == pytest.approx(0, abs=0.002)
    strong = Augment(brightness=1.0, contrast=1.0, noise=2.0)(torch.rand(20, 1, 14, 14), generator())
    assert strong.min() == 0 and strong.max() == 1


def test_crop_areas_are_uniform_and_inside_the_picture() -> None:
    # on a ramp 0..1 across the picture a crop's slope is its width and its mean the place of its middle
    ramp = (torch.arange(32, dtype=torch.float64) + 0.5) / 32
    across = ramp.expand(1, 32, 32)
    images = torch.stack([across, across.mT], 1).expand(4000, 2, 32, 32).reshape(4000, 2, 32, 32)
    views = Augment(crop=(0.25, 0.81), flip=False, brightness=0.0)(images, generator(1))
    wide = (views[:, 0, 16, 20] - views[:, 0, 16, 12]) * 32 / 8
    tall = (views[:, 1, 20, 16] - views[:, 1, 12, 16]) * 32 / 8
    area, aspect = wide * tall, wide / tall
    assert area.min() >= 0.25 - 1e-9 and area.max() <= 0.81 + 1e-9
    assert area.mean().item() == pytest.approx(0.53, abs=0.01)  # standard error 0.0026
    assert area.std().item() == pytest.approx(0.56 / math.sqrt(12), rel=0.05)
    assert aspect.min() >= 3 / 4 - 1e-9 and aspect.max() <= 4 / 3 + 1e-9
    middle = views[:, 0, 16, 15:17].mean(-1)
    assert (middle - wide / 2).min() >= -1e-9 and (middle + wide / 2).max() <= 1 + 1e-9


def test_flips_and_erasing_happen_at_their_rates() -> None:
    ramp = torch.linspace(0.2, 0.8, 14).expand(4000, 1, 14, 14).contiguous()
    flipped = Augment(crop=(1.0, 1.0), flip=True, brightness=0.0)(ramp, generator())
    assert (flipped[:, 0, 7, 0] > 0.5).double().mean().item() == pytest.approx(0.5, abs=0.03)
    erased = Augment(crop=(1.0, 1.0), flip=False, brightness=0.0, erase=0.3)(ramp, generator())
    assert (erased != ramp).flatten(1).any(1).double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_only_the_generator_decides() -> None:
    images, augment = torch.rand(6, 1, 14, 14), Augment.strong()
    before = torch.get_rng_state()
    first, again, other = (augment(images, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_two_strengths_share_their_draws() -> None:
    images = torch.rand(6, 1, 14, 14)
    weak, strong = Augment.weak().draw(images, generator()), Augment.strong().draw(images, generator())
    assert torch.equal(weak.uniform, strong.uniform)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_are_kept_with_leading_axes(dtype: torch.dtype) -> None:
    images = torch.rand(2, 3, 1, 14, 14, dtype=dtype)
    views = Augment.strong()(images, generator())
    assert views.shape == images.shape and views.dtype == dtype
    flat = Augment.strong()(images.flatten(0, 1), generator())
    assert torch.equal(views.flatten(0, 1), flat)


def test_scaled() -> None:
    strong = Augment.strong()
    assert strong.scaled(0).is_identity
    assert strong.scaled(1) == strong
    half = strong.scaled(0.5)
    assert half.crop == (0.625, 1.0) and half.rotate == 7.5 and half.noise == 0.025 and half.erase == 0.125
    assert strong.scaled(100).crop[0] == 0.05
    with pytest.raises(ValueError, match="strength must be a finite number of at least 0, got -1"):
        strong.scaled(-1)


def test_bad_input() -> None:
    for crop in ((0.0, 1.0), (0.8, 0.5), (0.5, 1.1)):
        with pytest.raises(ValueError, match="crop must be two shares"):
            Augment(crop=crop)
    for name, value in (("rotate", -1.0), ("brightness", 1.5), ("contrast", math.nan), ("noise", -0.1), ("erase", 2.0)):
        with pytest.raises(ValueError, match=f"{name} must be a finite number in 0.."):
            Augment(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="images must be a floating tensor"):
        Augment()(torch.zeros(2, 1, 4, 4, dtype=torch.uint8), generator())
    with pytest.raises(ValueError, match=r"images must have shape \(..., C, H, W\)"):
        Augment()(torch.zeros(4, 4), generator())
    with pytest.raises(ValueError, match="draws are for 1 images, got 2"):
        Augment().apply(torch.rand(2, 1, 4, 4), draws())
