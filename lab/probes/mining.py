"""Mining pairs: which rows of two sets belong together, where most may have no counterpart, and how well it went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from lab.probes.cut_offs import CutOff

Strategy = Literal["forward", "backward", "intersection", "max"]


@dataclass(frozen=True)
class Mined:
    """Candidate pairs, best first.

    Attributes:
        rows: (P,) int64, rows of the scores.
        columns: (P,) int64, columns.
        scores: (P,) float64, falling.
    """

    rows: Tensor
    columns: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.scores)


def mine_pairs(scores: Any, *, strategy: Strategy = "max") -> Mined:
    """Candidate pairs from a matrix of scores; a threshold then keeps the first of them.

    "forward" takes for each row its best column, "backward" for each column its best row, "intersection" the pairs that
    are in both. "max" joins the two, goes through them by falling score, and takes a pair where neither its row nor its
    column is taken yet.

    Args:
        scores: (Q, G), tensor or array, larger for a better match: cosines, or what ``ratio_margin`` or ``csls`` make
            of them.
        strategy: one of the four.

    Returns:
        ``Mined``: Q pairs forward, G backward, at most min(Q, G) by intersection or max.

    Raises:
        ValueError: another strategy, no matrix, an empty one, NaN or infinity.

    Cost: O(Q G) time; "max" goes through Q + G candidates one by one.

    Source: margin-based-parallel-corpus. There, and in its code, a row's candidates are its k nearest by cosine and the
    margin chooses among those; here it chooses among all columns. Of equal scores in a row or column any one is taken.

    Relations: ``mined_f1`` and ``precision_at_recall`` judge the result. ``best_cut_off`` judges all Q G pairs.

    Example:
        >>> found = mine_pairs([[0.9, 0.8], [0.7, 0.1], [0.2, 0.3]])
        >>> found.rows.tolist(), found.columns.tolist()
        ([0, 2], [0, 1])
        >>> mine_pairs([[0.9, 0.8], [0.7, 0.1], [0.2, 0.3]], strategy="forward").rows.tolist()
        [0, 1, 2]
    """
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy must be one of {', '.join(get_args(Strategy))}, got {strategy!r}")
    s = scores.detach() if isinstance(scores, Tensor) else torch.as_tensor(np.asarray(scores))
    if s.ndim != 2 or s.numel() == 0:
        raise ValueError(f"scores must have shape (Q, G), neither of them 0, got {tuple(s.shape)}")
    s = s.double()
    if not bool(torch.isfinite(s).all()):
        raise ValueError("scores hold NaN or infinity")
    forward, backward = s.argmax(1), s.argmax(0)
    each_row, each_column = (torch.arange(n, device=s.device) for n in s.shape)
    if strategy == "forward":
        rows, columns = each_row, forward
    elif strategy == "backward":
        rows, columns = backward, each_column
    elif strategy == "intersection":
        mutual = backward[forward] == each_row
        rows, columns = each_row[mutual], forward[mutual]
    else:
        rows, columns = torch.cat([each_row, backward]), torch.cat([forward, each_column])
    values = s[rows, columns]
    order = values.argsort(descending=True, stable=True)
    if strategy == "max":
        order = order[_once(rows[order].tolist(), columns[order].tolist())]
    return Mined(rows[order], columns[order], values[order])


def mined_f1(mined: Mined, truth: Any, *, threshold: float | None = None) -> CutOff:
    """F1 of the mined pairs with at least some score, by default at the threshold that makes it greatest.

    Formula: F1 = 2 hits / (kept + pairs in truth). A true pair that was never a candidate counts as missed.

    Args:
        mined: from ``mine_pairs``.
        truth: (pairs, 2) integers, row and column of each true pair, each once; at least one.
        threshold: a finite number; None for the best one, midway between the last score kept and the first left out
            (the last score where nothing is left out; the highest of several equally good ones).

    Returns:
        ``CutOff``. Higher is better. ``null`` is F1 with all candidates kept, the greatest to expect of an order that
        knows nothing. The best threshold is chosen on these very pairs, so its F1 is optimistic for others.

    Raises:
        ValueError: truth of another shape, empty, negative or with repeated pairs; a threshold that is not finite.

    Cost: O(P log P).

    Source: BUCC, the shared task on mining parallel sentences. Equal scores are kept or left out together.

    Relations: ``best_cut_off`` is the same over all pairs of a matrix.

    Example:
        >>> mined = mine_pairs([[0.9, 0.1], [0.2, 0.6], [0.3, 0.4]])
        >>> found = mined_f1(mined, [[0, 0], [2, 1]])
        >>> found.kept, found.precision, found.recall, round(found.value, 3)
        (1, 1.0, 0.5, 0.667)
    """
    hits, total = _hits(mined, truth)
    kept, counted = _levels(mined, hits)
    every = 2 * int(hits.sum()) / (len(mined) + total)
    if threshold is None:
        best = int((2 * counted.double() / (kept + total)).argmax())
        count, found = int(kept[best]), int(counted[best])
        low = float(mined.scores[count - 1])
        high, low = low, low if count == len(mined) else float(mined.scores[count])
        middle = low + (high - low) / 2
        threshold = middle if low < middle <= high else high
    elif isinstance(threshold, bool) or not np.isfinite(threshold):
        raise ValueError(f"threshold must be a finite number, got {threshold!r}")
    else:
        count = int((mined.scores >= threshold).sum())
        found = int(hits[:count].sum())
    precision = found / count if count else 1.0
    return CutOff(2 * found / (count + total), every, float(threshold), precision, found / total, count)


def precision_at_recall(mined: Mined, truth: Any, recall: float) -> float:
    """The greatest precision of any threshold that keeps at least a given share of the true pairs.

    Args:
        mined, truth: as for ``mined_f1``.
        recall: share of the true pairs, above 0 and at most 1.

    Returns:
        Float in 0 .. 1, higher is better; 0 where no threshold reaches that recall, as with interpolated precision.
        Null: the share of true pairs among all candidates, where the recall is reached.

    Raises:
        ValueError: as ``mined_f1``; a recall out of range.

    Cost: O(P log P).

    Example:
        >>> mined = mine_pairs([[0.9, 0.1, 0.0], [0.2, 0.8, 0.1], [0.3, 0.4, 0.7]])
        >>> precision_at_recall(mined, [[0, 0], [2, 2]], 0.5), round(precision_at_recall(mined, [[0, 0], [2, 2]], 1), 3)
        (1.0, 0.667)
    """
    if isinstance(recall, bool) or not 0 < recall <= 1:
        raise ValueError(f"recall must lie above 0 and at most at 1, got {recall!r}")
    hits, total = _hits(mined, truth)
    kept, counted = _levels(mined, hits)
    reached = counted.double() / total >= recall - 1e-12
    return float((counted.double() / kept)[reached].max()) if bool(reached.any()) else 0.0


def _once(rows: list[int], columns: list[int]) -> list[int]:
    """Places of the pairs whose row and column have not occurred in a pair taken before."""
    seen_rows: set[int] = set()
    seen_columns: set[int] = set()
    taken = []
    for place, (row, column) in enumerate(zip(rows, columns, strict=True)):
        if row not in seen_rows and column not in seen_columns:
            seen_rows.add(row)
            seen_columns.add(column)
            taken.append(place)
    return taken


def _hits(mined: Mined, truth: Any) -> tuple[Tensor, int]:
    """Which candidates are true, (P,) bool, and how many true pairs there are."""
    pairs = torch.as_tensor(truth, device=mined.rows.device)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs) or pairs.is_floating_point() or int(pairs.min()) < 0:
        raise ValueError(f"truth must hold integers (pairs, 2) from 0 up, got {pairs.dtype} {tuple(pairs.shape)}")
    width = 1 + max(int(pairs[:, 1].max()), int(mined.columns.max()) if len(mined) else 0)
    codes = pairs[:, 0].long() * width + pairs[:, 1].long()
    if len(codes.unique()) < len(codes):
        raise ValueError("truth holds a pair twice")
    return torch.isin(mined.rows * width + mined.columns, codes), len(pairs)


def _levels(mined: Mined, hits: Tensor) -> tuple[Tensor, Tensor]:
    """How many pairs are kept, and how many of them true, at each level of score, the highest first."""
    last = torch.ones(len(mined), dtype=torch.bool, device=hits.device)
    last[:-1] = mined.scores[1:] != mined.scores[:-1]
    places = last.nonzero()[:, 0]
    return places + 1, hits.cumsum(0)[places]
