"""Data with planted structure: XOR triples, additive factors, hubs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lab.datasets.checks import check_real, check_whole, generator
from lab.datasets.labelled import simplex
from lab.datasets.shapes import next_seed, orthonormal


@dataclass(frozen=True)
class Triples:
    """Three views of signs; row i of the three belongs together.

    Attributes:
        a: (n, bits) of -1 and 1.
        b: (n, bits), likewise.
        c: (n, bits), likewise.
    """

    a: torch.Tensor
    b: torch.Tensor
    c: torch.Tensor


def xor_triples(
    n: int,
    *,
    bits: int,
    mixing: float = 1.0,
    independent: bool = False,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> Triples:
    """Draw triples of sign vectors; the third is the exclusive or of the first two, or with some probability the first.

    Signs stand for bits (1 is 0, -1 is 1), so exclusive or is the product: c = a * b in a row with probability
    ``mixing``, else c = a. At mixing 1 any two views are independent and the three are not: sum_j a_j b_j c_j = bits in
    every row. P(c_j = a_j) = 1 - mixing/2, P(c_j = b_j) = 1/2, and for c = a * b in all bits P = mixing + (1 - mixing)
    2^-bits.

    Args:
        n: number of triples, 1 or more.
        bits: length of each view, 1 or more.
        mixing: probability of exclusive or, 0 to 1.
        independent: draw c by itself instead; then no view tells anything of the others (``mixing`` is not used).
        seed: 0 or larger.
        dtype: of the result.

    Returns:
        :class:`Triples`.

    Raises:
        ValueError, TypeError: an argument out of range.

    Source: contrasting-with-symile (one draw of the mixture a row).

    Example:
        >>> t = xor_triples(6, bits=3, seed=0)
        >>> (t.a * t.b * t.c).sum(1).tolist()
        [3.0, 3.0, 3.0, 3.0, 3.0, 3.0]
    """
    n, bits = check_whole(n, "n", low=1), check_whole(bits, "bits", low=1)
    mixing = check_real(mixing, "mixing", low=0.0, high=1.0)
    source = generator(seed)
    a, b, own = (torch.randint(2, (3, n, bits), generator=source) * 2 - 1).to(dtype)
    mixed = torch.rand((n, 1), generator=source, dtype=torch.float64) < mixing
    return Triples(a=a, b=b, c=own if independent else torch.where(mixed, a * b, a))


@dataclass(frozen=True)
class Factors:
    """Points that are sums of one vector a factor, and noise.

    Attributes:
        points: (n, dim).
        values: (n, factors) int64, the level of each factor in each row.
        levels: one (size, dim) tensor a factor: the vector each level adds. Rows sum to zero and have the factor's
            strength as length; different factors lie in orthogonal spaces.
    """

    points: torch.Tensor
    values: torch.Tensor
    levels: tuple[torch.Tensor, ...]


def additive_factors(
    n: int,
    sizes: Sequence[int],
    dim: int,
    *,
    strengths: Sequence[float] | None = None,
    noise: float = 0.0,
    seed: int,
    dtype: torch.dtype = torch.float32,
) -> Factors:
    """Draw points of an additive factor model, x = sum_k E_k[f_k] + noise, with independent uniform factors.

    Each E_k is a simplex of ``sizes[k]`` vertices of length ``strengths[k]``, in a space orthogonal to the others'.
    So E x = 0, E|x|^2 = sum_k strengths[k]^2 + dim noise^2, and without noise |x|^2 is that in every row.

    Args:
        n: number of points, 1 or more.
        sizes: number of levels of each factor, 2 or more each.
        dim: dimension, at least sum_k (sizes[k] - 1).
        strengths: length of each factor's vectors, above 0; 1 each by default.
        noise: standard deviation of isotropic normal noise in each coordinate, 0 or larger.
        seed: 0 or larger.
        dtype: of the result; drawn in double precision.

    Returns:
        :class:`Factors`.

    Raises:
        ValueError, TypeError: an argument out of range.

    Example:
        >>> data = additive_factors(7, [2, 3], 5, seed=0)
        >>> data.points.pow(2).sum(1).allclose(torch.full((7,), 2.0))
        True
    """
    n = check_whole(n, "n", low=1)
    sizes = [check_whole(size, "sizes", low=2) for size in sizes]
    if not sizes:
        raise ValueError("sizes: expected one factor or more, got none")
    needed = sum(sizes) - len(sizes)
    dim = check_whole(dim, "dim", low=needed)
    lengths = [1.0] * len(sizes) if strengths is None else list(strengths)
    if len(lengths) != len(sizes):
        raise ValueError(f"strengths: expected {len(sizes)}, one a factor, got {len(lengths)}")
    lengths = [check_real(length, "strengths", low=0.0, open_low=True) for length in lengths]
    noise = check_real(noise, "noise", low=0.0)
    source = generator(seed)
    basis = orthonormal(dim, needed, seed=next_seed(source), dtype=torch.float64)
    spaces = basis.split([size - 1 for size in sizes], dim=1)
    levels = [
        length * simplex(size, torch.float64) @ space.T
        for size, length, space in zip(sizes, lengths, spaces, strict=True)
    ]
    values = torch.stack([torch.randint(size, (n,), generator=source) for size in sizes], dim=1)
    points = noise * torch.randn((n, dim), generator=source, dtype=torch.float64)
    for k, level in enumerate(levels):
        points = points + level[values[:, k]]
    return Factors(points.to(dtype), values, tuple(level.to(dtype) for level in levels))


@dataclass(frozen=True)
class Hubs:
    """Points some of which are the nearest neighbour of many.

    Attributes:
        points: (n, dim) unit rows: first the hubs, then their followers, hub by hub.
        occurrence: (n,) int64: how many points have this one as nearest neighbour (the 1-occurrence), exactly.
    """

    points: torch.Tensor
    occurrence: torch.Tensor


def planted_hubs(
    hubs: int, followers: int, dim: int, *, closeness: float = 0.7, seed: int, dtype: torch.dtype = torch.float32
) -> Hubs:
    """Plant hubs on the unit sphere: each is the nearest neighbour of exactly ``followers`` points.

    A follower is alpha h + sqrt(1 - alpha^2) e, its own e orthogonal to everything: it has cosine alpha with its hub h,
    alpha alpha' < alpha with its fellows and 0 with the rest. Alpha falls from ``closeness`` to 0.8 of it over a hub's
    followers, so the hub's own nearest neighbour is the first of them, and there are no ties.

    Args:
        hubs: number of hubs, 1 or more.
        followers: followers of each, 1 or more.
        dim: dimension, at least hubs * (1 + followers).
        closeness: cosine of the first follower with its hub, above 0 and below 1.
        seed: 0 or larger; it draws the orientation.
        dtype: of the result; drawn in double precision.

    Returns:
        :class:`Hubs` with n = hubs * (1 + followers) points.

    Raises:
        ValueError, TypeError: an argument out of range.

    Source: Radovanovic, Nanopoulos and Ivanovic (2010) for the k-occurrence; the construction is the lab's own.

    Example:
        >>> planted_hubs(1, 3, 4, seed=0).occurrence.tolist()
        [3, 1, 0, 0]
    """
    hubs, followers = check_whole(hubs, "hubs", low=1), check_whole(followers, "followers", low=1)
    n = hubs * (1 + followers)
    dim = check_whole(dim, "dim", low=n)
    closeness = check_real(closeness, "closeness", low=0.0, open_low=True)
    if closeness >= 1:
        raise ValueError(f"closeness: expected above 0 and below 1, got {closeness:g}")
    alpha = closeness * torch.linspace(1.0, 0.8, followers, dtype=torch.float64).repeat(hubs).unsqueeze(1)
    axes = orthonormal(dim, n, seed=seed, dtype=torch.float64).T
    centres = axes[:hubs].repeat_interleave(followers, dim=0)
    points = torch.cat([axes[:hubs], alpha * centres + (1 - alpha**2).sqrt() * axes[hubs:]])
    occurrence = torch.zeros(n, dtype=torch.int64)
    occurrence[:hubs] = followers
    occurrence[hubs::followers] = 1
    return Hubs(points.to(dtype), occurrence)
