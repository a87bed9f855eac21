"""Losses against proxies, one learned row a class, and the module that owns such rows.

Conventions of the whole file: embeddings and proxies are normalised inside; labels are class indices 0 .. C - 1,
booleans with one column a class, or `Pairs` of items and classes; leading dimensions are kept, and proxies (C, d) are
shared by a stack of batches or given one set a batch (S, C, d).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lab.geometry import check_positive
from lab.losses.class_logits import check_between, class_cosines, class_pairs, logsumexp_where
from lab.losses.selection import Selected, WithoutPositives, over_anchors
from lab.losses.similarity import divisor
from lab.losses.stable import softplus


def proxy_nca(
    embeddings: Tensor,
    labels: Any,
    proxies: Tensor,
    *,
    temperature: float | Tensor,
    own_in_denominator: bool = False,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Proxy-NCA: each item finds the proxy of its class among all proxies, by squared distance on the sphere.

    Formula: mean_i [ log sum over c of exp(-|x_i - p_c|^2 / tau) + |x_i - p_y|^2 / tau ], unit rows; c runs over the
    other classes, with ``own_in_denominator`` over all.

    Args:
        embeddings: (..., N, d).
        labels: see the top of the file; with several classes an item, the distance to its own is averaged.
        proxies: (C, d) or (..., C, d), C >= 2.
        temperature: tau > 0, a divisor of squared distances; a tensor of the leading shape gives each batch its own.
        own_in_denominator: False is the published loss, which can fall below 0; True makes it a cross-entropy.
        mask: booleans (..., N, C): classes an item is compared with; None for all.
        without_positives: what becomes of items whose class the mask removed.

    Returns:
        `Selected`. All rows equal: log(C - 1), or log C with the own proxy in the denominator; in
        -4 / tau + log(C - 1) .. 4 / tau + log(C - 1), or at least 0. Lower is better.

    Raises:
        ValueError: a zero or non-finite row, fewer than two proxies, a label without a proxy, temperature not above 0,
            a mask that removes everything.

    Cost: O(N C d).

    Source: Movshovitz-Attias et al. 2017 (own proxy left out, tau = 1); with ``own_in_denominator`` ProxyNCA++ (Teh et
    al. 2020, tau = 1/9), which is also what pytorch-metric-learning calls ProxyNCA.

    Relations: with the own proxy in the denominator equal to ``normalised_softmax`` at half the temperature, since
    |x - p|^2 = 2 - 2 cos; ``proxy_anchor`` takes the proxies as anchors.

    Data: labels

    Example:
        >>> x = torch.ones(4, 3)
        >>> round(proxy_nca(x, [0, 1, 0, 1], torch.ones(3, 3), temperature=1.0).loss.item(), 4)
        0.6931
    """
    closeness = 2 * class_cosines(embeddings, proxies, "proxies") - 2
    logits = closeness / divisor(temperature)
    pairs = class_pairs(labels, *logits.shape[-2:], mask=mask, device=logits.device)
    counts = pairs.positive.any(-1)
    others = pairs.negative | pairs.positive if own_in_denominator else pairs.negative
    counts = counts & others.any(-1)
    own = torch.where(pairs.positive, logits, 0).sum(-1) / pairs.positive.sum(-1).clamp(min=1)
    return over_anchors(logsumexp_where(logits, others) - own, counts, without_positives)


def proxy_anchor(
    embeddings: Tensor,
    labels: Any,
    proxies: Tensor,
    *,
    scale: float,
    margin: float,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Proxy-anchor: each proxy pulls the hardest items of its class and pushes the hardest of the others.

    Formula: mean over classes in the batch of log(1 + sum over own items of exp(-scale (s - margin))) + mean over all
    classes of log(1 + sum over other items of exp(scale (s + margin))), s the cosine of item and proxy.

    Args:
        embeddings: (..., N, d).
        labels: see the top of the file.
        proxies: (C, d) or (..., C, d), C >= 2. The anchors of this loss.
        scale: above 0; 32 in the paper. It multiplies.
        margin: a cosine in -1 .. 1; 0.1 in the paper.
        mask: booleans (..., N, C): items and classes that are compared; None for all.
        without_positives: what becomes of classes of which the batch has no item, in the first mean: "drop" is the
            published loss.

    Returns:
        `Selected`, the loss > 0; ``dropped`` counts classes without items. All cosines 1, n items a class and every
        class in the batch: softplus(log n - scale (1 - margin)) + softplus(log((C - 1) n) + scale (1 + margin)).
        Lower is better.

    Raises:
        ValueError: as ``proxy_nca``; scale not above 0, margin outside -1 .. 1.

    Cost: O(N C d).

    Source: Kim et al. 2020.

    Relations: ``proxy_nca`` takes the items as anchors, so that no item's gradient depends on the other items.

    Data: labels

    Example:
        >>> x = torch.eye(2)
        >>> round(proxy_anchor(x, [0, 1], torch.eye(2), scale=1.0, margin=0.0).loss.item(), 4)
        1.0064
    """
    check_positive(scale, "scale")
    check_between(margin, "margin", -1, 1)
    cosines = class_cosines(embeddings, proxies, "proxies")
    pairs = class_pairs(labels, *cosines.shape[-2:], mask=mask, device=cosines.device)
    s, own, other = cosines.mT, pairs.positive.mT, pairs.negative.mT
    pull = softplus(logsumexp_where(-scale * (s - margin), own))
    push = softplus(logsumexp_where(scale * (s + margin), other))
    pulled = over_anchors(pull, own.any(-1), without_positives)
    return Selected(pulled.loss + torch.where(other.any(-1), push, 0).mean(-1), pulled.dropped)


class ClassProxies(nn.Module):
    """Owns one learned row a class and hands it to a loss as its third argument.

    Args:
        classes, dim: C and d.
        loss: a function ``(embeddings, labels, proxies, **options) -> Selected``.
        sub_centres: K for proxies (C, K, d), as sub-centre losses want them; None for (C, d).
        generator: for the initial rows, normal with length about 1.
        options: keyword arguments of the loss.

    Example:
        >>> head = ClassProxies(3, 4, loss=proxy_anchor, scale=32.0, margin=0.1)
        >>> head(torch.ones(2, 4), [0, 2]).dropped.item()
        1
    """

    def __init__(
        self,
        classes: int,
        dim: int,
        *,
        loss: Callable[..., Selected],
        sub_centres: int | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        for name, value, least in (("classes", classes, 2), ("dim", dim, 1), ("sub_centres", sub_centres, 1)):
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        shape = (classes, dim) if sub_centres is None else (classes, sub_centres, dim)
        self.proxies = nn.Parameter(torch.randn(shape, generator=generator) / math.sqrt(dim))
        self.loss = loss
        self.options = options

    def forward(self, embeddings: Tensor, labels: Any, **options: Any) -> Selected:
        """The loss of a batch; keyword arguments override those given at the start."""
        return self.loss(embeddings, labels, self.proxies, **{**self.options, **options})
