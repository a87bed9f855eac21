"""Labelled clouds with known answers: class blobs around a simplex, and imbalanced class counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lab.datasets.checks import check_real, check_whole, generator
from lab.datasets.shapes import next_seed, orthonormal


def simplex(classes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Vertices of a regular simplex around the origin: unit rows whose cosines are all -1/(C-1), in C-1 dimensions.

    Args:
        classes: number of vertices C, 2 or more.
        dtype: of the result.

    Returns:
        (C, C-1) unit rows that sum to zero.

    Raises:
        ValueError, TypeError: fewer than two.

    Source: Papyan, Han and Donoho (2020), neural collapse: the class means of a collapsed classifier.

    Example:
        >>> simplex(2).flatten().abs().tolist()
        [1.0, 1.0]
    """
    count = check_whole(classes, "classes", low=2)
    centred = torch.eye(count, dtype=torch.float64) - 1.0 / count
    # The rows of I - 1/C lie in a space of C-1 dimensions; its Helmert basis is written down, nothing left to chance.
    basis = torch.zeros(count, count - 1, dtype=torch.float64)
    for k in range(1, count):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -k
    basis = torch.nn.functional.normalize(basis, dim=0)
    return torch.nn.functional.normalize(centred @ basis, dim=1).to(dtype)


@dataclass(frozen=True)
class Blobs:
    """Points around class means.

    Attributes:
        points: (n, dim).
        labels: (n,) int64, class by class.
        means: (classes, dim) unit rows, cosines -1/(C-1).
        within: standard deviation of each coordinate within a class.
    """

    points: torch.Tensor
    labels: torch.Tensor
    means: torch.Tensor
    within: float

    @property
    def nc1(self) -> float:
        """Variability collapse tr(S_W S_B^+) / C = within^2 (C-1)^2 / C, for equal class sizes; smaller is tighter."""
        classes = len(self.means)
        return self.within**2 * (classes - 1) ** 2 / classes


