"""Point clouds of known shape: the uniform sphere, and manifolds of known intrinsic dimension."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lab.datasets.checks import check_whole, generator


def sphere(n: int, dim: int, *, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    r"""Draw points uniformly from the unit sphere :math:`S^{d-1}`.

    :math:`x = g/\lVert g\rVert` with standard normal :math:`g`. For two of them
    :math:`E\cos = 0` and :math:`E\cos^2 = 1/d`.

    Args:
        n: number of points, 1 or more.
        dim: ambient dimension d, 1 or more (d = 1 gives the two points -1 and 1).
        seed: 0 or larger.
        dtype: of the result; drawn in double precision.

    Returns:
        (n, dim) unit rows.

    Raises:
        ValueError, TypeError: an argument out of range.

    Source: Muller (1959), a note on a method for generating points uniformly on n-dimensional spheres.

    Relations: the null of the probes in ``lab.probes.sphere``.

    Example:
        >>> sphere(5, 3, seed=0).norm(dim=1).allclose(torch.ones(5))
        True
    """
    shape = check_whole(n, "n", low=1), check_whole(dim, "dim", low=1)
    points = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(points, dim=-1, eps=0.0).to(dtype)


def orthonormal(rows: int, columns: int, *, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Draw a matrix with orthonormal columns, uniformly (Haar): a random isometry.

    Args:
        rows: ambient dimension.
        columns: 1 to ``rows``; equal gives a random rotation or reflection.
        seed: 0 or larger.
        dtype: of the result; drawn in double precision.

    Returns:
        (rows, columns) Q with Q^T Q = I.

    Raises:
        ValueError, TypeError: an argument out of range.

    Cost: O(rows * columns^2).

    Source: Stewart (1980): QR of a normal matrix, with the signs of R's diagonal moved into Q.

    Example:
        >>> q = orthonormal(4, 2, seed=0)
        >>> (q.T @ q).allclose(torch.eye(2), atol=1e-6)
        True
    """
    rows = check_whole(rows, "rows", low=1)
    columns = check_whole(columns, "columns", low=1, high=rows)
    normal = torch.randn((rows, columns), generator=generator(seed), dtype=torch.float64)
    basis, triangle = torch.linalg.qr(normal)
    signs = torch.where(triangle.diagonal() < 0, -1.0, 1.0).to(torch.float64)
    return (basis * signs).to(dtype)


@dataclass(frozen=True)
class Embedded:
    """A flat cloud in a larger space: ``points = coordinates @ basis.T``.

    Attributes:
        points: (n, ambient); pairwise distances are those of the coordinates.
        coordinates: (n, intrinsic).
        basis: (ambient, intrinsic) with orthonormal columns.
    """

    points: torch.Tensor
    coordinates: torch.Tensor
    basis: torch.Tensor


def embedded(
    n: int, intrinsic: int, ambient: int, *, seed: int, shape: str = "gaussian", dtype: torch.dtype = torch.float32
) -> Embedded:
    """Draw a Gaussian or a cube of known dimension and lay it isometrically into a larger space.

    Gaussian coordinates are standard normal (covariance I); cube coordinates are uniform in [-1/2, 1/2] (covariance
    I / 12). In the ambient space the covariance has ``intrinsic`` equal eigenvalues, the others are zero.

    Args:
        n: number of points, 1 or more.
        intrinsic: dimension of the cloud, 1 to ``ambient``.
        ambient: dimension of the space.
        seed: 0 or larger; the isometry is drawn from ``seed`` too.
        shape: "gaussian" or "cube".
        dtype: of the result; drawn in double precision.

    Returns:
        :class:`Embedded`.

    Raises:
        ValueError, TypeError: an argument out of range.

    Relations: :func:`orthonormal` draws the isometry.

    Example:
        >>> embedded(10, 2, 5, seed=0).points.shape
        torch.Size([10, 5])
    """
    n, ambient = check_whole(n, "n", low=1), check_whole(ambient, "ambient", low=1)
    intrinsic = check_whole(intrinsic, "intrinsic", low=1, high=ambient)
    source = generator(seed)
    if shape == "gaussian":
        coordinates = torch.randn((n, intrinsic), generator=source, dtype=torch.float64)
    elif shape == "cube":
        coordinates = torch.rand((n, intrinsic), generator=source, dtype=torch.float64) - 0.5
    else:
        raise ValueError(f"shape: expected gaussian or cube, got {shape!r}")
    # A seed drawn from the same source keeps the isometry independent of the coordinates.
    basis = orthonormal(ambient, intrinsic, seed=next_seed(source), dtype=torch.float64)
    return Embedded((coordinates @ basis.T).to(dtype), coordinates.to(dtype), basis.to(dtype))


def next_seed(source: torch.Generator) -> int:
    """A seed drawn from a generator, for a second generator independent of the first.

    Args:
        source: the generator; it moves on.

    Returns:
        A whole number below 2**62.

    Example:
        >>> 0 <= next_seed(generator(0)) < 2**62
        True
    """
    return int(torch.randint(2**62, (1,), generator=source))
