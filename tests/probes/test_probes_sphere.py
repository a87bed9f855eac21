"""Sphere probes against closed forms, loops and their nulls."""

import math

import pytest
import torch

from lab.probes import alignment, gradient_entropy, tolerance, uniformity, uniformity_limit


def sphere(n, d, seed=0):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize(
    ("d", "expected"),
    [(2, -1.5750), (3, -2.0798), (8, -3.0825), (16, -3.5130), (64, -3.8752), (128, -3.9375), (512, -3.9844)],
)  # fmt: skip
def test_the_limit_of_uniformity_has_its_known_values(d, expected):
    assert uniformity_limit(d) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("d", [2, 8, 128])
def test_many_uniform_rows_reach_the_limit_and_never_pass_the_bound(d):
    found = uniformity(sphere(4096, d))
    assert found.value == pytest.approx(found.sphere_limit, abs=6e-3)
    assert found.batch_bound <= found.value
    assert float(found) == found.value


@pytest.mark.parametrize("n", [3, 8])
def test_a_simplex_attains_the_bound_below_the_limit(n):
    found = uniformity(torch.eye(n, dtype=torch.float64) - 1 / n)
    assert found.value == pytest.approx(-4 * n / (n - 1), rel=1e-12)
    assert found.batch_bound == pytest.approx(found.value, rel=1e-12)
    assert found.value < found.sphere_limit


def test_evenly_spaced_points_on_the_circle_come_close_to_the_bound_from_above():
    turn = torch.arange(64, dtype=torch.float64) * 2 * math.pi / 64
    found = uniformity(torch.stack([turn.cos(), turn.sin()], 1))
    # Equally spaced points are optimal on the circle for this kernel, and 64 of them integrate it exactly.
    assert found.batch_bound == pytest.approx(found.value, abs=1e-9)


def test_uniformity_in_blocks_agrees_with_the_pairs():
    x = sphere(37, 5)
    expected = math.log(float(torch.exp(-3 * torch.pdist(x).square()).mean()))
    for block in (1, 10, 37, 100):
        assert uniformity(x, 3.0, block=block).value == pytest.approx(expected, rel=1e-10)


def test_alignment_of_independent_rows_is_two_and_of_opposite_rows_four():
    assert alignment(sphere(20000, 16), sphere(20000, 16, 1)) == pytest.approx(2, abs=0.02)
    assert alignment(sphere(5, 3), -sphere(5, 3)) == pytest.approx(4)


def test_tolerance_agrees_with_a_loop_over_pairs_and_ignores_lonely_classes():
    x = sphere(12, 4)
    labels = [0, 0, 0, 1, 1, 2, 3, 3, 3, 3, 5, 0]
    pairs = [float(x[i] @ x[j]) for i in range(12) for j in range(12) if i != j and labels[i] == labels[j]]
    assert tolerance(x, labels) == pytest.approx(sum(pairs) / len(pairs), rel=1e-12)
    with pytest.raises(ValueError, match="labels must hold at least one class of two"):
        tolerance(x, list(range(12)))
    with pytest.raises(ValueError, match="labels must have shape"):
        tolerance(x, labels[:5])


def test_gradient_entropy_is_one_for_equal_negatives_and_falls_with_the_temperature():
    assert gradient_entropy(torch.ones(6, 3), torch.ones(6, 3), 0.07) == pytest.approx(1)
    x, y = sphere(64, 8), sphere(64, 8, 1)
    values = [gradient_entropy(x, y, tau) for tau in (0.01, 0.1, 1.0, 10.0)]
    assert values == sorted(values) and values[0] < 0.5 and values[-1] > 0.99


def test_gradient_entropy_of_one_near_negative_is_that_of_two_values():
    # Four anchors at right angles but for one pair at cosine c: entropies in closed form.
    x = torch.eye(4, dtype=torch.float64)
    y = x.clone()
    y[1] = torch.tensor([0.6, 0.8, 0.0, 0.0], dtype=torch.float64)
    tau, n = 0.5, 4
    p = math.exp(0.6 / tau) / (math.exp(0.6 / tau) + 2)
    rest = (1 - p) / 2
    first = -(p * math.log(p) + 2 * rest * math.log(rest)) / math.log(n - 1)
    assert gradient_entropy(x, y, tau) == pytest.approx((first + 3) / 4, rel=1e-12)


def test_bad_input_is_refused_by_name():
    with pytest.raises(ValueError, match="x must have at least 2 row"):
        uniformity(torch.ones(1, 2))
    with pytest.raises(ValueError, match="x and y must have the same shape"):
        alignment(torch.ones(2, 2), torch.ones(3, 2))
    with pytest.raises(ValueError, match="at least 3 row"):
        gradient_entropy(torch.ones(2, 2), torch.ones(2, 2), 0.1)
    with pytest.raises(ValueError, match="temperature"):
        gradient_entropy(torch.ones(3, 2), torch.ones(3, 2), 0)
