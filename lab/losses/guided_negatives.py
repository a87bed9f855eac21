"""A guide that names false negatives: candidates that it finds nearer to the anchor than the positive are left out."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from lab.geometry import check_embeddings, check_same_shape, fails
from lab.losses.similarity import check_columns, divisor, product, unit_rows
from lab.losses.weighted_negatives import check_finite_number, guide_rows

MarginKind = Literal["absolute", "relative"]


def kept_by_guide(
    similarities: Tensor, positive: Tensor, *, margin: float = 0.0, margin_kind: MarginKind = "absolute"
) -> Tensor:
    """Which candidates may serve as negatives, judged by a guide's similarities.

    Formula: a candidate is dropped where g_ij > g_i - margin ("absolute") or g_ij > g_i (1 - margin) ("relative"),
    g_i the guide's similarity of anchor i and its positive.

    Args:
        similarities: (..., N, M), the guide's similarity of anchor i and candidate j.
        positive: (..., N), the guide's similarity of anchor i and its positive.
        margin: 0 drops what is strictly nearer than the positive; a positive margin also drops what is nearly as near;
            a negative one tolerates more.
        margin_kind: "absolute" or "relative". A relative margin presumes positive similarities: below 0 it works the
            other way round.

    Returns:
        Booleans (..., N, M), True where the candidate is kept. At margin 0 a candidate that ties with the positive (a
        copy of it) is kept, up to rounding; a small margin drops it.

    Raises:
        ValueError: shapes that do not fit, non-finite entries, margin not finite, unknown margin_kind.

    Cost: O(N M).

    Source: gistembed (Solatorio 2024), which has no margin; both margins as in sentence-transformers.

    Relations: ``guided_info_nce`` uses it; its result also serves as the ``mask`` of losses with labels.

    Example:
        >>> kept_by_guide(torch.tensor([[0.8, 0.9, 0.75]]), torch.tensor([0.8]), margin=0.1).tolist()
        [[False, False, False]]
        >>> kept_by_guide(torch.tensor([[0.8, 0.9, 0.75]]), torch.tensor([0.8])).tolist()
        [[True, False, True]]
    """
    check_finite_number(margin, "margin")
    if margin_kind not in ("absolute", "relative"):
        raise ValueError(f"margin_kind must be absolute or relative, got {margin_kind!r}")
    check_embeddings(similarities, "similarities")
    check_embeddings(positive.unsqueeze(-1) if isinstance(positive, Tensor) else positive, "positive")
    if positive.shape != similarities.shape[:-1]:
        raise ValueError(f"positive must have shape {tuple(similarities.shape[:-1])}, got {tuple(positive.shape)}")
    limit = positive - margin if margin_kind == "absolute" else positive * (1 - margin)
    return similarities <= limit.unsqueeze(-1)


def guided_info_nce(
    anchors: Tensor,
    positives: Tensor,
    negatives: Tensor | None = None,
    *,
    guide_anchors: Tensor,
    guide_positives: Tensor,
    guide_negatives: Tensor | None = None,
    temperature: float | Tensor,
    margin: float = 0.0,
    margin_kind: MarginKind = "absolute",
    own_anchors: bool = True,
    own_positives: bool = True,
) -> Tensor:
    """GISTEmbed: InfoNCE over negatives of the batch from which a guide has taken the suspected false ones.

    Formula: mean_i [ log( exp(s(a_i, p_i) / tau) + sum over kept candidates of exp(s / tau) ) - s(a_i, p_i) / tau ].
    Candidates of anchor i are (a_i, p_j) and, where asked for, (a_i, a_j) and (p_i, p_j), all with j != i, and (a_i,
    n_k); each is kept where the guide's cosine of the same pair is at most that of (a_i, p_i), less the margin.

    Args:
        anchors: (..., N, d), N >= 2.
        positives: (..., N, d); row i belongs to anchor i.
        negatives: (..., M, d) or None; more candidates for all anchors.
        guide_anchors, guide_positives: (..., N, e); the same items as the guide embeds them. No gradient.
        guide_negatives: (..., M, e); the guide's rows of ``negatives``, given together with them.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        margin, margin_kind: as in ``kept_by_guide``.
        own_anchors: whether other anchors are candidates.
        own_positives: whether positives are compared with other positives.

    Returns:
        Loss of the leading shape, >= 0; log(1 + kept) when all rows are equal, so log(3N - 2) where the guide keeps
        all. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a zero or non-finite row, temperature not above 0, margin not
            finite, unknown margin_kind, only one of negatives and guide_negatives, a guide that leaves no negative in
            the whole batch.

    Cost: O(N (3N + M) (d + e)) time, O(N (3N + M)) memory.

    Source: gistembed (Solatorio 2024): queries, positives and negatives as candidates, a strict comparison. Margins and
    the two switches as in sentence-transformers (contrast_anchors, contrast_positives). There a row is its own
    candidate unless the guide's cosine with itself exceeds the limit, which a perfect positive or a negative margin
    spoils; here a row is never its own candidate and the positive is never dropped.

    Relations: a guide that keeps all, with both switches off, is ``info_nce``. ``instance_weighted_info_nce`` drops by
    one threshold for all anchors.

    Data: pairs, two modalities

    Example:
        >>> one, guide = torch.ones(4, 3), torch.eye(4)
        >>> value = guided_info_nce(one, one, guide_anchors=guide, guide_positives=guide, temperature=0.1)
        >>> round(value.item(), 4) == round(torch.tensor(10.0).log().item(), 4)
        True
    """
    check_same_shape(anchors, positives, ("anchors", "positives"))
    if (negatives is None) != (guide_negatives is None):
        raise ValueError("negatives and guide_negatives must be given together")
    a, p = unit_rows(anchors, "anchors", min_rows=2), unit_rows(positives, "positives")
    g_a = guide_rows(guide_anchors, a, "guide_anchors", "anchors")
    g_p = guide_rows(guide_positives, p, "guide_positives", "positives")
    check_columns(g_a, g_p, ("guide_anchors", "guide_positives"))
    own = torch.eye(a.shape[-2], dtype=torch.bool, device=a.device)
    sides = [(a, p, g_a, g_p, own)]  # with the pairs that are no candidates: each row with itself
    sides += [(a, a, g_a, g_a, own)] if own_anchors else []
    sides += [(p, p, g_p, g_p, own)] if own_positives else []
    if negatives is not None and guide_negatives is not None:
        n = unit_rows(negatives, "negatives")
        check_columns(n, a, ("negatives", "anchors"))
        g_n = guide_rows(guide_negatives, n, "guide_negatives", "negatives")
        check_columns(g_n, g_a, ("guide_negatives", "guide_anchors"))
        sides += [(a, n, g_a, g_n, torch.zeros((), dtype=torch.bool, device=a.device))]
    tau = divisor(temperature)
    limit = torch.diagonal(product(g_a, g_p), dim1=-2, dim2=-1)
    positive = (a * p).sum(-1, keepdim=True) / tau
    logits, some = [positive], []
    for x, y, g_x, g_y, itself in sides:
        kept = kept_by_guide(product(g_x, g_y), limit, margin=margin, margin_kind=margin_kind) & ~itself
        some.append(kept.any())
        logits.append((product(x, y) / tau).masked_fill(~kept, -torch.inf))
    if fails(torch.stack(some).any()):
        raise ValueError("guide_anchors and guide_positives leave no negative: every candidate looks like a positive")
    return (torch.logsumexp(torch.cat(logits, -1), -1) - positive[..., 0]).mean(-1)
