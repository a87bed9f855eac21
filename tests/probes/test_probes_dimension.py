"""Intrinsic dimension against closed forms, loops, known biases, duplicates and tiny distances."""

import math

import numpy as np
import pytest
import torch

from lab.probes.dimension import mle_dimension, two_nn
from lab.probes.dimension_bias import gaussian_dimension, gaussian_estimate
from lab.probes.distances import NeighbourDistances, neighbour_distances
from lab.probes.duplicates import distinct_rows
from lab.probes.lid import local_dimension


def gaussian(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def torus(n, d, seed=0):
    """n uniform points on the flat torus of d dimensions in 2 d columns: homogeneous, no boundary."""
    angle = 2 * math.pi * torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([angle.cos(), angle.sin()], 1)


def loop_distances(x, k):
    """Distances to the k nearest other rows by a plain loop."""
    found = []
    for i in range(len(x)):
        apart = sorted(float((x[i] - x[j]).norm()) for j in range(len(x)) if j != i)
        found.append(apart[:k])
    return np.array(found)


# Distances


def test_distances_agree_with_a_plain_loop_also_for_a_sample_of_rows():
    x = gaussian(60, 3)
    wanted = loop_distances(x, 4)
    found = neighbour_distances(x, k=4)
    np.testing.assert_allclose(found.distances.numpy(), wanted, rtol=1e-12)
    some = neighbour_distances(x, k=4, queries=20, seed=3)
    np.testing.assert_allclose(some.distances.numpy(), wanted[some.indices.numpy()], rtol=1e-12)
    assert some.indices.unique().tolist() == some.indices.tolist() and len(some.indices) == 20
    assert (some.rows, some.columns, some.duplicates) == (60, 3, 0)


def test_the_same_seed_draws_the_same_rows():
    x = gaussian(300, 3)
    a, b, c = (two_nn(x, queries=100, seed=s) for s in (1, 1, 2))
    assert a == b and a.value != c.value and (a.low, a.high) == (b.low, b.high)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_tiny_distances_and_large_offsets_keep_their_digits(dtype):
    x = gaussian(400, 5, dtype=dtype)
    exact = two_nn(x, form="ml").value
    pairs = torch.cat([x, x + 2.0**-18 * gaussian(400, 5, 1, dtype=dtype)])
    found = neighbour_distances(pairs, k=1).distances[:, 0]
    wanted = (pairs[:400] - pairs[400:]).double().norm(dim=1)
    torch.testing.assert_close(found[:400], wanted, rtol=1e-12, atol=0)
    offset = 2.0**20 if dtype == torch.float64 else 2.0**6
    rounded = (x + offset) - offset  # what the offset leaves of the rows
    assert two_nn(rounded + offset, form="ml").value == pytest.approx(two_nn(rounded, form="ml").value, rel=1e-9)
    assert exact == pytest.approx(two_nn(rounded, form="ml").value, rel=1e-2)


def test_an_offset_of_ten_million_in_thirty_columns_is_no_trouble():
    x = torch.cat([torus(600, 3), torch.zeros(600, 24)], 1) @ torch.linalg.qr(gaussian(30, 30)).Q
    plain, moved = two_nn(x, form="ml"), two_nn(x + 1e7, form="ml")
    assert moved.value == pytest.approx(plain.value, rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtypes_arrays_and_memory_mapped_files_agree(dtype, tmp_path):
    x = gaussian(300, 6).half().to(dtype)
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    wanted = two_nn(x.double(), queries=150)
    for given in (x, x.numpy(), mapped):
        assert two_nn(given, queries=150).value == pytest.approx(wanted.value, rel=1e-9)


def test_rotation_scale_shift_and_order_do_not_matter():
    x = gaussian(200, 4)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    turn = torch.linalg.qr(gaussian(4, 4, 5)).Q
    for probe in (two_nn, mle_dimension, local_dimension):
        for moved in (x @ turn, 1e-4 * x, 1e5 * x, x + 10, x[order]):
            assert probe(moved).value == pytest.approx(probe(x).value, rel=1e-8)


def test_no_matrix_of_all_distances_is_ever_held(largest_tensor):
    x = gaussian(3000, 3)
    with largest_tensor() as largest:
        mle_dimension(x, k=5, block=64)
    assert largest.numbers <= 3000 * 64 < 3000**2 / 8


# Equal rows


def test_distinct_rows_are_the_first_of_each_kind():
    generator = np.random.default_rng(0)
    for dtype in (np.float16, np.float32, np.float64):
        x = generator.integers(-2, 3, (400, 3)).astype(dtype)
        x[5] = -0.0
        seen: dict[tuple, int] = {}
        for i, row in enumerate(x):
            seen.setdefault(tuple(float(v) for v in row), i)
        for given in (x, torch.from_numpy(x)):
            assert distinct_rows(given, block=37).tolist() == sorted(seen.values())
    assert distinct_rows(gaussian(50, 2).bfloat16()).shape == (50,)


def test_rows_that_share_a_sum_of_bits_are_compared_in_full(monkeypatch):
    import lab.probes.duplicates as module

    monkeypatch.setattr(module, "_bits", lambda x, which: np.zeros_like(module._values(x, which), dtype=np.uint64))
    assert distinct_rows(torch.tensor([[1.0], [2.0], [1.0], [3.0]])).tolist() == [0, 1, 3]


@pytest.mark.parametrize("copies", [5, 100])
def test_equal_rows_are_left_out_counted_and_change_nothing(copies):
    x = gaussian(1000, 5)
    twice = torch.cat([x, x[:copies]])
    for probe in (two_nn, lambda rows: two_nn(rows, form="ml"), mle_dimension):
        plain, found = probe(x), probe(twice)
        assert found.value == plain.value and (found.rows, found.duplicates) == (1000, copies)
        assert f"{copies} rows equal an earlier row" in found.warnings[0]
    local = local_dimension(twice)
    assert local.value == local_dimension(x).value and "equal an earlier row" in local.warnings[0]
    assert int(local.indices.max()) < 1000
    first = neighbour_distances(torch.cat([x[:1], x[:1], x[1:]]), k=1, queries=50)
    torch.testing.assert_close(first.distances, neighbour_distances(x, k=1).distances[(first.indices - 1).clamp(min=0)])


# TwoNN


def test_two_nn_forms_follow_their_formulas():
    x = gaussian(80, 3)
    distances = loop_distances(x, 2)
    ratios = np.sort(np.log(distances[:, 1] / distances[:, 0]))
    assert two_nn(x, form="ml").value == pytest.approx(79 / ratios.sum(), rel=1e-12)
    for discard in (0.1, 0.25, 0.0):
        kept = min(79, round(80 * (1 - discard)))
        heights = [-math.log(1 - (i + 1) / 80) for i in range(kept)]
        slope = sum(h * t for h, t in zip(heights, ratios, strict=False)) / sum(t * t for t in ratios[:kept])
        found = two_nn(x, discard=discard)
        assert found.value == pytest.approx(slope, rel=1e-12) and found.discard == discard
    assert (two_nn(x).form, two_nn(x, form="ml").form, two_nn(x, form="ml").discard) == ("TwoNN, fit", "TwoNN, ml", 0.0)


def test_two_nn_ml_is_unbiased_with_the_stated_spread_and_interval():
    found = [two_nn(torus(400, 2, s), form="ml") for s in range(40)]
    values = np.array([one.value for one in found])
    assert abs(values.mean() - 2) < 4 * values.std() / math.sqrt(40) + 0.02
    assert values.std() == pytest.approx(2 / math.sqrt(400), rel=0.4)
    inside = np.mean([one.low < 2 < one.high for one in found])
    assert inside > 0.8


@pytest.mark.parametrize(("d", "fit", "mle"), [(10, 9.8, 9.1), (20, 17.3, 15.2), (50, 31.9, 28.0)])
def test_gaussian_clouds_show_the_known_bias_which_is_the_null(d, fit, mle):
    near = neighbour_distances(gaussian(2000, d), k=20)
    for found, known in ((two_nn(near), fit), (two_nn(near, form="ml"), fit), (mle_dimension(near), mle)):
        assert found.value == pytest.approx(known, rel=0.06)
        assert found.null == pytest.approx(known, rel=0.02)
        assert found.gaussian_dimension == pytest.approx(d, rel=0.08)
        assert any(f"in all {d} columns" in one for one in found.warnings)
        assert any("falls short" in one for one in found.warnings) == (found.gaussian_dimension > 1.1 * found.value)


def test_a_surface_in_many_columns_is_found_and_not_warned_of():
    x = torch.cat([torus(1500, 2), torch.zeros(1500, 46)], 1) @ torch.linalg.qr(gaussian(50, 50)).Q
    for found in (two_nn(x), two_nn(x, form="ml"), mle_dimension(x), mle_dimension(x, average="estimates")):
        assert found.value == pytest.approx(2, rel=0.08) and found.null > 20 and found.warnings == ()


# Maximum likelihood


@pytest.mark.parametrize("k", [4, 10])
def test_likelihood_estimates_follow_their_formulas(k):
    x = gaussian(70, 3)
    distances = loop_distances(x, k)
    sums = np.log(distances[:, -1:] / distances).sum(1)
    local = local_dimension(x, k=k)
    np.testing.assert_allclose(local.values.numpy(), (k - 2) / sums, rtol=1e-10)
    assert mle_dimension(x, k=k, average="estimates").value == pytest.approx(((k - 2) / sums).mean(), rel=1e-12)
    assert local.value == pytest.approx(((k - 2) / sums).mean(), rel=1e-12)
    assert mle_dimension(x, k=k).value == pytest.approx((70 * (k - 1) - 1) / sums.sum(), rel=1e-12)
    assert local.spread == pytest.approx(np.std(1 / sums) / np.mean(1 / sums), rel=1e-9)


def test_both_averages_are_unbiased_for_gamma_distributed_sums():
    generator = np.random.default_rng(0)
    dimension, k, m = 7.0, 6, 20000
    radii = np.sort(generator.random((m, k - 1)), axis=1) ** (1 / dimension)
    distances = torch.from_numpy(np.concatenate([radii, np.ones((m, 1))], 1))
    near = NeighbourDistances(distances, torch.arange(m), 10**6, 40, 0)
    for average in ("inverse", "estimates"):
        assert mle_dimension(near, k=k, average=average).value == pytest.approx(dimension, rel=0.02)
    local = local_dimension(near, k=k)
    assert local.value == pytest.approx(dimension, rel=0.02) and local.spread_null == pytest.approx(1 / math.sqrt(3))
    assert local.spread == pytest.approx(local.spread_null, rel=0.1)


def test_two_neighbours_make_the_likelihood_two_nn():
    x = gaussian(150, 4)
    assert mle_dimension(x, k=2).value == pytest.approx(two_nn(x, form="ml").value, rel=1e-12)


def test_local_dimension_tells_a_line_from_a_solid():
    line = torch.zeros(600, 4, dtype=torch.float64)
    line[:, 0] = 20 + torch.rand(600, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    solid = torch.rand(600, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = local_dimension(torch.cat([line, solid]))
    assert float(found.values[:600].mean()) == pytest.approx(1, rel=0.1)
    assert float(found.values[600:].mean()) == pytest.approx(3.6, rel=0.1)
    assert found.spread > 1.5 * found.spread_null


# Bias


def test_the_estimate_on_a_gaussian_is_what_simulation_gives():
    for n, d, k in ((100, 8, 2), (300, 30, 5), (60, 3, 10)):
        values = [
            (n * (k - 1)) / float(torch.log(one[:, -1:] / one).sum())
            for one in (neighbour_distances(gaussian(n, d, s), k=k).distances for s in range(30))
        ]
        inverse = 1 / np.array(values)
        error = inverse.std() / math.sqrt(30)
        assert abs(inverse.mean() - 1 / gaussian_estimate(n, d, k=k)) < 4 * error + 0.01 * inverse.mean()


def test_the_corrected_dimension_undoes_the_bias():
    for d in (1.5, 12, 200):
        estimate = gaussian_estimate(5000, d, k=20)
        assert gaussian_dimension(5000, estimate, k=20) == pytest.approx(d, rel=5e-3)
    assert gaussian_dimension(100, 1e6, k=2) == math.inf
    estimates = [gaussian_estimate(2000, d, k=2) for d in (1, 4, 16, 64, 256, 1024)]
    assert estimates == sorted(estimates) and estimates[0] == pytest.approx(1, abs=1e-3)
    assert gaussian_estimate(10**6, 20, k=2) > gaussian_estimate(10**3, 20, k=2)


# Bad input


def test_bad_input_is_refused_by_name():
    x = gaussian(30, 3)
    bad = x.clone()
    bad[4, 1] = math.nan
    for probe in (two_nn, mle_dimension, local_dimension):
        with pytest.raises(ValueError, match="holds NaN or infinity"):
            probe(bad)
        with pytest.raises(ValueError, match="x must have shape"):
            probe(x[0])
        with pytest.raises(ValueError, match="x must hold more than k = "):
            probe(x[:1])
        with pytest.raises(ValueError, match="x must hold more than k = .* got 1 .of 30"):
            probe(torch.ones(30, 3))
        for queries in (1, 0, True, 2.5):
            with pytest.raises(ValueError, match="queries must be"):
                probe(x, queries=queries)
        with pytest.raises(ValueError, match="block must be"):
            probe(x, block=0)
    for k in (1, True, 3.0):
        with pytest.raises(ValueError, match="k must be an integer of at least 2"):
            mle_dimension(x, k=k)
    with pytest.raises(ValueError, match="at least 3"):
        mle_dimension(x, k=2, average="estimates")
    with pytest.raises(ValueError, match="at least 4"):
        local_dimension(x, k=3)
    with pytest.raises(ValueError, match="k must be an integer of at least 1"):
        neighbour_distances(x, k=0)
    with pytest.raises(ValueError, match="k must be at most 2, the neighbours that x holds"):
        mle_dimension(neighbour_distances(x, k=2), k=5)
    with pytest.raises(ValueError, match="average must be"):
        mle_dimension(x, average="mean")
    with pytest.raises(ValueError, match="form must be"):
        two_nn(x, form="linear")
    for discard in (-0.1, 1.0, math.nan, True):
        with pytest.raises(ValueError, match="discard must lie in"):
            two_nn(x, discard=discard)
    with pytest.raises(ValueError, match="discard leaves none"):
        two_nn(x, discard=0.99)
    with pytest.raises(ValueError, match="rows must exceed k"):
        gaussian_estimate(5, 2, k=5)
    with pytest.raises(ValueError, match="dimension must lie above 0"):
        gaussian_estimate(50, 0, k=2)
    with pytest.raises(ValueError, match="distance is 0 in float64"):
        neighbour_distances(1e-200 * x, k=2)


def test_a_lattice_is_refused_or_warned_of():
    line = torch.arange(40, dtype=torch.float64)[:, None]
    circle = torch.eye(12)
    for probe in (
        two_nn,
        lambda x: two_nn(x, form="ml"),
        lambda x: mle_dimension(x, k=5),
        lambda x: local_dimension(x, k=5),
    ):
        with pytest.raises(ValueError, match="lattice"):
            probe(circle)
    found = mle_dimension(line, k=2)
    assert math.isfinite(found.value) and "38 rows have 2 neighbours at one and the same distance" in found.warnings[0]
    mixed = torch.cat([circle, 5 + gaussian(40, 12, dtype=torch.float32)])
    assert local_dimension(mixed, k=5).values.isfinite().all()
    assert "12 rows have 5 neighbours" in mle_dimension(mixed, k=5, average="estimates").warnings[0]


def test_records_turn_into_their_value():
    near = neighbour_distances(gaussian(50, 3), k=20)
    for found in (two_nn(near), mle_dimension(near), local_dimension(near)):
        assert float(found) == found.value
