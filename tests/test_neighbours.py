"""Nearest neighbours against scikit-learn, plain loops and duplicates, with every metric and on every path."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from lab import exact_search, neighbours
from lab.neighbours import nearest

METRICS = ["cosine", "euclidean", "dot"]
DTYPES = [torch.float32, torch.float64]


def rows(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def by_loops(queries, gallery, k, metric, leave=None):
    """Indices and similarities by plain Python; equals by the smaller index."""
    found = []
    for i, q in enumerate(queries.double().tolist()):
        scores = []
        for j, g in enumerate(gallery.double().tolist()):
            if leave is not None and leave[i] == j:
                continue
            dot = sum(a * b for a, b in zip(q, g, strict=True))
            if metric == "cosine":
                dot /= sum(a * a for a in q) ** 0.5 * sum(b * b for b in g) ** 0.5
            if metric == "euclidean":
                dot = -(sum((a - b) ** 2 for a, b in zip(q, g, strict=True)) ** 0.5)
            scores.append((-dot, j))
        found.append(sorted(scores)[:k])
    return [[j for _, j in one] for one in found], [[-s for s, _ in one] for one in found]


@pytest.mark.parametrize("block", [1, 7, 512])
def test_agrees_with_scikit_learn_between_two_sets(block):
    queries, gallery = rows(20, 6), rows(50, 6, 1)
    model = NearestNeighbors(metric="cosine", algorithm="brute").fit(gallery.numpy())
    distances, indices = model.kneighbors(queries.numpy(), n_neighbors=5)
    found = nearest(queries, gallery, k=5, block=block)
    np.testing.assert_array_equal(found.indices.numpy(), indices)
    np.testing.assert_allclose(found.similarities.numpy(), 1 - distances, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("two_sets", [False, True])
def test_agrees_with_plain_loops(metric, dtype, two_sets):
    queries = rows(23, 5, dtype=dtype) + 0.5
    gallery = rows(31, 5, 1, dtype=dtype) if two_sets else None
    found = nearest(queries, gallery, k=6, metric=metric, block=10)
    wanted = by_loops(queries, queries if gallery is None else gallery, 6, metric, None if two_sets else range(23))
    assert found.indices.tolist() == wanted[0]
    limit = 1e-12 if dtype == torch.float64 else 1e-6
    np.testing.assert_allclose(found.similarities, wanted[1], rtol=limit, atol=limit)
    assert found.similarities.dtype == dtype and found.indices.dtype == torch.int64


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_rows_in_parts_and_in_blocks_agree_with_one_search(metric, dtype, monkeypatch):
    # More columns than four groups of sixteen for each neighbour, so that maxima of groups are taken too.
    x = rows(900, 8, dtype=dtype)
    whole = nearest(x, k=4, metric=metric)
    scores = -torch.cdist(x, x) if metric == "euclidean" else x @ x.T
    if metric == "cosine":
        scores /= x.norm(dim=1) * x.norm(dim=1)[:, None]
    scores.fill_diagonal_(-torch.inf)
    assert whole.indices.equal(scores.topk(4).indices)
    monkeypatch.setattr(neighbours, "PART_ROWS", 130)
    parts = nearest(x, k=4, metric=metric, block=50)
    assert parts.indices.equal(whole.indices)
    torch.testing.assert_close(parts.similarities, whole.similarities)
    assert nearest(x[:70], x, k=4, metric=metric, exclude=range(70)).indices.equal(whole.indices[:70])


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_k_may_take_every_other_row_also_in_parts(metric, dtype, monkeypatch):
    monkeypatch.setattr(neighbours, "PART_ROWS", 7)
    x = rows(25, 3, dtype=dtype)
    found = nearest(x, k=24, metric=metric)
    assert found.indices.sort(1).values.tolist() == [[j for j in range(25) if j != i] for i in range(25)]
    assert (found.similarities.diff(dim=1) <= 0).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("block", [1, 7, 512])
@pytest.mark.parametrize("dtype", DTYPES)
def test_within_one_set_the_point_itself_is_left_out_by_index_also_among_duplicates(metric, block, dtype):
    x = rows(30, 4, dtype=dtype)
    x = (x / x.norm(dim=1, keepdim=True)).repeat(3, 1)
    found = nearest(x, k=5, block=block, metric=metric)
    assert (found.indices != torch.arange(90)[:, None]).all()
    # The two duplicates of every row come first.
    assert (found.indices[:, :2].sort(1).values % 30 == (torch.arange(90) % 30)[:, None]).all()
    assert torch.bincount(found.indices.flatten(), minlength=90).sum() == 90 * 5


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("d", [6, 77, 301])
def test_more_equal_rows_than_k_give_the_smallest_indices_but_the_own(metric, dtype, d):
    # Products of equal rows differ in the last digit, by where in a block they stand.
    for n, block, seed in [(101, 512, 0), (101, 3, 1), (1003, 512, 2), (1018, 512, 3)]:
        x = -rows(n, d, seed + 5, dtype) / 10
        equal = torch.randperm(n - 3, generator=torch.Generator().manual_seed(seed))[: n // 3]
        equal = torch.cat([equal.sort().values, torch.arange(n - 3, n)])
        x[equal] = rows(1, d, seed, dtype)
        found = nearest(x, k=3, metric=metric, block=block).indices.sort(1).values
        for i in range(4):
            assert found[equal[i]].tolist() == [j for j in equal[:4].tolist() if j != equal[i]]
        assert (found[equal[4:]] == equal[:3]).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_equal_rows_in_several_parts_find_one_another(metric, dtype, monkeypatch):
    monkeypatch.setattr(neighbours, "PART_ROWS", 40)
    x = torch.cat([rows(1, 77, 1, dtype).repeat(100, 1), -rows(71, 77, 5, dtype) / 10])
    found = nearest(x, k=3, metric=metric).indices
    assert (found[:100] < 100).all() and (found != torch.arange(171)[:, None]).all()


@pytest.mark.parametrize("metric", ["euclidean", "dot"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("part", [25, 2**16])
def test_on_a_grid_ties_go_by_index_within_the_list_and_at_its_end(metric, dtype, part, monkeypatch):
    monkeypatch.setattr(neighbours, "PART_ROWS", part)
    x = (rows(90, 3) * 1.5).round().to(dtype)
    for k in (1, 4, 30, 80):
        found = nearest(x, k=k, metric=metric)
        assert found.indices.tolist() == by_loops(x, x, k, metric, range(90))[0]


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_tiny_distances_and_large_offsets_come_out_exact(offset, dtype):
    # Pairs 1e-3 apart (a step that float32 holds at that offset) amid rows at distances of several units.
    x = rows(60, 40, dtype=torch.float32).repeat(2, 1) * 3 + offset
    x[60:, 0] += 2.0**-9
    x = x.to(dtype)
    found = nearest(x, k=2, metric="euclidean")
    truth = (x[:, None].double() - x[None].double()).norm(dim=2).fill_diagonal_(torch.inf)
    assert (found.indices[:, 0] == (torch.arange(120) + 60) % 120).all()
    torch.testing.assert_close(-found.similarities.double(), truth.sort(1).values[:, :2], rtol=2e-7, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ratio", [1.0, 10.0, 30.0, 100.0, 300.0, 1000.0])
def test_clusters_near_and_below_the_resolution_of_products_are_still_searched_exactly(dtype, ratio):
    # Distances within a cluster are about what |x|^2 + |y|^2 - 2<x, y> resolves in that type, and less.
    spread = ratio * (1e-3 if dtype == torch.float32 else 1e-7)
    x = (rows(4, 16).repeat_interleave(60, 0) * 100 + rows(240, 16, 1) * spread).to(dtype)
    found = nearest(x, k=5, metric="euclidean")
    truth = (x[:, None].double() - x[None].double()).norm(dim=2).fill_diagonal_(torch.inf)
    assert found.indices.equal(truth.topk(5, largest=False).indices)
    if ratio == 1:
        wrong = torch.cdist(x, x, compute_mode="use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
        assert not wrong.topk(5, largest=False).indices.equal(found.indices)


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_distances_of_any_scale(scale):
    x = rows(50, 6)
    found = nearest((x * scale).float(), k=3, metric="euclidean")
    assert found.indices.equal(nearest(x, k=3, metric="euclidean").indices)
    torch.testing.assert_close(
        found.similarities.double() / scale, nearest(x.float(), k=3, metric="euclidean").similarities.double()
    )


@pytest.mark.parametrize("metric", METRICS)
def test_the_blocks_of_a_gpu_agree_in_float32_also_under_autocast(metric, monkeypatch):
    x = rows(700, 12, dtype=torch.float32)
    monkeypatch.setattr(exact_search, "faiss_is_fast", lambda: True)
    wanted = nearest(x, k=5, metric=metric)
    monkeypatch.setattr(exact_search, "faiss_is_fast", lambda: False)
    monkeypatch.setattr(exact_search, "TILE", (64, 200))  # several tiles, the last one narrow
    monkeypatch.setattr(exact_search, "_by_faiss", None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nearest(x, k=5, metric=metric)
    assert found.indices.equal(wanted.indices)
    torch.testing.assert_close(found.similarities, wanted.similarities)


def test_half_precision_arrays_and_memory_maps_give_what_their_float32_gives(tmp_path):
    x = rows(40, 5).half()
    wanted = nearest(x.float(), k=3)
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for form in (x, x.numpy(), mapped, x.float().tolist()):
        found = nearest(form, k=3)
        assert found.indices.equal(wanted.indices) and found.similarities.equal(wanted.similarities)


def test_rotation_and_permutation_move_nothing_but_the_names():
    x = rows(80, 6)
    turn, order = torch.linalg.qr(rows(6, 6, 3)).Q, torch.randperm(80, generator=torch.Generator().manual_seed(4))
    for metric in METRICS:
        found = nearest(x, k=4, metric=metric).indices
        assert nearest(x @ turn, k=4, metric=metric).indices.equal(found)
        assert order[nearest(x[order], k=4, metric=metric).indices].equal(found[order])
    assert nearest(x * (1 + rows(80, 1, 5).abs()), k=4).indices.equal(nearest(x, k=4).indices)


def test_the_library_takes_as_many_threads_as_torch_and_gets_its_own_back(monkeypatch):
    import faiss

    seen, knn = [], faiss.knn

    def watched(*args):
        seen.append(faiss.omp_get_max_threads())
        return knn(*args)

    monkeypatch.setattr(faiss, "knn", watched)
    monkeypatch.setattr(exact_search, "faiss_is_fast", lambda: True)
    before = faiss.omp_get_max_threads()
    try:
        # The two may share one OpenMP, so torch's number is given rather than set.
        faiss.omp_set_num_threads(3)
        for threads in (1, 2):
            monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
            nearest(rows(5, 2, dtype=torch.float32), k=1)
            assert faiss.omp_get_max_threads() == 3
        monkeypatch.setattr(faiss, "knn", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            nearest(rows(5, 2, dtype=torch.float32), k=1)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)
    assert seen == [1, 2]


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 7, 30])
def test_blocks_on_a_cpu_find_what_a_full_sort_finds(metric, k, monkeypatch):
    monkeypatch.setattr(exact_search, "faiss_is_fast", lambda: False)
    monkeypatch.setattr(exact_search, "TILE", (32, 90))  # 190 rows: a last tile of 10, less than k
    x = rows(190, 5, dtype=torch.float32)
    full = x.double()
    if metric == "cosine":
        full = torch.nn.functional.normalize(full, dim=1)
    scores = -(full[:, None] - full).norm(dim=2) if metric == "euclidean" else full @ full.T
    scores.fill_diagonal_(-torch.inf)
    wanted = scores.sort(dim=1, descending=True)
    found = nearest(x, k=k, metric=metric)
    assert found.indices.equal(wanted.indices[:, :k])
    torch.testing.assert_close(found.similarities.double(), wanted.values[:, :k], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_are_right_before_anything_is_searched_again(metric):
    q, g = rows(40, 5), rows(190, 5, 1)
    scores = -((q[:, None] - g) ** 2).sum(2) if metric == "euclidean" else (q[:, None] * g).sum(2)
    wanted = scores.sort(dim=1, descending=True)
    values, indices = exact_search._by_blocks(exact_search.Part(q, q), exact_search.Part(g, g), 12, metric, 16, 90)
    assert indices.equal(wanted.indices[:, :12])
    torch.testing.assert_close(values, wanted.values[:, :12])


@pytest.mark.parametrize(
    ("kernel", "capability", "fast"),
    [("Prescott", "AVX512", False), ("SkylakeX", "AVX512", True), ("Nehalem", "DEFAULT", True), ("Zen", "AVX2", True)],
)
def test_the_library_is_left_aside_where_it_does_not_know_the_processor(kernel, capability, fast, monkeypatch):
    import threadpoolctl

    def info():
        other = {"internal_api": "openblas", "filepath": "numpy.libs/libopenblas.so", "architecture": "Prescott"}
        return [other, {"internal_api": "openblas", "filepath": "faiss_cpu.libs/lib.so", "architecture": kernel}]

    monkeypatch.setattr(threadpoolctl, "threadpool_info", info)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert exact_search.faiss_is_fast.__wrapped__() is fast


def test_importing_is_cheap_and_both_libraries_live_in_one_process():
    code = """
