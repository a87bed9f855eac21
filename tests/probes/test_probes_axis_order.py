"""The axis of pairs against scikit-learn's logistic regression on differences, and closed forms."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from lab.probes import order_axis


@pytest.mark.parametrize(("n", "d"), [(25, 4), (8, 12)])
@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_is_logistic_regression_of_differences(n: int, d: int, penalty: float) -> None:
    draw = np.random.default_rng(n)
    x = draw.normal(size=(n, d)) * draw.uniform(0.5, 2, d) + 5
    y = np.round(2 * x[:, 0] - x[:, 1] + draw.normal(size=n))
    pairs = [(i, j) for i, j in itertools.combinations(range(n), 2) if y[i] != y[j]]
    differences = np.array([x[i] - x[j] for i, j in pairs])
    side = np.array([y[i] > y[j] for i, j in pairs])
    model = LogisticRegression(C=1 / (len(pairs) * penalty), fit_intercept=False, tol=1e-10, max_iter=10000)
    expected = model.fit(differences, side).coef_[0]
    found = order_axis(x, y, penalty=penalty)
    np.testing.assert_allclose(found.slope * found.direction.numpy(), expected, rtol=1e-4, atol=1e-5)
    assert float(found.score(x).mean()) == pytest.approx(0, abs=1e-9)


def test_two_points_in_closed_form() -> None:
    """One pair at distance 1: w solves penalty * w = sigmoid(-w)."""
    slope = order_axis(torch.tensor([[0.0], [1.0]]), [3.0, 8.0], penalty=0.2).slope
    assert 0.2 * slope == pytest.approx(1 / (1 + math.exp(slope)), abs=1e-10)


def test_only_the_order_counts_and_it_turns_with_the_values() -> None:
    draw = torch.Generator().manual_seed(4)
    x, y = torch.randn(30, 5, generator=draw), torch.randn(30, generator=draw)
    one, warped, back = (order_axis(x, v, penalty=0.1) for v in (y, (3 * y).exp(), -y))
    torch.testing.assert_close(one.direction, warped.direction)
    torch.testing.assert_close(one.direction, -back.direction)
    turn = torch.linalg.qr(torch.randn(5, 5, generator=draw)).Q
    torch.testing.assert_close(order_axis(x @ turn, y, penalty=0.1).score(x @ turn), one.score(x), atol=1e-4, rtol=1e-4)


def test_separable_rows_stay_finite() -> None:
    x = torch.arange(50.0)[:, None] * 100
    axis = order_axis(x, range(50), penalty=1e-6)
    assert math.isfinite(axis.slope) and axis.direction.item() == 1.0


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"penalty": 0.0}, "penalty"), ({"values": [1.0, 1.0, 1.0]}, "values"), ({"steps": 0}, "steps"),
     ({"x": torch.ones(3, 2)}, "x does not vary"), ({"values": [1.0, 2.0]}, "values")],
)  # fmt: skip
def test_refuses(wrong: dict, named: str) -> None:
    given = {"x": torch.eye(3), "values": [1.0, 2.0, 3.0], "penalty": 0.1} | wrong
    with pytest.raises(ValueError, match=named):
        order_axis(given.pop("x"), given.pop("values"), **given)
