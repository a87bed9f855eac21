"""Prototypes of one modality as the targets of the other, translated back into its own space (ProtoCLIP)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lab.geometry import check_positive, check_same_shape, fails
from lab.losses.selection import check_pair_labels
from lab.losses.similarity import check_columns, divisor, full_rows, product, unit_rows


class Translated(NamedTuple):
    """Prototypes that were built in one modality, as the other modality sees them.

    Attributes:
        prototypes: (..., K, d), mean unit row of the members of each cluster; 0 where a cluster has none.
        members: integers (..., K), how many rows each cluster has.
    """

    prototypes: Tensor
    members: Tensor


def check_assignments(
    assignments: Any, shape: torch.Size, count: int, device: torch.device, name: str = "assignments"
) -> Tensor:
    """Numbers 0 .. count - 1 as integers of exactly the shape (..., N) of the rows, else an error that names them."""
    checked = check_pair_labels(assignments, shape[-1], name).to(device)
    if checked.dtype == torch.bool or checked.shape != shape:
        raise ValueError(f"{name} must be integers of shape {tuple(shape)}, got {tuple(checked.shape)}")
    if fails((checked >= 0) & (checked < count)):
        raise ValueError(f"{name} must lie in 0 .. {count - 1}, got {int(checked.min())} .. {int(checked.max())}")
    return checked


def back_translation(x: Tensor, assignments: Any, *, count: int) -> Translated:
    """Prototypical back translation: the centroids, in this modality, of clusters that another modality found.

    Formula: c_k = mean of x_i / |x_i| over the rows i with assignment k.

    Args:
        x: (..., N, d), rows of the modality that is to be taught; normalised inside.
        assignments: integers (..., N) in 0 .. count - 1: each item's cluster in the other modality.
        count: K, how many clusters there are.

    Returns:
        `Translated`. Centroids are not normalised: the shorter, the less this modality agrees with the cluster.

    Raises:
        ValueError: a zero or non-finite row, assignments of another shape or outside 0 .. count - 1.

    Cost: O(N d + K d).

    Source: protoclip (Chen et al. 2022).

    Relations: gives ``prototype_alignment`` its prototypes.

    Example:
        >>> back_translation(torch.tensor([[2.0, 0.0], [0.0, 1.0]]), [1, 1], count=2).prototypes.tolist()
        [[0.0, 0.0], [0.5, 0.5]]
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count must be an integer of at least 1, got {count!r}")
    rows = unit_rows(x, "x")
    chosen = check_assignments(assignments, rows.shape[:-1], count, rows.device)
    empty = rows.new_zeros(*rows.shape[:-2], count, rows.shape[-1])
    sums = empty.scatter_add(-2, chosen[..., None].expand(rows.shape), rows)
    members = torch.zeros_like(empty[..., 0], dtype=torch.long).scatter_add(-1, chosen, torch.ones_like(chosen))
    return Translated(sums / members.clamp(min=1)[..., None], members)


def prototype_alignment(
    x: Tensor,
    assignments: Any,
    *,
    prototypes: Tensor,
    temperature: float | Tensor,
    members: Tensor | None = None,
    teacher: Tensor | None = None,
    teacher_temperature: float | None = None,
) -> Tensor:
    """One prototype term of ProtoCLIP: rows of one modality find the clusters of the other.

    Formula: - mean_i sum_k q_ik log softmax_k(<x_i / |x_i|, c_k> / tau), with q_ik = 1 for k = assignment i; or, with
    a teacher, q_i = softmax_k(<t_a, t_k> / tau_t) with a the assignment of i.

    Args:
        x: (..., N, d), rows of the modality that learns; normalised inside.
        assignments: integers (..., N) in 0 .. K - 1: each item's cluster in the other modality.
        prototypes: (..., K, d), K >= 2: c, from ``back_translation``, or the other modality's own prototypes for the
            variant without it. Taken as they are: normalise them first where cosines are meant.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        members: integers (..., K) from ``back_translation``: clusters without a member are left out. None for all.
        teacher: (..., K, k), t, the other modality's own prototypes; gives soft targets, which carry no gradient.
        teacher_temperature: tau_t > 0, needed with a teacher.

    Returns:
        Loss of the leading shape, >= 0; log K where x is orthogonal to all prototypes. Lower is better; with a teacher
        not below the mean entropy of its targets.

    Raises:
        ValueError: a zero or non-finite row, assignments of another shape, outside 0 .. K - 1 or in a cluster without
            members, fewer than two clusters, temperatures not above 0, a teacher without its temperature or the other
            way round.

    Cost: O(N K d) time, O(N K + K^2) memory.

    Source: protoclip (Chen et al. 2022). Rows are normalised and k-means centroids are not, as in the authors' code;
    there empty clusters stay as zero vectors, whose logit is 0: ``members=None``.

    Relations: the whole term is the mean of both modalities, beside ``clip_loss``: `EpisodePrototypes`.

    Data: two modalities, labels

    Example:
        >>> loss = prototype_alignment(torch.eye(3)[:1], [0], prototypes=torch.eye(3)[1:], temperature=0.1)
        >>> round(loss.item(), 4)
        0.6931
    """
    rows, centres = unit_rows(x, "x"), full_rows(prototypes, "prototypes", min_rows=2)
    check_columns(rows, centres, ("x", "prototypes"))
    count = centres.shape[-2]
    chosen = check_assignments(assignments, rows.shape[:-1], count, rows.device)
    logits = product(rows, centres) / divisor(temperature)
    if fails(torch.isfinite(logits.detach())):
        raise ValueError(f"prototypes are too long: products / temperature overflow {logits.dtype}")
    used = torch.ones(count, dtype=torch.bool, device=rows.device)
    if members is not None:
        if not isinstance(members, Tensor) or members.shape[-1:] != (count,):
            raise ValueError(f"members must be a tensor of shape (..., {count})")
        used = (members > 0).to(rows.device)
        if fails(used.expand(*rows.shape[:-2], count).gather(-1, chosen)):
            raise ValueError("members has no row in a cluster that assignments name")
        logits = logits.masked_fill(~used[..., None, :], -torch.inf)
    logs = torch.log_softmax(logits, -1)
    if (teacher is None) != (teacher_temperature is None):
        raise ValueError("teacher and teacher_temperature belong together: give both or neither")
    if teacher is None or teacher_temperature is None:
        return -logs.gather(-1, chosen[..., None])[..., 0].mean(-1)
    check_positive(teacher_temperature, "teacher_temperature")
    guide = full_rows(teacher, "teacher").detach()
    if guide.shape[-2] != count:
        raise ValueError(f"teacher must have {count} rows, one a prototype, got {tuple(guide.shape)}")
    likeness = product(guide, guide) / teacher_temperature
    if fails(torch.isfinite(likeness)):
        raise ValueError(f"teacher is too long: products / teacher_temperature overflow {likeness.dtype}")
    likeness = likeness.masked_fill(~used[..., None, :], -torch.inf)
    target = torch.softmax(likeness, -1).to(logs.dtype).expand(*rows.shape[:-2], count, count)
    target = target.gather(-2, chosen[..., None].expand(*chosen.shape, count))
    return -(target * logs.masked_fill(~used[..., None, :], 0)).sum(-1).mean(-1)


