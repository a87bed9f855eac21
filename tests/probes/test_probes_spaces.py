"""Agreement of two spaces against closed forms, whole matrices, loops and scipy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from lab.probes.kernel_alignment import kernel_cka, linear_cka
from lab.probes.result_lists import list_agreement, neighbour_agreement
from lab.probes.rotation_fit import procrustes_distance


def gaussian(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def rotation(d: int) -> torch.Tensor:
    return torch.linalg.qr(gaussian(d, d, 99)).Q


# Centred kernel alignment


def rbf_matrix(x, fraction=1.0):
    n = len(x)
    distances = np.array([[math.dist(x[i], x[j]) for j in range(n)] for i in range(n)])
    median = np.median(distances[np.triu_indices(n, 1)])
    return np.exp(-(distances**2) / (2 * (fraction * median) ** 2))


def matrix_cka(k, m, unbiased):
    """From whole kernel matrices, by centring them; the unbiased one by U-centring (Szekely and Rizzo)."""
    n = len(k)
    if not unbiased:
        h = np.eye(n) - 1 / n
        k, m = h @ k @ h, h @ m @ h
    else:
        centred = []
        for one in (k, m):
            one = one - np.diag(np.diag(one))
            rows = one.sum(0) / (n - 2)
            one = one - rows[:, None] - rows[None, :] + one.sum() / ((n - 1) * (n - 2))
            centred.append(one - np.diag(np.diag(one)))
        k, m = centred
    return (k * m).sum() / math.sqrt((k * k).sum() * (m * m).sum())


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("block", [1, 5, 64])
def test_cka_equals_that_of_whole_matrices(unbiased, block):
    x, y = gaussian(17, 4) + 3, gaussian(17, 6, 1) @ gaussian(6, 6, 2)
    y[:, :4] += x
    k, m = x.numpy() @ x.numpy().T, y.numpy() @ y.numpy().T
    found = linear_cka(x, y, unbiased=unbiased, block=block)
    assert found.value == pytest.approx(matrix_cka(k, m, unbiased), rel=1e-10)
    k, m = rbf_matrix(x.numpy(), 0.5), rbf_matrix(y.numpy(), 0.5)
    found = kernel_cka(x, y, bandwidth=0.5, unbiased=unbiased, block=block)
    assert found.value == pytest.approx(matrix_cka(k, m, unbiased), rel=1e-10)


def test_unbiased_hsic_is_the_mean_over_disjoint_quadruples():
    # Song et al.: HSIC_1 is the U-statistic of K_ij (L_ij + L_qr - 2 L_iq) over all i, j, q, r that differ
    x, y = gaussian(7, 2).numpy(), gaussian(7, 3, 1).numpy()

    def quadruples(k, m):
        found = [k[i, j] * (m[i, j] + m[q, r] - 2 * m[i, q]) for i, j, q, r in itertools.permutations(range(7), 4)]
        return np.mean(found)

    k, m = x @ x.T, y @ y.T
    expected = quadruples(k, m) / math.sqrt(quadruples(k, k) * quadruples(m, m))
    assert linear_cka(x, y, unbiased=True).value == pytest.approx(expected, rel=1e-10)


def test_cka_closed_forms():
    x = gaussian(60, 5)
    assert linear_cka(x, 3 * x @ rotation(5) - 7).value == pytest.approx(1, rel=1e-12)
    assert linear_cka(x, 3 * x @ rotation(5) - 7, unbiased=True).value == pytest.approx(1, rel=1e-12)
    assert kernel_cka(x, 3 * x @ rotation(5) - 7).value == pytest.approx(1, rel=1e-10)
    white = torch.linalg.qr(torch.cat([torch.ones(60, 1, dtype=torch.float64), gaussian(60, 9)], 1)).Q[:, 1:]
    # p and q orthonormal centred columns of which c are shared: c / sqrt(p q)
    assert linear_cka(white[:, :5], white[:, 3:9]).value == pytest.approx(2 / math.sqrt(30), rel=1e-10)
    assert linear_cka(white[:, :4], white[:, 4:]).value == pytest.approx(0, abs=1e-12)
    # a wide Gaussian kernel is 1 - |a - b|^2 / (2 s^2): the linear alignment
    y = gaussian(60, 3, 1) + x[:, :3]
    assert kernel_cka(x, y, bandwidth=300.0).value == pytest.approx(linear_cka(x, y).value, abs=1e-4)
    assert kernel_cka(x, y, bandwidth=300.0, unbiased=True).value == pytest.approx(
        linear_cka(x, y, unbiased=True).value, abs=1e-4
    )


@pytest.mark.parametrize("probe", [linear_cka, kernel_cka])
def test_cka_null_is_the_mean_over_all_pairings(probe):
    x, y = gaussian(5, 3), gaussian(5, 2, 1)
    orders = list(itertools.permutations(range(5)))
    biased = [probe(x, y[list(order)]).value for order in orders]
    assert np.mean(biased) == pytest.approx(probe(x, y).null, rel=1e-10)
    unbiased = [probe(x, y[list(order)], unbiased=True).value for order in orders]
    assert np.mean(unbiased) == pytest.approx(0, abs=1e-12) and probe(x, y, unbiased=True).null == 0


def test_few_rows_make_the_biased_ratio_high_and_say_so():
    n, p, q = 60, 90, 120
    found = linear_cka(gaussian(n, p), gaussian(n, q, 1))
    assert found.value > 0.5 and found.value == pytest.approx(found.null, abs=0.02)
    assert found.null == pytest.approx(math.sqrt(p * q / ((n + p) * (n + q))), rel=0.02)
    assert "unbiased" in found.warnings[0]
    better = linear_cka(gaussian(n, p), gaussian(n, q, 1), unbiased=True)
    assert abs(better.value) < 0.05 and better.warnings == ()


def test_cka_is_not_implicitly_normalised_and_offsets_do_not_count():
    x, y = gaussian(50, 4), gaussian(50, 4, 1)
    lengths = torch.rand(50, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 5 + 0.1
    base = linear_cka(x, y).value
    assert abs(linear_cka(x * lengths, y).value - base) > 1e-3
    for shift in (1.0, 1e6):
        assert linear_cka(x + shift, y).value == pytest.approx(base, rel=1e-8)
        assert linear_cka(x + shift, y, unbiased=True).value == pytest.approx(
            linear_cka(x, y, unbiased=True).value, rel=1e-7
        )
        assert kernel_cka(x + shift, y).value == pytest.approx(kernel_cka(x, y).value, rel=1e-7)


def test_kernel_cka_of_a_sample_has_an_interval_and_a_seed():
    x = gaussian(1500, 4)
    y = x[:, :3].abs() + 0.5 * gaussian(1500, 3, 1)
    whole = kernel_cka(x, y, unbiased=True)
    some = [kernel_cka(x, y, unbiased=True, rows=300, seed=s, block=64) for s in range(12)]
    assert whole.interval is None and some[0].n_rows == 300 and some[0].n_rows_total == 1500
    assert "300 of 1500" in some[0].warnings[0]
    assert sum(f.interval[0] < whole.value < f.interval[1] for f in some) >= 9
    assert some[3] == kernel_cka(x, y, unbiased=True, rows=300, seed=3, block=64)
    # the jackknife leaves out a tenth at a time: by hand, from the rows in their sampled order
    generator = torch.Generator().manual_seed(3)
    rows = torch.randperm(1500, generator=generator)[:300].sort().values
    rows = rows[torch.randperm(300, generator=generator)]
    left = []
    widths = some[3].bandwidths
    k = [torch.exp(-(torch.cdist(s[rows], s[rows]) ** 2) / (2 * w**2)) for s, w in zip((x, y), widths, strict=True)]
    for group in range(10):
        kept = [i for i in range(300) if i // 30 != group]
        left.append(matrix_cka(*(one.numpy()[np.ix_(kept, kept)] for one in k), True))
    half = 1.96 * math.sqrt(9 / 10 * sum((v - np.mean(left)) ** 2 for v in left))
    assert some[3].interval[1] - some[3].value == pytest.approx(half, rel=1e-6)


# Lists of results


def loop_lists(a, b, p):
    """All figures of one pair of lists, item by item."""
    k = len(a)
    shared = [item for item in a if item in b]
    biased = sum((1 - p) * p ** (d - 1) * len(set(a[:d]) & set(b[:d])) / d for d in range(1, k + 1))
    near = sum(2 / ((1 + abs(a.index(t) - b.index(t))) * (a.index(t) + b.index(t) + 2)) for t in shared)
    near = near / sum(1 / r for r in range(1, len(shared) + 1)) if shared else 0
    return {
        "value": len(shared) / k,
        "jaccard": len(shared) / len(set(a) | set(b)),
        "rank_biased_overlap": biased + p**k * len(shared) / k,
        "rank_similarity": near,
    }


def test_list_agreement_equals_loops_and_kendalls_tau():
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    a = np.stack([rng.permutation(12)[:7] for _ in range(40)])
    b = np.stack([rng.permutation(12)[:7] for _ in range(40)])
    found = list_agreement(a, b, n_candidates=12, persistence=0.8)
    loops = [loop_lists(i.tolist(), j.tolist(), 0.8) for i, j in zip(a, b, strict=True)]
    for name in loops[0]:
        assert getattr(found, name) == pytest.approx(np.mean([one[name] for one in loops]), rel=1e-12)
    taus = []
    for i, j in zip(a.tolist(), b.tolist(), strict=True):
        shared = [item for item in i if item in j]
        if len(shared) > 1:
            taus.append(kendalltau([i.index(t) for t in shared], [j.index(t) for t in shared]).statistic)
    assert found.rank_correlation == pytest.approx(np.mean(taus), rel=1e-12) and found.n_correlated == len(taus)


def test_equal_disjoint_and_reversed_lists():
    a = torch.arange(6)[None]
    same = list_agreement(a, a, n_candidates=50)
    assert (same.value, same.jaccard, same.rank_correlation) == (1, 1, 1)
    assert same.rank_biased_overlap == pytest.approx(1) and same.rank_similarity == pytest.approx(1)
    apart = list_agreement(a, a + 6, n_candidates=50)
    assert (apart.value, apart.jaccard, apart.rank_biased_overlap, apart.rank_similarity) == (0, 0, 0, 0)
    assert apart.rank_correlation is None and apart.n_correlated == 0
    back = list_agreement(a, a.flip(1), n_candidates=50)
    assert back.value == 1 and back.rank_correlation == -1 and back.rank_biased_overlap < 1


def test_list_nulls_are_exact_over_all_lists():
    k, size = 2, 4
    lists = list(itertools.permutations(range(size), k))
    pairs = list(itertools.product(lists, lists))
    found = list_agreement([p[0] for p in pairs], [p[1] for p in pairs], n_candidates=size, persistence=0.7)
    assert found.value == pytest.approx(found.null, rel=1e-12) and found.null == k / size
    assert found.jaccard == pytest.approx(found.jaccard_null, rel=1e-12)
    assert found.rank_biased_overlap == pytest.approx(found.rank_biased_overlap_null, rel=1e-12)
    assert found.rank_similarity == pytest.approx(found.rank_similarity_null, rel=1e-12)
    assert found.rank_correlation == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_mutual_neighbours_equal_loops_and_the_null(metric):
    x, y = gaussian(40, 3), gaussian(40, 3, 1) * 0.7
    y += x
    far = {
        "cosine": lambda a, b: -float(a @ b) / math.hypot(*a.tolist()) / math.hypot(*b.tolist()),
        "euclidean": lambda a, b: math.dist(a, b),
    }[metric]
    shared = []
    for i in range(40):
        lists = [sorted((j for j in range(40) if j != i), key=lambda j, s=s: far(s[i], s[j]))[:5] for s in (x, y)]
        shared.append(len(set(lists[0]) & set(lists[1])) / 5)
    found = neighbour_agreement(x, y, k=5, metric=metric)
    assert found.value == pytest.approx(np.mean(shared), rel=1e-12) and found.overlaps.tolist() == pytest.approx(shared)
    assert found.null == 5 / 39
    unrelated = [neighbour_agreement(gaussian(100, 4, s), gaussian(100, 4, 50 + s), k=5).value for s in range(20)]
    assert np.mean(unrelated) == pytest.approx(5 / 99, abs=4 * np.std(unrelated) / math.sqrt(20))


def test_queries_against_a_gallery():
    queries, gallery = gaussian(30, 4), gaussian(50, 4, 1)
    turned = neighbour_agreement(queries, queries @ rotation(4), gallery, gallery @ rotation(4), k=50)
    assert turned.value == 1 and turned.null == 1 and turned.n_candidates == 50
    assert neighbour_agreement(queries, queries @ rotation(4), gallery, gallery @ rotation(4), k=3).value == 1
    mixed = neighbour_agreement(queries, queries, gallery, gallery.flip(0), k=3)
    assert mixed.value < 0.5 and mixed.null == 3 / 50


def test_samples_of_queries_search_all_rows_and_leave_their_own_out():
    x = gaussian(400, 5)
    y = x + 0.5 * gaussian(400, 5, 1)
    whole = neighbour_agreement(x, y, k=8)
    some = [neighbour_agreement(x, y, k=8, rows=80, seed=s) for s in range(60)]
    assert some[0].n_queries == 80 and some[0].n_queries_total == 400 and "80 of 400" in some[0].warnings[0]
    rows = torch.randperm(400, generator=torch.Generator().manual_seed(0))[:80].sort().values
    assert some[0].overlaps.tolist() == whole.overlaps[rows].tolist()
    assert sum(f.interval[0] <= whole.value <= f.interval[1] for f in some) >= 52
    assert neighbour_agreement(x, y, k=8, rows=80, seed=4) == some[4]
    assert neighbour_agreement(x, y, k=399).value == 1


def test_duplicates_are_warned_of_and_never_count_as_themselves():
    x = gaussian(30, 4)
    doubled = torch.cat([x, x])
    found = neighbour_agreement(doubled, doubled, k=1)
    assert found.value == 1 and found.warnings == ()
    tripled = torch.cat([x, x, x])
    found = neighbour_agreement(tripled, gaussian(90, 4, 2), k=2)
    assert "100% of the lists in x" in found.warnings[0] and len(found.warnings) == 1


# Procrustes


def test_procrustes_equals_scipy_and_undoes_a_rotation():
    from scipy.spatial import procrustes as reference

    x, y = gaussian(30, 4) + 2, gaussian(30, 4, 1)
    found = procrustes_distance(x, y, block=7)
    assert found.value == pytest.approx(reference(x.numpy(), y.numpy())[2], rel=1e-10)
    c = math.sqrt(1 - found.value)
    assert found.rotation_only == pytest.approx(2 - 2 * c, rel=1e-10) and found.angle == pytest.approx(math.acos(c))
    turned = procrustes_distance(x, 2.5 * x @ rotation(4) + 9)
    assert turned.value == pytest.approx(0, abs=1e-12) and turned.scale == pytest.approx(2.5, rel=1e-9)
    mirrored = x * torch.tensor([-1.0, 1, 1, 1])
    assert procrustes_distance(x, mirrored).value == pytest.approx(0, abs=1e-12)


def test_procrustes_is_the_least_squares_over_rotations():
    from scipy.linalg import orthogonal_procrustes

    x, y = gaussian(25, 3), gaussian(25, 3, 1)
    x, y = x - x.mean(0), y - y.mean(0)
    found = procrustes_distance(x, y)
    a, b = (x / x.norm()).numpy(), (y / y.norm()).numpy()
    best, c = orthogonal_procrustes(a, b)
    assert found.rotation_only == pytest.approx(((a @ best - b) ** 2).sum(), rel=1e-10)
    assert found.value == pytest.approx(((c * a @ best - b) ** 2).sum(), rel=1e-10)
    assert found.scale == pytest.approx(((x.numpy() @ best) * y.numpy()).sum() / (x.numpy() ** 2).sum(), rel=1e-10)
    wide = torch.cat([x, torch.zeros(25, 4, dtype=torch.float64)], 1)
    assert procrustes_distance(wide @ rotation(7), y).value == pytest.approx(found.value, rel=1e-10)


def test_centring_is_explicit():
    x, y = gaussian(30, 3), gaussian(30, 3, 1)
    assert procrustes_distance(x + 50, y + 50).value == pytest.approx(procrustes_distance(x, y).value, rel=1e-8)
    assert procrustes_distance(x + 50, y + 50, center=False).value < 0.01
    with pytest.raises(ValueError, match="x is zero"):
        procrustes_distance(torch.zeros(5, 2), y[:5], center=False)


def test_procrustes_null_by_re_pairing():
    x, y = gaussian(400, 4), gaussian(400, 4, 1)
    found = procrustes_distance(x, y, permutations=50)
    assert found.value == pytest.approx(found.null, abs=5 * found.null_deviation) and found.null > 0.9
    related = procrustes_distance(x, x @ rotation(4) + 0.5 * y)
    assert related.value < related.null - 20 * related.null_deviation
    assert related.value == pytest.approx(0.25 / 1.25, abs=0.03)  # noise over all variance
    assert found == procrustes_distance(x, y, permutations=50) != procrustes_distance(x, y, permutations=50, seed=1)
    few = procrustes_distance(gaussian(6, 20), gaussian(6, 20, 1))
    assert few.null < 0.3 and "compare with the null" in few.warnings[0]


def test_procrustes_of_a_sample_has_an_interval_and_a_seed():
    x = gaussian(2000, 4)
    y = x @ rotation(4) + 0.8 * gaussian(2000, 4, 1)
    whole = procrustes_distance(x, y)
    some = [procrustes_distance(x, y, rows=300, permutations=2, seed=s) for s in range(30)]
    assert whole.interval is None and (some[0].n_rows, some[0].n_rows_total) == (300, 2000)
    assert "300 of 2000" in some[0].warnings[0]
    assert sum(f.interval[0] < whole.value < f.interval[1] for f in some) >= 24
    assert some[7] == procrustes_distance(x, y, rows=300, permutations=2, seed=7)
    widths = [f.interval[1] - f.interval[0] for f in some]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std([f.value for f in some]), rel=0.35)


# All of them


PROBES = {
    "linear": lambda x, y: linear_cka(x, y).value,
    "unbiased": lambda x, y: linear_cka(x, y, unbiased=True).value,
    "kernel": lambda x, y: kernel_cka(x, y).value,
    "neighbours": lambda x, y: neighbour_agreement(x, y, k=4).value,
    "procrustes": lambda x, y: procrustes_distance(x, y).value,
}


@pytest.mark.parametrize("name", PROBES)
def test_rotation_permutation_scale_symmetry_and_precision(name):
    probe, x = PROBES[name], gaussian(60, 5) + 0.3
    y = x[:, :4] + 0.5 * gaussian(60, 4, 1)
    base, order = probe(x, y), torch.randperm(60, generator=torch.Generator().manual_seed(1))
    assert 0.01 < base < 0.99
    for other in (probe(x @ rotation(5), y), probe(5 * x, y), probe(x[order], y[order]), probe(y, x)):
        assert other == pytest.approx(base, rel=1e-9)
    assert probe(x.numpy(), y.float()) == pytest.approx(base, abs=1e-6)
    assert probe(x.half(), y.half()) == pytest.approx(base, abs=0.02 if name == "neighbours" else 2e-3)
    assert abs(probe(x, y[order]) - base) > 0.05


def test_no_matrix_of_all_pairs_is_held(largest_tensor):
    x, y = gaussian(1600, 4), gaussian(1600, 4, 1)
    with largest_tensor() as watch:
        linear_cka(x, y, unbiased=True)
        kernel_cka(x, y, block=400)
        neighbour_agreement(x.float(), y.float(), k=3)
        procrustes_distance(x, y)
    assert watch.numbers <= 1000 * 999 // 2  # the pairs of the median's thousand rows; all would be 2.5 million


@pytest.mark.parametrize("name", PROBES)
def test_bad_rows_are_named(name):
    probe, x = PROBES[name], gaussian(12, 3)
    bad = x.clone()
    bad[4, 1] = math.nan
    with pytest.raises(ValueError, match="y holds NaN"):
        probe(x, bad)
    with pytest.raises(ValueError, match="y must have 12 rows"):
        probe(x, gaussian(11, 3))
    with pytest.raises(ValueError, match="x must have shape"):
        probe(x[0], x)
    with pytest.raises(ValueError):
        probe(x[:2], x[:2])
    with pytest.raises(TypeError, match="floating dtype"):
        probe(x.long(), x)
    if name != "neighbours":
        with pytest.raises(ValueError, match="y (is constant|has a median distance of 0)"):
            probe(x, torch.full((12, 3), 0.1))


def test_bad_arguments_are_named():
    x = gaussian(12, 3)
    with pytest.raises(ValueError, match="at least 4 rows"):
        linear_cka(x[:3], x[:3], unbiased=True)
    with pytest.raises(ValueError, match="equally far"):
        linear_cka(torch.eye(6), x[:6], unbiased=True)
    with pytest.raises(ValueError, match="bandwidth"):
        kernel_cka(x, x, bandwidth=0.0)
    with pytest.raises(ValueError, match="rows"):
        kernel_cka(x, x, rows=10)
    with pytest.raises(ValueError, match="block"):
        kernel_cka(x, x, block=0)
    with pytest.raises(TypeError, match="seed"):
        kernel_cka(x, x, seed=1.5)
    with pytest.raises(ValueError, match="k must be an integer in 1 .. 11"):
        neighbour_agreement(x, x, k=12)
    with pytest.raises(ValueError, match="gallery_x and gallery_y"):
        neighbour_agreement(x, x, x, k=2)
    with pytest.raises(ValueError, match="gallery_y must have 12 rows"):
        neighbour_agreement(x, x, x, x[:5], k=2)
    with pytest.raises(ValueError, match="gallery_y must have 3 columns"):
        neighbour_agreement(x, x, x, gaussian(12, 4), k=2)
    with pytest.raises(ValueError, match="y has a zero row"):
        neighbour_agreement(x, torch.cat([x[:11], torch.zeros(1, 3, dtype=torch.float64)]), k=2)
    with pytest.raises(ValueError, match="rows"):
        neighbour_agreement(x, x, k=2, rows=5)
    with pytest.raises(ValueError, match="persistence"):
        neighbour_agreement(x, x, k=2, persistence=1.0)
    with pytest.raises(ValueError, match="permutations"):
        procrustes_distance(x, x, permutations=1)
    with pytest.raises(ValueError, match="b must have the shape"):
        list_agreement([[1, 2]], [[1, 2, 3]], n_candidates=9)
    with pytest.raises(ValueError, match="a holds an item twice"):
        list_agreement([[1, 1]], [[1, 2]], n_candidates=9)
    with pytest.raises(ValueError, match="n_candidates"):
        list_agreement([[1, 2]], [[1, 2]], n_candidates=1)
    with pytest.raises(TypeError, match="a must hold integers"):
        list_agreement([[1.0, 2.0]], [[1, 2]], n_candidates=9)
