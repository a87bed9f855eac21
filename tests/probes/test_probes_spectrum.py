"""Spectra and principal angles against closed forms and scipy."""

import numpy as np
import pytest
import torch
from scipy.linalg import subspace_angles

from lab.probes import effective_rank, participation_ratio, principal_cosines


def gaussian(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("on", ["sigma", "lambda"])
@pytest.mark.parametrize("k", [1, 3, 10])
def test_k_equal_directions_have_effective_rank_k(on, k):
    x = torch.zeros(40, 10, dtype=torch.float64)
    x[torch.arange(40), torch.arange(40) % k] = 1
    x = x[: 40 - 40 % k]
    turn = torch.linalg.qr(gaussian(10, 10)).Q
    assert effective_rank(3 * x @ turn, on=on, center=False) == pytest.approx(k, rel=1e-9)
    assert participation_ratio(3 * x @ turn, center=False) == pytest.approx(k, rel=1e-9)


def test_sigma_and_lambda_differ_as_their_formulas_say():
    x = torch.diag(torch.tensor([2.0, 1.0], dtype=torch.float64))
    for on, p in (("sigma", np.array([2, 1]) / 3), ("lambda", np.array([4, 1]) / 5)):
        assert effective_rank(x, on=on, center=False) == pytest.approx(float(np.exp(-(p * np.log(p)).sum())), rel=1e-12)


def test_a_mean_far_from_zero_costs_rank_unless_it_is_taken_off():
    x = gaussian(2000, 64) + 5
    assert effective_rank(x, on="lambda", center=False) < 1.5
    assert effective_rank(x, on="lambda", center=True) > 60


def test_the_participation_ratio_of_an_isotropic_cloud_has_its_finite_sample_value():
    assert participation_ratio(gaussian(2000, 64), center=False) == pytest.approx(64 / (1 + 64 / 2000), rel=5e-3)


@pytest.mark.parametrize("probe", [effective_rank, participation_ratio])
def test_rows_without_a_spectrum_are_refused(probe):
    with pytest.raises(ValueError, match="x has no spectrum: all rows are zero"):
        probe(torch.zeros(4, 3), center=False)
    with pytest.raises(ValueError, match="after centring"):
        probe(torch.ones(4, 3), center=True)


def test_unknown_spectrum_is_refused():
    with pytest.raises(ValueError, match='on must be "sigma" or "lambda"'):
        effective_rank(torch.eye(2), on="energy", center=False)


def test_principal_cosines_agree_with_scipy_and_ignore_the_choice_of_basis():
    a, b = gaussian(30, 4), gaussian(30, 6, 1)
    expected = np.sort(np.cos(subspace_angles(a.numpy(), b.numpy())))[::-1]
    np.testing.assert_allclose(principal_cosines(a, b).numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(principal_cosines(a @ gaussian(4, 4, 2), b).numpy(), expected, atol=1e-9)
    np.testing.assert_allclose(principal_cosines(a, a).numpy(), np.ones(4), atol=1e-12)


def test_random_spaces_have_the_stated_null():
    found = [
        float(principal_cosines(gaussian(200, 5, s), gaussian(200, 10, s + 100)).square().mean()) for s in range(40)
    ]
    assert np.mean(found) == pytest.approx(10 / 200, rel=0.1)


def test_directions_at_rounding_level_do_not_count():
    a = gaussian(20, 2)
    assert principal_cosines(torch.cat([a, a.sum(1, keepdim=True)], 1), a).shape == (2,)


def test_principal_cosines_refuse_unusable_matrices():
    with pytest.raises(ValueError, match="a must have at least as many rows as columns"):
        principal_cosines(gaussian(3, 4), gaussian(3, 2))
    with pytest.raises(ValueError, match="same number of rows"):
        principal_cosines(gaussian(6, 2), gaussian(5, 2))
    with pytest.raises(ValueError, match="b is zero"):
        principal_cosines(gaussian(6, 2), torch.zeros(6, 2))
