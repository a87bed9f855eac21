"""GloVe words: count, order, neighbours that make sense."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import spearmanr

from lab.datasets import wordnet, words


@pytest.fixture(scope="module")
def data():
    return words()


def test_shapes(data):
    assert data.vectors.shape == (30_000, 50)
    assert data.vectors.dtype == torch.float32
    assert torch.isfinite(data.vectors).all()
    assert len(set(data.words)) == len(data.words) == 30_000
    assert all(word == word.strip() and word for word in data.words)


def test_published_numbers(data):
    """The first coordinates of "the" in the published file."""
    torch.testing.assert_close(
        data.rows(["the"])[0, :5], torch.tensor([0.418, 0.24968, -0.41242, 0.1217, 0.34527]), rtol=5e-4, atol=0
    )


def test_most_frequent_first(data):
    """Against counts of another corpus: WordNet's sense tags."""
    assert data.words[:4] == ("the", ",", ".", "of")
    counts: dict[str, int] = {}
    nouns = wordnet().nouns
    for name, count in zip(nouns.names, nouns.count.tolist(), strict=True):
        counts[name] = counts.get(name, 0) + count
    shared = [name for name in counts if name in data.index]
    assert len(shared) > 2000
    assert spearmanr([data.index[name] for name in shared], [counts[name] for name in shared]).statistic < -0.4


def test_neighbours_and_an_analogy(data):
    unit = torch.nn.functional.normalize(data.vectors, dim=1)
    near = (unit @ unit[data.index["king"]]).topk(8).indices.tolist()
    assert {"prince", "queen"} <= {data.words[i] for i in near}
    king, man, woman = data.rows(["king", "man", "woman"])
    target = torch.nn.functional.normalize(king - man + woman, dim=0)
    best = [data.words[i] for i in (unit @ target).topk(4).indices.tolist()]
    assert next(word for word in best if word not in {"king", "man", "woman"}) == "queen"


def test_fewer_words_are_the_first(data):
    few = words(count=100)
    assert few.words == data.words[:100]
    assert torch.equal(few.vectors, data.vectors[:100])


def test_bad_arguments(data):
    for count in (0, 30_001, -1):
        with pytest.raises(ValueError, match="count: expected 1 to 30000"):
            words(count=count)
    for count in (2.5, True, "9"):
        with pytest.raises(TypeError, match="count"):
            words(count=count)
    with pytest.raises(ValueError, match="'qqqqq'"):
        data.rows(["king", "qqqqq"])
    with pytest.raises(ValueError, match="words: expected a list"):
        data.rows("king")
    with pytest.raises(ValueError, match="no word"):
        data.rows([])
