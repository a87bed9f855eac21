"""Contrast on two levels under a long tail: subclasses of one size, and the classes above them.

A head class is cut into subclasses about as large as a tail class, by position in the embedding space. Then every item
has about the same number of positives, whichever class it is from. The subclasses are cut anew from time to time.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import check_positive, fails
from lab.losses.anchors import check_margin, log_sum_exp
from lab.losses.selection import Selected, WithoutPositives, check_pair_labels, over_anchors
from lab.losses.similarity import divisor, product, unit_rows


def balanced_subclasses(embeddings: Tensor, labels: Any, *, size: int, seed: int = 0, rounds: int = 10) -> Tensor:
    """Cut every class into subclasses of at most ``size`` items that lie close together.

    Formula: a class of n items gets K = ceil(n / size) centres and every centre takes at most ceil(n / K) items. Items
    go to the centre of largest cosine that has room; where more want one than it can take, the closest stay. Centres
    are then the normalised means of their items; ``rounds`` times.

    Args:
        embeddings: (..., N, d); normalised inside, no gradient is needed.
        labels: integers (N,), one class an item, the same for a stack.
        size: most items of a subclass, at least 1; the size of a tail class.
        seed: of the first centres, K items of the class that are drawn as in k-means++.
        rounds: at least 1.

    Returns:
        Integers (..., N), numbered from 0 in the order of the classes, so that no two classes share one. No subclass
        has more than ``size`` items, and none of a class has more than ceil(n / K). A class of at most ``size`` items
        is one subclass.

    Raises:
        ValueError: a zero or non-finite row, labels of another dtype or length, size or rounds below 1.

    Cost: O(n K d) a class and round, and up to K passes of O(n K) where many items want the same centre.

    Source: subclass-balancing-contrastive-learning (Hou et al. 2023) says what is wanted: subclasses of a size similar
    to tail classes, by clustering in the representation space. How the sizes are kept equal is our choice.

    Relations: what ``subclass_contrast`` takes; ``sinkhorn`` balances soft assignments.

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [-1.0, 0.0]])
        >>> found = balanced_subclasses(x, [0, 0, 0, 0, 1], size=2)
        >>> bool(found[0] == found[1] != found[2] == found[3]), int(found[4])
        (True, 2)
    """
    x = unit_rows(embeddings.detach() if isinstance(embeddings, Tensor) else embeddings, "embeddings")
    own = check_pair_labels(labels, x.shape[-2]).to(x.device)
    if own.dtype == torch.bool or own.ndim != 1:
        raise ValueError(f"labels must be integers of shape ({x.shape[-2]},), one class an item, got {own.dtype}")
    for name, value in (("size", size), ("rounds", rounds)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be an int of at least 1, got {value!r}")
    members = x.reshape(-1, *x.shape[-2:])
    found = own.new_zeros(members.shape[:2])
    generator = torch.Generator().manual_seed(seed)
    for member, into in zip(members, found, strict=True):
        first = 0
        for label in own.unique():
            at = (own == label).nonzero()[:, 0]
            count = -(-len(at) // size)
            into[at] = first + _cut(member[at], count, rounds, generator)
            first += count
    return found.reshape(*x.shape[:-2], x.shape[-2])


def subclass_contrast(
    embeddings: Tensor,
    labels: Any,
    subclasses: Any,
    *,
    temperature: float | Tensor,
    class_temperature: float | Tensor,
    weight: float,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """Subclass-balancing contrast: near items of the same subclass attract, and the subclasses of a class more weakly.

    Formula: mean_i [ 1/|M_i| sum over p in M_i of l(i, p; A_i, tau) + w / |R_i| sum over p in R_i of
    l(i, p; A_i without M_i, tau') ], with l(i, p; A, t) = log sum over a in A of exp(s_ia / t) - s_ip / t, s the
    cosine, A_i all other items, M_i those of the anchor's subclass, R_i those of its class but of other subclasses.
    An empty M_i or R_i contributes 0.

    Args:
        embeddings: (..., N, d), N >= 2; normalised inside.
        labels: integers (..., N), classes.
        subclasses: integers (..., N), each within one class, as from ``balanced_subclasses``.
        temperature: tau > 0, of the subclasses, a divisor; a tensor of the leading shape gives each batch its own.
        class_temperature: tau' > 0, of the classes; in the paper above tau, so that this level is looser.
        weight: w >= 0.
        without_positives: what becomes of items alone in their class.

    Returns:
        `Selected`. All rows equal: log(N - 1) for items with M_i, plus w log(N - 1 - |M_i|) for items with R_i, at any
        temperature. Lower is better.

    Raises:
        ValueError: a zero or non-finite row, labels of another kind or length, a subclass with items of two classes,
            one class, no positive at all, temperature not above 0, weight negative.

    Cost: O(N^2 d) time, O(N^2) memory.

    Source: subclass-balancing-contrastive-learning (Hou et al. 2023); there tau' is set class by class from the spread
    of its subclasses, here it is given.

    Relations: with one subclass a class, and at weight 0 with any, it is ``sup_con_out`` on the subclasses.

    Data: labels

    Example:
        >>> y, m = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 2, 2])
        >>> options = dict(temperature=0.1, class_temperature=0.2)
        >>> round(subclass_contrast(torch.ones(6, 3), y, m, weight=0.0, **options).loss.item(), 4)
        1.6094
    """
    x = unit_rows(embeddings, "embeddings", min_rows=2)
    check_margin(weight, "weight")
    check_positive(class_temperature, "class_temperature")
    same_class, same_subclass = (_equal(v, x, n) for v, n in ((labels, "labels"), (subclasses, "subclasses")))
    if fails(~(same_subclass & ~same_class)):
        raise ValueError("subclasses must each lie within one class, got one with items of two classes")
    itself = torch.eye(x.shape[-2], dtype=torch.bool, device=x.device)
    near, wider = same_subclass & ~itself, same_class & ~same_subclass
    if fails(~same_class.all()):
        raise ValueError("labels hold one class: there is no negative pair")
    cosines = product(x, x)
    fine = _term(cosines / divisor(temperature), near, ~itself)
    coarse = _term(cosines / divisor(class_temperature), wider, ~same_subclass)
    counts = (near | wider).any(-1).expand(cosines.shape[:-1])
    return over_anchors(fine + weight * coarse, counts, without_positives)


def _equal(labels: Any, x: Tensor, name: str) -> Tensor:
    own = check_pair_labels(labels, x.shape[-2], name).to(x.device)
    if own.dtype == torch.bool:
        raise ValueError(f"{name} must be integers, one an item, got booleans")
    return own[..., :, None] == own[..., None, :]


def _term(logits: Tensor, positive: Tensor, candidates: Tensor) -> Tensor:
    """Mean over positives of their negative log-likelihood among the candidates; 0 without positives."""
    number = positive.sum(-1)
    has = number > 0
    # Anchors without positives keep all candidates, so that no row is without any and its gradient undefined.
    everyone = log_sum_exp(logits, candidates | ~has[..., None])
    mean = torch.where(positive, logits, 0).sum(-1) / number.clamp(min=1)
    return torch.where(has, everyone - mean, 0)


def _cut(x: Tensor, count: int, rounds: int, generator: torch.Generator) -> Tensor:
    """Subclass of every row (n,), ``count`` of them, none larger than ceil(n / count)."""
    if count == 1:
        return torch.zeros(len(x), dtype=torch.long, device=x.device)
    room = -(-len(x) // count)
    centres = _starts(x, count, generator)
    into = torch.full((len(x),), -1, device=x.device)
    for _ in range(rounds):
        before, into = into, _assign(x @ centres.T, room)
        if torch.equal(into, before):
            break
        sums = torch.zeros_like(centres).index_add_(0, into, x)
        length = sums.norm(dim=1, keepdim=True)
        centres = torch.where(length > 1e-6, sums / length.clamp(min=1e-6), centres)
    return into


def _starts(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """First centres as in k-means++: each next row is drawn in proportion to its distance, 1 - cosine, to them."""
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    far = x.new_full((len(x),), torch.inf)
    for _ in range(count - 1):
        # The small constant lets rows that coincide be drawn where nothing else is left.
        far = torch.minimum(far, (1 - x @ x[chosen[-1]]).clamp(min=1e-6))
        far[chosen[-1]] = 0
        chosen.append(int(torch.multinomial(far.cpu(), 1, generator=generator)))
    return x[chosen]


def _assign(cosines: Tensor, room: int) -> Tensor:
    """Every row to a column, at most ``room`` rows each: rows ask in order of preference, columns keep the closest."""
    n, k = cosines.shape
    open_to = cosines.clone()
    into = open_to.argmax(1)
    while True:
        closeness = cosines.gather(1, into[:, None])[:, 0]
        # Sorted by column and, within it, by closeness: the place of a row in its column decides whether it may stay.
        order = closeness.argsort(descending=True, stable=True)
        order = order[into[order].argsort(stable=True)]
        starts = into.bincount(minlength=k).cumsum(0) - into.bincount(minlength=k)
        place = torch.arange(n, device=into.device) - starts[into[order]]
        refused = order[place >= room]
        if not len(refused):
            return into
        open_to[refused, into[refused]] = -torch.inf
        into[refused] = open_to[refused].argmax(1)
