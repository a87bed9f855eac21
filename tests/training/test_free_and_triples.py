"""Free embeddings against known minima, triples against the probabilities of the theory."""

from __future__ import annotations

import pytest
import torch

from lab.training import ClassTriples, free_embeddings


def test_finds_the_best_factorisation() -> None:
    raw = torch.randn(8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    target = raw @ raw.T
    values, vectors = torch.linalg.eigh(target)
    z = free_embeddings(lambda z: (z @ z.T - target).square().sum(), 8, 2, seed=1)
    torch.testing.assert_close(z @ z.T, vectors[:, -2:] * values[-2:] @ vectors[:, -2:].T, atol=1e-5, rtol=1e-5)


def test_seed_decides_the_start_and_nothing_else_is_touched() -> None:
    state = torch.get_rng_state()
    start = [free_embeddings(lambda z: 0 * z.sum(), 3, 2, seed=s) for s in (1, 1, 2)]
    assert torch.equal(start[0], start[1]) and not torch.equal(start[0], start[2])
    assert torch.equal(torch.get_rng_state(), state)
    assert not start[0].requires_grad and start[0].dtype == torch.float64


def test_free_bad_input() -> None:
    with pytest.raises(ValueError, match="steps"):
        free_embeddings(lambda z: z.sum(), 3, 2, seed=0, steps=0)
    with pytest.raises(ValueError, match="scalar"):
        free_embeddings(lambda z: z.sum(1), 3, 2, seed=0)
    with pytest.raises(ValueError, match="finite"):
        free_embeddings(lambda z: z.sum() * torch.inf, 3, 2, seed=0)


def test_triples_have_the_classes_of_the_theory() -> None:
    labels = torch.tensor([0] * 50 + [1] * 5 + [2] * 20)
    rows = torch.arange(75)
    a, p, n = ClassTriples(rows, labels, batch_size=60_000, seed=0)(0)
    assert torch.equal(labels[a], labels[p])
    classes = labels[a].bincount(minlength=3) / 60_000
    torch.testing.assert_close(classes, torch.full((3,), 1 / 3), atol=0.01, rtol=0)  # whatever their sizes
    assert (labels[a] == labels[n]).double().mean().item() == pytest.approx(1 / 3, abs=0.01)
    small = labels[a] == 1
    assert (a == p)[small].double().mean().item() == pytest.approx(1 / 5, abs=0.02)  # with replacement
    assert a.unique().numel() == 75


def test_triples_are_a_function_of_seed_and_step() -> None:
    labels = torch.arange(3).repeat(10)
    x = torch.rand(30, 2)
    single = ClassTriples(x, labels, batch_size=8, seed=5)
    stacked = ClassTriples(x, labels, batch_size=8, seed=[4, 5])
    assert all(torch.equal(one, many[1]) for one, many in zip(single(3), stacked(3), strict=True))
    assert not torch.equal(single(3).anchor, single(4).anchor)
    assert stacked(0).negative.shape == (2, 8, 2)


def test_triples_bad_input() -> None:
    with pytest.raises(ValueError, match="two classes"):
        ClassTriples(torch.rand(3, 1), torch.zeros(3, dtype=torch.long), batch_size=2)
    with pytest.raises(ValueError, match="two classes"):
        ClassTriples(torch.rand(3, 1), torch.tensor([0, 2, 2]), batch_size=2)
    with pytest.raises(ValueError, match="batch_size"):
        ClassTriples(torch.rand(2, 1), torch.tensor([0, 1]), batch_size=0)
