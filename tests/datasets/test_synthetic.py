"""Generators against exact answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from lab.datasets import synthetic

F64 = torch.float64


def test_sphere_moments():
    """Mean cosine 0, mean squared cosine 1/d, fourth moment 3/(d(d+2)) between neighbouring rows, within 5 errors."""
    n, dim = 40_000, 6
    points = synthetic.sphere(n, dim, seed=0, dtype=F64)
    torch.testing.assert_close(points.norm(dim=1), torch.ones(n, dtype=F64))
    cosines = (points[: n // 2] * points[n // 2 :]).sum(1)
    for power, exact in ((1, 0.0), (2, 1 / dim), (4, 3 / (dim * (dim + 2)))):
        values = cosines**power
        assert abs(values.mean() - exact) < 5 * values.std() / math.sqrt(len(values))


def test_sphere_on_a_line():
    assert set(synthetic.sphere(50, 1, seed=1).flatten().tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("rows, columns", [(1, 1), (7, 3), (5, 5)])
def test_orthonormal_columns(rows, columns):
    q = synthetic.orthonormal(rows, columns, seed=2, dtype=F64)
    torch.testing.assert_close(q.T @ q, torch.eye(columns, dtype=F64))


def test_orthonormal_is_uniform():
    """Each entry of a uniform first column has mean 0; without the signs of R it would not."""
    first = torch.stack([synthetic.orthonormal(3, 2, seed=seed, dtype=F64)[:, 0] for seed in range(600)])
    assert (first.mean(0).abs() < 5 / math.sqrt(3 * 600)).all()


@pytest.mark.parametrize("shape", ["gaussian", "cube"])
def test_embedding_is_isometric(shape):
    data = synthetic.embedded(60, 3, 11, seed=4, shape=shape, dtype=F64)
    assert data.points.shape == (60, 11)
    torch.testing.assert_close(torch.cdist(data.points, data.points), torch.cdist(data.coordinates, data.coordinates))
    assert torch.linalg.matrix_rank(data.points) == 3
    if shape == "cube":
        assert data.coordinates.abs().max() <= 0.5


@pytest.mark.parametrize("shape, variance", [("gaussian", 1.0), ("cube", 1 / 12)])
def test_embedded_variance(shape, variance):
    data = synthetic.embedded(20_000, 4, 6, seed=5, shape=shape, dtype=F64)
    eigenvalues = torch.linalg.eigvalsh(torch.cov(data.points.T)).flip(0)
    np.testing.assert_allclose(eigenvalues[:4], variance, rtol=0.06)
    np.testing.assert_allclose(eigenvalues[4:], 0, atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_simplex_cosines(classes):
    vertices = synthetic.simplex(classes, F64)
    expected = torch.full((classes, classes), -1 / (classes - 1), dtype=F64).fill_diagonal_(1.0)
    assert vertices.shape == (classes, classes - 1)
    torch.testing.assert_close(vertices @ vertices.T, expected)


def nc1(points: np.ndarray, labels: np.ndarray) -> float:
    """tr(S_W S_B^+) / C by loops over the points."""
    classes = np.unique(labels)
    total = points.mean(axis=0)
    within = np.zeros((points.shape[1],) * 2)
    between = np.zeros_like(within)
    for label in classes:
        members = points[labels == label]
        mean = members.mean(axis=0)
        between += np.outer(mean - total, mean - total) / len(classes)
        for point in members:
            within += np.outer(point - mean, point - mean) / len(points)
    return float(np.trace(within @ np.linalg.pinv(between, rcond=1e-9)) / len(classes))


def test_exact_blobs():
    blobs = synthetic.class_blobs(12, 4, 7, within=0.3, seed=6, dtype=F64)
    assert blobs.labels.tolist() == [label for label in range(4) for _ in range(12)]
    for label in range(4):
        members = blobs.points[blobs.labels == label]
        torch.testing.assert_close(members.mean(0), blobs.means[label])
        torch.testing.assert_close(torch.cov(members.T, correction=0), 0.09 * torch.eye(7, dtype=F64))
    cosines = blobs.means @ blobs.means.T
    torch.testing.assert_close(cosines, torch.full((4, 4), -1 / 3, dtype=F64).fill_diagonal_(1.0))
    assert nc1(blobs.points.numpy(), blobs.labels.numpy()) == pytest.approx(blobs.nc1, rel=1e-9)
    assert blobs.nc1 == pytest.approx(0.09 * 9 / 4)


def test_drawn_blobs_approach_the_exact_ones():
    blobs = synthetic.class_blobs(3000, 3, 5, within=0.5, seed=7, exact=False, dtype=F64)
    assert nc1(blobs.points.numpy(), blobs.labels.numpy()) == pytest.approx(0.25 * 4 / 3, rel=0.05)
    first = blobs.points[blobs.labels == 0]
    assert (first.mean(0) - blobs.means[0]).norm() > 1e-3


def test_collapsed_and_unequal_blobs():
    blobs = synthetic.class_blobs([1, 2, 5], 3, 2, within=0.0, seed=0, dtype=F64)
    assert blobs.labels.bincount().tolist() == [1, 2, 5]
    torch.testing.assert_close(blobs.points, blobs.means[blobs.labels])
    assert blobs.nc1 == 0


def test_exponential_counts():
    assert synthetic.exponential_counts(1000, 4, 1000) == [1000, 100, 10, 1]
    assert synthetic.exponential_counts(50, 3, 1) == [50, 50, 50]
    counts = synthetic.exponential_counts(1000, 10, 100)
    assert counts[0] == 1000
    assert counts[-1] == 10
    assert counts == [round(1000 * 0.01 ** (c / 9)) for c in range(10)]


def test_imbalanced_rows():
    labels = torch.arange(5).repeat(81)
    rows = synthetic.imbalanced(labels, ratio=81, seed=0, order=[3, 1, 0, 4, 2])
    assert rows.unique().tolist() == rows.tolist()
    assert labels[rows].bincount().tolist() == [9, 27, 1, 81, 3]
    assert not torch.equal(rows, synthetic.imbalanced(labels, ratio=81, seed=1, order=[3, 1, 0, 4, 2]))
    assert labels[synthetic.imbalanced(labels, ratio=4, seed=0, largest=16)].bincount().tolist() == [16, 11, 8, 6, 4]


def test_xor_triples():
    t = synthetic.xor_triples(4000, bits=3, seed=8)
    assert torch.equal(t.c, t.a * t.b)
    for one, other in ((t.a, t.b), (t.a, t.c), (t.b, t.c)):
        assert abs((one * other).mean()) < 5 / math.sqrt(12_000)
        counts = torch.zeros(8, 8)
        weights = torch.tensor([1, 2, 4])
        codes = [((view > 0).long() @ weights).tolist() for view in (one, other)]
        for i, j in zip(*codes, strict=True):
            counts[i, j] += 1
        # Independent pairs: chi-square of the 8 x 8 table has 63 degrees of freedom, mean 63, deviation 11.2.
        assert ((counts - 62.5) ** 2 / 62.5).sum() < 63 + 5 * 11.2


@pytest.mark.parametrize("mixing", [0.0, 0.3, 1.0])
def test_mixed_triples(mixing):
    n, bits = 20_000, 4
    t = synthetic.xor_triples(n, bits=bits, mixing=mixing, seed=9)
    product = (t.c == t.a * t.b).all(1).float().mean().item()
    copied = (t.c == t.a).float().mean().item()
    other = (t.c == t.b).float().mean().item()
    assert product == pytest.approx(mixing + (1 - mixing) * 2**-bits, abs=0.018)
    assert copied == pytest.approx(1 - mixing / 2, abs=0.018)
    assert other == pytest.approx(0.5, abs=0.018)
    assert ((t.c == t.a * t.b).all(1) | (t.c == t.a).all(1)).all(), "one draw of the mixture a row"


def test_independent_triples():
    t = synthetic.xor_triples(20_000, bits=2, independent=True, seed=10)
    for product in (t.a * t.b, t.a * t.c, t.b * t.c, t.a * t.b * t.c):
        assert abs(product.mean()) < 5 / math.sqrt(40_000)


def test_additive_factors():
    data = synthetic.additive_factors(500, [2, 3, 4], 8, strengths=[1.0, 2.0, 0.5], seed=11, dtype=F64)
    for i in range(500):
        parts = [level[value] for level, value in zip(data.levels, data.values[i], strict=True)]
        torch.testing.assert_close(data.points[i], sum(parts))
    torch.testing.assert_close(data.points.pow(2).sum(1), torch.full((500,), 1 + 4 + 0.25, dtype=F64))
    for k, level in enumerate(data.levels):
        torch.testing.assert_close(level.sum(0), torch.zeros(8, dtype=F64), atol=1e-12, rtol=0)
        for other in data.levels[k + 1 :]:
            torch.testing.assert_close(
                level @ other.T, torch.zeros(len(level), len(other), dtype=F64), atol=1e-12, rtol=0
            )
    for k, size in enumerate([2, 3, 4]):
        assert data.values[:, k].bincount().tolist() == pytest.approx([500 / size] * size, abs=60)


def test_additive_noise():
    clean = synthetic.additive_factors(4000, [3], 5, seed=12, dtype=F64)
    noisy = synthetic.additive_factors(4000, [3], 5, noise=0.2, seed=12, dtype=F64)
    rest = noisy.points - noisy.levels[0][noisy.values[:, 0]]
    assert torch.equal(clean.values, noisy.values)
    assert rest.std().item() == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("hubs, followers", [(1, 1), (3, 10), (4, 1)])
def test_planted_hubs(hubs, followers):
    data = synthetic.planted_hubs(hubs, followers, 40, seed=13)
    torch.testing.assert_close(data.points.norm(dim=1), torch.ones(len(data.points)))
    nearest = NearestNeighbors(n_neighbors=1).fit(data.points.numpy()).kneighbors(return_distance=False)
    assert np.bincount(nearest[:, 0], minlength=len(data.points)).tolist() == data.occurrence.tolist()
    assert data.occurrence[:hubs].tolist() == [followers] * hubs


GENERATORS = {
    "sphere": lambda seed: synthetic.sphere(4, 3, seed=seed),
    "orthonormal": lambda seed: synthetic.orthonormal(4, 3, seed=seed),
    "embedded": lambda seed: synthetic.embedded(4, 2, 3, seed=seed).points,
    "class_blobs": lambda seed: synthetic.class_blobs(6, 3, 4, within=0.1, seed=seed).points,
    "xor_triples": lambda seed: synthetic.xor_triples(40, bits=3, seed=seed).c,
    "additive_factors": lambda seed: synthetic.additive_factors(40, [2, 3], 4, seed=seed).points,
    "planted_hubs": lambda seed: synthetic.planted_hubs(2, 3, 9, seed=seed).points,
}


@pytest.mark.parametrize("name", GENERATORS)
def test_seed_decides_alone(name):
    draw = GENERATORS[name]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = draw(1)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was used"
    assert first.dtype == torch.float32
    assert torch.equal(first, draw(1))
    assert not torch.equal(first, draw(2))
    with pytest.raises(ValueError, match="seed: expected"):
        draw(-1)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: synthetic.sphere(0, 3, seed=0), ValueError, "n: expected at least 1, got 0"),
        (lambda: synthetic.sphere(2.0, 3, seed=0), TypeError, "n: expected a whole number"),
        (lambda: synthetic.sphere(2, 0, seed=0), ValueError, "dim"),
        (lambda: synthetic.orthonormal(2, 3, seed=0), ValueError, "columns: expected 1 to 2, got 3"),
        (lambda: synthetic.embedded(5, 4, 3, seed=0), ValueError, "intrinsic: expected 1 to 3, got 4"),
        (lambda: synthetic.embedded(5, 2, 3, seed=0, shape="ball"), ValueError, "shape: expected gaussian or cube"),
        (lambda: synthetic.simplex(1), ValueError, "classes"),
        (lambda: synthetic.class_blobs(9, 5, 3, within=0.1, seed=0), ValueError, "dim: expected at least 4, got 3"),
        (
            lambda: synthetic.class_blobs(4, 3, 4, within=0.1, seed=0),
            ValueError,
            "per_class: expected at least 5, got 4",
        ),
        (
            lambda: synthetic.class_blobs([9, 9], 3, 4, within=0.1, seed=0),
            ValueError,
            "per_class: expected one count or 3",
        ),
        (lambda: synthetic.class_blobs(9, 3, 4, within=math.nan, seed=0), ValueError, "within"),
        (lambda: synthetic.exponential_counts(10, 3, 0.5), ValueError, "ratio"),
        (lambda: synthetic.exponential_counts(10, 3, 21), ValueError, "ratio"),
        (lambda: synthetic.imbalanced(torch.zeros(5), ratio=2, seed=0), TypeError, "labels"),
        (lambda: synthetic.imbalanced(torch.zeros(5, dtype=torch.int64), ratio=2, seed=0), ValueError, "labels"),
        (lambda: synthetic.imbalanced(torch.arange(4), ratio=2, seed=0, order=[0, 1]), ValueError, "order"),
        (lambda: synthetic.imbalanced(torch.arange(4), ratio=2, seed=0, largest=3), ValueError, "largest"),
        (lambda: synthetic.xor_triples(5, bits=0, seed=0), ValueError, "bits"),
        (lambda: synthetic.xor_triples(5, bits=2, mixing=1.5, seed=0), ValueError, "mixing"),
        (lambda: synthetic.additive_factors(5, [], 4, seed=0), ValueError, "sizes: expected one factor"),
        (lambda: synthetic.additive_factors(5, [3, 3], 3, seed=0), ValueError, "dim: expected at least 4, got 3"),
        (lambda: synthetic.additive_factors(5, [3], 3, strengths=[1, 2], seed=0), ValueError, "strengths"),
        (lambda: synthetic.additive_factors(5, [3], 3, noise=-1, seed=0), ValueError, "noise"),
        (lambda: synthetic.planted_hubs(2, 3, 7, seed=0), ValueError, "dim: expected at least 8, got 7"),
        (lambda: synthetic.planted_hubs(2, 3, 9, closeness=1.0, seed=0), ValueError, "closeness"),
    ],
)
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
