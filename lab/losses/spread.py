"""How much room rows take up: nearest-neighbour entropy (KoLeo) and coding rates.

All are functions of the whole batch: with several ranks, gather the rows first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lab.geometry import check_positive, fails
from lab.losses.collapse_terms import class_index
from lab.losses.similarity import full_rows, product, unit_rows


def koleo(embeddings: Tensor, *, floor: float = 1e-8) -> Tensor:
    """KoLeo: the nearest neighbours of unit rows are pushed apart, an estimate of differential entropy.

    Formula: - mean_i log min over j != i of |x_i - x_j|.

    Args:
        embeddings: (..., N, d), N >= 2. Normalised inside.
        floor: at least 1e-15; a smaller distance counts as this and gets no gradient, since the logarithm has none
            at 0.

    Returns:
        Loss of the leading shape in - log 2 .. - log floor; orthonormal rows - log(2) / 2, a simplex of N rows
        - log(2 N / (N - 1)) / 2, an antipodal pair - log 2, duplicates - log floor. Lower is more spread out.

    Raises:
        ValueError: fewer than two rows, a zero or non-finite row, floor out of range.

    Cost: O(N^2 d) time and O(N^2) memory, both without gradient; the gradient is O(N d).

    Source: Sablayrolles et al. 2019 (spreading vectors for similarity search), in the form DINOv2 made common; the
    first authors' code adds the constant - log N. Both ends of a pair take gradient. Neighbours are found in float64
    and distances taken entry by entry: by inner products in float32, a distance below 1e-3 is noise.

    Relations: ``uniformity`` looks at all pairs, this at the nearest only.

    Data: one set

    Example:
        >>> round(koleo(torch.eye(3)).item(), 4)
        -0.3466
    """
    if not 1e-15 <= floor < 2:
        raise ValueError(f"floor must be at least 1e-15, so that its square is a number in float32, got {floor}")
    z = unit_rows(embeddings, "embeddings", min_rows=2)
    with torch.no_grad():
        wide = _wide(z)
        squares = wide.square().sum(-1)
        distances = squares[..., :, None] + squares[..., None, :] - 2 * product(wide, wide)
        itself = torch.eye(z.shape[-2], dtype=torch.bool, device=z.device)
        nearest = distances.masked_fill(itself, torch.inf).argmin(-1)
    gaps = z - torch.take_along_dim(z, nearest[..., None], -2)
    return -gaps.square().sum(-1).clamp(min=floor**2).log().mean(-1) / 2


def coding_rate(embeddings: Tensor, *, epsilon: float) -> Tensor:
    """Coding rate: how many nats a row costs to be stored up to an error of epsilon, if rows were Gaussian.

    Formula: R = log det(I + d / (N epsilon^2) X^T X) / 2, rows neither centred nor normalised.

    Args:
        embeddings: (..., N, d).
        epsilon: allowed error, above 0; it is squared in the formula. The papers' epsilon^2 is 0.5; the authors' code
            calls that square eps.

    Returns:
        Value of the leading shape, >= 0; N unit rows in k orthogonal directions, equally many each, give k log(1 + d /
        (k epsilon^2)) / 2: log(1 + d / epsilon^2) / 2 when all are equal. Higher is more spread out.

    Raises:
        ValueError: a non-finite row, epsilon not above 0, rows so large that the rate overflows.

    Cost: O(N d min(N, d)) time, in float64 where the device has it.

    Source: white-box-transformers-sparse (Yu et al. 2023), Yu et al. 2020 (maximal coding rate reduction).

    Relations: ``total_coding_rate`` is minus this on unit rows; ``coding_rate_reduction`` compares it with the rates
    of the classes.

    Data: one set

    Example:
        >>> round(coding_rate(torch.eye(2), epsilon=1.0).item(), 4)
        0.6931
    """
    return _rate(full_rows(embeddings, "embeddings"), epsilon)


def total_coding_rate(embeddings: Tensor, *, epsilon: float) -> Tensor:
    """Total coding rate as a loss: minus the coding rate of unit rows, which spreads them over all directions.

    Formula: - log det(I + d / (N epsilon^2) Z^T Z) / 2.

    Args:
        embeddings: (..., N, d). Normalised inside.
        epsilon: allowed error, above 0, squared in the formula.

    Returns:
        Loss of the leading shape in - d log(1 + 1 / epsilon^2) / 2 .. - log(1 + d / epsilon^2) / 2: the lower end for
        rows spread evenly over all directions, the upper end when all rows are equal. Lower is more spread out.

    Raises:
        ValueError: a zero or non-finite row, epsilon not above 0.

    Cost: as ``coding_rate``.

    Source: Li et al. 2022 (neural manifold clustering and embedding), Tong et al. 2023 (EMP-SSL); there it is joined
    with the similarity of views.

    Relations: minus ``coding_rate`` of unit rows; ``vicreg_covariance`` and ``koleo`` have the same end.

    Data: one set

    Example:
        >>> round(total_coding_rate(5 * torch.eye(2), epsilon=1.0).item(), 4)
        -0.6931
    """
    return -_rate(unit_rows(embeddings, "embeddings"), epsilon)


def coding_rate_reduction(embeddings: Tensor, labels: Any, *, epsilon: float) -> Tensor:
    """MCR2: all rows together should be expensive to code, every class by itself cheap.

    Formula: - [ R(Z) - sum_c (n_c / N) R(Z_c) ], R = ``coding_rate`` of unit rows, each with its own number of rows.

    Args:
        embeddings: (..., N, d). Normalised inside.
        labels: integers (N,), one class an item, at least two classes; the same for a whole stack.
        epsilon: allowed error, above 0, squared in the formula; 0.5 ** 0.5 in the paper.

    Returns:
        Loss of the leading shape, <= 0; 0 when all classes have one second moment, so when all rows are equal. C
        classes of equal size, each collapsed to one of C orthogonal directions, give - [C log(1 + d / (C epsilon^2)) -
        log(1 + d / epsilon^2)] / 2. Lower is better; classes want to fill orthogonal subspaces, not to collapse.

    Raises:
        ValueError: a zero or non-finite row, labels of another dtype or length, one class, epsilon not above 0.

    Cost: O(N d min(N, d)) time and O(C n d + C min(n, d)^2) memory, n the size of the largest class.

    Source: Yu et al. 2020 (learning diverse and discriminative representations via the principle of maximal coding rate
    reduction); white-box-transformers-sparse. Their unit sphere is here a normalisation. An early version of
    their code leaves the factor 1/2 out of both terms.

    Relations: ``total_coding_rate`` is its first term; ``nc1_loss`` with ``nc2_loss`` asks for collapse instead.

    Data: labels

    Example:
        >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> round(coding_rate_reduction(x, [0, 0, 1, 1], epsilon=1.0).item(), 4)
        -0.1438
    """
    z = unit_rows(embeddings, "embeddings")
    n, d = z.shape[-2:]
    index, counts = class_index(labels, n, z.device)
    if counts.numel() < 2:
        raise ValueError("labels hold one class: there is no rate to be gained")
    # Rows of a class side by side, padded with zero rows, which add nothing to a second moment.
    largest = int(counts.max())
    order = index.argsort(stable=True)
    starts = counts.cumsum(0) - counts
    place = index[order] * largest + torch.arange(n, device=z.device) - starts[index[order]]
    padded = z.new_zeros(*z.shape[:-2], counts.numel() * largest, d).index_copy(-2, place, z[..., order, :])
    within = (_rate(padded.unflatten(-2, (-1, largest)), epsilon, counts) * counts.to(z.dtype)).sum(-1) / n
    return within - _rate(z, epsilon)


def _rate(x: Tensor, epsilon: float, counts: Tensor | None = None) -> Tensor:
    """Half the log determinant, on the smaller side; ``counts`` are the true numbers of rows where some are padding."""
    check_positive(epsilon, "epsilon")
    n, d = x.shape[-2:]
    wide = _wide(x)
    number = torch.as_tensor(n if counts is None else counts, dtype=wide.dtype, device=x.device)
    wide = wide * (d / number).sqrt()[..., None, None] / epsilon
    moment = product(wide.mT, wide.mT) if d <= n else product(wide, wide)
    moment = moment + torch.eye(min(n, d), dtype=wide.dtype, device=x.device)
    factor, failed = torch.linalg.cholesky_ex(moment)
    if fails(failed == 0) or fails(torch.isfinite(factor.detach())):
        raise ValueError(f"embeddings are too large for an epsilon of {epsilon}: the determinant overflows")
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1).to(x.dtype)


def _wide(x: Tensor) -> Tensor:
    """float64, where the device has it: determinants and small distances need the digits."""
    return x if x.device.type == "mps" else x.double()
