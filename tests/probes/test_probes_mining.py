"""Mining of pairs, against loops written from the definitions and counts by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.corrections import csls, ratio_margin
from lab.probes import Mined, mine_pairs, mined_f1, precision_at_recall

STRATEGIES = ("forward", "backward", "intersection", "max")


def drawn(seed: int, shape: tuple[int, int] = (9, 7)) -> np.ndarray:
    scores = np.random.default_rng(seed).normal(size=shape)
    scores[range(4), range(4)] += 1.5
    return scores


def by_hand(scores: np.ndarray, strategy: str) -> list[tuple[int, int]]:
    """Pairs of a strategy, best first, from sets of best columns and best rows."""
    n, m = scores.shape
    forward = {(i, max(range(m), key=lambda j: scores[i, j])) for i in range(n)}
    backward = {(max(range(n), key=lambda i: scores[i, j]), j) for j in range(m)}
    chosen = {"forward": forward, "backward": backward, "intersection": forward & backward, "max": forward | backward}
    ordered = sorted(chosen[strategy], key=lambda pair: -scores[pair])
    if strategy != "max":
        return ordered
    taken: list[tuple[int, int]] = []
    while ordered:
        i, j = ordered[0]
        taken.append((i, j))
        ordered = [pair for pair in ordered if pair[0] != i and pair[1] != j]
    return taken


def pairs_of(mined: Mined) -> list[tuple[int, int]]:
    return list(zip(mined.rows.tolist(), mined.columns.tolist(), strict=True))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("seed", range(6))
def test_pairs_as_defined(seed: int, strategy: str) -> None:
    scores = drawn(seed)
    found = mine_pairs(scores, strategy=strategy)
    assert pairs_of(found) == by_hand(scores, strategy)
    assert found.scores.tolist() == [scores[pair] for pair in pairs_of(found)]
    other = {"forward": "backward", "backward": "forward"}.get(strategy, strategy)
    turned = mine_pairs(torch.from_numpy(scores).T, strategy=other)
    assert pairs_of(turned) == [(j, i) for i, j in pairs_of(found)]


@pytest.mark.parametrize("seed", range(6))
def test_what_the_strategies_have_in_common(seed: int) -> None:
    scores = drawn(seed, (30, 25))
    found = {strategy: set(pairs_of(mine_pairs(scores, strategy=strategy))) for strategy in STRATEGIES}
    assert found["intersection"] == found["forward"] & found["backward"]
    # A pair that is best for both its row and its column is never displaced.
    assert found["intersection"] <= found["max"] <= found["forward"] | found["backward"]
    assert len({i for i, _ in found["max"]}) == len({j for _, j in found["max"]}) == len(found["max"])


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("levels", [None, 1])
@pytest.mark.parametrize("seed", range(4))
def test_best_f1_of_all_thresholds(seed: int, levels: int | None, strategy: str) -> None:
    scores = drawn(seed)
    scores = scores if levels is None else np.round(scores * levels)
    truth = {(i, i) for i in range(4)} | {(8, 6)}
    mined = mine_pairs(scores, strategy=strategy)
    by_threshold, precisions = {}, {}
    for t in np.unique(scores):
        kept = {p for p in pairs_of(mined) if scores[p] >= t}
        hits = len(kept & truth)
        if kept:
            precision, recall = hits / len(kept), hits / len(truth)
            by_threshold[t] = 2 * precision * recall / (precision + recall) if hits else 0.0
            precisions[t] = precision, recall
    best = max(by_threshold.values())
    found = mined_f1(mined, sorted(truth))
    assert found.value == pytest.approx(best, abs=1e-12)
    highest = max(t for t, f in by_threshold.items() if f > best - 1e-12)
    assert found.kept == sum(scores[p] >= highest for p in pairs_of(mined))
    assert mined_f1(mined, sorted(truth), threshold=found.threshold) == found
    assert found.null == pytest.approx(by_threshold[min(by_threshold)])
    for recall in (0.2, 0.4, 1.0):
        at = [p for p, r in precisions.values() if r >= recall - 1e-9]
        assert precision_at_recall(mined, sorted(truth), recall) == pytest.approx(max(at, default=0.0))


def test_counts_by_hand() -> None:
    mined = Mined(torch.tensor([0, 1, 2, 3]), torch.tensor([0, 5, 2, 3]), torch.tensor([4.0, 3.0, 2.0, 1.0]).double())
    found = mined_f1(mined, [[0, 0], [2, 2], [7, 7]])
    assert (found.kept, found.threshold, found.precision, found.recall) == (3, 1.5, 2 / 3, 2 / 3)
    assert found.value == pytest.approx(2 / 3)
    assert found.null == pytest.approx(4 / 7)
    assert mined_f1(mined, [[0, 0]], threshold=9.0).value == 0.0
    assert precision_at_recall(mined, [[0, 0], [2, 2], [7, 7]], 0.9) == 0.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_scale_of_all_scores_changes_no_pair(strategy: str) -> None:
    cosines = torch.from_numpy(drawn(3)).sigmoid()
    for correct in (csls, ratio_margin):
        once, twice = (mine_pairs(correct(factor * cosines, k=3), strategy=strategy) for factor in (1, 2))
        assert pairs_of(once) == pairs_of(twice)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mine_pairs(np.eye(3), strategy="best"), "strategy must be one of"),  # type: ignore[arg-type]
        (lambda: mine_pairs(np.zeros(3)), "shape"),
        (lambda: mine_pairs(np.zeros((0, 3))), "shape"),
        (lambda: mine_pairs(np.array([[0.0, np.nan]])), "NaN"),
        (lambda: mined_f1(mine_pairs(np.eye(3)), np.zeros((0, 2), int)), "truth must hold"),
        (lambda: mined_f1(mine_pairs(np.eye(3)), [[0, 1, 2]]), "truth must hold"),
        (lambda: mined_f1(mine_pairs(np.eye(3)), [[0, -1]]), "truth must hold"),
        (lambda: mined_f1(mine_pairs(np.eye(3)), [[0.0, 1.0]]), "truth must hold"),
        (lambda: mined_f1(mine_pairs(np.eye(3)), [[0, 1], [0, 1]]), "twice"),
        (lambda: mined_f1(mine_pairs(np.eye(3)), [[0, 1]], threshold=float("inf")), "finite"),
        (lambda: precision_at_recall(mine_pairs(np.eye(3)), [[0, 1]], 0.0), "recall must lie"),
    ],
)
def test_errors_name_what_was_wrong(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
