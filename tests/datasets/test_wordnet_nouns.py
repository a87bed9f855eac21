"""WordNet: the tree is a tree, counts fall, definitions and vectors belong together."""

from __future__ import annotations

import pytest
import torch

from lab.datasets import wordnet


@pytest.fixture(scope="module")
def data():
    return wordnet()


@pytest.mark.parametrize("name", ["mammals", "nouns"])
def test_shapes(data, name):
    synsets = getattr(data, name)
    count = {"mammals": 1170, "nouns": 5000}[name]
    assert len(synsets) == count
    assert len(set(synsets.ids)) == count
    assert synsets.vectors.shape == (count, 384)
    torch.testing.assert_close(synsets.vectors.norm(dim=1), torch.ones(count))
    for column in (synsets.category, synsets.count, synsets.depth, synsets.parent):
        assert column.shape == (count,)
        assert column.dtype == torch.int64
    assert all(gloss and '; "' not in gloss for gloss in synsets.glosses)
    assert all(name in lemmas for name, lemmas in zip(synsets.names, synsets.lemmas, strict=True))
    assert synsets.parent.max() < count


def test_mammals_are_a_tree(data):
    tree = data.mammals
    assert tree.parent[0] == -1
    assert (tree.parent[1:] >= 0).all()
    assert (tree.parent < torch.arange(len(tree))).all(), "a child before its parent"
    assert tree.depth[0] == 0
    assert torch.equal(tree.depth[1:], tree.depth[tree.parent[1:]] + 1)


def test_a_known_path(data):
    tree = data.mammals
    path, row = [], tree.names.index("cat")
    while row >= 0:
        path.append(tree.names[row])
        row = int(tree.parent[row])
    assert path == ["cat", "feline", "carnivore", "placental", "mammal"]


def test_closure_is_what_walking_up_finds(data):
    tree = data.mammals
    expected = set()
    for row in range(len(tree)):
        level = [row]
        while level:
            at = level.pop()
            for up in [int(tree.parent[at]), *tree.other_parents[at]]:
                if up >= 0:
                    expected.add((row, up))
                    level.append(up)
    assert {tuple(pair) for pair in tree.closure().tolist()} == expected
    assert (tree.closure()[:, 1] == 0).sum() == len(tree) - 1


def test_nouns_by_falling_count(data):
    assert (data.nouns.count.diff() <= 0).all()
    assert data.nouns.names[0] == "person"
    assert data.nouns.count.min() >= 1
    assert len(data.nouns.category_names) == 26
    assert data.nouns.category_names[int(data.nouns.category[data.nouns.names.index("water")])] == "substance"


def test_vectors_follow_the_glosses(data):
    nouns = data.nouns
    boy, soldier, water = (nouns.names.index(name) for name in ("boy", "wife", "water"))
    assert nouns.vectors[boy] @ nouns.vectors[soldier] > nouns.vectors[boy] @ nouns.vectors[water]
    shared = nouns.ids.index("n02121620") if "n02121620" in nouns.ids else None  # cat
    if shared is not None:
        torch.testing.assert_close(nouns.vectors[shared], data.mammals.vectors[data.mammals.ids.index("n02121620")])


def test_hypernyms_of_nouns(data):
    nouns = data.nouns
    boy = nouns.names.index("boy")
    assert [nouns.names[i] for i in nouns.ancestors(boy)][-1] == "entity"
    assert "person" in [nouns.names[i] for i in nouns.ancestors(boy)]
    with pytest.raises(ValueError, match="row: expected 0 to 4999, got 5000"):
        nouns.ancestors(5000)
