"""Several heads with pair temperatures against a loop over Gaussian posteriors, closed forms and InfoNCE."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal

from lab.losses import info_nce, multi_head_info_nce, pair_temperature, temperature_penalty


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_is_the_posterior_under_gaussians_with_the_pair_temperature_as_variance() -> None:
    heads, n, d = 2, 5, 3
    a, p = rows(heads, n, d), rows(heads, n, d, seed=1)
    tau = torch.rand(heads, n, n, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.2
    total = 0.0
    for h in range(heads):
        for i in range(n):
            anchor = a[h, i] / a[h, i].norm()
            densities = [
                MultivariateNormal(anchor, tau[h, i, j] * torch.eye(d, dtype=torch.float64))
                .log_prob(p[h, j] / p[h, j].norm())
                .exp()
                .item()
                for j in range(n)
            ]
            total -= math.log(densities[i] / sum(densities))
    value = multi_head_info_nce(a, p, temperature=tau, penalty=1.0).item()
    assert value == pytest.approx(total / (heads * n), rel=1e-12)


def test_one_number_is_info_nce_averaged_over_heads_whatever_the_penalty() -> None:
    a, p = rows(3, 8, 4), rows(3, 8, 4, seed=1)
    expected = info_nce(a, p, temperature=0.2).mean().item()
    for penalty in (0.0, 0.1, 1):
        assert multi_head_info_nce(a, p, temperature=0.2, penalty=penalty).item() == pytest.approx(expected, rel=1e-12)
    same = torch.ones(3, 16, 4)
    assert multi_head_info_nce(same, same, temperature=0.01).item() == pytest.approx(math.log(16), rel=1e-6)


def test_repeated_heads_change_nothing_and_their_order_neither() -> None:
    a, p = rows(3, 6, 4), rows(3, 6, 4, seed=1)
    tau = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.1
    value = multi_head_info_nce(a, p, temperature=tau, penalty=0.3).item()
    twice = multi_head_info_nce(a.repeat(2, 1, 1), p.repeat(2, 1, 1), temperature=tau.repeat(2, 1, 1), penalty=0.3)
    assert twice.item() == pytest.approx(value, rel=1e-12)
    turned = multi_head_info_nce(a.flip(0), p.flip(0), temperature=tau.flip(0), penalty=0.3)
    assert turned.item() == pytest.approx(value, rel=1e-12)


def test_a_stack_is_its_members() -> None:
    a, p = rows(4, 2, 6, 3), rows(4, 2, 6, 3, seed=1)
    tau = torch.rand(4, 2, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + 0.1
    single = [multi_head_info_nce(a[i], p[i], temperature=tau[i], penalty=0.2).item() for i in range(4)]
    assert multi_head_info_nce(a, p, temperature=tau, penalty=0.2).tolist() == pytest.approx(single, rel=1e-12)


def test_gradients_reach_rows_and_temperatures() -> None:
    a, p = rows(2, 5, 3).requires_grad_(), rows(2, 5, 3, seed=1).requires_grad_()
    u, v = rows(2, 5, 4, seed=2).requires_grad_(), rows(2, 5, 4, seed=3).requires_grad_()

    def loss(a: torch.Tensor, p: torch.Tensor, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return multi_head_info_nce(a, p, temperature=pair_temperature(u, v, low=0.1, high=1.0), penalty=0.05)

    assert torch.autograd.gradcheck(loss, (a, p, u, v))


def test_pair_temperature_falls_with_agreement_between_its_limits() -> None:
    a = torch.tensor([[math.log(3.0), 0.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 0.0], [0.0, 9.0], [-1.0, 0.0], [1e4, 0.0], [-1e4, 0.0]], dtype=torch.float64)
    found = pair_temperature(a, b, low=0.2, high=1.0)[0].tolist()
    assert found == pytest.approx([0.4, 0.6, 0.8, 0.2, 1.0], rel=1e-9)  # sigmoid(-log 3) = 1 / 4


@pytest.mark.parametrize("dim", [2, 16, 128])
def test_the_penalty_is_least_at_two_over_the_dimension(dim: int) -> None:
    tau = torch.tensor(2 / dim, dtype=torch.float64, requires_grad=True)
    value = temperature_penalty(tau, dim)
    value.backward()
    assert tau.grad.item() == pytest.approx(0, abs=1e-9)
    assert value.item() == pytest.approx(dim / 2 * (math.log(2 / dim) + 1), rel=1e-12)
    assert temperature_penalty(3 / dim, dim) > value and temperature_penalty(1 / dim, dim) > value


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("tau", [1e-3, 1e3])
def test_extreme_temperatures_and_half_precision_stay_finite(dtype: torch.dtype, tau: float) -> None:
    a = rows(2, 16, 4).to(dtype).requires_grad_()
    tau_of_pairs = torch.full((2, 16, 16), tau)
    loss = multi_head_info_nce(a, rows(2, 16, 4, seed=1).to(dtype), temperature=tau_of_pairs, penalty=0.01)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(a.grad).all()


def test_refuses_bad_input() -> None:
    a = rows(2, 4, 3)
    for name, call in {
        "anchors must have shape": lambda: multi_head_info_nce(a[0], a[0], temperature=0.1),
        "anchors and positives": lambda: multi_head_info_nce(a, a[:, :3], temperature=0.1),
        "temperature must broadcast": lambda: multi_head_info_nce(a, a, temperature=torch.ones(3, 4, 4)),
        "temperature must be finite": lambda: multi_head_info_nce(a, a, temperature=0.0),
        "penalty": lambda: multi_head_info_nce(a, a, temperature=0.1, penalty=-1.0),
        "low must be below": lambda: pair_temperature(a, a, low=1.0, high=0.5),
        "columns": lambda: pair_temperature(a, rows(2, 4, 2), low=0.1, high=0.5),
        "dim": lambda: temperature_penalty(1.0, 0),
    }.items():
        with pytest.raises(ValueError, match=name):
            call()
