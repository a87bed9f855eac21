"""Laplacian eigenvectors and the agreement of an embedding with them, on graphs whose spectrum is known."""

from __future__ import annotations

import math

import pytest
import torch

from lab.probes import graph_agreement, laplacian_eigenvectors


def _ring(n: int) -> torch.Tensor:
    near = torch.eye(n, dtype=torch.float64).roll(1, 0)
    return (near + near.T) / (2 * n)


def test_spectrum_of_a_ring() -> None:
    values, vectors = laplacian_eigenvectors(_ring(12))
    expected = sorted(1 - math.cos(2 * math.pi * k / 12) for k in range(12))
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(12, dtype=torch.float64))


def test_first_eigenvector_is_the_root_of_the_masses() -> None:
    w = torch.rand(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    w = w + w.T
    values, vectors = laplacian_eigenvectors(w)
    root = (w.sum(1) / w.sum()).sqrt()
    assert abs(float(values[0])) < 1e-12 and abs(float(vectors[:, 0] @ root)) == pytest.approx(1)


def test_points_on_a_circle_are_the_second_and_third_eigenvector_of_the_ring() -> None:
    angle = torch.arange(12, dtype=torch.float64) * 2 * math.pi / 12
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    assert graph_agreement(circle, _ring(12), first=2, last=3) == pytest.approx(1)
    assert graph_agreement(circle + 5, _ring(12), first=2, last=3) == pytest.approx(1)  # centring by mass
    assert graph_agreement(circle, _ring(12), first=4, last=5) == pytest.approx(0, abs=1e-12)
    assert graph_agreement(torch.ones(12, 2), _ring(12), first=2, last=3) == 0  # nothing left after centring
    assert graph_agreement(circle[:, :1], _ring(12), first=2, last=3) == pytest.approx(0.5)  # half the space


def test_rows_are_weighed_by_mass() -> None:
    # f = D^(-1/2) u for an eigenvector u must agree fully, u itself need not
    w = torch.rand(8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) ** 3
    w = w + w.T
    _, vectors = laplacian_eigenvectors(w)
    f = vectors[:, 1:3] / w.sum(1, keepdim=True).sqrt()
    assert graph_agreement(f, w, first=2, last=3) == pytest.approx(1)
    assert graph_agreement(vectors[:, 1:3], w, first=2, last=3) < 0.999


def test_random_space_has_its_null_value() -> None:
    generator = torch.Generator().manual_seed(2)
    found = [graph_agreement(torch.randn(40, 4, generator=generator), _ring(40), first=2, last=5) for _ in range(50)]
    mean = sum(found) / len(found)
    assert mean == pytest.approx(4 / 39, abs=0.02)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="first"):
        graph_agreement(torch.rand(6, 2), _ring(6), first=3, last=2)
    with pytest.raises(ValueError, match="one row a node"):
        graph_agreement(torch.rand(5, 2), _ring(6), last=2)
    with pytest.raises(ValueError, match="symmetric"):
        laplacian_eigenvectors(torch.triu(torch.ones(3, 3)))
    with pytest.raises(ValueError, match="weight"):
        laplacian_eigenvectors(torch.diag(torch.tensor([1.0, 0.0])))
