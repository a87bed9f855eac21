"""Two modalities in flat space: distances as logits, and the cones by which a general item contains special ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lab.geometry import check_positive, check_same_shape, fails, normalise
from lab.losses.similarity import divisor, euclidean, full_rows, squared_euclidean


def euclidean_clip(x: Tensor, y: Tensor, *, temperature: float | Tensor, squared: bool = True) -> Tensor:
    """The loss of CLIP on distances between rows that are not normalised (EuCLIP).

    Formula: symmetric InfoNCE, 1/2 mean_i [ log sum_j exp(l_ij) + log sum_j exp(l_ji) ] - mean_i l_ii, on the logits
    l_ij = -|x_i - y_j|^2 / tau.

    Args:
        x, y: (..., N, d), N >= 2, of any length; row i of one belongs to row i of the other.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.
        squared: False takes the distance itself, -|x_i - y_j| / tau.

    Returns:
        Loss of the leading shape, >= 0, without an upper bound; log N when all rows are equal. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a non-finite row, temperature not above 0, distances too large
            for the dtype.

    Cost: O(N^2 d) time, O(N^2) memory; without ``squared`` several times slower.

    Source: embedding-geometries-contrastive-language (Chou and Alam 2024), where the square is the better variant.
    Their code multiplies the rows by 1 / sqrt(d) before: do so in the encoder, here nothing is scaled.

    Relations: on unit rows it is ``clip_loss`` at half the temperature; ``entailment_cones`` uses the lengths, which
    ``clip_loss`` throws away.

    Data: two modalities

    Example:
        >>> round(euclidean_clip(torch.zeros(4, 3), torch.zeros(4, 3), temperature=1.0).item(), 4)
        1.3863
    """
    check_same_shape(x, y, ("x", "y"))
    x, y = full_rows(x, "x", min_rows=2), full_rows(y, "y")
    logits = -(squared_euclidean(x, y) if squared else euclidean(x, y)) / divisor(temperature)
    if fails(torch.isfinite(logits.detach())):
        raise ValueError(f"x and y lie too far apart: distances / temperature overflow {logits.dtype}")
    both = (torch.logsumexp(logits, -1) + torch.logsumexp(logits, -2)) / 2
    return (both - torch.diagonal(logits, dim1=-2, dim2=-1)).mean(-1)


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle between unit rows; exact also near 0 and pi, where an arc cosine of the product loses half its digits."""
    return 2 * torch.atan2(torch.linalg.vector_norm(a - b, dim=-1), torch.linalg.vector_norm(a + b, dim=-1))


def entailment_cones(general: Tensor, special: Tensor, *, min_radius: float = 0.1) -> Tensor:
    """How far special items lie outside the cones of the general items that entail them.

    Formula: mean_i max(0, angle(g_i, s_i - g_i) - a_i), where the cone with its apex at g_i opens away from the origin
    with the half-aperture a_i = arcsin(min(1, K / |g_i|)).

    Args:
        general: (..., N, d), as a rule the texts; no zero row.
        special: (..., N, d), as a rule the images; row i is entailed by row i of general.
        min_radius: K > 0; inside this distance of the origin a cone is a half-space.

    Returns:
        Loss of the leading shape in 0 .. pi; 0 where every special item lies in its cone (the apex belongs to it),
        pi - arcsin(min(1, K / |g|)) where it lies towards the origin. Lower is better.

    Raises:
        ValueError: shapes differ, a zero row in general, a non-finite row, min_radius not above 0.

    Cost: O(N d).

    Source: embedding-geometries-contrastive-language (Chou and Alam 2024), text entails image, K = 0.1; the cones are
    those of Ganea et al. 2018 in flat space, without their hyperbolic correction.

    Relations: a term beside ``euclidean_clip``; unit rows give it no hierarchy to work on.

    Data: two modalities, pairs

    Example:
        >>> entailment_cones(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]])).item()
        0.0
    """
    check_positive(min_radius, "min_radius")
    check_same_shape(general, special, ("general", "special"))
    apex, rows = full_rows(general, "general"), full_rows(special, "special")
    axis = normalise(apex, "general")
    away = rows - apex
    at_apex = (away.detach() == 0).all(-1, keepdim=True)
    # An item at the apex has no direction from there: it takes the axis as one, by which it lies inside.
    outward = normalise(torch.where(at_apex, axis.detach(), away), "special - general")
    length = torch.linalg.vector_norm(apex, dim=-1)
    narrow = length > min_radius
    # The unused branch of a where must be finite too, and so must its slope.
    aperture = torch.where(narrow, torch.asin(min_radius / torch.where(narrow, length, 2 * min_radius)), math.pi / 2)
    return torch.relu(_angle(axis, outward) - aperture).mean(-1)
