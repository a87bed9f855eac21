"""Binary class codes for hashing, and the loss that turns an item towards its code."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from lab.geometry import check_embeddings, fails
from lab.losses.margins import cosface
from lab.losses.selection import Selected, WithoutPositives


def class_codes(
    classes: int,
    bits: int,
    generator: torch.Generator | None = None,
    *,
    kind: Literal["hadamard", "bernoulli"] = "hadamard",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """One code of -1 and 1 a class: exactly orthogonal ones, or coin flips, which are so on average.

    Args:
        classes: C >= 2; at most ``bits`` for "hadamard".
        bits: length of a code; a power of two for "hadamard".
        generator: chooses rows of the Hadamard matrix and flips its columns (which keeps rows orthogonal and takes the
            constant row away); None takes the first rows as they are. Coin flips need one.
        kind: "hadamard" or "bernoulli".
        dtype: of the result.

    Returns:
        (C, bits) of -1 and 1. Cosines of two codes are 0 for "hadamard", of standard deviation 1 / sqrt(bits) for
        "bernoulli".

    Raises:
        ValueError: sizes that the kind cannot have, an unknown kind, coin flips without a generator.

    Cost: O(bits^2) for "hadamard".

    Source: one-loss-all (Hoe et al. 2021).

    Example:
        >>> (class_codes(3, 4) @ class_codes(3, 4).T).tolist()
        [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0]]
    """
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}")
    if bits < 1:
        raise ValueError(f"bits must be at least 1, got {bits}")
    if kind == "bernoulli":
        if generator is None:
            raise ValueError("generator is missing: coin flips need one")
        return _signs((classes, bits), generator).to(dtype)
    if kind != "hadamard":
        raise ValueError(f"kind must be hadamard or bernoulli, got {kind!r}")
    if bits & (bits - 1):
        raise ValueError(f"bits must be a power of two for orthogonal codes, got {bits}; or take kind='bernoulli'")
    if classes > bits:
        raise ValueError(f"classes must be at most bits = {bits} for orthogonal codes, got {classes}")
    matrix = torch.ones(1, 1)
    while len(matrix) < bits:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    if generator is None:
        return matrix[:classes].to(dtype)
    chosen = torch.randperm(bits, generator=generator, device=generator.device)[:classes]
    return (matrix.to(generator.device)[chosen] * _signs((bits,), generator)).to(dtype)


def _signs(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return 2.0 * torch.randint(2, shape, generator=generator, device=generator.device) - 1


def orthogonal_code_cosine(
    embeddings: Tensor,
    labels: Any,
    codes: Tensor,
    *,
    temperature: float | Tensor,
    margin: float,
    mask: Tensor | None = None,
    without_positives: WithoutPositives = "drop",
) -> Selected:
    """OrthoHash: turn each item towards the binary code of its class, with a margin; no term for quantisation.

    Formula: cross-entropy of logits (cos(x_i, o_c) - margin [c = y]) / tau. The angle to a code bounds the error of
    taking signs, so one term does both.

    Args:
        embeddings: (..., N, bits), the values whose signs become the hash. Balanced bits come from batch normalisation
            before the loss; nothing is centred inside.
        labels: class indices, booleans (..., N, C) for several classes an item (the mean over them), or `Pairs`.
        codes: (C, bits) of -1 and 1, from ``class_codes``.
        temperature: tau > 0, a divisor, 1 / s.
        margin: a cosine, 0 .. 2; 0.2 in the authors' code.
        mask, without_positives: as ``cosface``.

    Returns:
        `Selected`, the loss > 0: log(1 + (C - 1) exp(-(1 - margin) / tau)) for items on their orthogonal codes. Lower
        is better.

    Raises: as ``cosface``; ValueError for codes of other values. Cost: as ``cosface``.

    Source: one-loss-all (Hoe et al. 2021).

    Relations: ``cosface`` with these codes for weights.

    Data: labels

    Example:
        >>> codes = class_codes(2, 4)
        >>> round(orthogonal_code_cosine(codes, [0, 1], codes, temperature=1.0, margin=0.0).loss.item(), 4)
        0.3133
    """
    check_embeddings(codes, "codes", min_rows=2)
    if fails(codes.detach().abs() == 1):
        raise ValueError("codes must hold -1 and 1 alone")
    return cosface(
        embeddings,
        labels,
        codes,
        temperature=temperature,
        margin=margin,
        mask=mask,
        without_positives=without_positives,
    )
