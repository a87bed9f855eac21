"""The exact temperature of an anchor against closed forms, scipy and the primal problem; the loss at it."""

import math

import pytest
import torch
from scipy import optimize, special, stats

from lab.losses import best_temperature, individual_info_nce


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def objective(tau: float, h: list[float], rho: float) -> float:
    return tau * (special.logsumexp([x / tau for x in h]) - math.log(len(h))) + tau * rho


@pytest.mark.parametrize("rho", [0.01, 0.1, 0.5, 1.5])
def test_is_the_minimum_that_scipy_finds(rho: float) -> None:
    h = rows(4, 30)
    found = best_temperature(h, rho=rho, low=1e-3)
    for row, tau in zip(h.tolist(), found.tolist(), strict=True):
        best = optimize.minimize_scalar(lambda x, r=row: objective(math.exp(x), r, rho), (-3, 0), tol=1e-12)
        assert tau == pytest.approx(math.exp(best.x), rel=1e-5)
        assert objective(tau, row, rho) <= best.fun + 1e-12


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("rho", [0.05, 0.3, 0.6])
def test_two_values_spend_the_budget_in_closed_form(share: float, rho: float) -> None:
    """With a share of negatives at gap g, the softmax puts q on them: KL(q || share) = rho and tau = g / log odds."""
    gap, n = 0.8, 100
    h = torch.full((1, n), -0.1, dtype=torch.float64)
    h[0, : round(share * n)] += gap

    def spent(q: float) -> float:
        return q * math.log(q / share) + (1 - q) * math.log((1 - q) / (1 - share)) - rho

    q = optimize.brentq(spent, share * (1 + 1e-9), 1 - 1e-14, xtol=1e-15)
    expected = gap / (math.log(q / (1 - q)) - math.log(share / (1 - share)))
    assert best_temperature(h, rho=rho, low=1e-4).item() == pytest.approx(expected, rel=1e-6)


def test_normal_similarities_give_the_standard_deviation_over_root_two_rho() -> None:
    grid = torch.tensor(stats.norm.ppf([(i + 0.5) / 200_000 for i in range(200_000)]))
    for rho in (0.01, 0.1, 0.5):
        found = best_temperature((0.3 + 0.15 * grid)[None], rho=rho, low=1e-4).item()
        assert found == pytest.approx(0.15 / math.sqrt(2 * rho), rel=2e-3)


def test_the_value_is_the_worst_case_of_the_primal_problem() -> None:
    """Strong duality: the minimum over tau is the largest weighted mean with KL(p || uniform) <= rho."""
    h, rho = rows(8)[None], 0.4
    tau = best_temperature(h, rho=rho, low=1e-4).item()
    limit = optimize.NonlinearConstraint(lambda p: sum(special.xlogy(p, 8 * p)), -math.inf, rho)
    total = optimize.LinearConstraint([[1.0] * 8], 1, 1)
    primal = optimize.minimize(lambda p: -float(h[0] @ torch.tensor(p)), [1 / 8] * 8, bounds=[(1e-12, 1)] * 8,
                               constraints=[limit, total], method="SLSQP", options={"ftol": 1e-13})  # fmt: skip
    assert objective(tau, h[0].tolist(), rho) == pytest.approx(-primal.fun, rel=1e-6)


def test_a_budget_that_cannot_be_spent_gives_the_lowest_temperature() -> None:
    h = torch.tensor([[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.3, 0.3, 0.3, 0.3]])
    assert best_temperature(h, rho=math.log(4) + 0.01, low=0.02).tolist() == pytest.approx([0.02] * 3)
    at_most_half = best_temperature(h, rho=0.7, low=0.02)  # log 2 < 0.7 < log 4
    assert at_most_half[0] > 0.1 and at_most_half[1:].tolist() == pytest.approx([0.02, 0.02])


