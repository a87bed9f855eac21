"""Retrieval metrics against loops over all orders of ties, scikit-learn and pytorch-metric-learning."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import ndcg_score

from lab.probes.rankings import rank_gallery
from lab.probes.retrieval import map_at_r, ndcg_at_k, r_precision, recall_at_k
from lab.probes.zero_shot import zero_shot_accuracy


def rows(n, d, seed=0, dtype=torch.float64):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def clustered(n=120, classes=6, d=8, seed=0):
    labels = torch.arange(n) % classes
    return rows(classes, d, seed)[labels] + 1.2 * rows(n, d, seed + 1), labels


def metrics_of(order, gains, k):
    """The metrics of one query for one order of the gallery, from their definitions."""
    hits = [gains[i] > 0 for i in order]
    count = sum(hits)
    average = sum(hits[i] * sum(hits[: i + 1]) / (i + 1) for i in range(count)) / count
    ideal = sorted(gains, reverse=True)
    found = {
        "any": float(any(hits[:k])),
        "share": sum(hits[:k]) / count,
        "r": sum(hits[:count]) / count,
        "map": average,
    }
    for name, worth in (("linear", lambda g: g), ("exponential", lambda g: 2.0**g - 1)):
        best = sum(worth(ideal[i]) / math.log2(i + 2) for i in range(k))
        found[name] = sum(worth(gains[order[i]]) / math.log2(i + 2) for i in range(k)) / best
    return found


def all_metrics(ranking, k):
    return {
        "any": recall_at_k(ranking, k=k),
        "share": recall_at_k(ranking, k=k, kind="share"),
        "r": r_precision(ranking),
        "map": map_at_r(ranking),
        "linear": ndcg_at_k(ranking, k=k),
        "exponential": ndcg_at_k(ranking, k=k, gain="exponential"),
    }


TIED = torch.tensor(
    [[3, 2, 2, 2, 1, 1], [1, 1, 1, 1, 1, 1], [5, 4, 3, 2, 1, 1], [2, 2, 1, 1, 3, 0]], dtype=torch.float64
)
LISTS = [[1, 4], [0, 2, 5], [3, 4, 5], [0]]
GAINS = [[3.0, 1.0], [1.0, 2.0, 0.5], [1.0, 1.0, 4.0], [2.0]]


@pytest.mark.parametrize(("k", "depth"), [(1, None), (2, None), (4, None), (6, None), (1, 4), (3, 4), (4, 4)])
@pytest.mark.parametrize("ties", ["expected", "optimistic", "pessimistic"])
def test_ties_are_the_mean_the_best_and_the_worst_over_all_orders(k, depth, ties):
    ranking = rank_gallery(TIED, relevant=LISTS, gains=GAINS, metric="precomputed", ties=ties, depth=depth)
    got = all_metrics(ranking, k)
    for q in range(4):
        gains = [0.0] * 6
        for item, gain in zip(LISTS[q], GAINS[q], strict=True):
            gains[item] = gain
        orders = [
            o
            for o in itertools.permutations(range(6))
            if all(TIED[q, a] >= TIED[q, b] for a, b in itertools.pairwise(o))
        ]
        every = [metrics_of(order, gains, k) for order in orders]
        for name, found in got.items():
            wanted = {"expected": np.mean, "optimistic": max, "pessimistic": min}[ties]([one[name] for one in every])
            assert float(found.per_query[q]) == pytest.approx(wanted, abs=1e-12), name
    for found in got.values():
        assert found.value == pytest.approx(float(found.per_query.mean()))


def test_the_null_is_what_a_ranking_of_nothing_but_ties_gives():
    flat = torch.zeros(4, 6)
    for lists, gains in ((LISTS, GAINS), (LISTS, None)):
        for k in (1, 3, 6):
            for name, found in all_metrics(
                rank_gallery(flat, relevant=lists, gains=gains, metric="precomputed"), k
            ).items():
                assert found.value == pytest.approx(found.null, rel=1e-12), name
    assert found.warnings == ("4 queries have relevant and other items tied, taken by their expected value",)


def test_the_null_is_what_random_rankings_give_on_average():
    generator = np.random.default_rng(0)
    scores = torch.from_numpy(generator.random((4000, 20)))
    ranking = rank_gallery(scores, relevant=[[0, 1, 2]] * 4000, metric="precomputed")
    for found in all_metrics(ranking, 4).values():
        assert abs(found.value - found.null) < 4 * found.standard_error


def test_perfect_and_worst_rankings():
    x = torch.eye(4).repeat(5, 1)
    for found in all_metrics(rank_gallery(x, labels=torch.arange(20) % 4), 4).values():
        assert found.value == pytest.approx(1.0)
    for found in all_metrics(rank_gallery([[1.0, 2.0, 3.0]], relevant=[[0]], metric="precomputed"), 1).values():
        assert found.value == 0


def test_no_ties_agree_with_a_plain_loop_over_cosines():
    x, labels = clustered()
    unit = (x / x.norm(dim=1, keepdim=True)).numpy()
    got = all_metrics(rank_gallery(x.float().numpy(), labels=labels, block=7), 5)
    for q in range(0, len(x), 11):
        cosines = unit @ unit[q]
        others = [i for i in range(len(x)) if i != q]
        gains = [float(labels[i] == labels[q]) for i in others]
        order = sorted(range(len(others)), key=lambda i: -cosines[others[i]])
        wanted = metrics_of(order, gains, 5)
        for name, found in got.items():
            assert float(found.per_query[q]) == pytest.approx(wanted[name], abs=1e-9), name


def test_ndcg_agrees_with_scikit_learn_also_with_ties_and_grades():
    generator = np.random.default_rng(1)
    truth = generator.integers(0, 4, (30, 25)).astype(float)
    scores = generator.integers(0, 6, (30, 25)).astype(float)
    lists = [np.flatnonzero(row).tolist() for row in truth]
    gains = [row[row > 0].tolist() for row in truth]
    ranking = rank_gallery(scores, relevant=lists, gains=gains, metric="precomputed")
    for k in (1, 5, 25):
        assert ndcg_at_k(ranking, k=k).value == pytest.approx(ndcg_score(truth, scores, k=k), rel=1e-12)
        wanted = ndcg_score(2**truth - 1, scores, k=k)
        assert ndcg_at_k(ranking, k=k, gain="exponential").value == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("single", [True, False])
def test_r_precision_and_map_agree_with_pytorch_metric_learning(single):
    from pytorch_metric_learning.distances import CosineSimilarity
    from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
    from pytorch_metric_learning.utils.inference import CustomKNN

    x, labels = clustered()
    labels = labels.clamp(max=4)  # classes of different size
    names = ("mean_average_precision_at_r", "r_precision", "precision_at_1")
    other = AccuracyCalculator(include=names, k="max_bin_count", knn_func=CustomKNN(CosineSimilarity()))
    if single:
        wanted = other.get_accuracy(x, labels)
        ranking = rank_gallery(x, labels=labels)
    else:
        wanted = other.get_accuracy(x[:40], labels[:40], x[40:], labels[40:])
        ranking = rank_gallery(x[:40], x[40:], labels=labels[:40], gallery_labels=labels[40:])
    got = (map_at_r(ranking), r_precision(ranking), recall_at_k(ranking, k=1))
    for name, found in zip(names, got, strict=True):
        assert found.value == pytest.approx(wanted[name], abs=1e-9)


def test_a_row_never_finds_itself_also_when_others_equal_it():
    x = torch.ones(6, 3)
    ranking = rank_gallery(x, labels=[0, 0, 1, 1, 2, 2])
    assert ranking.candidates == 5 and int(ranking.size.max()) == 5
    assert recall_at_k(ranking, k=1).value == pytest.approx(1 / 5)


def test_rows_of_the_gallery_as_queries_leave_themselves_out_by_index():
    x, labels = clustered()
    some = torch.tensor([3, 50, 77])
    ranking = rank_gallery(x[some], x, labels=labels[some], gallery_labels=labels, exclude=some)
    whole = rank_gallery(x, labels=labels)
    torch.testing.assert_close(map_at_r(ranking).per_query, map_at_r(whole).per_query[some])


def test_equal_rows_tie_whatever_their_length_or_place_in_a_block():
    x = rows(300, 33, dtype=torch.float32)
    x = torch.cat([x, 3 * x[:150], x[:150] / 7])
    labels = torch.arange(600) % 2
    ranking = rank_gallery(x, labels=labels, depth=5, block=17)
    assert (ranking.size[:150, 0] == 2).all() and (ranking.size[:, 0].sum() == 2 * 450 + 150)


def test_inner_products_that_differ_by_rounding_alone_tie():
    row = 1e4 * rows(1, 33)[0]
    gallery = torch.stack([row[torch.randperm(33, generator=torch.Generator().manual_seed(s))] for s in range(20)])
    assert len((gallery @ torch.full((33,), 0.1, dtype=torch.float64)).unique()) > 1
    ranking = rank_gallery(torch.full((1, 33), 0.1), gallery, relevant=[[3]], metric="dot")
    assert (ranking.size == 20).all() and recall_at_k(ranking, k=1).value == pytest.approx(1 / 20)


def test_pairs_lists_of_one_and_labels_agree():
    x, y = rows(40, 6), rows(40, 6, 1)
    pairs = rank_gallery(x, y, relevant="pairs")
    lists = rank_gallery(x, y, relevant=[torch.tensor([i]) for i in range(40)])
    labels = rank_gallery(x, y, labels=range(40), gallery_labels=range(40))
    for k in (1, 5):
        values = {recall_at_k(r, k=k, kind=kind).value for r in (pairs, lists, labels) for kind in ("any", "share")}
        assert len(values) == 1
    assert recall_at_k(pairs, k=1).null == pytest.approx(1 / 40)


def test_queries_with_nothing_to_find_are_dropped_and_counted():
    x = torch.eye(5)
    ranking = rank_gallery(x, labels=[0, 0, 1, 2, 2])
    assert (ranking.dropped, ranking.queries.tolist()) == (1, [0, 1, 3, 4])
    assert "1 queries have nothing relevant" in map_at_r(ranking).warnings[0]
    lists = rank_gallery(x, torch.eye(5), relevant=[[0], [], [2], [], [4]])
    assert (lists.dropped, recall_at_k(lists, k=1).value) == (2, 1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_dtypes_arrays_and_memory_mapped_files_agree(dtype, tmp_path):
    x, labels = clustered()
    x = x.half().to(dtype)
    np.save(tmp_path / "x.npy", x.numpy())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    wanted = map_at_r(rank_gallery(x.double(), labels=labels)).value
    for given in (x, x.numpy(), mapped):
        assert map_at_r(rank_gallery(given, labels=labels, block=13)).value == pytest.approx(wanted, abs=1e-12)


def test_rotation_scale_and_order_of_the_gallery_do_not_matter():
    x, labels = clustered()
    turn = torch.linalg.qr(rows(8, 8)).Q
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    value = map_at_r(rank_gallery(x, labels=labels)).value
    assert map_at_r(rank_gallery(5 * x @ turn, labels=labels)).value == pytest.approx(value, abs=1e-12)
    assert map_at_r(rank_gallery(x[order], labels=labels[order])).value == pytest.approx(value, abs=1e-12)
    longer = x * torch.linspace(1, 9, len(x), dtype=x.dtype)[:, None]
    assert map_at_r(rank_gallery(longer, labels=labels)).value == pytest.approx(value, abs=1e-12)
    assert map_at_r(rank_gallery(longer, labels=labels, metric="dot")).value != pytest.approx(value, abs=1e-3)


def test_no_matrix_of_all_scores_is_ever_held(monkeypatch, largest_tensor):
    import lab.probes.rankings as module

    monkeypatch.setattr(module, "BLOCK_NUMBERS", 2**15)
    x = rows(2000, 4, dtype=torch.float32)
    with largest_tensor() as largest:
        recall_at_k(rank_gallery(x, labels=torch.arange(2000) // 2, depth=10), k=10)
    assert largest.numbers <= 4 * 2**15 < 2000 * 2000 / 8


def test_a_gallery_too_large_to_keep_is_read_anew(monkeypatch):
    import lab.probes.rankings as module

    x, labels = clustered()
    wanted = map_at_r(rank_gallery(x, labels=labels)).value
    monkeypatch.setattr(module, "GALLERY_NUMBERS", 10)
    monkeypatch.setattr(module, "BLOCK_NUMBERS", 400)
    assert map_at_r(rank_gallery(x, labels=labels)).value == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("piece", [1, 3, 7])
@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_ties_across_pieces_of_the_gallery_are_counted_whole(piece, metric, monkeypatch):
    import lab.probes.rankings as module

    generator = np.random.default_rng(2)
    x, y = torch.eye(6)[generator.integers(0, 6, 30)], torch.eye(6)[generator.integers(0, 6, 50)]
    x, y = x + torch.eye(6)[generator.integers(0, 6, 30)], y + torch.eye(6)[generator.integers(0, 6, 50)]
    lists = [generator.choice(30, 5, replace=False).tolist() for _ in range(30)]
    gains = [generator.integers(1, 4, 5).tolist() for _ in range(30)]
    options = {"relevant": lists, "gains": gains, "metric": metric, "exclude": [30 + i % 20 for i in range(30)]}
    for depth in (1, 4, 20, 49):
        for ties in ("expected", "pessimistic"):
            whole = rank_gallery(x, y, depth=depth, ties=ties, **options)
            with monkeypatch.context() as patch:
                patch.setattr(module, "PIECE_ROWS", piece)
                parts = rank_gallery(x, y, depth=depth, ties=ties, **options)
            for name in ("start", "size", "hits", "gain", "exponential_gain", "ideal", "gains"):
                torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-12)
            assert parts.tied == whole.tied > 0 or depth == 1


BAD = [
    ({"labels": [0, 1, 0]}, "labels must have shape"),
    ({}, "either labels or relevant"),
    ({"labels": [0] * 4, "relevant": "pairs"}, "either labels or relevant"),
    ({"labels": [0, 1, 2, 3]}, "queries have nothing to find"),
    ({"labels": [0] * 4, "depth": 4}, "depth must lie in 1 .. 3"),
    ({"labels": [0] * 4, "block": 0}, "block must be"),
    ({"labels": [0] * 4, "metric": "l2"}, "metric must be one of"),
    ({"labels": [0] * 4, "ties": "random"}, "ties must be one of"),
    ({"labels": [0] * 4, "gallery_labels": [0] * 4}, "gallery_labels needs a gallery"),
    ({"labels": [0] * 4, "exclude": [0] * 4}, "exclude needs a gallery"),
    ({"labels": [0] * 4, "gains": [[1.0]] * 4}, "gains needs relevant"),
    ({"relevant": "pairs"}, "two sets of equal length"),
    ({"relevant": "same"}, 'relevant must be "pairs"'),
    ({"relevant": [[1]] * 3}, "relevant must hold 4 lists"),
    ({"relevant": [[1], [4], [0], [0]]}, "relevant must hold indices in 0 .. 3"),
    ({"relevant": [[1, 1], [0], [0], [0]]}, "relevant names item 1 twice for query 0"),
    ({"relevant": [[1], [1], [0], [0]]}, "relevant names for query 1 the item that is excluded"),
    ({"relevant": [[1], [0], [0], [0]], "gains": [[1.0], [1.0], [0.0], [1.0]]}, "gains must be finite and above 0"),
    ({"relevant": [[1], [0], [0], [0]], "gains": [[1.0], [], [1.0], [1.0]]}, "gains must have one number"),
    ({"relevant": [[1], [0], [0], [0]], "gains": [[1.0], [9999.0], [1.0], [1.0]]}, "gains must be at most 1000"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=[says for _, says in BAD])
def test_bad_input_is_refused_by_name(options, says):
    with pytest.raises(ValueError, match=says):
        rank_gallery(torch.eye(4), **options)


def test_bad_rows_and_places_are_refused_by_name():
    x, y = torch.eye(4), torch.ones(4, 3)
    with pytest.raises(ValueError, match="gallery must have 4 columns"):
        rank_gallery(x, y, relevant="pairs")
    with pytest.raises(ValueError, match="gallery_labels must be given"):
        rank_gallery(x, x, labels=[0] * 4)
    with pytest.raises(ValueError, match="queries has a zero row"):
        rank_gallery(x * torch.tensor([1.0, 1, 0, 1])[:, None], labels=[0] * 4)
    with pytest.raises(ValueError, match="gallery holds NaN"):
        rank_gallery(x, x / 0, relevant="pairs")
    with pytest.raises(ValueError, match="at least 2 rows"):
        rank_gallery(x[:1], labels=[0])
    with pytest.raises(ValueError, match="labels must hold integers"):
        rank_gallery(x, labels=[0.5] * 4)
    with pytest.raises(ValueError, match="relevant must hold integers"):
        rank_gallery(x, x, relevant=[[0.5]] * 4)
    ranking = rank_gallery(x, labels=[0] * 4, depth=2)
    for wrong in (0, 3, True, 1.0):
        with pytest.raises(ValueError, match="k must lie in 1 .. 2"):
            recall_at_k(ranking, k=wrong)
        with pytest.raises(ValueError, match="k must lie in 1 .. 2"):
            ndcg_at_k(ranking, k=wrong)
    for metric in (r_precision, map_at_r):
        with pytest.raises(ValueError, match="ranking must be 3 deep"):
            metric(ranking)
    with pytest.raises(ValueError, match="kind must be"):
        recall_at_k(ranking, k=1, kind="all")
    with pytest.raises(ValueError, match="gain must be"):
        ndcg_at_k(ranking, k=1, gain="log")


def test_zero_shot_is_the_class_of_the_nearest_averaged_text():
    words, labels = rows(12, 6), torch.arange(200) % 4
    x = rows(200, 6, 2) + 2 * words[labels]
    text_labels = [0, 1, 2, 3] * 3
    unit = words / words.norm(dim=1, keepdim=True)
    prototypes = torch.stack([unit[c::4].mean(0) for c in range(4)])
    prototypes = prototypes / prototypes.norm(dim=1, keepdim=True)
    right = [int((prototypes @ x[i]).argmax()) == int(labels[i]) for i in range(200)]
    found = zero_shot_accuracy(x.float(), labels, words, text_labels, block=33)
    assert found.value == pytest.approx(np.mean(right)) and found.null == 0.25
    assert found.balanced == pytest.approx(np.mean([np.mean(right[c::4]) for c in range(4)]))
    top = [int(labels[i]) in (prototypes @ x[i]).topk(2).indices.tolist() for i in range(200)]
    assert zero_shot_accuracy(x, labels, words, text_labels, k=2).value == pytest.approx(np.mean(top))
    assert zero_shot_accuracy(3 * x, labels + 7, 5 * words, np.array(text_labels) + 7).value == found.value


def test_zero_shot_ties_count_by_their_chance():
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    found = zero_shot_accuracy(x, [0, 2], texts)
    assert (found.value, found.tied) == (0.75, 1)
    assert zero_shot_accuracy(x, [0, 2], texts, k=2).value == 1.0
    assert zero_shot_accuracy(x, [0, 0], texts, k=2).value == pytest.approx((1 + 0.5) / 2)
    assert "1 of 3 classes with a text have no rows" in found.warnings


def test_zero_shot_refuses_bad_input_by_name():
    x = torch.eye(3)
    for says, call in (
        ("texts must have 3 columns", lambda: zero_shot_accuracy(x, [0, 1, 2], torch.eye(4))),
        ("labels holds 5", lambda: zero_shot_accuracy(x, [0, 1, 5], x)),
        ("at least two classes", lambda: zero_shot_accuracy(x, [0, 0, 0], x, [0, 0, 0])),
        ("k must lie in 1 .. 2", lambda: zero_shot_accuracy(x, [0, 1, 2], x, k=3)),
        ("x has a zero row", lambda: zero_shot_accuracy(0 * x, [0, 1, 2], x)),
        ("texts of class 0 cancel", lambda: zero_shot_accuracy(x, [0, 1, 1], torch.cat([x, -x[:1]]), [0, 1, 1, 0])),
        ("labels must have shape", lambda: zero_shot_accuracy(x, [0, 1], x)),
        ("text_labels must have shape", lambda: zero_shot_accuracy(x, [0, 1, 2], x, [0, 1])),
    ):
        with pytest.raises(ValueError, match=says):
            call()
