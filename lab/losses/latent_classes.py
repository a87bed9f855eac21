"""The latent-class view of contrastive learning: a pairwise loss, the supervised loss it bounds, and the bound.

Positives are two items drawn from one latent class, negatives come from a class drawn anew, which with the collision
probability tau is the same class. All losses are base-2 logistic, so that a margin of 0 costs exactly 1: the bound's
constants depend on it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot, softplus

from lab.geometry import check_labels, check_same_shape
from lab.losses.similarity import full_rows, product


def logistic(margin: Tensor) -> Tensor:
    """log2(1 + exp(-margin)), entry by entry: 1 at margin 0, falling to 0.

    >>> logistic(torch.zeros(2)).tolist()
    [1.0, 1.0]
    """
    return softplus(-margin) / math.log(2)


def logistic_contrast(anchors: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """The contrastive loss with one negative: is the anchor closer to its positive than to the negative?

    Formula: mean_i log2(1 + exp(-<a_i, p_i - n_i>)).

    Args:
        anchors, positives, negatives: (..., N, d); row i of the three is one triple. Used as they are: nothing is
            normalised, and the lengths act as an inverse temperature.

    Returns:
        Loss of the leading shape, above 0; 1 where all rows are equal. Lower is better.

    Raises:
        ValueError: shapes differ, NaN or infinity.

    Cost: O(N d).

    Source: theoretical-analysis-contrastive-unsupervised (Arora et al. 2019), the logistic loss with k = 1.

    Relations: times log 2 it is ``info_nce`` with one negative and inner products for cosines over a temperature.

    Data: pairs

    Example:
        >>> logistic_contrast(torch.ones(4, 3), torch.ones(4, 3), torch.ones(4, 3)).item()
        1.0
    """
    check_same_shape(anchors, positives, ("anchors", "positives"))
    check_same_shape(anchors, negatives, ("anchors", "negatives"))
    a, p, n = (
        full_rows(x, name) for x, name in ((anchors, "anchors"), (positives, "positives"), (negatives, "negatives"))
    )
    return logistic((a * (p - n)).sum(-1)).mean(-1)


def mean_classifier_loss(x: Tensor, labels: Tensor, means: Tensor) -> Tensor:
    """Supervised loss of the classifier whose weights are class means, averaged over pairs of different classes.

    Formula: mean over class c, over rows of class c and over classes k != c of log2(1 + exp(-<x, mu_c - mu_k>)).

    Args:
        x: (N, d) rows, used as they are.
        labels: (N,) class numbers 0 .. K - 1; every class must occur.
        means: (K, d), K >= 2, the mean embedding of each class.

    Returns:
        Scalar above 0; 1 where all means are equal. Lower is better.

    Raises:
        ValueError: different lengths, a class without rows or without a mean, one class, NaN or infinity.

    Cost: O(N K d).

    Source: theoretical-analysis-contrastive-unsupervised, L_sup of the mean classifier for two-class tasks, with
    equally frequent classes.

    Relations: for class means of the same rows it is at most ``collision_bound`` of ``logistic_contrast``.

    Data: labels

    Example:
        >>> mean_classifier_loss(torch.eye(2), torch.tensor([0, 1]), torch.zeros(2, 2)).item()
        1.0
    """
    x, means = full_rows(x, "x"), full_rows(means, "means", min_rows=2)
    labels = check_labels(labels, len(x)).to(x.device)
    classes = len(means)
    counts = labels.bincount(minlength=classes)
    if len(counts) != classes or (counts == 0).any():
        raise ValueError(f"labels must hold each class 0 .. {classes - 1} of means, got counts {counts.tolist()}")
    scores = product(x, means)
    losses = logistic(scores.gather(1, labels[:, None]) - scores)
    others = losses.masked_fill(one_hot(labels, classes).bool(), 0).sum(1) / (classes - 1)
    return torch.stack([others[labels == c].mean() for c in range(classes)]).mean()


def collision_bound(loss: float, collision: float) -> float:
    """Upper bound on the mean classifier's supervised loss, corrected for negatives of the anchor's own class.

    Formula: (L - tau) / (1 - tau). By Jensen's inequality the contrastive loss L is at least its value with positive
    and negative replaced by their class means; that is L_sup with probability 1 - tau and, where the classes
    collide, the loss of margin 0, which is 1.

    Args:
        loss: ``logistic_contrast`` (or any convex loss with value 1 at margin 0).
        collision: tau, probability that the negative's class is the anchor's; 1 / K for K equally frequent classes.

    Returns:
        Float, at most ``loss`` where that is below 1.

    Raises:
        ValueError: collision outside 0 .. 1 (1 excluded), loss not finite.

    Source: theoretical-analysis-contrastive-unsupervised, lemma 4.3, in the population, without generalisation error.

    Example:
        >>> collision_bound(0.75, 0.5)
        0.5
    """
    if not math.isfinite(loss):
        raise ValueError(f"loss must be finite, got {loss}")
    if not 0 <= collision < 1:
        raise ValueError(f"collision must lie in 0 .. 1, 1 excluded, got {collision}")
    return (loss - collision) / (1 - collision)
