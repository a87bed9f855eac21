"""Parallel offsets and bias subspaces against loops, planted structure and scikit-learn."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import TruncatedSVD

from lab.probes.offsets import bias_subspace, parallelism


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(x, pairs):
    """Mean cosine of the offsets over pairs of pairs without a common member."""
    found = []
    for p in range(len(pairs)):
        for q in range(p):
            if {*pairs[p]} & {*pairs[q]}:
                continue
            a, b = (x[pairs[i][1]] - x[pairs[i][0]] for i in (p, q))
            found.append(float(a @ b / a.norm() / b.norm()))
    return sum(found) / len(found), len(found)


def test_equal_offsets_are_parallel_and_opposite_ones_are_not():
    first = random(6, 4)
    x = torch.cat([first, first + random(4, seed=1)])
    pairs = torch.arange(12).reshape(2, 6).T
    assert parallelism(x, pairs).value == pytest.approx(1, rel=1e-12)
    flipped = pairs.clone()
    flipped[0] = flipped[0].flip(0)
    # Of 15 pairs of pairs, 5 hold the flipped one.
    assert parallelism(x, flipped).value == pytest.approx(5 / 15, rel=1e-12)


@pytest.mark.parametrize(
    "pairs",
    [
        [[0, 1], [2, 3], [4, 5], [6, 7]],
        [[0, 1], [0, 2], [1, 2], [3, 4], [5, 4], [6, 7]],
        [[0, 1], [1, 0], [0, 1], [2, 3], [4, 5], [5, 3]],
    ],
)
def test_pairs_with_common_members_are_left_out_as_in_a_loop(pairs):
    x = random(8, 3)
    value, compared = by_loops(x, pairs)
    found = parallelism(x, pairs)
    assert found.value == pytest.approx(value, rel=1e-10)
    assert found.compared == compared


def test_a_common_member_alone_would_look_parallel():
    """Offsets from one hub to random rows have cosines near 1/2, and nothing is left of that."""
    x = random(41, 200)
    star = torch.tensor([[0, i] for i in range(1, 21)] + [[i, i + 20] for i in range(1, 21)])
    found = parallelism(x, star)
    units = torch.nn.functional.normalize(x[1:21] - x[0], dim=1)
    assert float((units @ units.T).mean()) > 0.45
    value, compared = by_loops(x, star.tolist())
    assert found.value == pytest.approx(value, rel=1e-9)
    assert found.compared == compared
    assert abs(found.value) < 0.05


def test_the_null_is_the_mean_over_all_permutations():
    x = random(8, 3)
    pairs = [[0, 1], [2, 3], [4, 5], [6, 7]]
    all_values = [
        by_loops(x, [[pairs[i][0], pairs[j][1]] for i, j in enumerate(order)])[0]
        for order in itertools.permutations(range(4))
    ]
    found = parallelism(x, pairs, draws=2000)
    assert found.null == pytest.approx(sum(all_values) / 24, abs=0.02)
    least = sum(v >= all_values[0] - 1e-12 for v in all_values) / 24
    assert found.p_value == pytest.approx(least, abs=0.04)
    assert "few permutations" in found.warnings[0]


def test_a_difference_of_means_is_in_the_null_and_the_pairing_is_not():
    n, d = 30, 20
    step, pairs = 4 * random(d, seed=1) / math.sqrt(d), torch.arange(2 * n).reshape(2, n).T
    first = random(n, d)
    paired = parallelism(torch.cat([first, first + step + 0.1 * random(n, d, seed=2)]), pairs)
    assert paired.value > 0.9 > paired.null_high
    assert paired.null > 0.4
    assert paired.p_value == pytest.approx(1 / 201)
    dealt = [torch.cat([first, step + random(n, d, seed=s)]) for s in range(10, 40)]
    loose = [parallelism(x, pairs, draws=20).p_value for x in dealt]
    assert sum(loose) / 30 == pytest.approx(0.5, abs=0.17)
    unrelated = parallelism(random(60, 400), pairs, draws=20)
    assert abs(unrelated.value) < 0.02


def test_parallelism_does_not_see_rotation_scale_offset_or_order_of_pairs():
    x, pairs = random(12, 4), torch.arange(12).reshape(6, 2)
    one = parallelism(x, pairs)
    turn = torch.linalg.qr(random(4, 4, seed=3))[0]
    assert parallelism(50 * x @ turn + 3, pairs).value == pytest.approx(one.value, rel=1e-9)
    assert parallelism(x, pairs.flip(0)).value == pytest.approx(one.value, rel=1e-12)
    assert parallelism(x, pairs.flip(1)).value == pytest.approx(one.value, rel=1e-12)
    assert parallelism(x, pairs) == one != parallelism(x, pairs, seed=1)
    assert parallelism(x.half(), pairs).value == pytest.approx(one.value, abs=2e-3)
    assert parallelism(x.float().numpy(), pairs.numpy()).value == pytest.approx(one.value, abs=1e-6)


def test_one_difference_is_one_direction_and_shares_are_those_planted():
    axis = torch.eye(5).double()
    middle = random(20, 5)
    half = torch.zeros(20, 5).double()
    half[:, 0] = 3.0
    half[:, 1] = torch.tensor([1.0, -1.0]).repeat(10)
    x = torch.cat([middle - half, middle + half])
    pairs = torch.arange(40).reshape(2, 20).T
    found = bias_subspace(x, pairs, k=2)
    assert found.shares == pytest.approx((0.9, 0.1), rel=1e-12)
    assert found.value == pytest.approx(1, rel=1e-12)
    torch.testing.assert_close(found.directions[0], axis[0])
    torch.testing.assert_close(found.directions[1].abs(), axis[1])
    assert found.null_high < 0.9 < found.value
    assert bias_subspace(x, pairs).value == pytest.approx(0.9)
    torch.testing.assert_close(found.project(x)[:, 0], x[:, 0])
    torch.testing.assert_close(bias_subspace(x, pairs.flip(1)).directions[0], -axis[0])


@pytest.mark.parametrize("m", [2, 3])
def test_directions_are_those_of_a_plain_decomposition(m):
    x = random(30, 6) + 50
    sets = torch.randperm(30, generator=torch.Generator().manual_seed(0))[: 9 * m].reshape(9, m)
    inner = np.concatenate([x[s].numpy() - x[s].numpy().mean(0) for s in sets])
    model = TruncatedSVD(3, algorithm="arpack").fit(inner)
    found = bias_subspace(x, sets, k=3)
    shares = model.singular_values_**2 / (inner**2).sum()
    assert found.shares == pytest.approx(tuple(shares), rel=1e-9)
    agreement = np.abs((found.directions.numpy() * model.components_).sum(1))
    np.testing.assert_allclose(agreement, 1, rtol=1e-8)
    torch.testing.assert_close(found.directions @ found.directions.T, torch.eye(3).double())
    assert (found.directions @ (x[sets[:, -1]] - x[sets[:, 0]]).mean(0) >= 0).all()


def test_the_band_of_random_deals_holds_sets_without_a_direction_of_their_own():
    sets = torch.arange(40).reshape(20, 2)
    found = [bias_subspace(random(40, 10, seed=s), sets, draws=40) for s in range(40)]
    assert sum(f.value > f.null_high for f in found) <= 8
    assert sum(f.value for f in found) / 40 == pytest.approx(sum(f.null for f in found) / 40, rel=0.05)


def test_bias_subspace_under_rotation_scale_offset_and_precision():
    x, sets = random(24, 5), torch.arange(24).reshape(8, 3)
    one = bias_subspace(x, sets, k=2)
    turn = torch.linalg.qr(random(5, 5, seed=3))[0]
    other = bias_subspace(50 * x @ turn + 9, sets, k=2)
    assert other.shares == pytest.approx(one.shares, rel=1e-9)
    torch.testing.assert_close(other.directions, one.directions @ turn, rtol=1e-7, atol=1e-7)
    assert other.null == pytest.approx(one.null, rel=1e-9)
    assert bias_subspace(x.half(), sets, k=2).value == pytest.approx(one.value, abs=1e-3)
    assert bias_subspace(x.numpy(), sets.numpy(), k=2).value == one.value
    assert bias_subspace(x, sets, seed=1).null != one.null
    assert "at most" in bias_subspace(x, sets[:2, :2], k=1).warnings[0]


def test_bad_input_names_its_argument():
    x, pairs = random(8, 3), [[0, 1], [2, 3], [4, 5]]
    for call, word in (
        (lambda: parallelism(x, [[0, 1]]), "pairs"),
        (lambda: parallelism(x, [[0, 1, 2], [3, 4, 5]]), "pairs"),
        (lambda: parallelism(x, [[0, 1], [2, 8]]), "pairs"),
        (lambda: parallelism(x, [[0, 1], [2, 2]]), "pairs"),
        (lambda: parallelism(x, [[0, 1], [0, 2], [1, 2]]), "pairs"),
        (lambda: parallelism(torch.ones(8, 3), pairs), "pairs"),
        (lambda: parallelism(x, pairs, draws=3), "draws"),
        (lambda: parallelism(x * math.nan, pairs), "x"),
        (lambda: bias_subspace(x, pairs, k=4), "k"),
        (lambda: bias_subspace(x, pairs, k=0), "k"),
        (lambda: bias_subspace(x, pairs, draws=3), "draws"),
        (lambda: bias_subspace(x, [[0], [1]]), "sets"),
        (lambda: bias_subspace(x, [[0, 1], [-1, 2]]), "sets"),
        (lambda: bias_subspace(torch.ones(8, 3), pairs), "sets"),
        (lambda: bias_subspace(x * math.inf, pairs), "x"),
        (lambda: bias_subspace(x, pairs).project(x[:, :2]), "x"),
    ):
        with pytest.raises(ValueError, match=word):
            call()
    with pytest.raises(TypeError, match="pairs"):
        parallelism(x, torch.tensor(pairs).double())
