"""The linearity score against closed forms, scipy's least squares and loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lab.probes.linearity import linearity_score


def gaussian(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_least_squares(x, y):
    """1 - min |X A - Y|^2 from numpy's least squares, column by column."""
    x, y = np.asarray(x), np.asarray(y)
    x, y = x - x.mean(0), y - y.mean(0)
    x, y = x / math.sqrt((x**2).sum()), y / math.sqrt((y**2).sum())
    left = 0.0
    for column in y.T:
        a = np.linalg.lstsq(x, column, rcond=None)[0]
        left += ((x @ a - column) ** 2).sum()
    return 1 - left


def test_an_affine_map_scores_one():
    x = gaussian(50, 4)
    assert linearity_score(x, x @ gaussian(4, 7, 1) + gaussian(1, 7, 2)).value == pytest.approx(1, abs=1e-12)
    # one that loses directions as well
    assert linearity_score(x, x[:, :1] @ torch.ones(1, 3, dtype=torch.float64)).value == pytest.approx(1, abs=1e-12)


def test_an_orthogonal_part_counts_with_its_length():
    # x, z are orthonormal and centred: y = 3 x + 4 z has 9 / 25 of its square along x
    x = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None]
    z = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None]
    found = linearity_score(x, 3 * x + 4 * z + 10)
    assert found.value == pytest.approx(9 / 25, abs=1e-12)
    assert (found.rank, found.null) == (1, 1 / 3)
    assert found.adjusted == pytest.approx((9 / 25 - 1 / 3) / (2 / 3))


def test_equals_least_squares_column_by_column():
    x, y = gaussian(40, 5) + 3, gaussian(40, 6, 1)
    y[:, :5] += 0.7 * x.tanh()
    assert linearity_score(x, y).value == pytest.approx(by_least_squares(x, y), abs=1e-12)


def test_a_square_of_a_symmetric_variable_is_not_linear():
    x = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None]
    assert linearity_score(x, x**2).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("n", "p"), [(30, 5), (60, 20)])
def test_null_is_the_mean_over_unrelated_rows(n, p):
    values = [linearity_score(gaussian(n, p, seed), gaussian(n, 3, 1000 + seed)) for seed in range(200)]
    mean = np.mean([float(v) for v in values])
    spread = np.std([float(v) for v in values]) / math.sqrt(len(values))
    assert values[0].null == pytest.approx(p / (n - 1))
    assert mean == pytest.approx(p / (n - 1), abs=4 * spread)
    assert np.mean([v.adjusted for v in values]) == pytest.approx(0, abs=4 * spread / (1 - p / (n - 1)))


def test_invariances():
    x, y = gaussian(40, 4), gaussian(40, 3, 1)
    y[:, 0] += x[:, 0]
    base = linearity_score(x, y).value
    turn = torch.linalg.qr(gaussian(3, 3, 2)).Q
    # any invertible map of x
    assert linearity_score(x @ gaussian(4, 4, 3) - 5, y).value == pytest.approx(base, abs=1e-12)
    assert linearity_score(x, 1e-8 * (y @ turn) + 2e-8).value == pytest.approx(base, abs=1e-9)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(4))
    assert linearity_score(x[order], y[order]).value == pytest.approx(base, abs=1e-12)
    assert linearity_score(torch.cat([x, x @ gaussian(4, 2, 5)], 1), y).value == pytest.approx(base, abs=1e-10)
    # columns of y that are stretched weigh more: no invariance there
    assert abs(linearity_score(x, y * torch.tensor([9.0, 1.0, 1.0])).value - base) > 0.05


def test_what_is_left_of_a_residual_step_is_left_of_its_update():
    x = gaussian(80, 5) + 1
    u = (x @ gaussian(5, 5, 1)).relu()
    y = x + u
    square = lambda t: float((t - t.mean(0)).square().sum())  # noqa: E731
    left = (1 - linearity_score(x, u).value) * square(u) / square(y)
    assert 1 - linearity_score(x, y).value == pytest.approx(left, abs=1e-12)


def test_too_few_rows_and_samples_are_said():
    x = gaussian(6, 9)
    found = linearity_score(x, gaussian(6, 2, 1))
    assert (found.value, found.null, found.adjusted, found.rank) == (pytest.approx(1), 1.0, 0.0, 5)
    assert any("too few" in text for text in found.warnings)
    assert any("unrelated" in text for text in linearity_score(gaussian(30, 9), gaussian(30, 2, 1)).warnings)
    sampled = linearity_score(gaussian(300, 2), gaussian(300, 2), rows=100, seed=3)
    assert (sampled.n_rows, sampled.n_rows_total, sampled.value) == (100, 300, pytest.approx(1))
    assert any("100 of 300" in text for text in sampled.warnings)
    assert linearity_score(gaussian(300, 2), gaussian(300, 2, 1), rows=100, seed=3) == linearity_score(
        gaussian(300, 2), gaussian(300, 2, 1), rows=100, seed=3
    )


def test_half_precision_and_arrays():
    x = gaussian(50, 3)
    y = x.tanh() @ gaussian(3, 3, 1)
    assert linearity_score(x.numpy(), y).value == pytest.approx(linearity_score(x, y).value, abs=1e-12)
    assert linearity_score(x.half(), y.half()).value == pytest.approx(linearity_score(x, y).value, abs=5e-3)
    assert linearity_score(1e300 * x, 1e-300 * y).value == pytest.approx(linearity_score(x, y).value, abs=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        (gaussian(5, 2), gaussian(6, 2), {}, "y must have 5 rows"),
        (gaussian(2, 2), gaussian(2, 2), {}, "at least 3 rows"),
        (torch.ones(5, 2), gaussian(5, 2), {}, "x is constant"),
        (gaussian(5, 2), 1e9 + torch.zeros(5, 2, dtype=torch.float64), {}, "y is constant"),
        (gaussian(5, 2), gaussian(5, 2).fill_(math.nan), {}, "y"),
        (gaussian(5, 2), gaussian(5, 2), {"rows": 2}, "rows must be an integer of at least 3"),
    ],
)
def test_bad_input_is_refused(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        linearity_score(x, y, **options)
    with pytest.raises(TypeError, match="seed"):
        linearity_score(gaussian(5, 2), gaussian(5, 2), seed=0.5)
