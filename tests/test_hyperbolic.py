"""Hyperbolic space against exact integers of the hyperboloid, many-digit arithmetic and closed forms."""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch

from lab.hyperbolic import (
    ball_step,
    from_ball,
    from_lorentz,
    hyperbolic_distances,
    poincare_distances,
    to_ball,
    to_lorentz,
)


def _rows(n, d, seed, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _by_cosine_law(x, y):
    """Distance of two tangent vectors with 120 digits, by cosh D = cosh r cosh s - sinh r sinh s cos(angle)."""
    getcontext().prec = 120
    u, v = ([Decimal(float(k)) for k in row] for row in (x, y))
    r, s = (sum(k * k for k in row).sqrt() for row in (u, v))
    cosine = sum(a * b for a, b in zip(u, v, strict=True)) / (r * s)
    cosh_r, cosh_s, sinh_r, sinh_s = ((k.exp() + sign * (-k).exp()) / 2 for sign in (1, -1) for k in (r, s))
    value = cosh_r * cosh_s - sinh_r * sinh_s * cosine
    return float((value + (value * value - 1).sqrt()).ln())


@pytest.mark.parametrize("scale", [1e-6, 0.1, 1.0, 8.0, 60.0])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_distances_agree_with_many_digits(scale, d):
    x, y = _rows(4, d, 1, scale), _rows(3, d, 2, scale)
    expected = [[_by_cosine_law(a, b) for b in y] for a in x]
    np.testing.assert_allclose(hyperbolic_distances(x, y).numpy(), expected, rtol=1e-12)


def test_near_points_far_out_keep_their_digits():
    for r in (5.0, 20.0, 30.0):
        x = torch.tensor([[r, 0.0]], dtype=torch.float64)
        y = torch.tensor([[r * math.cos(1e-9), r * math.sin(1e-9)], [r + 1e-7, 0.0]], dtype=torch.float64)
        expected = [2 * math.asinh(math.sinh(r) * math.sin(5e-10)), 1e-7]
        np.testing.assert_allclose(hyperbolic_distances(x, y)[0].numpy(), expected, rtol=1e-6)


def test_lines_through_the_origin_are_as_in_flat_space_and_the_length_is_the_distance_to_it():
    x = torch.tensor([[-3.0], [0.0], [0.5], [7.0]], dtype=torch.float64)
    torch.testing.assert_close(hyperbolic_distances(x, x), (x - x.T).abs())
    v = _rows(5, 3, 3)
    torch.testing.assert_close(hyperbolic_distances(v, torch.zeros(1, 3).double())[:, 0], v.norm(dim=1))


def test_a_right_angle_obeys_pythagoras_of_hyperbolic_space():
    found = hyperbolic_distances(*torch.tensor([[[1.5, 0.0]], [[0.0, 0.7]]], dtype=torch.float64))
    assert found.item() == pytest.approx(math.acosh(math.cosh(1.5) * math.cosh(0.7)), rel=1e-12)


def test_distances_do_not_change_under_rotations_and_obey_the_triangle_inequality():
    x = _rows(12, 4, 4, 2.0)
    turn = torch.linalg.qr(_rows(4, 4, 5)).Q
    far = hyperbolic_distances(x, x)
    torch.testing.assert_close(hyperbolic_distances(x @ turn, x @ turn), far, atol=1e-7, rtol=1e-12)
    assert bool((far[:, None, :] <= far[:, :, None] + far[None] + 1e-9).all())


def test_a_stack_is_its_members_and_single_precision_comes_close():
    x, y = _rows(10, 3, 6).view(2, 5, 3), _rows(8, 3, 7).view(2, 4, 3)
    stacked = hyperbolic_distances(x, y)
    for i in range(2):
        torch.testing.assert_close(stacked[i], hyperbolic_distances(x[i], y[i]))
    single = hyperbolic_distances(x.float(), y.float())
    assert single.dtype == torch.float32 and hyperbolic_distances(x.half(), y.half()).dtype == torch.float32
    torch.testing.assert_close(single.double(), stacked, rtol=1e-5, atol=1e-6)


def test_gradients_of_distances():
    x, y = _rows(3, 2, 8).requires_grad_(), _rows(4, 2, 9).requires_grad_()
    assert torch.autograd.gradcheck(hyperbolic_distances, (x, y))
    same = torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True)
    hyperbolic_distances(same, same.detach()).diagonal().sum().backward()
    assert same.grad.tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_three_models_agree():
    v, w = _rows(6, 3, 10), _rows(5, 3, 11)
    far = hyperbolic_distances(v, w)
    torch.testing.assert_close(poincare_distances(to_ball(v), to_ball(w)), far)
    u, b = to_ball(v), to_ball(w)
    formula = 1 + 2 * (u[:, None] - b).square().sum(-1) / ((1 - u.square().sum(1))[:, None] * (1 - b.square().sum(1)))
    torch.testing.assert_close(torch.acosh(formula), far)
    p, q = to_lorentz(v), to_lorentz(w)
    torch.testing.assert_close(torch.acosh(p[:, :1] * q[:, 0] - p[:, 1:] @ q[:, 1:].T), far)
    torch.testing.assert_close(p[:, 0].square() - p[:, 1:].square().sum(1), torch.ones(6).double())


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e-9, 1.0, 6.0])
def test_there_and_back(scale):
    v = _rows(5, 3, 12, scale)
    torch.testing.assert_close(from_ball(to_ball(v)), v, rtol=1e-8, atol=0)
    torch.testing.assert_close(from_lorentz(to_lorentz(v)), v, rtol=1e-12, atol=0)


