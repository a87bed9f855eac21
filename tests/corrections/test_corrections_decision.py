"""Decisions from class probabilities: closed forms on the line, on trees and without geometry, and a plain loop."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from lab.corrections import frechet_mean, temperature_scale
from lab.trees import tree_distances


def random_case(n=40, k=6, labels=9, seed=0):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(k, 0.5), size=n), rng.uniform(0, 3, size=(labels, k))


def test_against_a_plain_loop():
    p, far = random_case()
    found = frechet_mean(p, far)
    for row, label, variance in zip(p, found.labels.tolist(), found.variance.tolist(), strict=True):
        costs = []
        for y in range(far.shape[0]):
            costs.append(sum(row[k] * far[y, k] ** 2 for k in range(far.shape[1])))
        assert label == min(range(len(costs)), key=costs.__getitem__)
        assert math.isclose(variance, min(costs), rel_tol=1e-12)


def test_on_the_line_it_is_the_label_nearest_to_the_mean():
    p, _ = random_case(n=200, k=6)
    trained, places = np.arange(0.0, 12.0, 2.0), np.arange(12.0)
    found = frechet_mean(p, np.abs(places[:, None] - trained))
    mean = p @ trained
    np.testing.assert_array_equal(found.labels, np.abs(mean[:, None] - places).argmin(1))
    # bias of the grid and variance of the distribution: E (y - Y)^2 = (y - mean)^2 + var
    variance = p @ trained**2 - mean**2
    np.testing.assert_allclose(found.variance, (found.labels.numpy() - mean) ** 2 + variance, atol=1e-10)
    assert int(found.labels.max()) <= 10  # nothing outside the trained range
    assert (found.labels % 2 == 1).any()  # and untrained labels within it


def test_one_hot_gives_the_class_itself_and_uniform_the_centre():
    far = tree_distances([-1, 0, 0, 1, 1, 2, 2])
    found = frechet_mean(torch.eye(7), far)
    assert found.labels.tolist() == list(range(7)) and float(found.variance.abs().max()) == 0
    centre = frechet_mean(torch.full((1, 7), 1 / 7), far)
    assert centre.labels.tolist() == [0]
    assert math.isclose(float(centre.variance), (2 * 1 + 4 * 4) / 7)
    # doubt between two leaves of one branch is settled by their parent, which was not trained
    assert frechet_mean([[0.5, 0.5, 0.0, 0.0]], far[:, 3:]).labels.tolist() == [1]
    assert frechet_mean([[0.25, 0.25, 0.25, 0.25]], far[:, 3:]).labels.tolist() == [0]


def test_without_geometry_it_is_the_argmax():
    p, _ = random_case(k=6)
    discrete = 1.0 - np.eye(9, 6)
    np.testing.assert_array_equal(frechet_mean(p, discrete).labels, p.argmax(1))


def test_squares_and_not_distances_are_summed():
    # three classes at 0, 1 and 10 with shares 0.4, 0.3, 0.3: the mean is 3.3, the median 1
    places = torch.arange(11.0)
    far = (places[:, None] - torch.tensor([0.0, 1.0, 10.0])).abs()
    assert frechet_mean([[0.4, 0.3, 0.3]], far).labels.tolist() == [3]


def test_ties_blocks_precision_and_scale():
    far = (torch.arange(4.0)[:, None] - torch.arange(4.0)).abs()
    assert frechet_mean([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]], far).labels.tolist() == [0, 2]
    # rounding decides nothing: of two classes as likely as each other the first is named
    nearly = torch.tensor([[0.3 - 1e-12, 0.3 + 1e-12, 0.2, 0.2]], dtype=torch.float64)
    assert frechet_mean(nearly, torch.ones(4, 4) - torch.eye(4)).labels.tolist() == [0]
    p, distances = random_case(n=101)
    whole, parts = frechet_mean(p, distances), frechet_mean(p, distances, block=7)
    assert torch.equal(whole.labels, parts.labels)
    torch.testing.assert_close(whole.variance, parts.variance)
    scaled = frechet_mean(p, 1000 * distances)
    assert torch.equal(whole.labels, scaled.labels)
    torch.testing.assert_close(scaled.variance, 1e6 * whole.variance)
    half = frechet_mean(torch.tensor(p).half(), distances)
    assert (half.labels == whole.labels).double().mean() > 0.95


def test_relabelling_moves_the_answer_with_it():
    p, far = random_case()
    order, classes = np.random.default_rng(1).permutation(9), np.random.default_rng(2).permutation(6)
    moved = frechet_mean(p[:, classes], far[order][:, classes])
    np.testing.assert_array_equal(order[moved.labels], frechet_mean(p, far).labels)


@pytest.mark.parametrize(
    ("p", "far", "word"),
    [
        ([[0.5, 0.5]], torch.ones(3, 3), "columns"),
        ([[0.5, 0.6]], torch.ones(2, 2), "sum to 1"),
        ([[1.5, -0.5]], torch.ones(2, 2), "probabilities"),
        ([[0.5, 0.5]], -torch.ones(2, 2), "distances"),
        ([[float("nan"), 0.5]], torch.ones(2, 2), "probabilities"),
        ([[0.5, 0.5]], torch.full((2, 2), torch.inf), "distances"),
    ],
)
def test_bad_input_is_named(p, far, word):
    with pytest.raises(ValueError, match=word):
        frechet_mean(p, far)
    with pytest.raises(ValueError, match="block"):
        frechet_mean([[0.5, 0.5]], torch.ones(2, 2), block=0)


def test_temperature_against_a_general_optimiser():
    rng = np.random.default_rng(0)
    true = 2.0 * rng.normal(size=(3000, 5))
    labels = np.array([rng.choice(5, p=np.exp(z) / np.exp(z).sum()) for z in true])

    def cost(log_tau):
        z = 4.0 * true / np.exp(log_tau)
        return (np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)) + z.max(1) - z[np.arange(3000), labels]).mean()

    best = float(np.exp(minimize_scalar(cost, bounds=(-3, 5), method="bounded", options={"xatol": 1e-10}).x))
    found = temperature_scale(4.0 * true, labels)
    assert math.isclose(found, best, rel_tol=1e-5)
    assert 3.6 < found < 4.4  # the logits were four times too large
    assert math.isclose(temperature_scale(8.0 * true, labels), 2 * found, rel_tol=1e-9)
    assert math.isclose(temperature_scale(4.0 * true + rng.normal(size=(3000, 1)), labels), found, rel_tol=1e-9)


def test_temperature_closed_form_and_ends():
    # two classes with logits (a, 0), of which a share q is right: sigmoid(a / tau) = q
    logits, labels = [[2.0, 0.0]] * 10, [0] * 8 + [1] * 2
    assert math.isclose(temperature_scale(logits, labels), 2 / math.log(4), rel_tol=1e-9)
    assert temperature_scale(logits, [0] * 10) == 1e-3
    assert temperature_scale(logits, [1] * 10) == 1e3
    assert temperature_scale(logits, [0] * 10, low=0.5, high=2.0) == 0.5


@pytest.mark.parametrize(
    ("logits", "labels", "options", "word"),
    [
        ([[1.0, 2.0]], [2], {}, "labels"),
        ([[1.0, 2.0]], [0, 1], {}, "labels"),
        ([[1.0, float("inf")]], [0], {}, "logits"),
        ([[1.0, 2.0]], [0], {"low": 2.0, "high": 1.0}, "low"),
    ],
)
def test_temperature_names_bad_input(logits, labels, options, word):
    with pytest.raises(ValueError, match=word):
        temperature_scale(logits, labels, **options)