def class_blobs(
    per_class: int | Sequence[int],
    classes: int,
    dim: int,
    *,
    within: float,
    seed: int,
    exact: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Blobs:
    """Draw class blobs whose means are a regular simplex and whose spread is the same in every direction.

    With ``exact`` the noise of each class is centred and whitened: the class means are exactly the simplex, and the
    covariance within each class (divided by the class size) is exactly within^2 I. Without it both hold in expectation.

    Args:
        per_class: points of every class, or of each; more than ``dim`` where ``exact`` and ``within`` > 0.
        classes: number of classes C, 2 or more.
        dim: dimension, at least C - 1.
        within: standard deviation of each coordinate within a class, 0 or larger (the means have length 1).
        seed: 0 or larger; it draws the noise and the simplex' orientation.
        exact: see above.
        dtype: of the result; drawn in double precision.

    Returns:
        :class:`Blobs`, class by class, with the known value of NC1.

    Raises:
        ValueError, TypeError: an argument out of range.

    Cost: O(n dim^2).

    Source: the convention of NC1 is that of Papyan, Han and Donoho (2020): tr(S_W S_B^+) / C, both divided by counts.

    Example:
        >>> blobs = class_blobs(20, 3, 4, within=0.1, seed=0)
        >>> blobs.points.shape, round(blobs.nc1, 6)
        (torch.Size([60, 4]), 0.013333)
    """
    classes = check_whole(classes, "classes", low=2)
    dim = check_whole(dim, "dim", low=classes - 1)
    within = check_real(within, "within", low=0.0)
    sizes = list(per_class) if isinstance(per_class, Sequence) else [per_class] * classes
    if len(sizes) != classes:
        raise ValueError(f"per_class: expected one count or {classes}, got {len(sizes)}")
    lowest = dim + 1 if exact and within > 0 else 1
    sizes = [check_whole(size, "per_class", low=lowest) for size in sizes]
    source = generator(seed)
    turn = orthonormal(dim, classes - 1, seed=next_seed(source), dtype=torch.float64)
    means = simplex(classes, torch.float64) @ turn.T
    clouds = []
    for mean, size in zip(means, sizes, strict=True):
        noise = torch.randn((size, dim), generator=source, dtype=torch.float64)
        if lowest > 1:
            # The left singular vectors of the centred noise are centred and orthonormal.
            noise = torch.linalg.svd(noise - noise.mean(0), full_matrices=False).U * size**0.5
        clouds.append(mean + within * noise)
    labels = torch.repeat_interleave(torch.arange(classes), torch.tensor(sizes))
    return Blobs(torch.cat(clouds).to(dtype), labels, means.to(dtype), within)


def exponential_counts(largest: int, classes: int, ratio: float) -> list[int]:
    """Class counts that fall exponentially from the largest class to the smallest.

    n_c = round(largest * ratio^(-c/(C-1))): the first class has ``largest``, the last ``largest / ratio``.

    Args:
        largest: count of the first class, 1 or more.
        classes: number of classes C, 2 or more.
        ratio: largest over smallest, 1 (balanced) or more; at most ``2 * largest``, so that no class is empty.

    Returns:
        C counts in falling order; halves are rounded up.

    Raises:
        ValueError, TypeError: an argument out of range.

    Source: Cui et al. (2019), class-balanced loss: the usual long-tailed profile.

    Example:
        >>> exponential_counts(1000, 3, 100)
        [1000, 100, 10]
    """
    largest, classes = check_whole(largest, "largest", low=1), check_whole(classes, "classes", low=2)
    ratio = check_real(ratio, "ratio", low=1.0, high=2.0 * largest)
    return [int(largest * ratio ** (-c / (classes - 1)) + 0.5 + 1e-9) for c in range(classes)]


def imbalanced(
    labels: torch.Tensor, *, ratio: float, seed: int, order: Sequence[int] | None = None, largest: int | None = None
) -> torch.Tensor:
    """Choose rows of a labelled set so that class counts fall exponentially.

    Args:
        labels: (N,) integers.
        ratio: largest over smallest count, 1 or more.
        seed: of the choice within classes, 0 or larger.
        order: the classes from the most to the least frequent; by default in ascending order.
        largest: count of the first class; by default as large as the smallest class of ``labels``.

    Returns:
        Chosen rows, ascending int64.

    Raises:
        TypeError: labels that are not integers.
        ValueError: fewer than two classes, an order that is not one of the classes, or more rows wanted than there are.

    Relations: the counts are those of :func:`exponential_counts`.

    Example:
        >>> labels = torch.arange(4).repeat(8)
        >>> labels[imbalanced(labels, ratio=8, seed=0)].bincount().tolist()
        [8, 4, 2, 1]
    """
    if not isinstance(labels, torch.Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise TypeError(f"labels: expected a tensor of integers, got {getattr(labels, 'dtype', type(labels).__name__)}")
    if labels.ndim != 1 or len(labels.unique()) < 2:
        raise ValueError(f"labels: expected one axis and two classes or more, got shape {tuple(labels.shape)}")
    present, available = labels.unique(return_counts=True)
    chosen_order = present.tolist() if order is None else list(order)
    if sorted(chosen_order) != present.tolist():
        raise ValueError(f"order: expected each of the classes {present.tolist()} once, got {chosen_order}")
    counts = exponential_counts(int(available.min()) if largest is None else largest, len(chosen_order), ratio)
    source = generator(seed)
    chosen = []
    for label, count in zip(chosen_order, counts, strict=True):
        rows = torch.nonzero(labels == label).flatten().cpu()
        if count > len(rows):
            raise ValueError(f"largest: {count} rows of class {label} asked for, there are {len(rows)}")
        chosen.append(rows[torch.randperm(len(rows), generator=source)[:count]])
    return torch.cat(chosen).sort().values
