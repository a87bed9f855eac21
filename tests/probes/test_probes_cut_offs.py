"""Thresholds on pooled scores, against loops over all thresholds, scikit-learn, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score

from lab.probes import best_cut_off, cut_off, pooled_auc


def drawn(seed: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Scores (8, 9) that know something of what is relevant, with ties where there are few levels."""
    rng = np.random.default_rng(seed)
    relevant = rng.random((8, 9)) < 0.2
    relevant[0, 0], relevant[0, 1] = True, False
    scores = rng.normal(size=(8, 9)) + relevant
    return (scores if levels is None else np.round(scores * levels) / levels), relevant


@pytest.mark.parametrize("levels", [None, 2])
@pytest.mark.parametrize("seed", range(5))
def test_best_of_all_thresholds(seed: int, levels: int | None) -> None:
    scores, relevant = drawn(seed, levels)
    by_hand = {t: f1_score(relevant.ravel(), (scores >= t).ravel()) for t in np.unique(scores)}
    found = best_cut_off(scores, torch.from_numpy(relevant))
    assert found.value == pytest.approx(max(by_hand.values()), abs=1e-12)
    again = cut_off(scores, relevant, found.threshold)
    assert again == found
    assert found.threshold not in scores or found.threshold == scores.min()
    best = max(t for t, f in by_hand.items() if f > max(by_hand.values()) - 1e-12)
    assert found.kept == (scores >= best).sum()


@pytest.mark.parametrize("threshold", [-9.0, -0.3, 0.5, 1.2])
def test_counts_at_a_threshold(threshold: float) -> None:
    scores, relevant = drawn(7)
    hits = kept = 0
    for score, truth in zip(scores.ravel(), relevant.ravel(), strict=True):
        kept += score >= threshold
        hits += score >= threshold and truth
    found = cut_off(scores, relevant, threshold)
    assert (found.precision, found.recall) == pytest.approx((hits / kept, hits / relevant.sum()))
    assert found.value == pytest.approx(2 * found.precision * found.recall / (found.precision + found.recall))
    assert found.kept == kept


def test_nothing_kept_and_everything_kept() -> None:
    nothing = cut_off([0.1, 0.2], [True, False], 1.0)
    assert (nothing.value, nothing.precision, nothing.recall, nothing.kept) == (0.0, 1.0, 0.0, 0)
    # Equal scores know nothing: the best is to keep them all, which is the null.
    everything = best_cut_off(torch.zeros(10), torch.arange(10) < 3)
    assert everything.value == pytest.approx(2 * 0.3 / 1.3) == everything.null
    assert everything.threshold == 0.0


def test_equal_scores_stay_together() -> None:
    found = best_cut_off([1.0, 0.5, 0.5], [True, True, False])
    assert found.kept == 3 and found.value == pytest.approx(4 / 5)


def test_neighbouring_numbers_are_told_apart() -> None:
    high = math.nextafter(1.0, 2.0)
    found = best_cut_off([high, 1.0], [True, False])
    assert found.value == 1.0 and cut_off([high, 1.0], [True, False], found.threshold).value == 1.0


@pytest.mark.parametrize("levels", [None, 2])
def test_auc_is_the_share_of_pairs_in_order(levels: int | None) -> None:
    scores, relevant = drawn(3, levels)
    order = [(a > b) + (a == b) / 2 for a in scores[relevant] for b in scores[~relevant]]
    assert pooled_auc(scores, relevant) == pytest.approx(np.mean(order), abs=1e-12)
    assert pooled_auc(scores, relevant) == pytest.approx(roc_auc_score(relevant.ravel(), scores.ravel()), abs=1e-12)
    assert pooled_auc(-torch.from_numpy(scores), relevant) == pytest.approx(1 - np.mean(order), abs=1e-12)


def test_what_a_shift_of_single_queries_breaks() -> None:
    scores, relevant = torch.eye(4) * 0.2, torch.eye(4).bool()
    shifted = scores + torch.arange(4.0)[:, None]
    assert best_cut_off(scores, relevant).value == 1 == pooled_auc(scores, relevant)
    # Positive i lies above the negatives of queries 0 .. i and below those of the rest.
    assert pooled_auc(shifted, relevant) == pytest.approx((1 + 2 + 3 + 4) / 16)
    assert best_cut_off(shifted, relevant).value < 1
    assert best_cut_off(scores + 5, relevant).value == 1


def test_half_precision_and_device_of_scores() -> None:
    scores, relevant = drawn(2, 4)
    half = torch.from_numpy(scores).half()
    assert best_cut_off(half, relevant) == best_cut_off(half.double(), relevant)


@pytest.mark.parametrize("function", [best_cut_off, pooled_auc, lambda s, r: cut_off(s, r, 0.0)])
def test_bad_input_is_named(function) -> None:
    for scores, relevant, words in (
        ([0.1, 0.2], [True], "relevant must have shape"),
        ([0.1, math.nan], [True, False], "scores hold NaN"),
        ([0.1, 0.2], [False, False], "relevant must hold"),
        ([], [], "scores must hold"),
    ):
        with pytest.raises(ValueError, match=words):
            function(torch.tensor(scores), torch.tensor(relevant, dtype=torch.bool))
    with pytest.raises(ValueError, match="threshold"):
        cut_off([0.1], [True], math.inf)
    with pytest.raises(ValueError, match="relevant must leave"):
        pooled_auc([0.1], [True])
