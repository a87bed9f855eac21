"""Isotropy against closed forms, the published steps written out, simulation of the nulls, and memory-mapped files."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import linregress

from lab.probes import moments
from lab.probes.decay import numerical_rank, power_law_exponent
from lab.probes.isotropy import directions_used, iso_score, iso_score_star, rankme
from lab.probes.moments import (
    Spectrum,
    effective_rank_null,
    isotropic_eigenvalues,
    participation_ratio_null,
    second_moment,
    spectrum_of,
)
from lab.probes.partition import partition_isotropy
from lab.probes.spectrum import effective_rank, participation_ratio


def gaussian(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def orthogonal(d, seed=9):
    return torch.linalg.qr(gaussian(d, d, seed)).Q


def with_variances(variances):
    """Rows with mean zero whose second moments are exactly these, along turned axes."""
    d = len(variances)
    axes = torch.diag(torch.tensor(variances, dtype=torch.float64).mul(d).sqrt())
    return torch.cat([axes, -axes]) @ orthogonal(d)


def published_iso_score(x):
    """The steps of the paper, one by one, in numpy."""
    variances = np.linalg.eigvalsh(np.cov(np.asarray(x).T))
    n = len(variances)
    scaled = variances * np.sqrt(n) / np.linalg.norm(variances)
    defect = np.linalg.norm(scaled - np.ones(n)) / np.sqrt(2 * (n - np.sqrt(n)))
    share = (n - defect**2 * (n - np.sqrt(n))) ** 2 / n**2
    return (n * share - 1) / (n - 1)


# Spectrum of arrays of any size


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("shape", [(300, 20), (7, 20)])
def test_both_ways_to_the_spectrum_agree_with_a_plain_loop(center, shape, monkeypatch):
    x = gaussian(*shape) * torch.linspace(0.1, 2, 20) + 3
    plain = sum(torch.outer(r, r) for r in x - center * x.mean(0)) / len(x)
    wanted = torch.linalg.eigvalsh(plain).flip(0).clamp(min=0)
    direct = spectrum_of(x, center=center)
    monkeypatch.setattr(moments, "DIRECT_NUMBERS", 0)
    blocks = spectrum_of(x, center=center, block=11)
    for found in (direct, blocks):
        torch.testing.assert_close(found.eigenvalues, wanted, rtol=1e-10, atol=1e-12)
        assert (found.rows, found.columns, found.center) == (*shape, center)
        share = float(x.mean(0).square().sum() / x.square().sum(1).mean())
        assert found.mean_share == pytest.approx(share, rel=1e-12)
    torch.testing.assert_close(second_moment(x, center=center, block=5).matrix, plain, rtol=1e-12, atol=1e-12)


def test_a_large_offset_costs_no_digits_after_centring():
    x = gaussian(500, 6)
    moved = second_moment(x + 1e6, center=True).matrix
    torch.testing.assert_close(moved, second_moment(x, center=True).matrix, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtypes_arrays_and_memory_mapped_files_agree(dtype, tmp_path, monkeypatch):
    x = gaussian(200, 12).half().to(dtype)
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    wanted = directions_used(x.double(), center=True).value
    for given in (x, x.numpy(), mapped):
        assert directions_used(given, center=True).value == pytest.approx(wanted, rel=1e-12)
        assert partition_isotropy(given, center=True, block=33).value == pytest.approx(
            partition_isotropy(x.double(), center=True).value, rel=1e-12
        )
    monkeypatch.setattr(moments, "DIRECT_NUMBERS", 0)
    assert directions_used(mapped, center=True).value == pytest.approx(wanted, rel=1e-10)


def test_a_large_file_is_never_held_whole(tmp_path, monkeypatch, largest_tensor):
    monkeypatch.setattr(moments, "DIRECT_NUMBERS", 2**15)
    np.save(tmp_path / "x.npy", gaussian(20000, 8, dtype=torch.float16).numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    with largest_tensor() as largest:
        iso_score(spectrum_of(mapped, center=True, block=1000))
        partition_isotropy(mapped, center=False, block=1000)
    assert largest.numbers <= 20000 < mapped.size


def test_a_spectrum_must_be_of_the_kind_that_is_asked_for():
    raw, centred = (spectrum_of(gaussian(50, 4), center=c) for c in (False, True))
    assert spectrum_of(raw, center=False) is raw
    for call in (lambda: rankme(centred), lambda: iso_score(raw), lambda: directions_used(raw, center=True)):
        with pytest.raises(ValueError, match="x is a spectrum computed with center="):
            call()


# Nulls


def test_the_null_of_the_participation_ratio_is_exact_for_gaussian_rows():
    for n, d, center in ((40, 8, False), (12, 30, True)):
        inverse = [1 / participation_ratio(gaussian(n, d, s), center=center) for s in range(400)]
        error = np.std(inverse) / math.sqrt(400)
        assert abs(np.mean(inverse) - 1 / participation_ratio_null(n, d, center=center)) < 4 * error
    assert participation_ratio_null(2000, 64, center=False) == pytest.approx(64 / (1 + 64 / 2000), rel=1e-3)
    assert participation_ratio_null(1, 64, center=False) == 1


@pytest.mark.parametrize("on", ["sigma", "lambda"])
@pytest.mark.parametrize("shape", [(1000, 64), (64, 200), (150, 150)])
def test_the_null_of_the_effective_rank_is_that_of_random_rows(on, shape):
    seen = [effective_rank(gaussian(*shape, s), on=on, center=False) for s in range(3)]
    assert effective_rank_null(*shape, on=on, center=False) == pytest.approx(np.mean(seen), rel=0.01)


def test_isotropic_eigenvalues_are_those_of_random_rows():
    for n, d in ((1000, 100), (60, 100)):
        found, seen = isotropic_eigenvalues(n, d, center=False), spectrum_of(gaussian(n, d), center=False).eigenvalues
        assert float(found.mean()) == pytest.approx(1, rel=1e-3)
        assert float((found - seen).abs().max()) < 0.1 * float(seen[0])
        assert int((found > 0).sum()) == min(n, d)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(("n", "d", "length"), [(2000, 64, 0.125), (1000, 100, 0.5), (5000, 20, 1.2)])
def test_the_null_of_partition_isotropy_is_that_of_random_rows(n, d, length, center):
    seen = [partition_isotropy(length * gaussian(n, d, s), center=center) for s in range(4)]
    logs = [one.log_value for one in seen]
    assert math.log(seen[0].null) == pytest.approx(np.mean(logs), rel=0.15)


# Directions used, RankMe


def test_directions_used_agree_with_the_probes_on_rows():
    x = gaussian(100, 10) * torch.arange(1, 11) + 1
    for center in (True, False):
        found = directions_used(x, center=center)
        assert found.value == pytest.approx(participation_ratio(x, center=center), rel=1e-12)
        for on, value in (("sigma", found.effective_rank_sigma), ("lambda", found.effective_rank_lambda)):
            assert value == pytest.approx(effective_rank(x, on=on, center=center), rel=1e-12)


def test_rankme_follows_the_paper_with_and_without_epsilon():
    x = gaussian(60, 12) * torch.linspace(0.01, 1, 12)
    s = np.linalg.svd(x.numpy(), compute_uv=False)
    for epsilon in (1e-7, 1e-3, 0):
        p = s / s.sum() + epsilon
        assert rankme(x, epsilon=epsilon).value == pytest.approx(float(np.exp(-(p * np.log(p)).sum())), rel=1e-12)
    assert rankme(x).effective_rank == pytest.approx(effective_rank(x, on="sigma", center=False), rel=1e-12)
    k = rankme(torch.eye(12), epsilon=1e-3).value
    assert k == pytest.approx(math.exp(-12 * (1 / 12 + 1e-3) * math.log(1 / 12 + 1e-3))) and k > 12


def test_an_offset_turns_63_directions_into_24_and_a_warning_says_so():
    x = gaussian(2000, 64)
    assert rankme(x).value == pytest.approx(63.7, abs=0.1) and rankme(x).warnings == ()
    moved = rankme(x + 5)
    assert moved.value == pytest.approx(24.4, abs=0.3) and "the mean row holds 96%" in moved.warnings[0]
    assert directions_used(x + 5, center=False).effective_rank_lambda == pytest.approx(1.37, abs=0.02)


def test_few_rows_are_warned_of():
    assert "at most 20 directions" in rankme(gaussian(20, 30)).warnings[0]
    assert "few for 30 columns" in iso_score(gaussian(100, 30)).warnings[0]
    assert "at most 19 directions" in iso_score(gaussian(20, 30)).warnings[0]
    assert iso_score(gaussian(400, 30)).warnings == ()


# IsoScore


@pytest.mark.parametrize(("k", "wanted"), [(1, 0.0), (3, 0.2222), (5, 0.4444), (10, 1.0)])
def test_k_of_ten_equal_variances_score_k_less_one_ninths(k, wanted):
    x = with_variances([1.0] * k + [0.0] * (10 - k))
    assert iso_score(x).value == pytest.approx(wanted, abs=1e-4)
    assert iso_score(x).value == pytest.approx((k - 1) / 9, abs=1e-12)


def test_iso_score_is_what_the_steps_of_the_paper_give():
    for seed, d in ((0, 3), (1, 17), (2, 64)):
        x = gaussian(300, d, seed) * torch.linspace(0.2, 3, d) + 7
        assert iso_score(x).value == pytest.approx(published_iso_score(x), rel=1e-9)


def test_iso_score_of_a_finite_sample_has_its_null():
    for n, wanted in ((100, 0.61), (1000, 0.94)):
        found = iso_score(gaussian(n, 64))
        assert found.value == pytest.approx(wanted, abs=0.02) and found.null == pytest.approx(wanted, abs=0.02)
        assert found.value == pytest.approx(found.null, rel=0.03)


def test_isotropy_does_not_change_with_rotation_scale_shift_or_order():
    x = gaussian(80, 9) * torch.linspace(0.5, 2, 9)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(1))
    for moved in (x @ orthogonal(9), 1e-3 * x, x + 4, x[order]):
        assert iso_score(moved).value == pytest.approx(iso_score(x).value, rel=1e-9)
        assert iso_score_star(moved, zeta=0.3).value == pytest.approx(iso_score_star(x, zeta=0.3).value, rel=1e-9)
    for moved in (x @ orthogonal(9), 1e-3 * x, x[order]):
        assert rankme(moved).value == pytest.approx(rankme(x).value, rel=1e-9)
    for moved in (x @ orthogonal(9), x[order]):
        assert partition_isotropy(moved, center=False).value == pytest.approx(
            partition_isotropy(x, center=False).value, rel=1e-9
        )


@pytest.mark.parametrize("zeta", [0.0, 0.2, 0.7, 1.0])
def test_shrunk_iso_score_is_that_of_the_mixed_covariance(zeta):
    x, other = gaussian(30, 8) * torch.linspace(0.5, 2, 8), gaussian(500, 8, 1) * torch.linspace(2, 1, 8)
    covariance, target = np.cov(x.numpy().T), np.cov(other.numpy().T)

    def score(matrix):
        variances = np.linalg.eigvalsh(matrix)
        return (variances.sum() ** 2 / (variances**2).sum() - 1) / 7

    found = iso_score_star(x, zeta=zeta, target=target)
    assert found.value == pytest.approx(score((1 - zeta) * covariance + zeta * target), rel=1e-9)
    own = (1 - zeta) * covariance + zeta * np.trace(covariance) / 8 * np.eye(8)
    assert iso_score_star(x, zeta=zeta).value == pytest.approx(score(own), rel=1e-9)
    if zeta == 0:
        assert found.value == pytest.approx(iso_score(x).value) and found.null == pytest.approx(iso_score(x).null)


def test_shrunk_iso_score_has_its_null():
    for options in ({}, {"target": torch.diag(torch.linspace(0.5, 1.5, 20))}):
        found = [iso_score_star(gaussian(30, 20, s), zeta=0.4, **options) for s in range(60)]
        assert np.mean([one.value for one in found]) == pytest.approx(np.mean([one.null for one in found]), rel=0.02)


# Decay and rank


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_an_exact_power_law_is_found_exactly(alpha):
    ranks = np.arange(1, 41)
    x = with_variances((ranks**-alpha).tolist())
    found = power_law_exponent(x, first=3, last=30, center=True)
    assert found.value == pytest.approx(alpha, rel=1e-9) and found.r_squared == pytest.approx(1)
    assert found.intercept == pytest.approx(0, abs=1e-9) and found.fit_error < 1e-9


def test_a_fit_agrees_with_scipy_and_equal_eigenvalues_have_exponent_zero():
    x = gaussian(500, 30) * torch.linspace(0.2, 3, 30)
    found = power_law_exponent(x, first=2, last=25, center=True)
    values = spectrum_of(x, center=True).eigenvalues[1:25]
    wanted = linregress(np.log(np.arange(2, 26)), values.log().numpy())
    assert found.value == pytest.approx(-wanted.slope) and found.fit_error == pytest.approx(wanted.stderr)
    assert found.r_squared == pytest.approx(wanted.rvalue**2) and found.intercept == pytest.approx(wanted.intercept)
    level = power_law_exponent(with_variances([2.0] * 9), first=1, last=9, center=False)
    assert level.value == pytest.approx(0, abs=1e-9) and level.r_squared == 1


def test_the_exponent_of_random_rows_is_its_null_and_scatters_as_stated():
    found = [power_law_exponent(gaussian(400, 40, s), first=1, last=40, center=True) for s in range(10)]
    assert np.mean([one.value for one in found]) == pytest.approx(found[0].null, rel=0.05)
    scales = torch.arange(1, 9, dtype=torch.float64) ** -2
    spread = [power_law_exponent(gaussian(2000, 8, s) * scales, first=1, last=8, center=True) for s in range(100)]
    assert np.std([one.value for one in spread]) == pytest.approx(spread[0].sampling_error, rel=0.25)


def test_numerical_rank_counts_above_the_tolerance():
    x = with_variances([1.0, 1e-2, 1e-6, 0.0])
    for tolerance, rank in ((0.5, 1), (0.05, 2), (1e-2, 2), (1e-4, 3), (1e-10, 3)):
        assert numerical_rank(x, tolerance=tolerance, center=False).value == rank
    found = numerical_rank(x, tolerance=0.5, center=False)
    assert found.stable_rank == pytest.approx(1.010001) and found.null == 4
    assert numerical_rank(gaussian(5, 9), tolerance=1e-9, center=True).value == 4
    assert float(found) == 1.0


def test_a_tolerance_below_rounding_is_refused(monkeypatch):
    monkeypatch.setattr(moments, "DIRECT_NUMBERS", 0)
    x = with_variances([1.0, 1e-2])
    assert numerical_rank(x, tolerance=1e-6, center=False).value == 2
    with pytest.raises(ValueError, match="tolerance must be at least"):
        numerical_rank(x, tolerance=1e-9, center=False)


# Partition isotropy


@pytest.mark.parametrize("center", [True, False])
def test_partition_isotropy_is_the_quotient_of_sums_along_the_columns_of_eigenvectors(center):
    x = gaussian(70, 5) * torch.tensor([0.3, 0.5, 0.8, 1.1, 1.5]) + 0.4
    rows = (x - center * x.mean(0)).numpy()
    vectors = np.linalg.eigh(rows.T @ rows)[1]
    sums = [sum(math.exp(sign * float(row @ vectors[:, j])) for row in rows) for j in range(5) for sign in (1, -1)]
    found = partition_isotropy(x, center=center, block=9)
    assert found.value == pytest.approx(min(sums) / max(sums), rel=1e-12)
    assert found.log_value == pytest.approx(math.log(min(sums) / max(sums)), rel=1e-12)


def test_long_rows_stay_finite_in_the_log_domain():
    found = partition_isotropy(gaussian(100, 4) * torch.tensor([1.0, 10.0, 100.0, 1000.0]), center=False)
    assert found.value == 0.0 and -3000 < found.log_value < -1500 and found.null is None
    assert "a few of them rule" in found.warnings[-1]


def test_axes_of_equal_length_are_perfectly_isotropic_and_short_rows_are_warned_of():
    axes = torch.cat([torch.eye(6), -torch.eye(6)])
    assert partition_isotropy(3 * axes, center=True).value > 0.99
    found = partition_isotropy(gaussian(2000, 64) / 8, center=False)
    assert found.value > 0.97 and "short for their 64 columns" in found.warnings[0]


# Bad input


def test_bad_input_is_refused_by_name():
    x = gaussian(20, 4)
    every = (
        lambda rows: directions_used(rows, center=False),
        rankme,
        iso_score,
        lambda rows: iso_score_star(rows, zeta=0.5),
        lambda rows: iso_score_star(rows, zeta=0.5, target=torch.eye(4)),
        lambda rows: partition_isotropy(rows, center=False),
        lambda rows: numerical_rank(rows, tolerance=0.1, center=False),
        lambda rows: power_law_exponent(rows, first=1, last=4, center=False),
    )
    bad = x.clone()
    bad[7, 2] = math.nan
    for call in every:
        with pytest.raises(ValueError, match="x holds NaN or infinity, first in row 7"):
            call(bad)
        with pytest.raises(ValueError, match="x must have shape"):
            call(x[0])
        with pytest.raises(ValueError, match="x must have shape"):
            call(x[:0])
        with pytest.raises(ValueError, match="x holds values whose squares are too large"):
            call(1e200 * x)
    for call in (every[0], every[1], every[5], every[6], every[7]):
        with pytest.raises(ValueError, match="all rows are zero"):
            call(0 * x)
    for call in (iso_score, lambda rows: iso_score_star(rows, zeta=0.5)):
        for constant in (torch.ones(9, 4), torch.full((9, 4), 0.1), 1e6 + torch.full((9, 4), 0.1).double()):
            with pytest.raises(ValueError, match="equal"):
                call(constant)
    with pytest.raises(ValueError, match="all rows are equal"):
        partition_isotropy(torch.full((9, 4), 0.1), center=True)
    for one in (iso_score, lambda rows: directions_used(rows, center=True)):
        with pytest.raises(ValueError, match="x"):
            one(x[:1])
    with pytest.raises(ValueError, match="at least 2 columns"):
        iso_score(x[:, :1])


@pytest.mark.parametrize("block", [0, -3, 2.5, True])
def test_a_wrong_block_is_refused(block):
    for call in (second_moment, partition_isotropy):
        with pytest.raises(ValueError, match="block must be"):
            call(torch.eye(3), center=False, block=block)


def test_wrong_options_are_refused_by_name():
    x = gaussian(20, 4)
    for zeta in (-0.1, 1.1, math.nan, True, "half"):
        with pytest.raises(ValueError, match="zeta must lie in 0 .. 1"):
            iso_score_star(x, zeta=zeta)
    for target, says in (
        (torch.eye(3), "target must be finite and of shape"),
        (torch.eye(4) / 0, "target must be finite"),
        (gaussian(4, 4), "target must be symmetric"),
        (-torch.eye(4), "target must have no negative eigenvalue"),
    ):
        with pytest.raises(ValueError, match=says):
            iso_score_star(x, zeta=0.5, target=target)
    with pytest.raises(ValueError, match="x must be rows"):
        iso_score_star(spectrum_of(x, center=True), zeta=0.5, target=torch.eye(4))
    for epsilon in (-1e-9, math.inf, True, "tiny"):
        with pytest.raises(ValueError, match="epsilon must be"):
            rankme(x, epsilon=epsilon)
    for first, last in ((0, 4), (1, 5), (2, 3)):
        with pytest.raises(ValueError, match="first and last must span"):
            power_law_exponent(x, first=first, last=last, center=False)
    with pytest.raises(ValueError, match="last must be an integer"):
        power_law_exponent(x, first=1, last=4.0, center=False)
    with pytest.raises(ValueError, match="zero or rounding"):
        power_law_exponent(with_variances([1.0, 0.5, 0.2, 0.0]), first=1, last=4, center=False)
    for tolerance in (0.0, 1.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="tolerance must be"):
            numerical_rank(x, tolerance=tolerance, center=False)


def test_records_turn_into_their_value():
    x = gaussian(50, 4)
    assert isinstance(spectrum_of(x, center=True), Spectrum)
    for found in (rankme(x), iso_score(x), directions_used(x, center=True), partition_isotropy(x, center=False)):
        assert float(found) == found.value
