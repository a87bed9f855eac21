"""One threshold for all queries: what is kept above it, the best one, and the area under the pooled ROC curve.

Everywhere a pair of a query and a document has a score, larger for a better match; pairs of all queries are pooled, and
a pair is kept where its score is at least the threshold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class CutOff:
    """What one threshold keeps.

    Attributes:
        value: F1, the harmonic mean of precision and recall, 0 .. 1, higher is better.
        null: the greatest F1 to expect of scores that know nothing: keep everything, 2 p / (1 + p), p the share of
            relevant pairs.
        threshold: pairs with at least this score are kept.
        precision: share of relevant pairs among the kept, 1 where nothing is kept.
        recall: share of kept pairs among the relevant.
        kept: how many pairs.
    """

    value: float
    null: float
    threshold: float
    precision: float
    recall: float
    kept: int

    def __float__(self) -> float:
        return self.value


def cut_off(scores: Any, relevant: Any, threshold: float) -> CutOff:
    """F1, precision and recall of all pairs with at least a given score.

    Formula: F1 = 2 hits / (kept + relevant).

    Args:
        scores: (Q, G) or any shape, tensor or array: one score a pair, larger for a better match.
        relevant: the same shape, true where the document answers the query. At least one must.
        threshold: any finite number; chosen on other queries, as a rule (``best_cut_off``).

    Returns:
        ``CutOff``. Higher F1 is better; null 2 p / (1 + p) for the share p of relevant pairs.

    Raises:
        ValueError: shapes differ, no pair, no relevant pair, NaN or infinity.

    Cost: O(pairs).

    Source: relevance-filtering-embedding-based for one threshold over all queries; pooled ("micro") counts.

    Relations: ``recall_at_k`` cuts each query's list at a rank instead.

    Example:
        >>> found = cut_off([[0.9, 0.4], [0.6, 0.5]], [[True, False], [False, True]], 0.55)
        >>> found.precision, found.recall, found.value
        (0.5, 0.5, 0.5)
    """
    values, truth = _pairs(scores, relevant)
    if isinstance(threshold, bool) or not math.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")
    keep = values >= threshold
    return _counted(int((keep & truth).sum()), int(keep.sum()), truth, float(threshold))


def best_cut_off(scores: Any, relevant: Any) -> CutOff:
    """The threshold with the greatest F1 over all pairs.

    Args:
        scores, relevant: as for ``cut_off``.

    Returns:
        ``CutOff`` of the best threshold, midway between the last score kept and the first left out (the last score
        itself where nothing is left out); the highest of several equally good ones. No other threshold keeps a
        better set of these pairs, so its F1 is optimistic for other queries.

    Raises:
        ValueError: as ``cut_off``.

    Cost: O(pairs log pairs).

    Convention: equal scores are kept or left out together.

    Relations: ``cut_off`` measures the threshold found here on queries it was not chosen on.

    Example:
        >>> found = best_cut_off([0.9, 0.7, 0.5, 0.1], [True, True, False, False])
        >>> found.value, round(found.threshold, 6)
        (1.0, 0.6)
    """
    values, truth = _pairs(scores, relevant)
    order = values.argsort(descending=True)
    values, hits = values[order], truth[order].cumsum(0)
    last = torch.cat([values[1:] != values[:-1], torch.tensor([True], device=values.device)]).nonzero()[:, 0]
    score = 2 * hits[last].double() / (last + 1 + truth.sum())
    best = int(last[int(score.argmax())])
    end = float(values[best])
    threshold = end if best + 1 == len(values) else _between(float(values[best + 1]), end)
    return _counted(int(hits[best]), best + 1, truth, threshold)


def pooled_auc(scores: Any, relevant: Any) -> float:
    """The chance that a relevant pair scores above another pair, whatever queries the two belong to.

    Formula: P(s+ > s-) + P(s+ = s-) / 2 over all relevant and all other pairs: the area under the ROC curve.

    Args:
        scores, relevant: as for ``cut_off``; at least one pair must not be relevant.

    Returns:
        Float in 0 .. 1. Null: 0.5. Higher is better. Unchanged by any increasing function of all scores, but not by
        one that differs from query to query.

    Raises:
        ValueError: as ``cut_off``; every pair relevant.

    Cost: O(pairs log pairs).

    Source: optimizing-what-matters, where 1 - AUC is what the Mann-Whitney loss bounds.

    Example:
        >>> pooled_auc([[0.9, 0.4], [0.6, 0.5]], [[True, False], [False, True]])
        0.75
    """
    values, truth = _pairs(scores, relevant)
    if bool(truth.all()):
        raise ValueError("relevant must leave some pairs that are not: all of them are")
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    # Mean rank of each level of equal scores, from 1.
    rank = count.cumsum(0).double() - (count - 1).double() / 2
    positive = int(truth.sum())
    total = float(rank[place[truth]].sum()) - positive * (positive + 1) / 2
    return total / (positive * (len(values) - positive))


def _pairs(scores: Any, relevant: Any) -> tuple[Tensor, Tensor]:
    """Both flattened, scores in float64."""
    values = scores.detach() if isinstance(scores, Tensor) else torch.as_tensor(np.asarray(scores))
    truth = torch.as_tensor(relevant)
    if values.shape != truth.shape:
        raise ValueError(f"relevant must have shape {tuple(values.shape)} like scores, got {tuple(truth.shape)}")
    if values.numel() == 0:
        raise ValueError("scores must hold at least one pair, got none")
    values, truth = values.double().flatten(), truth.to(values.device).bool().flatten()
    if not bool(torch.isfinite(values).all()):
        raise ValueError("scores hold NaN or infinity")
    if not bool(truth.any()):
        raise ValueError("relevant must hold at least one pair that is")
    return values, truth


def _between(low: float, high: float) -> float:
    """A number above `low` and at most `high`, midway where float64 has room."""
    middle = low + (high - low) / 2
    return middle if low < middle <= high else high


def _counted(hits: int, kept: int, truth: Tensor, threshold: float) -> CutOff:
    total = int(truth.sum())
    share = total / len(truth)
    return CutOff(
        value=2 * hits / (kept + total),
        null=2 * share / (1 + share),
        threshold=threshold,
        precision=hits / kept if kept else 1.0,
        recall=hits / total,
        kept=kept,
    )
