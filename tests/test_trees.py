"""Trees against searches on the graph, reflections of the ball, closed forms and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy.sparse.csgraph import shortest_path
from sklearn.metrics import average_precision_score

from lab.hyperbolic import hyperbolic_distances, poincare_distances, to_ball
from lab.trees import (
    ancestor_links,
    distortion,
    hyperbolic_mds,
    link_precision,
    tree_depths,
    tree_distances,
    tree_in_plane,
)


def _random_tree(n, seed):
    draw = np.random.default_rng(seed)
    return torch.tensor([-1, *(int(draw.integers(0, i)) for i in range(1, n))])


def test_distances_depths_and_ancestors_agree_with_a_search():
    parent = _random_tree(60, 0)
    graph = np.zeros((60, 60))
    graph[np.arange(1, 60), parent[1:]] = 1
    expected = shortest_path(graph, directed=False, unweighted=True)
    np.testing.assert_array_equal(tree_distances(parent).numpy(), expected)
    np.testing.assert_array_equal(tree_depths(parent).numpy(), expected[0])
    upward = shortest_path(graph, directed=True, unweighted=True)
    np.testing.assert_array_equal(ancestor_links(parent).numpy(), np.isfinite(upward) & (upward > 0))


def test_ancestors_of_mammals_lie_in_the_closure_of_the_data_set():
    from lab.datasets import wordnet

    mammals = wordnet().mammals
    closure = torch.zeros(len(mammals), len(mammals), dtype=torch.bool)
    closure[tuple(mammals.closure().T)] = True
    links = ancestor_links(mammals.parent)
    assert bool((closure | ~links).all())
    # the two differ only where a noun, or one of its ancestors, has a second parent
    second = torch.tensor([bool(others) for others in mammals.other_parents])
    differs = (closure & ~links).any(1)
    assert bool((second | (links & second).any(1) | ~differs).all())


def _by_reflections(parent, edge):
    """As published: carry a node to the origin by a Moebius map, put its children on a circle, carry them back."""
    n = len(parent)
    at = np.zeros(n, dtype=complex)
    reach = math.tanh(edge / 2)
    for node in range(n):
        below = [k for k in range(1, n) if parent[k] == node]
        z = at[node]
        back = 0.0
        if node:
            up = (at[parent[node]] - z) / (1 - z.conjugate() * at[parent[node]])
            back = np.angle(up)
        for i, child in enumerate(below):
            angle = 2 * math.pi * i / len(below) if node == 0 else back + 2 * math.pi * (i + 1) / (len(below) + 1)
            w = reach * np.exp(1j * angle)
            at[child] = (w + z) / (1 + z.conjugate() * w)
    return at


@pytest.mark.parametrize("edge", [0.4, 1.0, 2.0])
def test_moving_frames_give_the_points_of_the_published_construction(edge):
    parent = _random_tree(40, 1)
    ball = to_ball(tree_in_plane(parent, edge=edge)).numpy()
    expected = _by_reflections(parent.tolist(), edge)
    np.testing.assert_allclose(ball, np.stack([expected.real, expected.imag], 1), atol=1e-8)


def test_edges_have_their_length_and_long_edges_keep_the_tree():
    parent = _random_tree(80, 2)
    depth = int(tree_depths(parent).max())
    points = tree_in_plane(parent, edge=34 / depth)
    far = hyperbolic_distances(points, points)
    edges = far[torch.arange(1, 80), parent[1:]]
    torch.testing.assert_close(edges, torch.full((79,), 34 / depth, dtype=torch.float64), rtol=1e-3, atol=0)
    true = tree_distances(parent)
    assert bool((far <= true * 34 / depth + 0.01).all())  # a path in the tree is never shorter than the geodesic
    mean = [distortion(_distances(tree_in_plane(parent, edge=edge)), true)[0] for edge in (0.5, 1.0, 2.0, 34 / depth)]
    assert mean == sorted(mean, reverse=True)


def _distances(points):
    return hyperbolic_distances(points, points)


def test_a_star_and_a_turned_chain_in_closed_form():
    star = tree_in_plane([-1, 0, 0, 0], edge=1.5)
    expected = 2 * math.asinh(math.sinh(1.5) * math.sin(math.pi / 3))
    assert _distances(star)[1, 2].item() == pytest.approx(expected, rel=1e-12)
    chain = tree_in_plane([-1, 0, 1, 2], edge=3.0, turn=0.5)
    straight = torch.arange(4)[:, None] * 3.0 * torch.tensor([[math.cos(0.5), math.sin(0.5)]])
    torch.testing.assert_close(chain, straight.double(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_points_are_recovered_from_their_distances(dim):
    points = torch.randn(30, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ball = to_ball(points)
    far = poincare_distances(ball, ball)
    found = hyperbolic_mds(far, dim)
    torch.testing.assert_close(_distances(found), far, atol=1e-6, rtol=1e-6)


def test_more_dimensions_of_scaling_distort_a_tree_less():
    true = tree_distances(_random_tree(50, 4))
    mean = [distortion(_distances(hyperbolic_mds(true, dim)), true)[0] for dim in (2, 10, 40)]
    assert mean[2] < mean[1] < mean[0]


def test_precision_agrees_with_scikit_learn_row_by_row():
    draw = np.random.default_rng(5)
    far, linked = draw.integers(0, 12, (25, 25)).astype(float), draw.random((25, 25)) < 0.2
    ignore = draw.random((25, 25)) < 0.2
    np.fill_diagonal(linked, False)
    for skip in (np.zeros_like(ignore), ignore):
        found = link_precision(far, linked, ignore=skip).numpy()
        expected = []
        for i in range(25):
            kept = (np.arange(25) != i) & (linked[i] | ~skip[i])
            if linked[i].any():
                expected.append(average_precision_score(linked[i][kept], -far[i][kept]))
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_precision_of_perfect_reversed_and_collapsed_embeddings():
    linked = torch.zeros(6, 6, dtype=torch.bool)
    linked[0, 1] = linked[0, 2] = True
    line = torch.arange(6.0)[:, None]
    far = (line - line.T).abs()
    assert link_precision(far, linked).tolist() == [1.0]
    assert link_precision(-far, linked).tolist() == pytest.approx([(1 / 4 + 2 / 5) / 2])
    assert link_precision(torch.zeros(6, 6), linked).tolist() == pytest.approx([2 / 5])


def test_distortion_in_closed_form():
    true = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]])
    far = torch.tensor([[0.0, 2.0, 2.0], [2.0, 0.0, 4.0], [2.0, 4.0, 0.0]])  # ratios 2, 1, 4
    mean, worst = distortion(far, true)
    assert mean == pytest.approx((0 + 0.5 + 1) / 3) and worst == pytest.approx(4)
    assert distortion(7 * far, true) == pytest.approx((mean, worst))
    far[0, 1] = far[1, 0] = 0
    assert distortion(far, true)[1] == math.inf


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tree_distances([0, 1]), "-1 in row 0"),
        (lambda: tree_distances([-1, 2, 0]), "earlier row"),
        (lambda: tree_distances([-1.0]), "integers"),
        (lambda: tree_distances([-1, -1]), "earlier row"),
        (lambda: tree_in_plane([-1, 0], edge=0.0), "edge"),
        (lambda: tree_in_plane([-1, 0], edge=400.0), "at most 350"),
        (lambda: hyperbolic_mds(torch.ones(3, 3), 1), "diagonal"),
        (lambda: hyperbolic_mds(torch.zeros(3, 3), 3), "dim"),
        (lambda: hyperbolic_mds(torch.zeros(3, 2), 1), "square"),
        (lambda: link_precision(torch.zeros(2, 2), torch.eye(2)), "at least one link"),
        (lambda: link_precision(torch.zeros(2, 2), torch.zeros(2, 3)), "alike"),
        (lambda: link_precision(torch.full((2, 2), math.nan), torch.ones(2, 2)), "NaN"),
        (lambda: link_precision(torch.zeros(2, 2), torch.ones(2, 2), ignore=torch.ones(1, 2)), "ignore"),
        (lambda: distortion(torch.zeros(2, 2), torch.ones(2, 2)), "mostly above 0"),
        (lambda: distortion(torch.zeros(2, 2), torch.zeros(2, 2)), "true must be above 0"),
        (lambda: distortion(torch.zeros(2, 2), torch.zeros(3, 3)), "alike"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
