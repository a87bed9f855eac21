"""The strict definition of compatibility and the average over a family of models."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.losses import simplex
from lab.probes import StrictCompatibility, average_compatibility, strict_compatibility


def drawn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loop(new, old, gallery, labels, gallery_labels) -> tuple[float, float]:
    def distance(a, b) -> float:
        a, b = np.asarray(a) / np.linalg.norm(a), np.asarray(b) / np.linalg.norm(b)
        return float(np.linalg.norm(a - b))

    held: dict[bool, list[bool]] = {True: [], False: []}
    for i, mine in enumerate(labels):
        for j, theirs in enumerate(gallery_labels):
            now, before = distance(new[i], gallery[j]), distance(old[i], gallery[j])
            held[mine == theirs].append(now <= before if mine == theirs else now >= before)
    return float(np.mean(held[True])), float(np.mean(held[False]))


@pytest.mark.parametrize("block", [None, 1, 3])
def test_shares_are_those_of_distances_counted_pair_by_pair(block):
    new, old, gallery = drawn(7, 4, seed=0), 3 * drawn(7, 4, seed=1), drawn(9, 4, seed=2)
    labels, stored = [0, 1, 2, 0, 1, 2, 2], [0, 0, 1, 1, 2, 2, 3, 3, 3]
    found = strict_compatibility(new, old, gallery, labels, stored, block=block)
    same, other = by_loop(new, old, gallery, labels, stored)
    assert found == StrictCompatibility(pytest.approx(same), pytest.approx(other), 14, 49)
    assert 0 < same < 1 and 0 < other < 1 and same != other


def test_a_model_is_compatible_with_itself_whatever_the_length_of_its_rows():
    old, gallery = drawn(20, 5, seed=0), drawn(30, 5, seed=1)
    labels, stored = torch.arange(20) % 4, torch.arange(30) % 4
    found = strict_compatibility(7.3 * old, old, gallery, labels, stored)
    assert (found.same, found.other) == (1.0, 1.0)


def test_exchangeable_models_satisfy_half():
    new, old, gallery = (drawn(400, 8, seed=s) for s in range(3))
    labels = torch.arange(400) % 4
    found = strict_compatibility(new, old, gallery, labels, labels)
    assert found.same == pytest.approx(0.5, abs=0.06) and found.other == pytest.approx(0.5, abs=0.06)


def test_queries_on_their_corners_improve_on_wrong_ones_and_only_an_exact_copy_matches_a_stored_query():
    corners = simplex(3, 2, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2])
    wrong = corners.roll(1, 0)
    assert strict_compatibility(corners, wrong, corners, labels, labels).same == 1.0
    off = corners + 0.1 * drawn(3, 2, seed=0)
    assert strict_compatibility(corners, off, off, labels, labels).same == 0.0


def test_arrays_and_half_precision_are_taken():
    old, gallery = drawn(6, 3, seed=0), drawn(6, 3, seed=1)
    labels = np.arange(6) % 2
    whole = strict_compatibility(gallery, old, gallery, labels, labels)
    assert strict_compatibility(gallery.numpy(), old.numpy(), gallery.numpy(), labels, labels) == whole
    assert strict_compatibility(old.half(), old.half(), gallery.half(), labels, labels).same == 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"old": torch.ones(4, 2)}, "new and old"),
        ({"gallery": torch.ones(4, 2)}, "gallery must have 3 columns"),
        ({"labels": [0, 1]}, "labels"),
        ({"gallery_labels": [0]}, "gallery_labels"),
        ({"labels": [0] * 4, "gallery_labels": [0] * 4}, "different classes"),
        ({"labels": [0] * 4, "gallery_labels": [1] * 4}, "same class"),
        ({"new": torch.zeros(4, 3)}, "new has a zero row"),
        ({"old": torch.full((4, 3), torch.nan)}, "old holds NaN"),
        ({"block": 0}, "block"),
        ({"block": True}, "block"),
    ],
)
def test_what_cannot_be_judged_is_refused_by_name(change, words):
    good = {"new": drawn(4, 3, seed=0), "old": drawn(4, 3, seed=1), "gallery": drawn(4, 3, seed=2)}
    good |= {"labels": [0, 1, 0, 1], "gallery_labels": [0, 1, 0, 1]}
    with pytest.raises(ValueError, match=words):
        strict_compatibility(**(good | change))


def test_average_counts_pairs_in_which_the_old_gallery_is_searched_better():
    table = np.array([[0.5, np.nan, np.nan], [0.6, 0.7, np.nan], [0.4, 0.7, 0.9]])
    assert average_compatibility(table) == pytest.approx(1 / 3)  # 0.6 > 0.5; not 0.4 > 0.5; equal does not count
    table[2, :2] = 0.55, 0.8
    assert average_compatibility(torch.from_numpy(table)) == 1.0
    assert average_compatibility([[3, 0], [1, 9]]) == 0.0


@pytest.mark.parametrize(
    "bad", [[[1.0]], [[1.0, 2.0]], [1.0, 2.0], [[1.0, 0.0], [np.nan, 1.0]], [[np.inf, 0.0], [1.0, 1.0]]]
)
def test_a_matrix_that_is_none_is_refused(bad):
    with pytest.raises(ValueError, match="matrix"):
        average_compatibility(bad)
