"""How far a few labels go."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import torch

from lab.geometry import as_rows, check_labels
from lab.probes.downstream import knn_accuracy, linear_accuracy


def few_label_error(
    train_x: Any,
    train_y: Any,
    test_x: Any,
    test_y: Any,
    *,
    per_class: int,
    seed: int,
    draws: int = 10,
    method: Literal["1nn", "ridge"] = "1nn",
    penalty: float = 1e-2,
) -> float:
    """Error of a classifier that sees only a few labelled rows of each class, averaged over draws of those rows.

    Args:
        train_x: (N, d), train_y: (N,) class numbers from 0, test_x: (M, d), test_y: (M,).
        per_class: labelled rows a class, at least 1 and at most what each class has.
        seed: of the draws.
        draws: number of draws, at least 1.
        method: "1nn" (nearest labelled row by cosine) or "ridge" (linear classifier by least squares).
        penalty: of "ridge", relative to the number of rows.

    Returns:
        Float in 0 .. 1. Null: 1 - 1 / classes. Lower is better.

    Raises:
        ValueError: more labels a class than there are, draws below 1, unknown method, as ``knn_accuracy``.

    Cost: ``draws`` times a small fit.

    Relations: ``knn_accuracy`` and ``linear_accuracy`` with all labels; ``labels_needed`` turns errors into labels.

    Example:
        >>> x, y = torch.eye(2).repeat(5, 1), torch.tensor([0, 1] * 5)
        >>> few_label_error(x, y, x, y, per_class=1, seed=0)
        0.0
    """
    rows = as_rows(train_x, "train_x")
    labels = check_labels(train_y, len(rows), "train_y")
    members = [(labels == c).nonzero()[:, 0] for c in labels.unique()]
    least = min(len(m) for m in members)
    if not 1 <= per_class <= least:
        raise ValueError(f"per_class must lie in 1 .. {least} (rows of the smallest class), got {per_class}")
    if draws < 1:
        raise ValueError(f"draws must be at least 1, got {draws}")
    if method not in ("1nn", "ridge"):
        raise ValueError(f'method must be "1nn" or "ridge", got {method!r}')
    generator = torch.Generator().manual_seed(seed)
    errors = []
    for _ in range(draws):
        i = torch.cat([m[torch.randperm(len(m), generator=generator)[:per_class]] for m in members])
        if method == "1nn":
            right = knn_accuracy(rows[i], labels[i], test_x, test_y, k=1)
        else:
            right = linear_accuracy(rows[i], labels[i], test_x, test_y, penalty=penalty)
        errors.append(1 - right)
    return sum(errors) / draws


def labels_needed(counts: Sequence[float], errors: Sequence[float], target: float) -> float:
    """Number of labels at which the error first reaches a target, interpolated on a logarithmic axis of labels.

    Args:
        counts: numbers of labels, above 0 and rising.
        errors: error at each of them, finite.
        target: the error to reach.

    Returns:
        A float from counts[0] (already reached there) to counts[-1], which is also returned where the target is never
        reached: then it is a lower limit. Lower is better.

    Raises:
        ValueError: different lengths, no counts, counts not rising, non-finite errors.

    Example:
        >>> round(labels_needed([10, 40], [0.5, 0.3], target=0.4), 6)
        20.0
    """
    n, e = [float(c) for c in counts], [float(x) for x in errors]
    if not n or len(n) != len(e):
        raise ValueError(f"counts and errors must have one length of at least 1, got {len(n)} and {len(e)}")
    if n[0] <= 0 or any(b <= a for a, b in itertools.pairwise(n)):
        raise ValueError(f"counts must be above 0 and rising, got {n}")
    if not all(math.isfinite(x) for x in e):
        raise ValueError("errors must be finite")
    if e[0] <= target:
        return n[0]
    for i in range(1, len(n)):
        if e[i] <= target:
            part = (e[i - 1] - target) / (e[i - 1] - e[i])
            return math.exp(math.log(n[i - 1]) + part * math.log(n[i] / n[i - 1]))
    return n[-1]
