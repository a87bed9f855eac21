"""Fits of one axis, its bounds and its measures against closed forms, refits, loops and other libraries."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau, spearmanr
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from lab.probes.axis_bounds import nonlinear_scores
from lab.probes.axis_fit import GRID, Axis, dual_weights, extremes_axis, ridge_axis, ridge_weights
from lab.probes.rank_agreement import rank_scores


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def planted(n, d, a=1.0, s=0.5, seed=0):
    """Rows a y u + s e with a unit vector u and standard normal y and e; returns rows, y and u."""
    y, u = random(n, seed=seed), random(d, seed=99)
    u = u / u.norm()
    return a * y[:, None] * u + s * random(n, d, seed=seed + 1), y, u


def pearson(a, b):
    return float(torch.corrcoef(torch.stack([a, b]))[0, 1])


@pytest.mark.parametrize(("a", "s"), [(1.0, 0.5), (1.0, 2.0)])
def test_the_optimal_axis_and_a_fit_on_many_items_have_the_known_correlation(a, s):
    x, y, u = planted(20000, 8, a, s)
    expected = a / math.sqrt(a**2 + s**2)
    assert pearson(Axis(u, 1.0, 0.0).score(x), y) == pytest.approx(expected, abs=0.01)
    fitted = ridge_axis(x, y)
    fresh, fresh_y, _ = planted(20000, 8, a, s, seed=5)
    assert pearson(fitted.score(fresh), fresh_y) == pytest.approx(expected, abs=0.01)
    assert float(fitted.direction @ u) > 0.99
    spearman, kendall = rank_scores(fresh_y, fitted.score(fresh))
    assert spearman == pytest.approx(6 / math.pi * math.asin(expected / 2), abs=0.012)
    assert kendall == pytest.approx(2 / math.pi * math.asin(expected), abs=0.012)


@pytest.mark.parametrize(("s", "d"), [(0.5, 64), (0.5, 512), (1.0, 64)])
def test_two_extremes_have_the_known_correlation(s, d):
    a, far = 1.0, 7.2
    x, y, u = planted(2000, d, a, s, seed=3)
    found = []
    for seed in range(300):
        ends = a * torch.tensor([-far / 2, far / 2]).double()[:, None] * u + s * random(2, d, seed=1000 + seed)
        found.append(pearson(extremes_axis(ends, [-far / 2, far / 2]).score(x), y))
    expected = a**2 * far / math.sqrt((a**2 * far) ** 2 + (a * far * s) ** 2 + 2 * s**2 * a**2 + 2 * s**4 * d)
    assert sum(found) / len(found) == pytest.approx(expected, abs=0.01)
    assert expected == pytest.approx({(0.5, 64): 0.841, (0.5, 512): 0.634, (1.0, 64): 0.473}[s, d], abs=0.003)


def test_rank_scores_of_normal_pairs_of_known_correlation():
    first = random(20000)
    second = 0.7 * first + math.sqrt(1 - 0.49) * random(20000, seed=1)
    spearman, kendall = rank_scores(first, second)
    assert spearman == pytest.approx(0.6829, abs=0.01)
    assert kendall == pytest.approx(0.4936, abs=0.01)


def test_rank_scores_with_ties_agree_with_a_loop_over_pairs_and_with_scipy():
    generator = torch.Generator().manual_seed(0)
    v, s = torch.randint(0, 5, (40,), generator=generator), torch.randint(0, 7, (40,), generator=generator)
    agree = tied_v = tied_s = 0
    for i in range(40):
        for j in range(i):
            a, b = int(v[i] - v[j]), int(s[i] - s[j])
            agree += np.sign(a * b)
            tied_v += a == 0
            tied_s += b == 0
    pairs = 40 * 39 / 2
    found = rank_scores(v, s)
    assert found.kendall == pytest.approx(agree / math.sqrt((pairs - tied_v) * (pairs - tied_s)), rel=1e-12)
    assert found.kendall == pytest.approx(kendalltau(v, s).statistic, rel=1e-12)
    assert found.spearman == pytest.approx(spearmanr(v, s).statistic, rel=1e-12)
    assert rank_scores(v, -s).spearman == pytest.approx(-found.spearman, rel=1e-12)


@pytest.mark.parametrize(("n", "d"), [(30, 6), (8, 20)])
def test_ridge_is_that_of_scikit_learn_and_its_penalty_the_best_when_each_item_is_left_out(n, d):
    x, y, _ = planted(n, d, s=1.0)
    x = x + 3
    for penalty in (0.01, 2.0):
        model = Ridge(alpha=penalty * n).fit(x.numpy(), y.numpy())
        for block in (7, 4096):
            found = ridge_axis(x, y, penalty=penalty, block=block)
            np.testing.assert_allclose(found.slope * found.direction.numpy(), model.coef_, rtol=1e-9)
            np.testing.assert_allclose(found.score(x).numpy(), model.predict(x.numpy()), rtol=1e-9, atol=1e-10)
    centred = x - x.mean(0)
    eigenvalue = float(centred.square().sum()) / min(n, d)
    errors = []
    for step in GRID:
        error = 0.0
        for i in range(n):
            others = np.arange(n) != i
            model = Ridge(alpha=step * eigenvalue).fit(x.numpy()[others], y.numpy()[others])
            error += float(model.predict(x.numpy()[i : i + 1])[0] - float(y[i])) ** 2
        errors.append(error / n)
    assert ridge_axis(x, y).penalty == pytest.approx(GRID[int(np.argmin(errors))] * eigenvalue, rel=1e-9)
    assert ridge_weights(x, y, block=7)[3] == pytest.approx(min(errors), rel=1e-8)


def test_the_kernel_bound_is_kernel_ridge_on_a_centred_kernel():
    x, y, _ = planted(40, 3)
    y = y.abs()
    train, test = torch.arange(25), torch.arange(25, 40)
    got = nonlinear_scores(x, y, train, test, "kernel", 0)
    inner = x[train].numpy()
    apart = ((inner[:, None] - inner[None]) ** 2).sum(2)
    middle = float(torch.as_tensor(apart[apart > 0]).median())
    hat = np.eye(25) - 1 / 25
    best = (math.inf, None)
    for width in (0.5, 1, 2):
        kernel = hat @ np.exp(-apart / (2 * middle * width**2)) @ hat
        _, penalty, error = dual_weights(torch.as_tensor(kernel), y[train] - y[train].mean())
        best = min(best, (error, (width, penalty)), key=lambda pair: pair[0])
    width, penalty = best[1]
    kernel = np.exp(-apart / (2 * middle * width**2))
    across = np.exp(-((x[test].numpy()[:, None] - inner[None]) ** 2).sum(2) / (2 * middle * width**2))
    model = KernelRidge(alpha=penalty, kernel="precomputed").fit(
        hat @ kernel @ hat, (y[train] - y[train].mean()).numpy()
    )
    wanted = model.predict((across - kernel.mean(0)) @ hat)
    np.testing.assert_allclose(got.numpy() - got.numpy().mean(), wanted - wanted.mean(), rtol=1e-6, atol=1e-9)


def test_ties_at_the_ends_are_drawn_by_the_seed():
    x = torch.eye(6).double()
    drawn = {tuple(extremes_axis(x, [0, 0, 0, 1, 1, 1], seed=s).direction.tolist()) for s in range(30)}
    assert len(drawn) == 9


def test_no_matrix_of_items_by_items_appears(largest_tensor):
    x, y, _ = planted(6000, 6)
    with largest_tensor() as seen:
        ridge_axis(x, y)
        extremes_axis(x, y)
    assert seen.numbers <= 4096 * 17
    train, test = torch.arange(3000), torch.arange(3000, 6000)
    with largest_tensor() as seen:
        nonlinear_scores(x, y, train, test, "kernel", 0, most=200)
    assert seen.numbers <= 1024 * 200


def test_bad_input_names_its_argument():
    x, y, _ = planted(20, 3)
    for call, word in (
        (lambda: ridge_axis(torch.ones(20, 3), y), "x"),
        (lambda: ridge_axis(x, y, penalty=-1.0), "penalty"),
        (lambda: extremes_axis(x, y, each=11), "each"),
        (lambda: extremes_axis(torch.ones(20, 3), y), "x"),
        (lambda: extremes_axis(x, y).score(x[:, :2]), "x"),
        (lambda: rank_scores([1, 2], [1, 1]), "scores"),
        (lambda: rank_scores([1, 2], [1, 2, 3]), "scores"),
        (lambda: rank_scores([1, 1], [1, 2]), "values"),
    ):
        with pytest.raises(ValueError, match=word):
            call()
    with pytest.raises(TypeError, match="values"):
        ridge_axis(x, y.to(torch.complex64))