class EpisodePrototypes(nn.Module):
    """ProtoCLIP's state: clusters of both modalities over an episode, and the prototype terms against them.

    Call ``update`` with the rows of all items of an episode (many batches), then the module itself with batches. The
    clusters live where those rows did and are no part of ``state_dict``: every episode builds them anew.

    Args:
        count: K, how many clusters a modality has, at least 2.
        translate: whether each modality is taught by the centroids of its own rows (back translation) or by the other
            modality's prototypes, which a gap between the modalities makes hard to reach.
        teacher_temperature: above 0 for soft targets, None for hard ones.
        seed: of the k-means.

    Raises:
        ValueError: fewer than two clusters, teacher_temperature not above 0, a call before the first update, an update
            with fewer rows than clusters.

    Cost: an update is one k-means a modality; a call as ``prototype_alignment``.

    Source: protoclip (Chen et al. 2022): the mean of the terms from image to text clusters and back.

    Data: two modalities

    Example:
        >>> state = EpisodePrototypes(2)
        >>> rows = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
        >>> state.update(rows, rows)
        >>> bool(state(rows, rows, torch.arange(4), temperature=0.1) < 0.1)
        True
    """

    def __init__(
        self, count: int, *, translate: bool = True, teacher_temperature: float | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        if isinstance(count, bool) or not isinstance(count, int) or count < 2:
            raise ValueError(f"count must be an integer of at least 2, got {count!r}")
        if teacher_temperature is not None:
            check_positive(teacher_temperature, "teacher_temperature")
        self.count, self.translate, self.seed = count, translate, seed
        self.teacher_temperature = teacher_temperature
        self._clusters: dict[str, tuple[Tensor, Tensor]] = {}
        self._taught: dict[str, Translated] = {}

    @torch.no_grad()
    def update(self, x: Tensor, y: Tensor) -> None:
        """Cluster both modalities anew; x, y: (N, d) rows of the whole episode, N >= K, normalised inside."""
        from sklearn.cluster import KMeans

        check_same_shape(x, y, ("x", "y"))
        if x.ndim != 2:
            raise ValueError(f"x must have shape (N, d), got {tuple(x.shape)}")
        rows = {"x": unit_rows(x, "x", min_rows=self.count), "y": unit_rows(y, "y")}
        for name, values in rows.items():
            found = KMeans(self.count, n_init=1, random_state=self.seed).fit(values.double().cpu().numpy())
            centres = torch.as_tensor(found.cluster_centers_, dtype=values.dtype, device=values.device)
            assigned = torch.as_tensor(found.labels_, dtype=torch.long, device=values.device)
            self._clusters[name] = (centres, assigned)
        for name, other in (("x", "y"), ("y", "x")):
            centres, assigned = self._clusters[other]
            translated = back_translation(rows[name], assigned, count=self.count)
            self._taught[name] = translated if self.translate else Translated(centres, translated.members)

    def forward(self, x: Tensor, y: Tensor, index: Tensor, *, temperature: float | Tensor) -> Tensor:
        """The prototype terms of a batch: x, y (n, d), index (n,) = the items' rows in the episode."""
        if not self._clusters:
            raise ValueError("there are no prototypes yet: call update with an episode first")
        places = check_assignments(index, x.shape[:-1], len(self._clusters["x"][1]), x.device, "index")
        terms = []
        for name, other, values in (("x", "y", x), ("y", "x", y)):
            centres, assigned = self._clusters[other]
            teacher = None if self.teacher_temperature is None else centres
            terms.append(
                prototype_alignment(
                    values,
                    assigned[places],
                    prototypes=self._taught[name].prototypes,
                    members=self._taught[name].members,
                    temperature=temperature,
                    teacher=teacher,
                    teacher_temperature=self.teacher_temperature,
                )
            )
        return (terms[0] + terms[1]) / 2