def test_shift_scale_order_masks_stacks_and_limits() -> None:
    h = rows(2, 5, 12)
    tau = best_temperature(h, rho=0.2, low=1e-6)
    assert tau.shape == (2, 5)
    assert torch.allclose(best_temperature(h + 5, rho=0.2, low=1e-6), tau, rtol=1e-9)
    assert torch.allclose(best_temperature(h * 3, rho=0.2, low=1e-6), tau * 3, rtol=1e-9)
    assert torch.allclose(best_temperature(h.flip(-1), rho=0.2, low=1e-6), tau, rtol=1e-9)
    masked = torch.cat([h, torch.full((2, 5, 3), -math.inf, dtype=h.dtype)], -1)
    assert torch.allclose(best_temperature(masked, rho=0.2, low=1e-6), tau, rtol=1e-9)
    limited = best_temperature(h, rho=0.2, low=1.5, high=1.6)
    assert torch.allclose(limited, tau.clamp(1.5, 1.6), rtol=1e-9)
    assert bool((best_temperature(h, rho=0.1, low=1e-6) > tau).all())  # a smaller budget, a larger temperature


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("rho", [1e-6, 1e-2, 3.0, 50.0])
def test_extreme_budgets_and_scales_stay_finite(scale: float, rho: float) -> None:
    h = rows(6, 40) * scale
    tau = best_temperature(h, rho=rho, low=1e-9 * scale)
    assert torch.isfinite(tau).all()
    for row, found in zip(h, tau, strict=True):
        p = torch.softmax(row / found, 0)
        spent = float(torch.special.xlogy(p, 40 * p).sum())
        assert spent == pytest.approx(min(rho, math.log(40)), rel=1e-4)


def test_the_loss_equals_a_loop_and_its_minimum() -> None:
    a, p, rho = rows(9, 4), rows(9, 4, seed=1), 0.3
    total = 0.0
    for i in range(9):
        cosines = [float(torch.nn.functional.cosine_similarity(a[i], p[j], dim=0)) for j in range(9)]
        h = [cosines[j] - cosines[i] for j in range(9) if j != i]
        best = optimize.minimize_scalar(lambda x, h=h: objective(math.exp(x), h, rho), (-3, 0), tol=1e-13)
        total += best.fun
    assert individual_info_nce(a, p, rho=rho, low=1e-3).item() == pytest.approx(total / 9, rel=1e-9)
    fixed = torch.full((9,), 0.4, dtype=torch.float64)
    assert individual_info_nce(a, p, rho=rho, low=1e-3, temperature=fixed).item() > total / 9


def test_the_gradient_at_the_solved_temperature_is_that_of_the_minimum() -> None:
    a, p = rows(6, 3).requires_grad_(), rows(6, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: individual_info_nce(x, y, rho=0.3, low=1e-3), (a, p))
    tau = torch.rand(6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(lambda x, y: individual_info_nce(x, y, rho=0.3, low=1e-3, temperature=tau), (a, p))


def test_closed_forms_of_the_loss_and_a_stack() -> None:
    same = torch.ones(5, 3, dtype=torch.float64)
    assert individual_info_nce(same, same, rho=0.3, low=0.05).item() == pytest.approx(0.05 * 0.3, abs=1e-12)
    eye = torch.eye(6, dtype=torch.float64)  # all negatives at cosine 0, the positive at 1
    assert individual_info_nce(eye, eye, rho=0.3, low=0.05).item() == pytest.approx(0.05 * 0.3 - 1, rel=1e-12)
    a, p = rows(3, 8, 4), rows(3, 8, 4, seed=1)
    single = [individual_info_nce(a[i], p[i], rho=0.2, low=0.01).item() for i in range(3)]
    assert individual_info_nce(a, p, rho=0.2, low=0.01).tolist() == pytest.approx(single, rel=1e-10)


def test_half_precision_stays_finite() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        a = rows(16, 4).to(dtype).requires_grad_()
        loss = individual_info_nce(a, rows(16, 4, seed=1).to(dtype), rho=0.1, low=1e-3)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(a.grad).all()


def test_refuses_bad_input() -> None:
    h = rows(3, 4)
    for name, call in {
        "rho": lambda: best_temperature(h, rho=0.0, low=0.1),
        "low": lambda: best_temperature(h, rho=0.1, low=-1.0),
        "high": lambda: best_temperature(h, rho=0.1, low=0.2, high=0.1),
        "two negatives": lambda: best_temperature(h[:, :1], rho=0.1, low=0.1),
        "NaN": lambda: best_temperature(h * math.nan, rho=0.1, low=0.1),
        "temperature must have shape": lambda: individual_info_nce(h, h, rho=0.1, low=0.1, temperature=torch.ones(4)),
        "anchors and positives": lambda: individual_info_nce(h, rows(4, 4), rho=0.1, low=0.1),
        "at least 3": lambda: individual_info_nce(h[:2], h[:2], rho=0.1, low=0.1),
    }.items():
        with pytest.raises(ValueError, match=name):
            call()
    with pytest.raises(TypeError, match="similarities"):
        best_temperature(torch.ones(2, 3, dtype=torch.long), rho=0.1, low=0.1)
