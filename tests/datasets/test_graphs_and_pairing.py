"""Augmentation graphs by their spectrum and sums, partners by their counts."""

from __future__ import annotations

import pytest
import torch

from lab.datasets import augmentation_graph, partners


def _eigenvalues(weights: torch.Tensor) -> torch.Tensor:
    mass = weights.sum(1)
    return torch.linalg.eigvalsh(weights / (mass[:, None] * mass).sqrt()).flip(0)


def test_weights_are_probabilities_of_pairs() -> None:
    w = augmentation_graph((3, 2), (0.1, 0.2), views=8, naturals=30, reach=4, seed=0).weights
    assert w.shape == (48, 48) and float(w.sum()) == pytest.approx(1)
    assert torch.equal(w, w.T) and (w >= 0).all()
    assert _eigenvalues(w)[-1] > -1e-12  # each pair shares one item, so the adjacency is a Gram matrix


def test_communities_without_leak_are_separate_blocks() -> None:
    # Every item spreads evenly over its whole community, so each block is constant and has rank one.
    w = augmentation_graph((2, 2), (0.0, 0.0), views=3, naturals=2, reach=3, seed=0).weights
    expected = torch.block_diag(*[torch.full((3, 3), 1 / 36, dtype=torch.float64)] * 4)
    torch.testing.assert_close(w, expected)


def test_gaps_lie_below_the_products_of_the_branching() -> None:
    values = _eigenvalues(augmentation_graph((3, 3), (0.15, 0.1), views=16, naturals=60, reach=6, seed=1).weights)
    gaps = values[1:20] - values[2:21]
    assert {int(i) + 2 for i in gaps.topk(2).indices} == {3, 9}


def test_shuffled_keeps_the_numbers_and_loses_the_communities() -> None:
    graph = augmentation_graph((4,), (0.2,), views=10, naturals=40, reach=4, seed=2)
    other = graph.shuffled(5)
    torch.testing.assert_close(other.weights.flatten().sort().values, graph.weights.flatten().sort().values)
    assert torch.equal(other.weights, other.weights.T)
    assert torch.equal(other.weights.diag(), graph.weights.diag())
    inside = graph.groups[:, None] == graph.groups
    assert graph.weights[inside].sum() > 0.6 and other.weights[inside].sum() < 0.45
    assert torch.equal(graph.shuffled(5).weights, other.weights)
    assert not torch.equal(graph.shuffled(6).weights, other.weights)


def test_graph_bad_input() -> None:
    good = dict(views=8, naturals=20, reach=4, seed=0)
    for branching, leak, change, word in (
        ((1,), (0.1,), {}, "branching"),
        ((3,), (0.1, 0.1), {}, "leak"),
        ((3,), (1.0,), {}, "leak"),
        ((3,), (0.1,), {"reach": 9}, "reach"),
        ((3,), (0.0,), {"naturals": 1, "reach": 1}, "reached by no item"),
    ):
        with pytest.raises(ValueError, match=word):
            augmentation_graph(branching, leak, **{**good, **change})


def test_partners_keep_the_class_and_the_share() -> None:
    labels = torch.arange(10).repeat(400)
    found = partners(labels, 0.3, seed=0)
    assert torch.equal(labels[found], labels)
    own = (found == torch.arange(4000)).double().mean().item()
    assert own == pytest.approx(0.3 + 0.7 / 400, abs=0.03)
    assert partners(labels, 0.0, seed=1).sort().values.tolist() == list(range(4000))


def test_partners_of_any_class_forget_the_class() -> None:
    labels = torch.arange(10).repeat(400)
    same = (labels[partners(labels, 0.0, seed=0, within_class=False)] == labels).double().mean().item()
    assert same == pytest.approx(0.1, abs=0.02)


def test_partners_bad_input() -> None:
    with pytest.raises(ValueError, match="own"):
        partners([0, 1], 1.5, seed=0)
    with pytest.raises(ValueError, match="labels"):
        partners([], 0.5, seed=0)
