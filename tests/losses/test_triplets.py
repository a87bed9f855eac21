"""The triplet loss: loops over triplets, pytorch-metric-learning, and no tensor of N x N x N."""

import itertools
import math

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners, reducers

from lab.losses import triplets
from lab.losses.similarity import cosine_distance, snr, squared_euclidean
from lab.losses.triplets import triplet

LABELS = torch.tensor([0, 0, 1, 1, 1, 2, 2, 3])
EVERY = torch.tensor([0, 0, 1, 1, 1, 2, 2, 2])
OPTIONS = [
    {"selection": selection, "average": average, "soft": soft, "farthest_otherwise": otherwise}
    for selection, average, soft in itertools.product(("all", "semihard", "hard"), ("all", "active"), (False, True))
    for otherwise in ((False, True) if selection == "semihard" else (False,))
]
ALL = {"selection": "all", "average": "all"}
every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: " ".join(str(v) for v in o.values()))


def some_rows(n=8, d=3, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loop(x, y, margin, selection, average, soft, farthest_otherwise):
    d = [[math.dist(a, b) for b in x.tolist()] for a in x.tolist()]
    chosen = []
    for i in range(len(y)):
        p = [d[i][j] for j in range(len(y)) if j != i and y[j] == y[i]]
        n = [d[i][j] for j in range(len(y)) if y[j] != y[i]]
        if not p or not n:
            continue
        if selection == "all":
            chosen += list(itertools.product(p, n))
        elif selection == "hard":
            chosen.append((max(p), min(n)))
        else:
            for near in p:
                farther = [far for far in n if far > near]
                if farther:
                    chosen.append((near, min(farther)))
                elif farthest_otherwise:
                    chosen.append((near, max(n)))
    violations = [a - b + margin for a, b in chosen]
    terms = [math.log1p(math.exp(v)) if soft else max(0.0, v) for v in violations]
    if average == "active":
        terms = [t for t in terms if t > 0]
    return sum(terms) / max(len(terms), 1)


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
@every_option
def test_triplet_equals_loop_over_triplets(options, margin):
    for labels, seed in ((LABELS, 0), (EVERY, 1), (EVERY, 2)):
        value = triplet(some_rows(seed=seed), labels, margin=margin, **options)
        assert value.loss.item() == pytest.approx(loop(some_rows(seed=seed), labels, margin, **options), rel=1e-12)
        assert value.dropped.item() == (1 if labels is LABELS else 0)


@every_option
def test_triplet_gradcheck(options):
    rows = some_rows(seed=4).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: triplet(x, LABELS, margin=0.5, **options).loss, (rows,))


@pytest.mark.parametrize("measure", [squared_euclidean, cosine_distance, snr])
@every_option
def test_triplet_takes_any_distance(options, measure):
    # rows on a line at the distances that the measure gives from one anchor
    rows = some_rows(seed=6)
    keep = (torch.arange(8) == 3)[:, None].expand(8, 8)
    value = triplet(rows, EVERY, margin=0.2, distance=measure, mask=keep, **options).loss
    d = measure(rows, rows)[3]
    line = torch.where(torch.arange(8) == 3, 0, d)[:, None]
    torch.testing.assert_close(value, triplet(line, EVERY, margin=0.2, mask=keep, **options).loss)


UNIT = distances.LpDistance(normalize_embeddings=True)
THEIRS = {
    "active": (losses.TripletMarginLoss(0.3, distance=UNIT), {"average": "active"}),
    "all": (losses.TripletMarginLoss(0.3, distance=UNIT, reducer=reducers.MeanReducer()), {"average": "all"}),
    "soft": (losses.TripletMarginLoss(0.3, distance=UNIT, smooth_loss=True), {"average": "all", "soft": True}),
    "snr": (losses.TripletMarginLoss(0.3, distance=distances.SNRDistance()), {"average": "active", "distance": snr}),
}


@pytest.mark.parametrize("selection", ["all", "hard"])
@pytest.mark.parametrize("name", THEIRS)
def test_triplet_has_values_and_gradients_of_pytorch_metric_learning(name, selection):
    theirs, options = THEIRS[name]
    a, b = some_rows(12, 4, seed=5).requires_grad_(), some_rows(12, 4, seed=5).requires_grad_()
    labels = torch.arange(4).repeat(3)
    hard = miners.BatchHardMiner(distance=theirs.distance)(b, labels) if selection == "hard" else None
    unit = torch.nn.functional.normalize(a, dim=-1)
    mine, other = triplet(unit, labels, margin=0.3, selection=selection, **options).loss, theirs(b, labels, hard)
    mine.backward()
    other.backward()
    torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-9)


