"""Losses over pairs with labels: pull what belongs together, push apart what does not, with margins or soft maxima.

The distance or similarity is an argument where a loss is not bound to one; the functions of ``lab.losses.similarity``
fit, and so does every (x, y) -> (..., N, M).
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.geometry import check_positive
from lab.losses.anchors import Measure, check_margin, check_option, log_sum_exp, measured, over_terms
from lab.losses.selection import Pairs, Selected, WithoutPositives, over_anchors
from lab.losses.similarity import cosine, euclidean
from lab.losses.stable import softplus


def margin_contrastive(
    embeddings: Tensor,
    labels: Any,
    *,
    negative_margin: float,
    positive_margin: float = 0.0,
    distance: Measure = euclidean,
    squared: bool = True,
    average: Literal["pairs", "sides", "active"] = "pairs",
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """The contrastive loss with a margin: positives are drawn together, negatives pushed away up to a distance.

    Formula: mean over pairs of [d - m_p]_+^2 / 2 for positives and [m_n - d]_+^2 / 2 for negatives; with
    ``squared=False`` of [d - m_p]_+ and [m_n - d]_+.

    Args:
        embeddings: (..., N, d), N >= 2; used as they are by the default distance.
        labels, reference, reference_labels, mask, without_positives: as ``sup_con_out``; an anchor that does not count
            brings none of its pairs.
        negative_margin: m_n > 0, the distance from which a negative is left alone.
        positive_margin: m_p, 0 .. m_n, the distance up to which a positive is left alone.
        distance: (x, y) -> (..., N, M); ``euclidean``, ``snr``, ``cosine_distance`` ...
        squared: half the square of the excess (the paper) or the excess itself.
        average: "pairs" is one mean over all pairs, so negatives, being many, weigh more; "sides" a mean over positives
            plus a mean over negatives; "active" the same over those pairs alone that are not 0.

    Returns:
        `Selected`; the loss is >= 0, and 0 when every positive is within m_p and every negative beyond m_n. Lower is
        better.

    Raises:
        ValueError: as ``sup_con_out``; margins out of range, an unknown ``average``.

    Cost: O(N M d) time, O(N M) memory.

    Source: dimensionality reduction by learning an invariant mapping (Hadsell et al. 2006), there a sum over pairs
    with m_p = 0. pytorch-metric-learning's ContrastiveLoss is ``squared=False, average="active"`` on unit rows. The
    distance ``snr``: signal-noise-ratio (Yuan et al. 2019).

    Relations: ``triplet`` compares distances with each other in place of fixed margins; ``lifted_structure`` joins all
    negatives of a pair in one soft maximum.

    Data: labels

    Example:
        >>> rows = torch.tensor([[0.0], [1.0], [3.0], [3.0]])
        >>> margin_contrastive(rows, torch.tensor([0, 0, 1, 1]), negative_margin=2.5, average="sides").loss
        tensor(0.3125)
    """
    check_margin(positive_margin, "positive_margin")
    check_margin(float(check_positive(negative_margin, "negative_margin")), "negative_margin", least=positive_margin)
    check_option(average, ("pairs", "sides", "active"), "average")
    d, pairs = measured(embeddings, labels, distance, reference=reference, reference_labels=reference_labels, mask=mask)
    near, far = F.relu(d - positive_margin), F.relu(negative_margin - d)
    if squared:
        near, far = near.square() / 2, far.square() / 2
    counts = pairs.positive.any(-1)
    if average == "pairs":
        terms = torch.where(pairs.positive, near, torch.where(pairs.negative, far, 0))
        return over_terms(terms.sum(-1), (pairs.positive | pairs.negative).sum(-1), counts, without_positives)
    sides = []
    for terms, chosen in ((near, pairs.positive), (far, pairs.negative)):
        counted = chosen & (terms > 0) if average == "active" else chosen
        sides.append(over_terms(torch.where(chosen, terms, 0).sum(-1), counted.sum(-1), counts, without_positives))
    return Selected(sides[0].loss + sides[1].loss, sides[0].dropped)


def _informative(similarities: Tensor, pairs: Pairs, slack: float) -> Pairs:
    """The pairs that multi-similarity mining keeps: each side as seen from the hardest of the other."""
    s = similarities.detach()
    hardest_positive = s.masked_fill(~pairs.positive, torch.inf).amin(-1, keepdim=True)
    hardest_negative = s.masked_fill(~pairs.negative, -torch.inf).amax(-1, keepdim=True)
    return Pairs(pairs.positive & (s - slack < hardest_negative), pairs.negative & (s + slack > hardest_positive))


def multi_similarity(
    embeddings: Tensor,
    labels: Any,
    *,
    alpha: float,
    beta: float,
    base: float,
    mining: float | None = None,
    similarity: Measure = cosine,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Multi-similarity: soft maxima over positives and over negatives, each pair weighed by itself and by its rivals.

    Formula: mean_i [ 1/alpha log(1 + sum over p of exp(-alpha (s_ip - base)))
    + 1/beta log(1 + sum over n of exp(beta (s_in - base))) ].

    Args:
        embeddings: (..., N, d), N >= 2; normalised inside by the default similarity.
        labels, reference, reference_labels, mask, without_positives: as ``sup_con_out``.
        alpha, beta: sharpness for positives and negatives, above 0; 2 and 50 in the paper.
        base: the similarity around which pairs are judged, finite; 1 in the paper, 0.5 in the authors' code.
        mining: slack of the paper's mining, >= 0 (0.1 in the paper): a positive stays where s_ip - slack < the largest
            s_in, a negative where s_in + slack > the smallest s_ip. None keeps all pairs. An anchor whose pairs are all
            mined away has the term 0 and counts in the mean.
        similarity: (x, y) -> (..., N, M), larger is nearer.

    Returns:
        `Selected`; the loss is > 0, or 0 where mining leaves nothing. Lower is better.

    Raises: as ``sup_con_out``; alpha or beta not above 0, base not finite, mining below 0.

    Cost: O(N M d) time, O(N M) memory.

    Source: multi-similarity loss with general pair weighting (Wang et al. 2019). pytorch-metric-learning's is the
    same, but has anchors without positives count by their negatives.

    Relations: ``circle`` multiplies the two sums inside one logarithm; as alpha and beta grow, the mined pairs of
    ``triplet`` with ``selection="hard"`` are left.

    Data: labels

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(multi_similarity(torch.eye(4), labels, alpha=1.0, beta=1.0, base=0.0).loss.item(), 4)
        1.7918
    """
    check_positive(alpha, "alpha")
    check_positive(beta, "beta")
    check_margin(base, "base", least=-torch.inf)
    if mining is not None:
        check_margin(mining, "mining")
    s, pairs = measured(
        embeddings, labels, similarity, reference=reference, reference_labels=reference_labels, mask=mask
    )
    kept = pairs if mining is None else _informative(s, pairs, mining)
    near = softplus(log_sum_exp(-alpha * (s - base), kept.positive)) / alpha
    far = softplus(log_sum_exp(beta * (s - base), kept.negative)) / beta
    return over_anchors(near + far, pairs.positive.any(-1), without_positives)


