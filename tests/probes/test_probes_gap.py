"""Modality gap, cosines, discrepancies and separability against closed forms, loops and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lab.probes.cosine_distributions import modal_cosines
from lab.probes.frechet import frechet_distance
from lab.probes.gap import modality_gap
from lab.probes.kernel_discrepancy import kernel_mmd
from lab.probes.separability import modality_separability


def gaussian(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(x: torch.Tensor) -> torch.Tensor:
    return x / x.norm(dim=1, keepdim=True)


def rotation(d: int) -> torch.Tensor:
    return torch.linalg.qr(gaussian(d, d, 99)).Q


# The centroid gap


def test_gap_of_two_points_and_of_a_known_shift():
    x, y = torch.eye(3)[:1].repeat(4, 1), -torch.eye(3)[:1].repeat(4, 1)
    found = modality_gap(x, y)
    assert found.value == 2 and found.scale == 0 and found.relative == math.inf and found.warnings
    assert modality_gap(x, x).relative == 0
    angle = math.radians(30)  # two circles about the poles of one axis
    turn = torch.arange(8, dtype=torch.float64) * math.pi / 4
    ring = torch.stack([turn.cos() * math.sin(angle), turn.sin() * math.sin(angle)], 1)
    up = torch.cat([ring, torch.full((8, 1), math.cos(angle), dtype=torch.float64)], 1)
    found = modality_gap(up, up * torch.tensor([1.0, 1.0, -1.0]))
    assert found.value == pytest.approx(2 * math.cos(angle), rel=1e-12)
    assert found.spread_x == pytest.approx(math.sin(angle) * math.sqrt(8 / 7), rel=1e-12)
    assert found.relative == pytest.approx(2 * math.cos(angle) / (math.sin(angle) * math.sqrt(8 / 7)), rel=1e-12)
    torch.testing.assert_close(found.direction, torch.tensor([0, 0, 2 * math.cos(angle)], dtype=torch.float64))


def test_gap_null_at_a_thousand_rows_and_for_unequal_numbers():
    found = modality_gap(gaussian(1000, 64), gaussian(1000, 64, 1))
    assert found.null == pytest.approx(0.0447, abs=5e-5)
    for n, m in ((60, 60), (30, 120)):
        found = [modality_gap(gaussian(n, 8, s), gaussian(m, 8, 1000 + s), paired=False) for s in range(300)]
        assert math.sqrt(np.mean([f.value**2 for f in found])) == pytest.approx(math.sqrt(1 / n + 1 / m), rel=0.05)
        squares = np.array([f.unbiased_square for f in found])
        assert abs(squares.mean()) < 4 * squares.std() / math.sqrt(300)
        cone = [modality_gap(gaussian(n, 8, s) + 1, gaussian(m, 8, 1000 + s) + 1) for s in range(300)]
        seen = math.sqrt(np.mean([f.value**2 for f in cone]))
        assert seen == pytest.approx(np.mean([f.null_same_mean for f in cone]), rel=0.05)
        assert seen < 0.85 * cone[0].null
        assert math.sqrt(np.mean([f.relative**2 for f in cone])) == pytest.approx(cone[0].relative_null, rel=0.05)


def test_rows_are_normalised_before_they_are_averaged():
    x, y = gaussian(30, 5) + 0.4, gaussian(30, 5, 1)
    lengths = torch.rand(30, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 9 + 0.1
    expected = math.dist(unit(x).mean(0).tolist(), unit(y).mean(0).tolist())
    assert modality_gap(x, y).value == pytest.approx(expected, rel=1e-12)
    assert modality_gap(x * lengths, y).value == pytest.approx(expected, rel=1e-12)
    after = math.dist(torch.nn.functional.normalize((x * lengths).mean(0), dim=0).tolist(), unit(y).mean(0).tolist())
    assert abs(after - expected) > 0.05


def test_unbiased_square_and_cosine_value_equal_loops():
    x, y = unit(gaussian(7, 4) + 0.5), unit(gaussian(7, 4, 1))
    other = unit(gaussian(5, 4, 2))
    within = [float(x[i] @ x[j]) for i in range(7) for j in range(7) if i != j]
    within_y = [float(y[i] @ y[j]) for i in range(7) for j in range(7) if i != j]
    crossing = [float(x[i] @ y[j]) for i in range(7) for j in range(7) if i != j]
    pairs = [float(x[i] @ y[i]) for i in range(7)]
    expected = np.mean(within) + np.mean(within_y) - 2 * np.mean(crossing)
    assert modality_gap(x, y, block=3).unbiased_square == pytest.approx(expected, rel=1e-12)
    found = modal_cosines(x, y, block=3)
    assert found.value == pytest.approx(expected / 2, rel=1e-12)
    for got, wanted in ((found.within_x, within), (found.between, crossing), (found.pairs, pairs)):
        assert got.mean == pytest.approx(np.mean(wanted), rel=1e-12)
        assert got.deviation == pytest.approx(np.std(wanted), rel=1e-12)
        assert got.quantiles[0.5] == pytest.approx(np.median(wanted), rel=1e-12)
        assert got.intervals is None and got.n_used == got.n_pairs
    assert (found.within_x.n_pairs, found.between.n_pairs, found.pairs.n_pairs) == (21, 42, 7)
    unequal = modal_cosines(x, other)
    every = [float(x[i] @ other[j]) for i in range(7) for j in range(5)]
    assert unequal.pairs is None and unequal.between.n_pairs == 35
    assert unequal.between.mean == pytest.approx(np.mean(every), rel=1e-12)
    assert unequal.between.quantiles[0.25] == pytest.approx(np.quantile(every, 0.25), rel=1e-12)
    unpaired = [float(x[i] @ y[j]) for i in range(7) for j in range(7)]
    assert modal_cosines(x, y, paired=False).between.mean == pytest.approx(np.mean(unpaired), rel=1e-12)


def test_sampled_cosines_bracket_the_truth_and_leave_out_matching_pairs():
    x = gaussian(400, 6) + 0.5
    whole, some = modal_cosines(x, x), modal_cosines(x, x, pairs=5000, seed=3)
    assert some == modal_cosines(x, x, pairs=5000, seed=3) and some != modal_cosines(x, x, pairs=5000, seed=4)
    for full, part in ((whole.within_x, some.within_x), (whole.between, some.between)):
        assert part.mean == full.mean and part.n_used == 5000 and part.n_pairs == full.n_pairs
        assert part.intervals[0.5][0] < full.quantiles[0.5] < part.intervals[0.5][1]
        assert part.deviation == pytest.approx(full.deviation, rel=0.05)
    assert whole.pairs.mean == pytest.approx(1) and whole.value == pytest.approx(0, abs=1e-12)
    assert some.between.quantiles[0.99] < 1 - 1e-6
    covered = 0
    for seed in range(100):
        part = modal_cosines(x, x, pairs=500, seed=seed).between
        covered += part.intervals[0.25][0] <= whole.between.quantiles[0.25] <= part.intervals[0.25][1]
    assert covered >= 88


def test_pairs_below_the_modality_are_warned_of():
    x, y = gaussian(50, 8) + 2, gaussian(50, 8, 1) - 2
    found = modal_cosines(x, y)
    assert found.value > 0.5 and "less alike" in found.warnings[0]
    assert modal_cosines(x, x + 0.01 * y).warnings == ()


# Kernel discrepancy


def loop_mmd(x, y, kernel, paired):
    n, m = len(x), len(y)
    xx = sum(kernel(x[i], x[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    yy = sum(kernel(y[i], y[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    if paired:
        return xx + yy - 2 * sum(kernel(x[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return xx + yy - 2 * sum(kernel(x[i], y[j]) for i in range(n) for j in range(m)) / (n * m)


@pytest.mark.parametrize("block", [1, 4, 100])
@pytest.mark.parametrize(("m", "paired"), [(6, True), (6, False), (9, False)])
def test_mmd_equals_loops(m, paired, block):
    x, y = gaussian(6, 3), gaussian(m, 3, 1) + 0.7
    rbf = loop_mmd(x, y, lambda a, b: math.exp(-(math.dist(a, b) ** 2) / (2 * 1.3**2)), paired)
    found = kernel_mmd(x, y, bandwidth=1.3, unit=False, paired=paired, block=block)
    assert found.value == pytest.approx(rbf, rel=1e-10)
    linear = loop_mmd(x, y, lambda a, b: float(a @ b), paired)
    assert kernel_mmd(x, y, kernel="linear", unit=False, paired=paired).value == pytest.approx(linear, rel=1e-10)


def test_mmd_of_directions_with_the_linear_kernel_is_the_unbiased_gap():
    x, y = gaussian(40, 5) + 1, gaussian(40, 5, 1)
    for paired in (True, False):
        found = kernel_mmd(x, y, kernel="linear", paired=paired).value
        assert found == pytest.approx(modality_gap(x, y, paired=paired).unbiased_square, rel=1e-10)


def test_mmd_of_gaussians_has_its_closed_form():
    # E k(a, b) for a - b ~ N(mu, 2 I) in d dimensions: (s^2 / (s^2 + 2))^(d/2) exp(-|mu|^2 / (2 (s^2 + 2)))
    s, d, shift = 1.5, 3, 0.8
    same = (s**2 / (s**2 + 2)) ** (d / 2)
    truth = 2 * same * (1 - math.exp(-(shift**2) / (2 * (s**2 + 2))))
    move = torch.tensor([shift, 0, 0], dtype=torch.float64)
    sets = [(gaussian(200, d, i), gaussian(200, d, 50 + i) + move) for i in range(20)]
    for paired in (True, False):
        found = [kernel_mmd(*both, bandwidth=s, unit=False, paired=paired) for both in sets]
        values, halves = np.array([f.value for f in found]), [(f.interval[1] - f.interval[0]) / 2 for f in found]
        assert values.mean() == pytest.approx(truth, abs=4 * values.std() / math.sqrt(20))
        assert sum(f.interval[0] < truth < f.interval[1] for f in found) >= 17
        assert 1.96 * values.std() == pytest.approx(np.mean(halves), rel=0.4)


def test_mmd_null_is_calibrated_and_pairs_are_swapped_within():
    plain = [kernel_mmd(gaussian(40, 3, s), gaussian(40, 3, 200 + s), seed=s, permutations=99) for s in range(100)]
    assert 0 <= sum(f.p_value <= 0.05 for f in plain) <= 12
    assert abs(np.mean([f.value for f in plain])) < 4 * np.std([f.value for f in plain]) / 10
    assert np.mean([f.null_deviation for f in plain]) == pytest.approx(np.std([f.value for f in plain]), rel=0.35)
    # Near copies: free relabelling of rows would never reject, swapping within pairs finds the shift.
    x = gaussian(100, 3)
    y = x + 0.2 + 0.1 * gaussian(100, 3, 5)
    assert kernel_mmd(x, y, unit=False, paired=True).p_value < 0.01
    assert kernel_mmd(x, y, unit=False, paired=False).p_value > 0.01
    assert kernel_mmd(x, x).value == pytest.approx(0, abs=1e-14) and kernel_mmd(x, x).p_value == 1


def test_mmd_samples_bandwidth_and_seed():
    x, y = gaussian(300, 4), gaussian(200, 4, 1)
    found = kernel_mmd(x, y, rows=100, seed=5)
    assert (found.n_x, found.n_y, found.n_x_total, found.n_y_total) == (100, 100, 300, 200)
    assert "100 of 300" in found.warnings[0]
    assert found == kernel_mmd(x, y, rows=100, seed=5) and found != kernel_mmd(x, y, rows=100, seed=6)
    pooled = unit(torch.cat([x, y]))
    distances = [math.dist(pooled[i], pooled[j]) for i in range(0, 500, 5) for j in range(0, i, 5)]
    assert found.bandwidth == pytest.approx(np.median(distances), rel=0.05)
    small = kernel_mmd(x[:5], y[:4], unit=False)
    rows = torch.cat([x[:5], y[:4]])
    every = [math.dist(rows[i], rows[j]) for i in range(9) for j in range(i)]
    assert small.bandwidth == pytest.approx(np.median(every), rel=1e-12)


# Frechet distance


def test_frechet_of_exact_covariances():
    x = torch.linalg.qr(gaussian(40, 4) - gaussian(40, 4).mean(0)).Q * math.sqrt(39)  # mean 0, covariance 1
    spread = torch.tensor([1.0, 2.0, 3.0, 0.5], dtype=torch.float64)
    move = torch.tensor([1.0, -2.0, 0, 0], dtype=torch.float64)
    found = frechet_distance(x, x * spread + move, unit=False)
    assert found.mean_part == pytest.approx(5, rel=1e-9)
    assert found.covariance_part == pytest.approx(0 + 1 + 4 + 0.25, rel=1e-9)  # sum of (s - 1)^2
    assert found.distance == pytest.approx(math.sqrt(10.25), rel=1e-9)
    assert frechet_distance(x, x, unit=False).value == pytest.approx(0, abs=1e-10)


def test_frechet_equals_the_matrix_root_of_scipy():
    from scipy.linalg import sqrtm

    x, y = gaussian(50, 5) @ gaussian(5, 5, 7), gaussian(30, 5, 1) + 1
    a, b = np.cov(x.numpy().T), np.cov(y.numpy().T)
    mean = float(((x.mean(0) - y.mean(0)) ** 2).sum())
    expected = mean + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    assert frechet_distance(x, y, unit=False).value == pytest.approx(expected, rel=1e-9)
    directions = frechet_distance(x * 7, y).value
    assert directions == pytest.approx(frechet_distance(unit(x), unit(y), unit=False).value, rel=1e-9)


def test_frechet_null_is_what_finite_numbers_give():
    n, d = 400, 6
    found = [frechet_distance(gaussian(n, d, s), gaussian(n, d, 90 + s), unit=False) for s in range(20)]
    first_order = 2 / n * d + 2 / n * d * (d + 1) / 4
    assert np.mean([f.value for f in found]) == pytest.approx(first_order, rel=0.1)
    assert np.mean([f.null for f in found]) == pytest.approx(first_order, rel=0.1)
    few = frechet_distance(gaussian(8, 12), gaussian(8, 12, 1), unit=False)
    assert "singular" in few.warnings[0] and few.value == pytest.approx(few.null, rel=0.5) and few.value > 1


def test_frechet_of_a_sample_states_it_with_an_interval():
    x, y = gaussian(2000, 4), gaussian(1500, 4, 1) * 1.3
    whole = frechet_distance(x, y, unit=False)
    some = [frechet_distance(x, y, unit=False, rows=500, seed=s) for s in range(10)]
    assert whole.interval is None and some[0].n_x == 500 and some[0].n_x_total == 2000
    assert sum(f.interval[0] < whole.value < f.interval[1] for f in some) >= 8
    assert some[0] == frechet_distance(x, y, unit=False, rows=500, seed=0)
    assert math.isfinite(frechet_distance(x, y[:2], unit=False, rows=500).interval[1])


# Separability


def test_separable_mixed_and_unrelated_modalities():
    x = gaussian(60, 4)
    apart = modality_separability(x + 4, x - 4)
    assert apart.value == 1 and apart.fold_values == (1.0,) * 5 and apart.interval == (1.0, 1.0)
    assert modality_separability(x, x).value == 0.5  # the same rows under both labels: ties count one half
    found = [modality_separability(gaussian(60, 4, s), gaussian(60, 4, 100 + s), paired=False) for s in range(30)]
    values = np.array([f.value for f in found])
    assert abs(values.mean() - 0.5) < 4 * values.std() / math.sqrt(30)
    assert values.std() == pytest.approx(found[0].null_deviation, rel=0.5)


def test_auc_of_a_shift_along_one_axis_is_that_of_the_normal_distribution():
    from scipy.stats import norm

    # Directions are taken, so the shift lies across a long common offset, where they are nearly flat.
    offset = torch.tensor([0.0, 200.0], dtype=torch.float64)
    x, y = gaussian(3000, 2) + offset, gaussian(3000, 2, 1) + offset + torch.tensor([1.0, 0.0])
    expected = float(norm.cdf(1 / math.sqrt(2)))
    found = modality_separability(x, y, paired=False)
    assert found.value == pytest.approx(expected, abs=0.02)
    assert found.interval[0] < expected < found.interval[1]
    smaller = modality_separability(x, y, rows=500)
    assert smaller.n_x == smaller.n_y == 500 and "500 of 3000" in smaller.warnings[0]


def test_both_rows_of_a_pair_stay_on_one_side(monkeypatch):
    from lab.probes import separability

    seen = []

    def recorded(train, labels, test, truth, strength):
        seen.append((train, labels, test, truth))
        return 0.5, True

    monkeypatch.setattr(separability, "_auc", recorded)
    x, y = unit(gaussian(23, 3)), unit(gaussian(23, 3, 1))
    modality_separability(x, y)
    for train, labels, test, truth in seen:
        for rows, which in ((train, labels), (test, truth)):
            left = {i for i in range(23) if (np.abs(rows[which == 0] - x[i].numpy()).sum(1) < 1e-9).any()}
            right = {i for i in range(23) if (np.abs(rows[which == 1] - y[i].numpy()).sum(1) < 1e-9).any()}
            assert left == right
    assert sum(len(test) for _, _, test, _ in seen) == 46


# All of them


PROBES = {
    "gap": lambda x, y: modality_gap(x, y).value,
    "cosines": lambda x, y: modal_cosines(x, y).value,
    "mmd": lambda x, y: kernel_mmd(x, y).value,
    "frechet": lambda x, y: frechet_distance(x, y).value,
    "auc": lambda x, y: modality_separability(x, y).value,
}


@pytest.mark.parametrize("name", PROBES)
def test_rotations_leave_each_alone_and_precisions_agree(name):
    probe, x, y = PROBES[name], gaussian(80, 5) + 0.5, gaussian(80, 5, 1)
    base = probe(x, y)
    assert probe(x @ rotation(5), y @ rotation(5)) == pytest.approx(base, rel=1e-6, abs=1e-9)
    assert probe(x * 3, y * 0.5) == pytest.approx(base, rel=1e-6, abs=1e-9)
    assert probe(x.numpy(), y.float()) == pytest.approx(base, abs=1e-5)
    assert probe(x.half(), y.half()) == pytest.approx(base, abs=3e-3)
    assert abs(probe(x - x.mean(0), y - y.mean(0)) - base) > 1e-3  # nothing was centred on the way in


def test_rows_in_another_order_leave_unpaired_values_alone():
    x, y = gaussian(50, 4) + 1, gaussian(50, 4, 1)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(4))
    assert modality_gap(x[order], y).value == pytest.approx(modality_gap(x, y).value, rel=1e-12)
    together = kernel_mmd(x[order], y[order]).value
    assert together == pytest.approx(kernel_mmd(x, y).value, rel=1e-10)
    assert frechet_distance(x[order], y).value == pytest.approx(frechet_distance(x, y).value, rel=1e-9)


def test_no_matrix_of_all_pairs_is_held(largest_tensor):
    x, y = gaussian(1500, 4), gaussian(1500, 4, 1)
    with largest_tensor() as watch:
        modality_gap(x, y)
        modal_cosines(x, y, pairs=1000)
        kernel_mmd(x, y, block=128, permutations=20)
        frechet_distance(x, y)
        modality_separability(x, y, folds=2)
    assert watch.numbers <= 1000 * 999 // 2  # the pairs of the median's thousand rows; all would be 9 million


@pytest.mark.parametrize("name", PROBES)
def test_bad_rows_are_named(name):
    probe, x = PROBES[name], gaussian(12, 3)
    bad = x.clone()
    bad[4, 1] = math.nan
    with pytest.raises(ValueError, match="y holds NaN"):
        probe(x, bad)
    bad[4] = 0
    with pytest.raises(ValueError, match="y has a zero row"):
        probe(x, bad)
    with pytest.raises(ValueError, match="y must have 3 columns"):
        probe(x, gaussian(12, 4))
    with pytest.raises(ValueError, match="x must have at least 2 rows"):
        probe(x[:1], x)
    with pytest.raises(ValueError, match="x must have shape"):
        probe(x[0], x)
    with pytest.raises(TypeError, match="x must have a floating dtype"):
        probe(x.long(), x)


def test_bad_arguments_are_named():
    x, y = gaussian(12, 3), gaussian(10, 3, 1)
    for probe in (modality_gap, modal_cosines, kernel_mmd, frechet_distance, modality_separability):
        with pytest.raises(ValueError, match="y must have 12 rows"):
            probe(x, y, paired=True)
    for probe in (modal_cosines, kernel_mmd, frechet_distance, modality_separability):
        with pytest.raises(TypeError, match="seed"):
            probe(x, x, seed=0.5)
    with pytest.raises(ValueError, match="pairs"):
        modal_cosines(x, y, pairs=10)
    with pytest.raises(ValueError, match="kernel"):
        kernel_mmd(x, y, kernel="cubic")
    with pytest.raises(ValueError, match="bandwidth"):
        kernel_mmd(x, y, bandwidth=0.0)
    with pytest.raises(ValueError, match="bandwidth"):
        kernel_mmd(torch.ones(9, 2), torch.ones(9, 2))
    with pytest.raises(ValueError, match="permutations"):
        kernel_mmd(x, y, permutations=5)
    with pytest.raises(ValueError, match="rows"):
        kernel_mmd(x, y, rows=1)
    with pytest.raises(ValueError, match="rows"):
        frechet_distance(x, y, rows=5)
    with pytest.raises(ValueError, match="permutations"):
        frechet_distance(x, y, permutations=0)
    with pytest.raises(ValueError, match="folds"):
        modality_separability(x, y, folds=11)
    with pytest.raises(ValueError, match="strength"):
        modality_separability(x, y, strength=0.0)
    with pytest.raises(ValueError, match="x and y are constant"):
        modality_separability(torch.ones(9, 2), torch.ones(9, 2))
