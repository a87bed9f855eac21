"""Hubness against closed forms, plain loops, SciPy and scikit-learn, on one set, on two, and from samples."""

import math
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from lab.neighbours import Neighbours, nearest
from lab.probes.hubs import hubness, hubness_of
from lab.probes.occurrence_counts import central_moments, k_occurrence, random_counts, skewness


def rows(n, d, seed=0, draw=torch.randn):
    return draw(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def lists(indices):
    indices = torch.as_tensor(indices)
    return Neighbours(indices, torch.linspace(1, 0, indices.shape[1]).expand(indices.shape).double())


def star(n):
    """Everybody's nearest row is row 0, whose nearest is row 1."""
    return lists([[1]] + [[0]] * (n - 1))


def test_a_star_has_one_hub_and_all_figures_in_closed_form():
    n = 50
    report = hubness_of(star(n), n_gallery=n, one_set=True)
    # Counts n - 1, 1 and n - 2 times 0, mean 1.
    second = ((n - 2) ** 2 + n - 2) / n
    third = ((n - 2) ** 3 - (n - 2)) / n
    assert report.value == float(report) == pytest.approx(third / second**1.5, rel=1e-12)
    assert report.robin_hood == pytest.approx((n - 2) / n, rel=1e-12)
    assert report.gini == pytest.approx(1 - 1 / n - 2 / n**2, rel=1e-12)  # (1 (n - 3) + (n - 1)^2) / n^2
    assert report.antihub_share == pytest.approx((n - 2) / n)
    assert (report.n_hubs, report.hub_share, report.hub_threshold) == (1, pytest.approx((n - 1) / n), 2.0)
    assert report.largest[:3] == (0, 1, 2) and report.largest_counts[:3] == (n - 1, 1, 0)
    assert (report.mean, report.k, report.n_queries, report.n_gallery) == (1, 1, n, n)


def test_equal_counts_have_no_hubness():
    ring = lists([[(i + 1) % 9, (i - 1) % 9] for i in range(9)])
    report = hubness_of(ring, n_gallery=9, one_set=True)
    assert (report.value, report.robin_hood, report.gini) == (0, 0, 0)
    assert (report.antihub_share, report.hub_share, report.n_hubs) == (0, 0, 0)
    assert any("equally often" in w for w in report.warnings)
    everybody = hubness(rows(6, 3), k=5)
    assert (everybody.value, everybody.null, everybody.gini, everybody.gini_null) == (0, 0, 0, 0)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
@pytest.mark.parametrize("two_sets", [False, True])
def test_agrees_with_plain_loops(metric, two_sets):
    queries = rows(37, 6)
    gallery = rows(23, 6, 1) if two_sets else queries
    k = 4
    counts = [0] * len(gallery)
    for i in range(len(queries)):
        scores = []
        for j in range(len(gallery)):
            if two_sets or i != j:
                a, b = queries[i], gallery[j]
                score = {"dot": a @ b, "cosine": a @ b / a.norm() / b.norm(), "euclidean": -(a - b).norm()}[metric]
                scores.append((-float(score), j))
        for _, j in sorted(scores)[:k]:
            counts[j] += 1
    report = hubness(queries, gallery if two_sets else None, k=k, metric=metric, block=10)
    assert report.counts.tolist() == counts and sum(counts) == len(queries) * k
    n, mean = len(gallery), len(queries) * k / len(gallery)
    assert report.value == pytest.approx(stats.skew(counts), rel=1e-12)
    assert report.robin_hood == pytest.approx(sum(abs(c - mean) for c in counts) / (2 * sum(counts)), rel=1e-12)
    gini = sum(abs(a - b) for a in counts for b in counts) / (2 * n * n * mean)
    assert report.gini == pytest.approx(gini, rel=1e-12)
    assert report.antihub_share == counts.count(0) / n
    hubs = [c for c in counts if c >= 2 * mean]
    assert (report.n_hubs, report.hub_share) == (len(hubs), pytest.approx(sum(hubs) / sum(counts)))
    assert report.largest == tuple(sorted(range(n), key=lambda j: (-counts[j], j))[:10])


def test_one_set_and_two_sets_keep_their_axes_apart():
    # Ten times as many queries as rows of the gallery: a mean of 10 k, not k, and one hub with 134 of 1000 places.
    counts = np.full(20, 45)
    counts[0], counts[1:] = 134, (1000 - 134) // 19
    counts[1 : 1 + 1000 - counts.sum()] += 1
    indices = np.repeat(np.arange(20), counts).reshape(5, 200).T
    assert all(len(set(one)) == 5 for one in indices.tolist())
    report = hubness_of(lists(indices), n_gallery=20, one_set=False)
    assert (report.n_queries, report.n_gallery, report.mean, report.hub_threshold) == (200, 20, 50, 100)
    assert report.hub_share == pytest.approx(0.134)
    assert report.poisson_null == pytest.approx(50**-0.5)
    assert report.null == pytest.approx((1 - 2 * 0.25) / math.sqrt(200 * 0.25 * 0.75))
    wide = hubness_of(lists([[0, 1], [0, 2]]), n_gallery=1000, one_set=False)
    assert (wide.mean, wide.antihub_share) == (0.004, 0.997)
    assert any("missing from all lists by chance" in w for w in wide.warnings)


def test_a_hub_at_the_threshold_is_counted():
    # Counts 4, 2, 1, 1, 0 over a gallery of five with four queries of two: mean 1.6.
    found = lists([[0, 1], [0, 1], [0, 2], [0, 3]])
    at = hubness_of(found, n_gallery=5, one_set=False, hub_factor=2.5)
    assert (at.hub_threshold, at.n_hubs, at.hub_share) == (4.0, 1, 0.5)
    assert hubness_of(found, n_gallery=5, one_set=False, hub_factor=2.51).n_hubs == 0
    assert hubness_of(found, n_gallery=5, one_set=False, n_largest=2).largest == (0, 1)


def test_self_hits_are_refused_and_never_counted_also_among_duplicates():
    x = rows(200, 30, 2, torch.rand)
    with_self = nearest(x, x, k=5, metric="euclidean")
    with pytest.raises(ValueError, match="found counts rows as neighbours of their own, first row 0"):
        hubness_of(with_self, n_gallery=200, one_set=True)
    assert hubness_of(with_self, n_gallery=200, one_set=False).value != hubness(x, k=5, metric="euclidean").value
    # Five copies of each row: with k = 4 every copy is listed by its four twins, and nothing else is.
    twins = hubness(rows(12, 4).repeat(5, 1), k=4, metric="euclidean")
    assert (twins.counts == 4).all() and twins.value == 0
    assert any(w.startswith("60 of 60 rows have an equal row") for w in twins.warnings)
    assert any(w.startswith("60 of 60 queries have k equally near") for w in twins.warnings)
    few = rows(30, 4)
    few = torch.cat([few, few[:2]])
    for metric in ("cosine", "euclidean"):
        assert any(w.startswith("4 of 32 rows have an equal row") for w in hubness(few, k=3, metric=metric).warnings)
    assert hubness(rows(30, 4), k=3).warnings == ()


def mean_skewness(draw, d, metric, seeds=5, n=2000):
    values = [hubness(rows(n, d, s, draw).float(), k=5, metric=metric).value for s in range(seeds)]
    return sum(values) / seeds


@pytest.mark.parametrize(("d", "low", "high"), [(3, 0.1, 0.22), (20, 1.55, 1.95), (100, 2.9, 5.0)])
def test_skewness_in_the_cube_grows_with_dimension(d, low, high):
    assert low < mean_skewness(torch.rand, d, "euclidean") < high


def test_on_the_sphere_it_does_not_grow_but_nears_that_of_random_neighbours():
    values = {d: mean_skewness(torch.randn, d, "cosine", seeds=3) for d in (3, 20, 100)}
    assert 0.03 < values[3] < 0.2
    assert 0.33 < values[20] < 0.47 and 0.35 < values[100] < 0.5
    assert random_counts(1999, 5 / 1999, 2000, 10).skewness == pytest.approx(5**-0.5, abs=2e-3)


def test_gaussian_rows_have_more_hubs_than_the_cube():
    x = rows(2000, 20)
    report = hubness(x, k=5, metric="euclidean")
    assert 1.5 < report.value < 2.6 and report.value > report.null + 10 * report.null_deviation
    assert report.robin_hood > report.robin_hood_null and report.gini > report.gini_null
    assert report.antihub_share > report.antihub_null and report.hub_share > report.hub_share_null
    # Hubs of a Gaussian lie near its centre.
    assert x[list(report.largest)].norm(dim=1).mean() < x.norm(dim=1).mean() - 1


def test_nulls_are_those_of_random_lists():
    n, k, draws = 150, 5, 300
    generator = np.random.default_rng(0)
    reports = []
    for _ in range(draws):
        chances = generator.random((n, n))
        np.fill_diagonal(chances, np.inf)
        reports.append(hubness_of(lists(chances.argsort(1)[:, :k]), n_gallery=n, one_set=True))
    first = reports[0]
    for name, null in [
        ("robin_hood", first.robin_hood_null),
        ("gini", first.gini_null),
        ("antihub_share", first.antihub_null),
        ("hub_share", first.hub_share_null),
    ]:
        values = np.array([getattr(r, name) for r in reports])
        assert abs(values.mean() - null) < 4 * values.std() / math.sqrt(draws), name
    values = np.array([r.value for r in reports])
    # Skewness of a sample of 150 counts lies a little below that of their distribution.
    assert first.null - 0.06 < values.mean() < first.null + 0.01
    assert values.std() == pytest.approx(first.null_deviation, rel=0.15)


def test_the_null_agrees_with_the_moments_of_the_binomial():
    null = random_counts(400, 0.05, 30, 25)
    law = stats.binom(400, 0.05)
    x = np.arange(401)
    mass = law.pmf(x)
    assert null.skewness == pytest.approx(float(law.stats(moments="s")))
    assert null.antihub_share == pytest.approx(0.95**400)
    assert null.hub_share == pytest.approx((mass * x)[25:].sum() / 20)
    gaps = np.abs(x[:, None] - x)
    assert null.gini == pytest.approx(mass @ gaps @ mass / 40 * 29 / 30)
    assert null.robin_hood == pytest.approx(mass @ np.abs(x - 20) / 40)


def test_invariances():
    x = rows(150, 10)
    turn = torch.linalg.qr(rows(10, 10, 3)).Q
    order = torch.randperm(150, generator=torch.Generator().manual_seed(1))
    plain, cosine = hubness(x, metric="euclidean"), hubness(x)
    assert hubness(x @ turn * 3 + 5, metric="euclidean") == plain
    assert hubness(x * rows(150, 1, 4).abs()).value == cosine.value
    moved = hubness(x[order])
    assert moved.value == pytest.approx(cosine.value) and moved.counts.equal(cosine.counts[order])


def test_number_types_agree():
    x = (rows(120, 8) * 8).round() / 8  # the same rows in every type
    wanted = hubness(x, k=6, metric="euclidean")
    for form in (x.float(), x.half(), x.numpy(), x.half().numpy()):
        # Many distances tie on this grid, and ties go by index in every type.
        assert hubness(form, k=6, metric="euclidean").counts.equal(wanted.counts)


def test_agrees_with_scikit_learn_and_scipy():
    x = rows(300, 12).numpy()
    indices = NearestNeighbors(n_neighbors=10).fit(x).kneighbors(return_distance=False)
    counts = Counter(indices.ravel().tolist())
    report = hubness(x, k=10, metric="euclidean")
    assert report.counts.tolist() == [counts[j] for j in range(300)]
    assert report.value == pytest.approx(stats.skew(report.counts.numpy()), rel=1e-12)
    assert skewness(report.counts) == report.value


def test_found_neighbours_give_the_same_report():
    x, y = rows(60, 5), rows(40, 5, 1)
    assert hubness_of(nearest(x, k=7), n_gallery=60, one_set=True) == hubness(x, k=7)
    assert hubness_of(nearest(x, y, k=7), n_gallery=40, one_set=False) == hubness(x, y, k=7)


@pytest.mark.parametrize("two_sets", [False, True])
def test_a_sample_estimates_the_skewness_of_all_queries_without_bias(two_sets):
    queries = rows(1500, 15)
    gallery = rows(400, 15, 1) if two_sets else None
    whole = hubness(queries, gallery, metric="euclidean")
    some = [hubness(queries, gallery, metric="euclidean", sample=200, seed=s) for s in range(25)]
    values = np.array([r.estimate for r in some])
    assert abs(values.mean() - whole.value) < 3 * values.std() / 5
    assert sum(r.interval[0] <= whole.value <= r.interval[1] for r in some) >= 21
    first = some[0]
    assert (first.n_queries, first.n_queries_total, first.seed) == (200, 1500, 0)
    assert int(first.counts.sum()) == 2000 and "200 of 1500 queries" in first.warnings[0]
    chance = random_counts(200, 10 / first.n_gallery, first.n_gallery, 2 * first.mean)
    assert (first.value, first.null) == (skewness(first.counts), chance.skewness)
    assert (first.gini_null, first.hub_share_null) == (chance.gini, chance.hub_share)
    assert first.poisson_null == pytest.approx((2000 / first.n_gallery) ** -0.5)
    assert (whole.estimate, whole.interval, whole.seed, whole.n_queries_total) == (whole.value, None, None, 1500)


def test_the_mean_over_all_samples_is_the_moment_of_all_queries():
    indices = nearest(rows(9, 3), rows(6, 3, 1), k=3).indices
    whole = torch.bincount(indices.flatten(), minlength=6).double()
    samples = [
        central_moments(torch.bincount(indices[list(some)].flatten(), minlength=6), 5, 3, 9)
        for some in combinations(range(9), 5)
    ]
    for power, means in zip((2, 3), zip(*samples, strict=True), strict=True):
        assert np.mean(means) == pytest.approx(float((whole - whole.mean()).pow(power).mean()), rel=1e-12)


def test_a_sample_of_random_neighbours_lies_at_its_own_null():
    x = rows(3000, 60).float()
    values = [hubness(x, sample=300, seed=s) for s in range(5)]
    assert abs(np.mean([r.value for r in values]) - values[0].null) < 3 * values[0].null_deviation
    assert values[0].null > 2 * hubness(x).null


def test_a_sample_of_nearly_all_queries_comes_to_their_value():
    x = rows(400, 10)
    whole, most = hubness(x), hubness(x, sample=399)
    assert most.estimate == pytest.approx(whole.value, abs=0.02)
    assert most.interval[1] - most.interval[0] < 0.1
    assert hubness(x, sample=400) == whole


def test_the_same_seed_draws_the_same_sample_from_tensor_and_array():
    x = rows(300, 10)
    a = hubness(x, sample=100, seed=3)
    assert a == hubness(x.numpy(), sample=100, seed=3)
    assert a.value != hubness(x, sample=100, seed=4).value
    # No sampled row counts itself: the sampled lists are those of the whole set.
    chosen = torch.randperm(300, generator=torch.Generator().manual_seed(3))[:100].sort().values
    lists_of_all = nearest(x, k=10)
    part = Neighbours(lists_of_all.indices[chosen], lists_of_all.similarities[chosen])
    assert a.counts.equal(k_occurrence(part, n_gallery=300))


def test_no_matrix_of_all_pairs_appears(largest_tensor):
    x = rows(3000, 4)
    with largest_tensor() as largest:
        for form in (x, x.float()):
            hubness(form, block=50)
            hubness(form, block=50, sample=500)
    assert largest.numbers <= 50 * 3000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must lie in 1 .. 49"),
        ({"k": 50}, "k must lie in 1 .. 49"),
        ({"queries": rows(1, 3)}, "k must lie in"),
        ({"gallery": rows(9, 3)}, "k must lie in 1 .. 9"),
        ({"gallery": rows(9, 4)}, "gallery must have 3 columns"),
        ({"queries": torch.full((50, 3), torch.nan)}, "queries holds NaN"),
        ({"queries": torch.zeros(50, 3)}, "queries has a zero row"),
        ({"hub_factor": 0}, "hub_factor must be above 0"),
        ({"hub_factor": math.nan}, "hub_factor must be above 0"),
        ({"n_largest": 0}, "n_largest must be at least 1"),
        ({"sample": 39}, "sample must be at least 40"),
        ({"metric": "l1"}, "metric must be"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    arguments = {"queries": rows(50, 3)} | arguments
    with pytest.raises(ValueError, match=message):
        hubness(arguments.pop("queries"), arguments.pop("gallery", None), **arguments)


def test_wrong_lists_are_named():
    with pytest.raises(ValueError, match="n_gallery must cover the indices of found, 0 .. 3, got 3"):
        k_occurrence(lists([[0, 3]]), n_gallery=3)
    with pytest.raises(ValueError, match="found holds one row of the gallery twice"):
        k_occurrence(lists([[0, 1], [2, 2]]), n_gallery=3)
    with pytest.raises(ValueError, match="found must hold indices of shape"):
        k_occurrence(Neighbours(torch.empty(0, 2, dtype=torch.int64), torch.empty(0, 2)), n_gallery=3)
    with pytest.raises(ValueError, match="n_gallery must equal the 2 queries"):
        hubness_of(lists([[1], [0]]), n_gallery=3, one_set=True)


def test_a_sample_that_cannot_tell_gives_no_estimate():
    # No row is listed twice by the sample, so there is no sign of any variance.
    line = torch.arange(4000.0)[:, None]
    report = hubness(line, k=1, metric="euclidean", sample=40)
    assert report.estimate is None and report.interval is None and math.isfinite(report.value)
