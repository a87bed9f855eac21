"""Several vectors an item: the score that compares every vector, and one long vector that stands in for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from lab.geometry import check_embeddings

Side = Literal["query", "document"]
LARGEST = 16  # bits; 2^bits blocks are held for every set


class Packed(NamedTuple):
    """Sets one below the other: ``rows`` (T, d), and ``owner`` (T,), the number of the set of each row, rising."""

    rows: Tensor
    owner: Tensor


def max_similarity(queries: Sequence[Tensor], documents: Sequence[Tensor], *, block: int = 256) -> Tensor:
    """Each vector of a query with its best partner in the document, added up: MaxSim, the Chamfer similarity.

    Formula: s(Q, P) = sum over q in Q of max over p in P of <q, p>.

    Args:
        queries: Q sets, each (n_i, d) with n_i >= 1, floating dtype. Used as they are: normalise rows where cosines are
            meant.
        documents: D sets, likewise, same d.
        block: rows of queries at a time.

    Returns:
        (Q, D). Not symmetric. With unit rows between -n_i and n_i; n_i where the document holds every row of the query.
        Independent random directions do not give 0 but the expected maximum, which grows with the document's size.
        Differentiable; larger is better.

    Raises:
        ValueError, TypeError: no set, an empty set, different d or dtype, NaN or infinity, block below 1.

    Cost: O(T_q T_d d) for T_q and T_d rows in all; memory block x T_d.

    Source: ColBERT's late interaction (Khattab and Zaharia 2020), a sum and not a mean over the query's vectors.

    Relations: ``fixed_dimensional_encoding`` approximates it by one inner product. With one row in every set it is the
    matrix of inner products.

    Example:
        >>> query, document = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        >>> max_similarity([query], [document]).tolist()
        [[1.7999999523162842]]
    """
    _check_whole(block, "block", 1)
    asked, held = _packed(queries, "queries"), _packed(documents, "documents")
    _check_alike(asked.rows, held.rows)
    found = asked.rows.new_zeros(len(queries), len(documents))
    for rows, owner in zip(asked.rows.split(block), asked.owner.split(block), strict=True):
        scores = rows @ held.rows.T
        best = scores.new_full((len(rows), len(documents)), -torch.inf)
        best = best.scatter_reduce(1, held.owner.expand(len(rows), -1), scores, "amax")
        found = found.index_add(0, owner, best)
    return found


def fixed_dimensional_encoding(
    sets: Sequence[Tensor],
    *,
    side: Side,
    bits: int,
    repetitions: int = 1,
    width: int | None = None,
    fill: bool = True,
    seed: int,
    codes: Tensor | None = None,
) -> Tensor:
    """One vector a set, whose inner products approximate ``max_similarity``.

    Formula: random hyperplanes through the origin give each row x a code, its SimHash: bit j says whether <g_j, x> > 0.
    Rows with the same code share one of 2^bits blocks. A block of a query is the sum of its rows there, a block of a
    document their mean; a document's block without rows takes the row whose code differs from the block's in the fewest
    bits, the first of several. The blocks of all repetitions, each with hyperplanes of its own, stand one after the
    other, divided by sqrt(repetitions), so that the inner product is the mean over repetitions.

    Args:
        sets: N sets, each (n_i, d) with n_i >= 1, floating dtype; used as they are.
        side: "query" or "document". The two sides differ, see above.
        bits: hyperplanes of a repetition, 0 to 16. With 0 the whole space is one block: sum and mean pooling.
        repetitions: independent partitions, at least 1.
        width: numbers a block, at least 1: rows are multiplied by a random matrix of signs over sqrt(width) first,
            which keeps inner products in expectation. None keeps the d numbers.
        fill: False leaves empty blocks of documents at zero.
        seed: of hyperplanes and signs, 0 or larger. Both sides need the same one.
        codes: (repetitions, T) integers in 0 .. 2^bits - 1: blocks of all rows, in the order of the sets, in place of
            SimHash; for another partition, or for one that ignores the vectors.

    Returns:
        (N, repetitions * 2^bits * (width or d)), in the dtype of the rows; differentiable in them. Without ``width``
        and with ``fill`` the inner product never exceeds ``max_similarity``, since a mean is no more than the maximum,
        and equals it where every document has one row.

    Raises:
        ValueError, TypeError: no set, an empty set, different d or dtype, NaN or infinity, an argument out of range.

    Cost: O(repetitions T (d bits + d width + 2^bits)) for T rows in all; memory that of the result and T x 2^bits.

    Source: MUVERA (Dhulipala and others 2024). They use the sum over repetitions, which ranks alike, and may project
    the whole encoding once more at the end; that step is left out.

    Relations: ``max_similarity`` is what is approximated.

    Example:
        >>> sets = [torch.eye(3)[:2], torch.eye(3)]
        >>> fixed_dimensional_encoding(sets, side="query", bits=2, repetitions=5, seed=0).shape
        torch.Size([2, 60])
    """
    if side not in get_args(Side):
        raise ValueError(f"side must be 'query' or 'document', got {side!r}")
    _check_whole(bits, "bits", 0, LARGEST)
    _check_whole(repetitions, "repetitions", 1)
    _check_whole(seed, "seed", 0)
    if width is not None:
        _check_whole(width, "width", 1)
    rows, owner = _packed(sets, "sets")
    found = simhash(rows, bits=bits, repetitions=repetitions, seed=seed) if codes is None else codes
    found = _checked_codes(found, rows, bits, repetitions)
    signs = torch.Generator().manual_seed(seed ^ 0x5DEECE66D)  # a stream of its own, apart from the hyperplanes
    parts = []
    for code in found:
        kept = rows
        if width is not None:
            drawn = torch.randint(2, (rows.shape[1], width), generator=signs) * 2 - 1
            kept = rows @ (drawn.to(rows) / math.sqrt(width))
        parts.append(_blocks(kept, owner, code, len(sets), 2**bits, side, fill))
    return torch.cat(parts, 1) / math.sqrt(repetitions)


def simhash(rows: Tensor, *, bits: int, repetitions: int, seed: int) -> Tensor:
    """Codes of rows (T, d) under random hyperplanes through the origin: (repetitions, T) integers below 2^bits.

    Two rows at an angle a differ in each bit with probability a / pi. Scale does not matter; a zero row has code 0.

    Source: Charikar (2002).

    Example:
        >>> opposite = torch.tensor([[1.0, 2.0], [-1.0, -2.0]])
        >>> simhash(opposite, bits=3, repetitions=4, seed=0).sum(1).tolist()
        [7, 7, 7, 7]
    """
    generator = torch.Generator().manual_seed(seed)
    normals = torch.randn(repetitions, rows.shape[1], bits, generator=generator, dtype=torch.float64).to(rows)
    powers = 2 ** torch.arange(bits, device=rows.device)
    return ((rows.detach() @ normals > 0) * powers).sum(2)


def _blocks(rows: Tensor, owner: Tensor, code: Tensor, sets: int, blocks: int, side: Side, fill: bool) -> Tensor:
    """One repetition: (sets, blocks * width)."""
    place = owner * blocks + code
    sums = rows.new_zeros(sets * blocks, rows.shape[1]).index_add(0, place, rows)
    if side == "document":
        counts = torch.bincount(place, minlength=sets * blocks)
        sums = sums / counts.clamp(min=1).to(rows.dtype)[:, None]
        if fill:
            empty = (counts == 0).nonzero()[:, 0]
            sums = sums.index_copy(0, empty, rows[_nearest_by_code(owner, code, sets, blocks)[empty]])
    return sums.view(sets, -1)


def _nearest_by_code(owner: Tensor, code: Tensor, sets: int, blocks: int) -> Tensor:
    """For each block of each set (sets * blocks,), the row whose code differs in the fewest bits, the first of them."""
    numbers = torch.arange(blocks, device=code.device)
    apart, bits = numbers[:, None] ^ numbers, blocks.bit_length() - 1
    differing = sum(((apart >> j) & 1 for j in range(bits)), torch.zeros_like(apart))
    rank = differing[code] * len(code) + torch.arange(len(code), device=code.device)[:, None]
    least = rank.new_full((sets, blocks), (bits + 1) * len(code))
    least = least.scatter_reduce(0, owner[:, None].expand(-1, blocks), rank, "amin")
    return (least % len(code)).flatten()


def _packed(sets: Sequence[Tensor], name: str) -> Packed:
    if isinstance(sets, Tensor) or not isinstance(sets, Sequence):
        raise TypeError(f"{name} must be a list of tensors (n, d), one a set, got {type(sets).__name__}")
    if not sets:
        raise ValueError(f"{name} must hold at least one set, got none")
    for i, one in enumerate(sets):
        if not isinstance(one, Tensor):
            raise TypeError(f"{name}[{i}] must be a torch.Tensor, got {type(one).__name__}")
        if one.ndim != 2 or one.shape[0] < 1:
            raise ValueError(f"{name}[{i}] must have shape (n, d) with n >= 1, got {tuple(one.shape)}")
        if one.shape[1] != sets[0].shape[1] or one.dtype != sets[0].dtype:
            raise ValueError(
                f"all of {name} must have the columns and dtype of the first, {sets[0].shape[1]} and {sets[0].dtype}; "
                f"{name}[{i}] has {one.shape[1]} and {one.dtype}"
            )
    rows = check_embeddings(torch.cat(list(sets)), name)
    sizes = torch.tensor([len(one) for one in sets], device=rows.device)
    return Packed(rows, torch.arange(len(sets), device=rows.device).repeat_interleave(sizes))


def _check_whole(value: int, name: str, low: int, high: int | None = None) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or value < low or (high is not None and value > high):
        wanted = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name} must be a whole number, {wanted}, got {value!r}")


def _check_alike(a: Tensor, b: Tensor) -> None:
    if a.shape[1] != b.shape[1] or a.dtype != b.dtype:
        raise ValueError(
            f"queries and documents must have the same columns and dtype, got {a.shape[1]} and {a.dtype}, "
            f"{b.shape[1]} and {b.dtype}"
        )


def _checked_codes(codes: Tensor, rows: Tensor, bits: int, repetitions: int) -> Tensor:
    if not isinstance(codes, Tensor) or codes.is_floating_point() or codes.shape != (repetitions, len(rows)):
        what = f"{codes.dtype} {tuple(codes.shape)}" if isinstance(codes, Tensor) else type(codes).__name__
        raise ValueError(f"codes must be integers ({repetitions}, {len(rows)}), one a repetition and row, got {what}")
    if codes.min() < 0 or codes.max() >= 2**bits:
        raise ValueError(f"codes must lie in 0 .. {2**bits - 1}, got {int(codes.min())} to {int(codes.max())}")
    return codes.to(rows.device).long()
