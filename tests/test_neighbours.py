"""Nearest neighbours against scikit-learn and against duplicates."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from lab.neighbours import nearest


def rows(n, d, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("block", [1, 7, 512])
def test_agrees_with_scikit_learn_between_two_sets(block):
    queries, gallery = rows(20, 6), rows(50, 6, 1)
    model = NearestNeighbors(metric="cosine", algorithm="brute").fit(gallery.numpy())
    distances, indices = model.kneighbors(queries.numpy(), n_neighbors=5)
    found = nearest(queries, gallery, k=5, block=block)
    np.testing.assert_array_equal(found.indices.numpy(), indices)
    np.testing.assert_allclose(found.similarities.numpy(), 1 - distances, atol=1e-12)


@pytest.mark.parametrize("block", [1, 7, 512])
def test_within_one_set_the_point_itself_is_left_out_by_index_also_among_duplicates(block):
    x = rows(30, 4).repeat(3, 1)
    found = nearest(x, k=5, block=block)
    assert (found.indices != torch.arange(90)[:, None]).all()
    # The two duplicates of every row come first, at cosine 1.
    assert (found.indices[:, :2].sort(1).values % 30 == (torch.arange(90) % 30)[:, None]).all()
    assert torch.bincount(found.indices.flatten(), minlength=90).sum() == 90 * 5


@pytest.mark.parametrize(("k", "gallery"), [(0, None), (3, None), (4, "three")])
def test_k_out_of_range_is_refused(k, gallery):
    x = rows(3, 2)
    with pytest.raises(ValueError, match="k must lie in"):
        nearest(x, x if gallery else None, k=k)


def test_different_widths_are_refused():
    with pytest.raises(ValueError, match="gallery must have 2 columns"):
        nearest(rows(3, 2), rows(3, 3), k=1)
