"""Losses over scores: the order, the margins and the separation of similarities that were computed elsewhere.

Conventions of the whole file: a score is larger where two things match better (a cosine, an inner product, the output
of a cross-encoder); scores come as (..., N), leading axes are kept, so a stack of S batches gives S losses.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lab.geometry import check_same_shape, fails
from lab.losses.similarity import divisor, product, unit_rows


def check_scores(scores: Any, name: str, *, least: int = 1) -> Tensor:
    """Scores (..., N) in at least float32, else an error that names them.

    Raises:
        TypeError: not a tensor or not floating. ValueError: no axis, fewer than ``least`` scores, NaN or infinity.

    >>> check_scores(torch.ones(2, dtype=torch.float16), "scores").dtype
    torch.float32
    """
    if not isinstance(scores, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(scores).__name__}")
    if not scores.is_floating_point():
        raise TypeError(f"{name} must have a floating dtype, got {scores.dtype}; convert them with .float()")
    if scores.ndim < 1 or scores.shape[-1] < least or scores.numel() == 0:
        raise ValueError(f"{name} must have shape (..., N) with N at least {least}, got {tuple(scores.shape)}")
    if fails(torch.isfinite(scores.detach())):
        raise ValueError(f"{name} hold NaN or infinity")
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def _check_size(values: Tensor, name: str) -> Tensor:
    if fails(torch.isfinite(values.detach())):
        raise ValueError(f"{name} are too large: their differences are not finite in {values.dtype}")
    return values


def cosent(similarities: Tensor, targets: Tensor, *, temperature: float | Tensor) -> Tensor:
    """CoSENT: the similarities of pairs in the order of their graded targets.

    Formula: log [ 1 + sum over i, j with y_i > y_j of exp((s_j - s_i) / tau) ].

    Args:
        similarities: (..., N), N >= 2: s_i, the similarity the model gives to pair i, as a rule a cosine.
        targets: floating (..., N) or (N,): y_i, how alike the two of pair i should be. Only their order counts; pairs
            of equal targets are not compared.
        temperature: tau > 0, a divisor; 0.05 (a scale of 20) in use.

    Returns:
        Loss of the leading shape, >= 0; log(1 + C) when all similarities are equal, C the number of pairs with
        different targets; 0 in the limit of perfect order by many tau. A sum, not a mean: it grows with log N. Lower is
        better.

    Raises:
        ValueError: fewer than two pairs, other lengths, NaN or infinity, integer or all equal targets, temperature not
            above 0.

    Cost: O(N log N) time, O(N) memory: a running sum over sorted targets takes the place of all pairs of pairs.

    Source: CoSENT (Su 2022), as in csdr-bert and open-sentence-embeddings-portuguese.

    Relations: ``mann_whitney`` averages one logarithm a pair instead of one for all, so the worst pair counts less;
    ``rank_n_contrast`` orders whole neighbourhoods.

    Data: scores, pairs, ordered targets

    Example:
        >>> y = torch.tensor([1.0, 0.5, 0.0])
        >>> round(cosent(torch.zeros(3), y, temperature=0.05).item(), 4)
        1.3863
    """
    s = check_scores(similarities, "similarities", least=2)
    if isinstance(targets, Tensor) and not targets.is_floating_point():
        raise ValueError(f"targets must have a floating dtype, got {targets.dtype}; convert them with .float()")
    y = check_scores(targets, "targets").detach().double().to(s.device)
    if y.shape not in (s.shape, s.shape[-1:]):
        raise ValueError(f"targets must have shape {tuple(s.shape)} like similarities, got {tuple(y.shape)}")
    y = y.expand(s.shape)
    if fails(y.amax(-1) > y.amin(-1)):
        raise ValueError("targets are all equal: there is no order to learn")
    s = s / divisor(temperature, 1)
    _check_size(s.amax(-1) - s.amin(-1), "similarities")
    y, places = y.sort(-1)
    s = s.gather(-1, places)
    below = torch.searchsorted(y.contiguous(), y.contiguous())  # how many targets are smaller
    lower = torch.logcumsumexp(s, -1).gather(-1, (below - 1).clamp(min=0))
    terms = torch.where(below > 0, lower - s, -torch.inf)
    return torch.logsumexp(torch.cat([terms, torch.zeros_like(s[..., :1])], -1), -1)


def margin_mse(
    positive_scores: Tensor, negative_scores: Tensor, teacher_positive: Tensor, teacher_negative: Tensor
) -> Tensor:
    """Margin-MSE: the student's margins between positive and negative made equal to the teacher's.

    Formula: mean over i (and m) of [ (s_i+ - s_im-) - (t_i+ - t_im-) ]^2.

    Args:
        positive_scores: (..., N), the student's scores of query i and its positive.
        negative_scores: (..., N), or (..., N, M) for several negatives a query.
        teacher_positive, teacher_negative: the teacher's scores, of the same shapes. They get no gradient.

    Returns:
        Loss of the leading shape, >= 0; 0 where all margins agree. Adding a number to all scores of one query changes
        nothing, on either side; scales must agree. Lower is better.

    Raises:
        ValueError: shapes differ, NaN or infinity, scores so large that squares overflow.

    Cost: O(N M).

    Source: Hofstatter et al. 2020; a baseline of learning-effective-representations-retrieval.

    Relations: ``relevance_margin`` takes the margin from the encoder itself, without a teacher.

    Data: scores

    Example:
        >>> s, t = torch.tensor([3.0]), torch.tensor([9.0])
        >>> margin_mse(s, s - 1, t, t - 3).item()
        4.0
    """
    s, n = check_scores(positive_scores, "positive_scores"), check_scores(negative_scores, "negative_scores")
    a, b = check_scores(teacher_positive, "teacher_positive"), check_scores(teacher_negative, "teacher_negative")
    check_same_shape(a, s, ("teacher_positive", "positive_scores"))
    check_same_shape(b, n, ("teacher_negative", "negative_scores"))
    if n.shape != s.shape and n.shape[:-1] != s.shape:
        raise ValueError(f"negative_scores must have shape {tuple(s.shape)} or {(*s.shape, 'M')}, got {tuple(n.shape)}")
    if n.ndim == s.ndim:
        n, b = n[..., None], b[..., None]
    errors = ((s[..., None] - n) - (a.detach()[..., None] - b.detach())).square()
    return _check_size(errors, "positive_scores, negative_scores or the teacher's").flatten(-2).mean(-1)


def relevance_margin(
    queries: Tensor,
    positives: Tensor,
    negatives: Tensor,
    *,
    margin: Literal["dissimilarity", "similarity"] = "dissimilarity",
    error: Literal["hinge", "squared", "absolute", "soft"] = "hinge",
    pairs: Literal["all", "own", "distributed"] = "all",
    detach_margin: bool = False,
) -> Tensor:
    """Adaptive relevance margin: how far a negative must fall behind follows from how it resembles the positive.

    Formula: mean over i, j of error(m_ij - (s(q_i, p_i) - s(q_i, n_j))), s the cosine, m_ij = 1 - s(p_i, n_j); error(x)
    is max(0, x), x^2, |x| or log(1 + e^x).

    Args:
        queries, positives, negatives: (..., N, d), row i of each belongs together. Normalised inside.
        margin: "dissimilarity" for 1 - s(p, n), which is met exactly by a query equal to its positive; "similarity" for
            (1 + s(p, n)) / 2.
        error: what counts as an error; all but "squared" and "absolute" let margins be exceeded.
        pairs: "all" compares query i with every negative j; "own" only with its own, i = j; "distributed" takes the
            scores of query j and its own negative against the margins m_ij of all i.
        detach_margin: whether the margin is a constant, so that the documents' resemblance gets no gradient through it.

    Returns:
        Loss of the leading shape, >= 0. Queries equal to their positives: 0 with "dissimilarity", any error but "soft",
        and pairs "all" or "own". All rows equal: 0 with "dissimilarity" (soft: log 2). Lower is better.

    Raises:
        ValueError: shapes differ, a zero or non-finite row, an unknown option.

    Cost: O(N^2 d) time, O(N^2) memory; O(N d) for "own".

    Source: learning-effective-representations-retrieval (Gienapp et al. 2024). The default takes the margin for the
    documents' distance and forgives what exceeds it. The authors' code is margin="similarity", error="squared" with
    pairs "own" ("adaptive"), "all" (the same with in-batch negatives) or "distributed", and does not detach; its margin
    cannot be met by documents that are nearly alike.

    Relations: a triplet loss whose margin belongs to the pair of documents; ``margin_mse`` asks a teacher instead.

    Data: pairs

    Example:
        >>> x = torch.eye(3)
        >>> relevance_margin(x, x, x.flip(0)).item()
        0.0
    """
    check_same_shape(queries, positives, ("queries", "positives"))
    check_same_shape(queries, negatives, ("queries", "negatives"))
    for name, value, known in (
        ("margin", margin, ("dissimilarity", "similarity")),
        ("error", error, ("hinge", "squared", "absolute", "soft")),
        ("pairs", pairs, ("all", "own", "distributed")),
    ):
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    q, p, n = unit_rows(queries, "queries"), unit_rows(positives, "positives"), unit_rows(negatives, "negatives")
    good = (q * p).sum(-1)
    bad = product(q, n) if pairs == "all" else (q * n).sum(-1)
    alike = (p * n).sum(-1) if pairs == "own" else product(p, n)
    wanted = 1 - alike if margin == "dissimilarity" else (1 + alike) / 2
    wanted = wanted.detach() if detach_margin else wanted
    reached = good[..., :, None] - bad if pairs == "all" else good - bad
    missing = wanted - (reached[..., None, :] if pairs == "distributed" else reached)
    if error == "squared":
        missing = missing.square()
    elif error == "soft":
        missing = torch.nn.functional.softplus(missing)
    else:
        missing = missing.abs() if error == "absolute" else missing.clamp(min=0)
    return missing.mean(-1) if pairs == "own" else missing.flatten(-2).mean(-1)