def test_maps_have_finite_gradients_at_the_origin():
    for there in (to_ball, to_lorentz):
        v = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
        there(v).sum().backward()
        assert bool(torch.isfinite(v.grad).all())
        assert torch.autograd.gradcheck(there, (_rows(2, 3, 13).requires_grad_(),))


def test_a_small_step_goes_downhill_by_the_inverse_metric():
    x = torch.tensor([[0.6, 0.0], [0.0, 0.0]], dtype=torch.float64)
    step = ball_step(x, torch.ones(2, 2, dtype=torch.float64), 1e-3)
    # metric 4 / (1 - |x|^2)^2: at 0.6 its inverse is 0.64^2 / 4
    np.testing.assert_allclose((x - step).numpy(), [[0.64**2 / 4 * 1e-3] * 2, [0.25e-3] * 2], rtol=1e-12)
    out = ball_step(x, torch.tensor([[-1e9, 0.0], [0.0, 1.0]]).double(), 1.0, margin=1e-3)
    np.testing.assert_allclose(out[0].numpy(), [0.999, 0.0], rtol=1e-12)


def test_gradient_descent_finds_a_point_equally_far_from_two():
    ends = torch.tensor([[0.7, 0.0], [-0.1, 0.5]], dtype=torch.float64)
    x = torch.zeros(1, 2, dtype=torch.float64)
    for _ in range(400):
        x.requires_grad_()
        loss = poincare_distances(x, ends).square().sum()
        (gradient,) = torch.autograd.grad(loss, x)
        x = ball_step(x.detach(), gradient, 0.1)
    apart = float(poincare_distances(ends, ends)[0, 1])
    np.testing.assert_allclose(poincare_distances(x, ends)[0].numpy(), [apart / 2] * 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: hyperbolic_distances(torch.ones(2, 3), torch.ones(2, 2)), ValueError, "one length"),
        (lambda: hyperbolic_distances(torch.full((1, 1), 50.0), torch.ones(1, 1)), ValueError, "row of length 50"),
        (lambda: hyperbolic_distances(torch.ones(1, 1), torch.full((1, 1), math.nan)), ValueError, "y holds NaN"),
        (lambda: poincare_distances(torch.ones(1, 1), torch.zeros(1, 1)), ValueError, "x must lie inside"),
        (lambda: poincare_distances(torch.zeros(1, 2), torch.zeros(1, 1)), ValueError, "one length"),
        (lambda: from_ball(torch.ones(1, 2)), ValueError, "inside the ball"),
        (lambda: from_lorentz(torch.ones(2, 1)), ValueError, "time coordinate"),
        (lambda: to_ball([1.0]), TypeError, "torch.Tensor"),
        (lambda: ball_step(torch.zeros(1, 2), torch.zeros(2, 2), 1.0), ValueError, "shape of x"),
        (lambda: ball_step(torch.zeros(1, 2), torch.zeros(1, 2), 0.0), ValueError, "rate"),
    ],
)
def test_bad_input_is_refused_by_name(call, error, words):
    with pytest.raises(error, match=words):
        call()
