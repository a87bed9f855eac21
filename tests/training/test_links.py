"""Free embeddings from links: one step against a loop, members against single runs, and a tree that fits."""

import math

import pytest
import torch

from lab.hyperbolic import hyperbolic_distances, poincare_distances
from lab.training.links import _loss, link_embeddings
from lab.trees import ancestor_links, link_precision


def _rows(*shape, seed):
    return 0.4 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("space", ["ball", "flat"])
def test_the_loss_equals_a_loop(space):
    u, v, w = _rows(2, 3, 2, seed=0), _rows(2, 3, 2, seed=1), _rows(2, 5, 2, seed=2)
    unusable = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(3)) < 0.3

    def far(a, b):
        if space == "flat":
            return float((a - b).norm())
        return float(poincare_distances(a[None], b[None]))

    total = 0.0
    for s in range(2):
        for i in range(3):
            near = far(u[s, i], v[s, i])
            others = sum(math.exp(-far(u[s, i], w[s, j])) for j in range(5) if not unusable[s, i, j])
            total -= math.log(math.exp(-near) / (math.exp(-near) + others)) / 3
    assert _loss(u, v, w, unusable, space).item() == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize("space", ["ball", "flat"])
def test_members_are_single_runs_and_graphs_may_differ(space):
    graph = ancestor_links([-1, 0, 0, 1, 1, 2, 2])
    other = graph.roll(1, 0)
    kept = dict(steps=20, space=space, batch_size=8, negatives=4)
    both = link_embeddings(torch.stack([graph, other]), 2, seeds=[5, 6], **kept)
    for i, (links, seed) in enumerate(((graph, 5), (other, 6))):
        torch.testing.assert_close(both[i], link_embeddings(links, 2, seeds=[seed], **kept)[0], rtol=1e-3, atol=1e-4)


def test_a_small_tree_fits_into_the_plane():
    parent = [-1, *((i - 1) // 3 for i in range(1, 40))]
    links = ancestor_links(parent)
    found = link_embeddings(links, 2, seeds=[0], steps=400, batch_size=64, negatives=40, rate=25.0)[0]
    assert float(link_precision(hyperbolic_distances(found, found), links).mean()) > 0.8
    assert int(found.norm(dim=1).argmin()) == 0  # the root has settled in the middle


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(links=torch.ones(2, 3)), "shape"),
        (dict(links=torch.zeros(3, 3)), "no link|have no link|got none"),
        (dict(links=torch.ones(2, 3, 3)), "one graph a seed"),
        (dict(dim=0), "dim"),
        (dict(steps=0), "steps"),
        (dict(seeds=[]), "seeds"),
        (dict(space="sphere"), "space"),
    ],
)
def test_bad_input_is_refused_by_name(change, words):
    options = dict(links=torch.ones(3, 3), dim=2, seeds=[0], steps=1) | change
    with pytest.raises(ValueError, match=words):
        link_embeddings(options.pop("links"), options.pop("dim"), **options)
