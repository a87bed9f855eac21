"""Alignment and uniformity as losses: closed forms, loops, finite differences."""

import math

import pytest
import torch

from lab.losses import align_uniform, alignment, uniformity


def rows(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("n", [2, 3, 8])
@pytest.mark.parametrize("t", [1.0, 2.0, 50.0])
def test_uniformity_of_a_simplex_and_of_orthonormal_rows(n, t):
    centred = torch.eye(n, dtype=torch.float64) - 1 / n
    assert float(uniformity(centred, t=t)) == pytest.approx(-2 * t * n / (n - 1), rel=1e-12)
    assert float(uniformity(torch.eye(n, dtype=torch.float64), t=t)) == pytest.approx(-2 * t, rel=1e-12)


def test_uniformity_leaves_the_pair_of_a_point_with_itself_out():
    x = unit(rows(9, 4))
    terms = [math.exp(-2 * float((x[i] - x[j]).square().sum())) for i in range(9) for j in range(i + 1, 9)]
    assert float(uniformity(x, t=2.0)) == pytest.approx(math.log(sum(terms) / len(terms)), rel=1e-12)


def test_uniformity_of_equal_rows_is_zero_and_long_rows_do_not_underflow():
    assert float(uniformity(torch.ones(5, 3), t=2.0)) == pytest.approx(0, abs=1e-6)
    assert float(uniformity(11 * rows(50, 8), t=2.0)) == pytest.approx(float(uniformity(rows(50, 8), t=2.0)), rel=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 1.5, 2.0, 3.0])
def test_alignment_agrees_with_a_loop(alpha):
    x, y = rows(6, 4), rows(6, 4, seed=1)
    expected = sum(float((unit(x)[i] - unit(y)[i]).norm()) ** alpha for i in range(6)) / 6
    assert float(alignment(x, y, alpha=alpha)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_alignments_gradient_is_finite_at_equal_rows(alpha):
    x = rows(4, 3).requires_grad_()
    alignment(x, x.detach().clone(), alpha=alpha).backward()
    assert torch.isfinite(x.grad).all()


def test_gradients_are_right():
    x, y = rows(4, 3).requires_grad_(), rows(4, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a, b: align_uniform(a, b, align_weight=0.7, uniform_weight=1.3, t=2.0), (x, y)
    )


def test_the_sum_is_the_papers_and_a_stack_gives_one_value_a_batch():
    x, y = rows(3, 5, 4), rows(3, 5, 4, seed=1)
    together = align_uniform(x, y, align_weight=0.5, uniform_weight=2.0, t=3.0)
    assert together.shape == (3,)
    for i in range(3):
        both = float(uniformity(x[i], t=3.0)) + float(uniformity(y[i], t=3.0))
        assert float(together[i]) == pytest.approx(0.5 * float(alignment(x[i], y[i])) + both, rel=1e-12)


def test_bad_input_is_refused_by_name():
    x = rows(4, 3)
    with pytest.raises(ValueError, match="alpha must be at least 1"):
        alignment(x, x, alpha=0.5)
    with pytest.raises(ValueError, match="at least 2 row"):
        uniformity(x[:1], t=2.0)
    with pytest.raises(ValueError, match="t must be finite and above 0"):
        uniformity(x, t=0.0)
    with pytest.raises(ValueError, match="both 0"):
        align_uniform(x, x, align_weight=0, uniform_weight=0, t=2.0)
    with pytest.raises(ValueError, match="align_weight"):
        align_uniform(x, x, align_weight=-1, uniform_weight=1, t=2.0)
