"""Two axes of a circular attribute against closed forms and scikit-learn."""

import cmath
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import Ridge

from lab.probes import angular_error, circular_axes, ridge_axis


def noisy_circle(n: int, d: int, noise: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    degrees = 360 * torch.rand(n, generator=draw).double()
    plane = torch.linalg.qr(torch.randn(d, 2, generator=draw).double()).Q
    t = torch.deg2rad(degrees)
    rows = torch.stack([t.cos(), t.sin()], 1) @ plane.T
    return rows + noise * torch.randn(n, d, generator=draw).double() + 3.0, degrees


def test_axes_are_scikit_learns() -> None:
    x, degrees = noisy_circle(80, 6, 0.3, 1)
    found = circular_axes(x, degrees, penalty=0.05)
    t = np.deg2rad(degrees.numpy())
    parts = [Ridge(alpha=0.05 * 80).fit(x.numpy(), y).predict(x.numpy()) for y in (np.cos(t), np.sin(t))]
    expected = np.rad2deg(np.arctan2(parts[1], parts[0])) % 360
    np.testing.assert_allclose(found.angle(x).numpy(), expected, atol=1e-6)


def test_a_circle_without_noise_is_read_exactly_and_turns_with_it() -> None:
    x, degrees = noisy_circle(60, 5, 0.0, 2)
    for shift in (0.0, 200.0, -1000.0):
        axes = circular_axes(x, degrees + shift, penalty=1e-10)
        assert float(angular_error(degrees + shift, axes.angle(x)).max()) < 1e-4
        assert bool((axes.angle(x) >= 0).all() and (axes.angle(x) < 360).all())


def test_error_is_the_short_way_round() -> None:
    draw = np.random.default_rng(3)
    a, b = draw.uniform(-900, 900, (2, 200))
    unit = [[cmath.exp(1j * math.radians(v)) for v in side] for side in (a, b)]
    expected = [abs(math.degrees(cmath.phase(p / q))) for p, q in zip(*unit, strict=True)]
    np.testing.assert_allclose(angular_error(torch.from_numpy(a), torch.from_numpy(b)), expected, atol=1e-6)
    assert angular_error([0.0, 90.0], [180.0, -270.0]).tolist() == [180.0, 0.0]


def test_one_axis_of_a_full_circle_orders_it_three_quarters() -> None:
    n = 4000
    degrees = 360 * (torch.arange(n).double() + 0.5) / n
    t = torch.deg2rad(degrees)
    x = torch.stack([t.cos(), t.sin()], 1)
    ridge = ridge_axis(x, degrees, penalty=1e-9)
    assert spearmanr(degrees, ridge.score(x))[0] == pytest.approx(0.75, abs=1e-3)
    best = max(spearmanr(degrees, (t - p).cos())[0] for p in np.linspace(0, 2 * np.pi, 73))
    assert best == pytest.approx(0.75, abs=1e-3)
    # Least squares of the angle on the circle: the guess is 180 - (360 / pi) sin(t).
    np.testing.assert_allclose(ridge.score(x), 180 - 360 / math.pi * t.sin(), atol=1e-3)


@pytest.mark.parametrize(
    ("call", "named"),
    [(lambda: angular_error([1.0], [1.0, 2.0]), "guessed"), (lambda: angular_error([1.0], [math.nan]), "finite"),
     (lambda: circular_axes(torch.rand(3, 2), [5.0, 5.0, 5.0]), "degrees"),
     (lambda: circular_axes(torch.rand(3, 2), [5.0, 6.0]), "values")],
)  # fmt: skip
def test_refuses(call, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        call()
