"""What embeddings are good for: classes by neighbours and by a linear map, verification by one threshold."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lab.geometry import as_rows, check_labels
from lab.neighbours import nearest


def _checked(train_x: Any, train_y: Any, test_x: Any, test_y: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    a, b = as_rows(train_x, "train_x"), as_rows(test_x, "test_x")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"test_x must have {a.shape[1]} columns like train_x, got {b.shape[1]}")
    train_labels = check_labels(train_y, a.shape[0], "train_y").to(a.device)
    test_labels = check_labels(test_y, b.shape[0], "test_y").to(a.device)
    if int(train_labels.min()) < 0 or int(test_labels.min()) < 0:
        raise ValueError("train_y and test_y must hold class numbers of at least 0")
    if len(train_labels.unique()) < 2:
        raise ValueError("train_y must hold at least two classes")
    return a, train_labels, b, test_labels


def knn_accuracy(train_x: Any, train_y: Any, test_x: Any, test_y: Any, k: int = 20) -> float:
    """Share of test rows whose class wins the vote of their k nearest training rows by cosine.

    A tie in votes goes to the class with the larger sum of cosines.

    Args:
        train_x: (N, d), train_y: (N,) class numbers from 0, test_x: (M, d), test_y: (M,).
        k: number of neighbours, 1 .. N.

    Returns:
        Float in 0 .. 1. Null (labels unrelated): the share of the commonest class. Higher is better.

    Raises:
        ValueError: lengths or columns differ, one class, k out of range, a zero or non-finite row.

    Cost: O(N M d) time, O(512 N) memory.

    Relations: ``linear_accuracy`` sees what a linear map can bring out; the two can disagree, so name the readout.

    Example:
        >>> x, y = torch.eye(2).repeat(5, 1), torch.tensor([0, 1] * 5)
        >>> knn_accuracy(x, y, x, y, k=3)
        1.0
    """
    a, train_labels, b, test_labels = _checked(train_x, train_y, test_x, test_y)
    found = nearest(b, a, k=k)
    classes = int(max(train_labels.max(), test_labels.max())) + 1
    shape = (b.shape[0], classes)
    votes = torch.zeros(shape, dtype=torch.float64, device=a.device)
    cosines = torch.zeros(shape, dtype=torch.float64, device=a.device)
    neighbours = train_labels[found.indices]
    votes.scatter_add_(1, neighbours, torch.ones_like(found.similarities, dtype=torch.float64))
    cosines.scatter_add_(1, neighbours, found.similarities.double())
    # Sums of cosines lie within +-k, so a quarter of their mean can only decide between equal votes.
    winner = (votes + cosines / (4 * k)).argmax(1)
    return float((winner == test_labels).double().mean())


def linear_accuracy(
    train_x: Any,
    train_y: Any,
    test_x: Any,
    test_y: Any,
    *,
    method: Literal["ridge", "logistic"] = "ridge",
    penalty: float = 1e-3,
) -> float:
    """Share of test rows put into their class by a linear map fitted on the training rows.

    Columns are standardised by the training rows. "ridge" solves one-hot least squares in closed form with ``penalty``
    times the number of rows on the diagonal; "logistic" is scikit-learn's multinomial regression with the same penalty
    on the mean loss.

    Args:
        train_x: (N, d), train_y: (N,) class numbers from 0, test_x: (M, d), test_y: (M,).
        method: "ridge" (milliseconds) or "logistic" (seconds).
        penalty: squared-norm penalty, above 0, relative to the mean loss.

    Returns:
        Float in 0 .. 1. Null: the share of the commonest class. Higher is better.

    Raises:
        ValueError: lengths or columns differ, one class, penalty not above 0, unknown method, non-finite row.

    Cost: ridge O(N d^2 + d^3).

    Example:
        >>> x, y = torch.eye(3).repeat(5, 1), torch.tensor([0, 1, 2] * 5)
        >>> linear_accuracy(x, y, x, y)
        1.0
    """
    a, train_labels, b, test_labels = _checked(train_x, train_y, test_x, test_y)
    if not penalty > 0:
        raise ValueError(f"penalty must be above 0, got {penalty}")
    a, b = a.double(), b.double()
    mean, scale = a.mean(0), a.std(0, unbiased=False)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    a, b = (a - mean) / scale, (b - mean) / scale
    if method == "ridge":
        targets = torch.nn.functional.one_hot(train_labels).double()
        gram = a.T @ a + penalty * a.shape[0] * torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
        weights = torch.linalg.solve(gram, a.T @ (targets - targets.mean(0)))
        guess = (b @ weights + targets.mean(0)).argmax(1)
    elif method == "logistic":
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=1 / (penalty * a.shape[0]), max_iter=1000)
        model.fit(a.cpu().numpy(), train_labels.cpu().numpy())
        guess = torch.as_tensor(model.predict(b.cpu().numpy()), device=a.device)
    else:
        raise ValueError(f'method must be "ridge" or "logistic", got {method!r}')
    return float((guess == test_labels).double().mean())


def equal_error_rate(scores: Any, same: Any) -> float:
    """The error of a verification system at the threshold where false accepts and false rejects are equally frequent.

    Pairs with equal scores fall on the same side; between two thresholds both rates are interpolated linearly.

    Args:
        scores: (P,) similarity of each pair, higher for more alike.
        same: (P,) true where the pair belongs together; both kinds must occur.

    Returns:
        Float in 0 .. 1. Null (scores unrelated): 0.5. Lower is better.

    Raises:
        ValueError: lengths differ, non-finite scores, only one kind of pair.

    Cost: O(P log P).

    Example:
        >>> equal_error_rate([0.9, 0.8, 0.2, 0.1], [True, True, False, False])
        0.0
    """
    values = torch.as_tensor(scores).detach().double().flatten()
    truth = torch.as_tensor(same).flatten().bool()
    if values.shape != truth.shape:
        raise ValueError(f"same must have {values.shape[0]} entries like scores, got {truth.shape[0]}")
    if not torch.isfinite(values).all():
        raise ValueError("scores holds NaN or infinity")
    if truth.all() or not truth.any():
        raise ValueError("same must hold both true and false pairs")
    order = values.argsort(descending=True)
    values, truth = values[order], truth[order]
    last = torch.cat([values[1:] != values[:-1], torch.tensor([True])])
    zero = torch.zeros(1, dtype=torch.float64)
    accepts = torch.cat([zero, (~truth).double().cumsum(0)[last] / (~truth).sum()])
    rejects = torch.cat([zero + 1, 1 - truth.double().cumsum(0)[last] / truth.sum()])
    i = int((accepts >= rejects).nonzero()[0])
    gap_before, gap_after = float(rejects[i - 1] - accepts[i - 1]), float(accepts[i] - rejects[i])
    part = gap_before / (gap_before + gap_after)
    return float(accepts[i - 1] + part * (accepts[i] - accepts[i - 1]))