import sys, torch
from lab.neighbours import nearest
assert "faiss" not in sys.modules and "sklearn" not in sys.modules
torch.set_num_threads(2)
x = torch.randn(3000, 64, generator=torch.Generator().manual_seed(0))
for _ in range(3):
    a = nearest(x, k=3).indices
    b = (x @ x.T).topk(1).indices
    assert a.equal(nearest(x.double(), k=3).indices)
torch.nn.Linear(64, 64)(x).sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0 and "OMP" not in done.stderr, done.stderr


def test_no_matrix_of_all_pairs_appears(largest_tensor):
    x = rows(3000, 4)
    x[:1000] = x[0]
    for metric in METRICS:
        for dtype in DTYPES:
            with largest_tensor() as largest:
                nearest(x.to(dtype), k=3, metric=metric, block=50)
            assert largest.numbers <= 50 * 3000


@pytest.mark.parametrize(("k", "gallery"), [(0, None), (3, None), (4, "three")])
def test_k_out_of_range_is_refused(k, gallery):
    x = rows(3, 2)
    with pytest.raises(ValueError, match="k must lie in"):
        nearest(x, x if gallery else None, k=k)


def test_different_widths_are_refused():
    with pytest.raises(ValueError, match="gallery must have 2 columns"):
        nearest(rows(3, 2), rows(3, 3), k=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "l1"}, "metric must be"),
        ({"block": 0}, "block must be"),
        ({"exclude": [0, 1, 2, 3]}, "exclude needs a gallery"),
        ({"gallery": rows(5, 2), "exclude": [0, 1, 2]}, "exclude must hold 4 integers"),
        ({"gallery": rows(5, 2), "exclude": [0.0, 1, 2, 3]}, "exclude must hold 4 integers"),
        ({"gallery": rows(5, 2), "exclude": [0, 1, 2, 5]}, r"exclude must lie in 0 \.\. 4"),
        ({"gallery": rows(4, 2), "exclude": range(4), "k": 4}, r"k must lie in 1 \.\. 3"),
        ({"gallery": torch.zeros(4, 2)}, "gallery has a zero row"),
        ({"gallery": rows(4, 2)[0]}, r"gallery must have shape"),
        ({"gallery": torch.full((4, 2), torch.nan)}, "gallery holds NaN or infinity, first in row 0"),
        ({"queries": torch.tensor([[1.0, 0.0], [0.0, 0.0]])}, "queries has a zero row.*row 1"),
        ({"queries": torch.empty(0, 2)}, "queries"),
        ({"queries": torch.full((4, 2), 1e30), "metric": "dot"}, "too large"),
        ({"queries": torch.eye(3) * -1e30 + 1e30, "gallery": -torch.full((5, 3), 1e30), "metric": "dot"}, "too large"),
        ({"queries": torch.full((2, 3), 1e30), "gallery": -torch.full((5, 3), 1e30), "metric": "dot", "k": 5}, "large"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    arguments = {"queries": rows(4, 2), "k": 1} | arguments
    with pytest.raises(ValueError, match=message):
        nearest(arguments.pop("queries"), arguments.pop("gallery", None), **arguments)


def test_integers_are_refused_and_a_bad_row_of_a_later_part_is_found(monkeypatch):
    with pytest.raises(TypeError, match="queries must have a floating dtype"):
        nearest(torch.ones(4, 2, dtype=torch.int64), k=1)
    monkeypatch.setattr(neighbours, "PART_ROWS", 10)
    x = rows(25, 2)
    x[23] = 0
    with pytest.raises(ValueError, match=r"queries has a zero row.*row 3 \(counted from row 20\)"):
        nearest(x, k=1)
    assert nearest(x, k=1, metric="euclidean").indices.shape == (25, 1)