def test_semihard_takes_one_negative_a_pair_where_pytorch_metric_learning_takes_all_in_the_margin():
    rows, labels = torch.tensor([[0.0], [1.0], [1.2], [1.4]], dtype=torch.float64), torch.tensor([0, 0, 1, 1])
    keep = (torch.arange(4) == 0)[:, None].expand(4, 4)
    ours = triplet(rows, labels, margin=0.5, selection="semihard", average="all", mask=keep).loss
    assert ours.item() == pytest.approx(1 - 1.2 + 0.5)
    flat = distances.LpDistance(normalize_embeddings=False)
    mined = miners.TripletMarginMiner(0.5, "semihard", distance=flat)(rows, labels)
    assert [n.item() for a, n in zip(mined[0], mined[2], strict=True) if a == 0] == [2, 3]


def test_all_and_active_differ_by_the_share_of_active_triplets():
    rows, labels = some_rows(20, 3, seed=8), torch.arange(5).repeat(4)
    whole = triplet(rows, labels, margin=0.1, selection="all", average="all").loss
    active = triplet(rows, labels, margin=0.1, selection="all", average="active").loss
    d = torch.cdist(rows, rows)
    triplets_, alive = 0, 0
    for a, p, n in itertools.product(range(20), repeat=3):
        if a != p and labels[a] == labels[p] and labels[a] != labels[n]:
            triplets_, alive = triplets_ + 1, alive + int(d[a, p] - d[a, n] + 0.1 > 0)
    torch.testing.assert_close(whole, active * alive / triplets_)


def test_rested_triplets_give_zero_and_no_gradient():
    rows = torch.tensor([[0.0], [0.1], [5.0], [5.1]], requires_grad=True)
    for options in OPTIONS:
        if not options["soft"]:
            value = triplet(rows, torch.tensor([0, 0, 1, 1]), margin=0.5, **options).loss
            assert value.item() == 0 and torch.autograd.grad(value, rows)[0].abs().max() == 0


@every_option
def test_equal_rows_leave_the_margin(options):
    rows = torch.ones(6, 3, dtype=torch.float64, requires_grad=True)
    value = triplet(rows, torch.tensor([0, 0, 1, 1, 2, 2]), margin=0.5, **options).loss
    none = options["selection"] == "semihard" and not options["farthest_otherwise"]
    expected = 0.0 if none else math.log1p(math.exp(0.5)) if options["soft"] else 0.5
    assert value.item() == pytest.approx(expected)
    assert torch.isfinite(torch.autograd.grad(value, rows)[0]).all()


@pytest.mark.parametrize("average", ["all", "active"])
def test_blocks_of_soft_triplets_change_nothing(average, monkeypatch):
    values = []
    for numbers in (2**21, 1, 70):
        monkeypatch.setattr(triplets, "BLOCK_NUMBERS", numbers)
        rows = some_rows(seed=3).requires_grad_()
        value = triplet(rows, LABELS, margin=0.1, selection="all", average=average, soft=True).loss
        values.append((value.detach(), torch.autograd.grad(value, rows)[0]))
    for value in values[1:]:
        torch.testing.assert_close(value, values[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("options", [o for o in OPTIONS if not o["soft"]], ids=lambda o: " ".join(map(str, o.values())))
def test_hinges_never_hold_more_than_a_matrix(options, largest_tensor):
    n = 64
    rows = some_rows(n).requires_grad_()
    with largest_tensor() as largest:
        triplet(rows, torch.arange(4).repeat(n // 4), margin=0.3, **options).loss.backward()
    assert n * n <= largest.numbers <= 2 * n * n


def test_soft_triplets_never_hold_more_than_a_block(monkeypatch, largest_tensor):
    monkeypatch.setattr(triplets, "BLOCK_NUMBERS", 64 * 64)
    rows = some_rows(64).requires_grad_()
    with largest_tensor() as largest:
        triplet(rows, torch.arange(4).repeat(16), margin=0.3, selection="all", average="all", soft=True).loss.backward()
    assert largest.numbers <= 2 * 64 * 64


def test_soft_triplets_keep_no_block_for_backward(monkeypatch):
    monkeypatch.setattr(triplets, "BLOCK_NUMBERS", 64 * 64)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()) or x, lambda x: x):
        triplet(some_rows(64).requires_grad_(), torch.arange(4).repeat(16), margin=0.3, soft=True, **ALL)
    assert sum(kept) < 16 * 64 * 64  # all triplets are 15 * 48 * 64


@pytest.mark.parametrize(
    ("bad", "name"),
    [({"margin": -0.1}, "margin"), ({"selection": "easy"}, "selection"), ({"average": "mean"}, "average")],
)
def test_triplet_names_options_out_of_range(bad, name):
    with pytest.raises(ValueError, match=name):
        triplet(some_rows(), EVERY, **{"margin": 0.2, "selection": "all", "average": "all", **bad})
