"""Scores and encodings of several vectors an item, against plain loops and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lab.multi_vector import fixed_dimensional_encoding, max_similarity, simhash

SIZES = (1, 4, 2, 7)


def some_sets(sizes=SIZES, d=5, seed=0, dtype=torch.float64):
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(n, d, generator=draw, dtype=dtype) for n in sizes]


def chamfer_by_loop(queries, documents):
    out = np.zeros((len(queries), len(documents)))
    for i, query in enumerate(queries):
        for j, document in enumerate(documents):
            for q in query.numpy():
                out[i, j] += max(float(np.dot(q, p)) for p in document.numpy())
    return torch.from_numpy(out)


def encoded_by_loop(sets, codes, side, bits, fill=True):
    """From the definition: codes is a list over repetitions of a list over sets of a list of whole numbers."""
    out = []
    for number, rows in enumerate(sets):
        parts = []
        for repetition in codes:
            own = repetition[number]
            for block in range(2**bits):
                members = [row for row, code in zip(rows, own, strict=True) if code == block]
                if side == "query":
                    parts.append(sum(members, torch.zeros_like(rows[0])))
                elif members:
                    parts.append(sum(members) / len(members))
                elif fill:
                    apart = [bin(code ^ block).count("1") for code in own]
                    parts.append(rows[apart.index(min(apart))])
                else:
                    parts.append(torch.zeros_like(rows[0]))
        out.append(torch.cat(parts))
    return torch.stack(out) / math.sqrt(len(codes))


@pytest.mark.parametrize("block", [1, 3, 256])
def test_max_similarity_is_the_double_loop(block):
    queries, documents = some_sets(seed=1), some_sets((3, 1, 5), seed=2)
    got = max_similarity(queries, documents, block=block)
    torch.testing.assert_close(got, chamfer_by_loop(queries, documents))


def test_max_similarity_of_single_rows_is_the_inner_product():
    queries, documents = some_sets((1,) * 4, seed=3), some_sets((1,) * 6, seed=4)
    torch.testing.assert_close(max_similarity(queries, documents), torch.cat(queries) @ torch.cat(documents).T)


def test_max_similarity_of_unit_rows_with_a_superset_is_the_number_of_rows():
    rows = torch.nn.functional.normalize(some_sets((6,))[0], dim=1)
    assert float(max_similarity([rows[:4]], [rows])) == pytest.approx(4, abs=1e-12)
    assert float(max_similarity([rows], [rows[:4]])) < 6 - 1e-3


def test_gradients_of_both():
    query, document = some_sets((2, 3), d=3, seed=5)
    query.requires_grad_()
    document.requires_grad_()
    assert torch.autograd.gradcheck(lambda q, p: max_similarity([q], [p]), (query, document))
    assert torch.autograd.gradcheck(
        lambda p: fixed_dimensional_encoding([p], side="document", bits=2, seed=0), (document,)
    )


@pytest.mark.parametrize("side", ["query", "document"])
@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("bits", [0, 1, 3])
def test_encoding_is_the_plain_loop_with_given_codes(side, fill, bits):
    sets, draw = some_sets(), torch.Generator().manual_seed(7)
    codes = torch.randint(2**bits, (3, sum(SIZES)), generator=draw)
    got = fixed_dimensional_encoding(sets, side=side, bits=bits, repetitions=3, fill=fill, seed=0, codes=codes)
    split = [[part.tolist() for part in repetition.split(SIZES)] for repetition in codes]
    torch.testing.assert_close(got, encoded_by_loop(sets, split, side, bits, fill))


def test_codes_are_those_of_simhash():
    sets = some_sets()
    codes = simhash(torch.cat(sets), bits=3, repetitions=2, seed=11)
    for side in ("query", "document"):
        own = fixed_dimensional_encoding(sets, side=side, bits=3, repetitions=2, seed=11)
        given = fixed_dimensional_encoding(sets, side=side, bits=3, repetitions=2, seed=0, codes=codes)
        torch.testing.assert_close(own, given)


def test_a_bit_differs_with_probability_angle_over_pi():
    for angle in (0.3, 1.0, 2.5):
        rows = torch.tensor([[1.0, 0.0], [math.cos(angle), math.sin(angle)]], dtype=torch.float64)
        first, second = simhash(rows, bits=1, repetitions=20_000, seed=0).T
        assert float((first != second).double().mean()) == pytest.approx(angle / math.pi, abs=0.012)
    assert torch.equal(*simhash(torch.stack([rows[1], 7 * rows[1]]), bits=8, repetitions=5, seed=1).T)


def test_no_bits_is_sum_and_mean_pooling():
    sets = some_sets()
    query = fixed_dimensional_encoding(sets, side="query", bits=0, seed=0)
    document = fixed_dimensional_encoding(sets, side="document", bits=0, seed=0)
    torch.testing.assert_close(query, torch.stack([one.sum(0) for one in sets]))
    torch.testing.assert_close(document, torch.stack([one.mean(0) for one in sets]))


def test_documents_of_one_row_are_exact():
    queries, documents = some_sets(seed=8), some_sets((1,) * 5, seed=9)
    options = dict(bits=4, repetitions=3, seed=2)
    got = (
        fixed_dimensional_encoding(queries, side="query", **options)
        @ fixed_dimensional_encoding(documents, side="document", **options).T
    )
    torch.testing.assert_close(got, max_similarity(queries, documents))


def test_never_above_max_similarity_and_nearer_with_more_bits():
    queries, documents = some_sets((5,) * 20, d=4, seed=10), some_sets((6,) * 30, d=4, seed=11)
    exact, gaps = max_similarity(queries, documents), []
    for bits in (0, 2, 5):
        options = dict(bits=bits, repetitions=8, seed=3)
        got = (
            fixed_dimensional_encoding(queries, side="query", **options)
            @ fixed_dimensional_encoding(documents, side="document", **options).T
        )
        assert bool((got <= exact + 1e-9).all())
        gaps.append(float((exact - got).mean()))
    assert gaps[0] > 1.3 * gaps[1] > 1.3 * 1.3 * gaps[2]


def test_projected_blocks_keep_inner_products_on_average():
    queries, documents = some_sets((4,), seed=12), some_sets((5,), seed=13)
    codes = torch.arange(9)[None] % 4
    full, narrow = {}, []
    for side, sets, own in (("query", queries, codes[:, :4]), ("document", documents, codes[:, 4:])):
        full[side] = fixed_dimensional_encoding(sets, side=side, bits=2, seed=0, codes=own)
    exact = float(full["query"][0] @ full["document"][0])
    own = (codes[:, :4].expand(2000, -1), codes[:, 4:].expand(2000, -1))
    options = dict(bits=2, repetitions=2000, width=3, seed=5)
    query = fixed_dimensional_encoding(queries, side="query", codes=own[0], **options)[0].view(2000, -1)
    document = fixed_dimensional_encoding(documents, side="document", codes=own[1], **options)[0].view(2000, -1)
    narrow = 2000 * (query * document).sum(1)
    assert narrow.shape == (2000,) and query.shape[1] == 12
    assert float(narrow.mean()) == pytest.approx(exact, abs=5 * float(narrow.std()) / math.sqrt(2000))
    assert float(narrow.std()) > 0


def test_order_of_rows_does_not_matter_for_queries_and_dtype_is_kept():
    rows = some_sets((6,), dtype=torch.float32)[0]
    options = dict(bits=3, repetitions=2, seed=4)
    there = fixed_dimensional_encoding([rows], side="query", **options)
    back = fixed_dimensional_encoding([rows.flip(0)], side="query", **options)
    assert there.dtype == torch.float32
    torch.testing.assert_close(there, back)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(sets=[]), "sets must hold at least one"),
        (dict(sets=[torch.ones(0, 2)]), r"sets\[0\] must have shape"),
        (dict(sets=[torch.ones(1, 2), torch.ones(1, 3)]), r"sets\[1\] has 3"),
        (dict(sets=[torch.tensor([[math.nan, 1.0]])]), "NaN"),
        (dict(side="documents"), "side must be"),
        (dict(bits=17), "bits must be"),
        (dict(bits=True), "bits must be"),
        (dict(repetitions=0), "repetitions must be"),
        (dict(width=0), "width must be"),
        (dict(seed=-1), "seed must be"),
        (dict(codes=torch.zeros(2, 3, dtype=torch.long)), "codes must be integers"),
        (dict(codes=torch.zeros(1, 3)), "codes must be integers"),
        (dict(codes=torch.full((1, 3), 4)), "codes must lie in 0 .. 3"),
    ],
)
def test_bad_input_is_named(change, words):
    given = dict(sets=[torch.ones(1, 2), torch.ones(2, 2)], side="query", bits=2, seed=0) | change
    with pytest.raises(ValueError, match=words):
        fixed_dimensional_encoding(given.pop("sets"), **given)


def test_types_and_pairs_are_checked():
    with pytest.raises(TypeError, match="list of tensors"):
        max_similarity(torch.ones(2, 3), [torch.ones(1, 3)])
    with pytest.raises(TypeError, match=r"documents\[0\]"):
        max_similarity([torch.ones(2, 3)], [np.ones((1, 3))])
    with pytest.raises(TypeError, match="floating"):
        max_similarity([torch.ones(2, 3).long()], [torch.ones(1, 3).long()])
    with pytest.raises(ValueError, match="same columns and dtype"):
        max_similarity([torch.ones(2, 3)], [torch.ones(1, 4)])
    with pytest.raises(ValueError, match="block"):
        max_similarity([torch.ones(2, 3)], [torch.ones(1, 3)], block=0)
