"""Losses in hyperbolic space against loops on the hyperboloid, closed forms and their flat limits."""

import math

import numpy as np
import pytest
import torch

from lab.losses import entailment_cones, euclidean_clip
from lab.losses.lorentz import lorentz_clip, lorentz_cones


def _hyperboloid(v):
    """Points (time first) of tangent vectors, by the definition of the exponential map."""
    v = np.asarray(v, dtype=np.float64)
    r = np.linalg.norm(v, axis=-1, keepdims=True)
    return np.concatenate([np.cosh(r), np.sinh(r) * v / r], -1)


def _product(p, q):
    return p[0] * q[0] - p[1:] @ q[1:]


def _rows(n, d, seed, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_lorentz_clip_equals_a_loop():
    x, y, tau, n = _rows(5, 3, 1), _rows(5, 3, 2), 0.7, 5
    p, q = _hyperboloid(x), _hyperboloid(y)
    logits = [[-math.acosh(_product(p[i], q[j])) / tau for j in range(n)] for i in range(n)]
    total = 0.0
    for i in range(n):
        total += math.log(sum(math.exp(logits[i][j]) for j in range(n))) - logits[i][i]
        total += math.log(sum(math.exp(logits[j][i]) for j in range(n))) - logits[i][i]
    assert lorentz_clip(x, y, temperature=tau).item() == pytest.approx(total / (2 * n), rel=1e-12)


def test_short_rows_are_as_in_flat_space_and_equal_rows_give_log_n():
    x, y = _rows(6, 4, 3, 1e-4), _rows(6, 4, 4, 1e-4)
    flat = euclidean_clip(x, y, temperature=1e-4, squared=False)
    torch.testing.assert_close(lorentz_clip(x, y, temperature=1e-4), flat, rtol=1e-6, atol=0)
    same = torch.ones(7, 3)
    assert lorentz_clip(same, same, temperature=0.1).item() == pytest.approx(math.log(7), rel=1e-6)


def test_each_batch_of_a_stack_has_its_own_temperature():
    x, y = _rows(8, 2, 5).view(2, 4, 2), _rows(8, 2, 6).view(2, 4, 2)
    both = lorentz_clip(x, y, temperature=torch.tensor([0.5, 2.0]))
    alone = [lorentz_clip(x[i], y[i], temperature=tau) for i, tau in enumerate((0.5, 2.0))]
    torch.testing.assert_close(both, torch.stack(alone))


@pytest.mark.parametrize("loss", [lambda x, y: lorentz_clip(x, y, temperature=0.5), lorentz_cones])
def test_gradients_agree_with_finite_differences(loss):
    x, y = _rows(4, 3, 7).requires_grad_(), _rows(4, 3, 8).requires_grad_()
    assert torch.autograd.gradcheck(loss, (x, y))


@pytest.mark.parametrize("loss", [lambda x, y: lorentz_clip(x, y, temperature=0.5), lorentz_cones])
def test_gradients_are_finite_at_coincident_and_collinear_rows(loss):
    x = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.3, 0.4]], requires_grad=True)
    y = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.15, 0.2]], requires_grad=True)
    loss(x, y).backward()
    assert bool(torch.isfinite(x.grad).all() and torch.isfinite(y.grad).all())


def _loop_cones(general, special, k):
    """Exterior angle from the tangent vectors at the apex, half-aperture from its space coordinates."""
    found = []
    for g, s in zip(_hyperboloid(general), _hyperboloid(special), strict=True):
        origin = np.eye(len(g))[0]
        away = [target - _product(g, target) * g for target in (origin, s)]  # tangent at g, towards each
        inner, a, b = (-_product(away[i], away[j]) for i, j in ((0, 1), (0, 0), (1, 1)))
        exterior = math.pi - math.acos(inner / math.sqrt(a * b))
        found.append(max(0.0, exterior - math.asin(min(1.0, 2 * k / np.linalg.norm(g[1:])))))
    return sum(found) / len(found)


@pytest.mark.parametrize("k", [0.1, 0.4])
def test_cones_equal_a_loop_on_the_hyperboloid(k):
    general, special = _rows(40, 3, 9), _rows(40, 3, 10, 2.0)
    expected = _loop_cones(general.numpy(), special.numpy(), k)
    assert lorentz_cones(general, special, min_radius=k).item() == pytest.approx(expected, rel=1e-9)


def test_cones_in_closed_form():
    g = torch.tensor([[2.0, 0.0]], dtype=torch.float64)
    half = math.asin(0.2 / math.sinh(2.0))
    for special, expected in (([5.0, 0.0], 0.0), ([2.0, 0.0], 0.0), ([1.0, 0.0], math.pi - half)):
        row = torch.tensor([special], dtype=torch.float64)
        assert lorentz_cones(g, row).item() == pytest.approx(expected, abs=1e-7)
    # equal sides: half the base times the height give the angle at the base, cosh(height) = cosh r / cosh(base / 2)
    side = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    base = math.acosh(math.cosh(2.0) ** 2)
    inner = math.acos((math.cosh(2.0) * math.cosh(base) - math.cosh(2.0)) / (math.sinh(2.0) * math.sinh(base)))
    assert lorentz_cones(g, side).item() == pytest.approx(math.pi - inner - half, rel=1e-9)


def test_near_the_origin_cones_are_flat_ones_of_twice_the_radius():
    general, special = _rows(30, 3, 11, 1e-4), _rows(30, 3, 12, 2e-4)
    flat = entailment_cones(general, special, min_radius=2e-5)
    torch.testing.assert_close(lorentz_cones(general, special, min_radius=1e-5), flat, rtol=1e-6, atol=0)


def test_bad_input_is_refused():
    x = torch.eye(3)
    with pytest.raises(ValueError, match="same shape"):
        lorentz_clip(x, x[:2], temperature=1.0)
    with pytest.raises(ValueError, match="at least 2"):
        lorentz_clip(x[:1], x[:1], temperature=1.0)
    with pytest.raises(ValueError, match="temperature"):
        lorentz_clip(x, x, temperature=0.0)
    with pytest.raises(ValueError, match="length 100; at most 40"):
        lorentz_clip(x * 100, x, temperature=1.0)
    with pytest.raises(ValueError, match="zero row"):
        lorentz_cones(torch.zeros(2, 3), x[:2])
    with pytest.raises(ValueError, match="min_radius"):
        lorentz_cones(x, x, min_radius=0.0)