def circle(
    embeddings: Tensor,
    labels: Any,
    *,
    margin: float,
    gamma: float,
    reference: Tensor | None = None,
    reference_labels: Any = None,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Circle loss: every cosine pulls by how far it is from its optimum, towards a circular boundary.

    Formula: mean_i log[ 1 + sum over n of exp(gamma [s_in + m]_+ (s_in - m)) * sum over p of
    exp(-gamma [1 + m - s_ip]_+ (s_ip - 1 + m)) ], the factors in brackets [ ]_+ taken for constants in the gradient.

    Args:
        embeddings: (..., N, d), N >= 2; normalised inside.
        labels, reference, reference_labels, mask, without_positives: as ``sup_con_out``. An anchor without negatives
            does not count either.
        margin: m, 0 .. 1; 0.25 for faces and 0.4 for fine-grained retrieval in the paper.
        gamma: scale above 0; 256 and 80 there.

    Returns:
        `Selected`; the loss is > 0 and near 0 where s_p >= 1 - m and s_n <= m. An anchor with one positive and one
        negative on the boundary s_n^2 + (s_p - 1)^2 = 2 m^2 has log 2. Lower is better.

    Raises: as ``sup_con_out``; margin outside 0 .. 1, gamma not above 0.

    Cost: O(N M d) time, O(N M) memory.

    Source: circle-loss (Sun et al. 2020), with pairs as labels; the weights are constants in the gradient that the
    paper gives and in pytorch-metric-learning, which leaves anchors whose loss is 0 out of the mean.

    Relations: with the bracketed weights at 1 it is the soft maximum of s_n - s_p + 2 m - 1; ``multi_similarity`` keeps
    the two sides apart.

    Data: labels

    Example:
        >>> labels = torch.tensor([0, 0, 1, 1])
        >>> round(circle(torch.eye(4), labels, margin=0.5, gamma=1.0).loss.item(), 4)
        1.458
    """
    check_positive(gamma, "gamma")
    if not check_margin(margin) <= 1:
        raise ValueError(f"margin must lie in 0 .. 1 (it is a cosine), got {margin}")
    s, pairs = measured(embeddings, labels, cosine, reference=reference, reference_labels=reference_labels, mask=mask)
    fixed = s.detach()
    near = log_sum_exp(-gamma * F.relu(1 + margin - fixed) * (s - 1 + margin), pairs.positive)
    far = log_sum_exp(gamma * F.relu(fixed + margin) * (s - margin), pairs.negative)
    counts = pairs.positive.any(-1) & pairs.negative.any(-1)
    return over_anchors(softplus(near + far), counts, without_positives)
