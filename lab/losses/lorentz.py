"""Two modalities in hyperbolic space: distances as logits, and cones by which a general item contains special ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lab.geometry import check_positive, check_same_shape, fails
from lab.hyperbolic import check_points, hyperbolic_distances
from lab.losses.similarity import divisor, full_rows


def lorentz_clip(x: Tensor, y: Tensor, *, temperature: float | Tensor) -> Tensor:
    """The loss of CLIP on hyperbolic distances between rows that are not normalised.

    Formula: symmetric InfoNCE, 1/2 mean_i [ log sum_j exp(l_ij) + log sum_j exp(l_ji) ] - mean_i l_ii, on the logits
    l_ij = -D(x_i, y_j) / tau, D the geodesic distance on the hyperboloid of curvature -1 after the exponential map at
    the origin.

    Args:
        x, y: (..., N, d), N >= 2, tangent vectors at the origin, of length up to 40 (350 in float64); row i of one
            belongs to row i of the other.
        temperature: tau > 0, a divisor; a tensor of the leading shape gives each batch of a stack its own.

    Returns:
        Loss of the leading shape, >= 0, without an upper bound; log N when all rows are equal. Lower is better.

    Raises:
        ValueError: shapes differ, fewer than two rows, a non-finite or too long row, temperature not above 0.

    Cost: O(N^2 d) time, O(N^2) memory; several times slower than a matrix product.

    Source: MERU (Desai and others 2023), as compared in embedding-geometries-contrastive-language (Chou and Alam 2024).
    There the curvature is learned and the rows are multiplied by a learned number first; here the curvature is -1 and
    rows are taken as they are. By the unit of length, another curvature is another temperature and length of rows.

    Relations: ``euclidean_clip(squared=False)`` in flat space, which it tends to for short rows.

    Data: two modalities

    Example:
        >>> round(lorentz_clip(torch.zeros(4, 3), torch.zeros(4, 3), temperature=1.0).item(), 4)
        1.3863
    """
    check_same_shape(x, y, ("x", "y"))
    x, y = full_rows(x, "x", min_rows=2), full_rows(y, "y")
    logits = -hyperbolic_distances(x, y) / divisor(temperature)
    both = (torch.logsumexp(logits, -1) + torch.logsumexp(logits, -2)) / 2
    return (both - torch.diagonal(logits, dim1=-2, dim2=-1)).mean(-1)


def lorentz_cones(general: Tensor, special: Tensor, *, min_radius: float = 0.1) -> Tensor:
    """How far special items lie outside the hyperbolic cones of the general items that entail them.

    Formula: mean_i max(0, e_i - a_i) with the half-aperture a_i = arcsin(min(1, 2 K / sinh |g_i|)) and the exterior
    angle e_i at g_i of the triangle of origin, g_i and s_i. With its sides r = |g|, s = |s|, D and p half their sum,
    tan^2(e / 2) = sinh(p) sinh(p - s) / (sinh(p - r) sinh(p - D)).

    Args:
        general: (..., N, d), tangent vectors at the origin, as a rule the texts; no zero row.
        special: (..., N, d), as a rule the images; row i is entailed by row i of general.
        min_radius: K > 0; where sinh |g| is below 2 K a cone is a half-space.

    Returns:
        Loss of the leading shape in 0 .. pi, computed in float64; 0 where every special item lies in its cone (the apex
        belongs to it). Lower is better.

    Raises:
        ValueError: shapes differ, a zero row in general, a non-finite or too long row, min_radius not above 0.

    Cost: O(N d).

    Source: MERU (Desai and others 2023), text entails image, K = 0.1, as compared in
    embedding-geometries-contrastive-language (Chou and Alam 2024). The angle by half sides is our own rearrangement.

    Relations: ``entailment_cones`` is the flat one; a term beside ``lorentz_clip``.

    Data: two modalities, pairs

    Example:
        >>> lorentz_cones(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0, 0.0]])).item()
        0.0
    """
    check_positive(min_radius, "min_radius")
    check_same_shape(general, special, ("general", "special"))
    g, s = check_points(general, "general"), check_points(special, "special")
    dtype, g, s = g.dtype, g.double(), s.double()
    r, t = (torch.linalg.vector_norm(rows, dim=-1) for rows in (g, s))
    if fails(r.detach() > 0):
        raise ValueError("general has a zero row, which has no cone")
    far = hyperbolic_distances(g[..., None, :], s[..., None, :])[..., 0, 0]
    half = (r + t + far) / 2
    whole, above, beyond, before = (_root_sinh(half - side, half) for side in (0.0, t, r, far))
    apart = far > 0
    exterior = torch.where(apart, 2 * torch.atan2(whole * above, torch.where(apart, beyond * before, 1.0)), far * 0)
    narrow = r.sinh() > 2 * min_radius
    ratio = 2 * min_radius / torch.where(narrow, r, math.asinh(4 * min_radius)).sinh()
    aperture = torch.where(narrow, torch.asin(ratio), math.pi / 2)
    return torch.relu(exterior - aperture).mean(-1).to(dtype)


def _root_sinh(x: Tensor, scale: Tensor) -> Tensor:
    """Root of sinh(x); 0, with no slope, where x is nothing but the rounding of numbers as large as the scale."""
    some = x > 1e-15 * scale
    return torch.where(some, torch.where(some, x, 1.0).sinh().sqrt(), x * 0)
