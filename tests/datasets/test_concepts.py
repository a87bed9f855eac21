"""Emoji concepts against scikit-learn's principal components and the emoji themselves."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from lab.datasets import emoji, emoji_concepts


def test_components_are_those_of_the_training_pictures() -> None:
    data, all_emoji = emoji_concepts(seed=3, components=8), emoji()
    known = all_emoji.images("google")[data.rows[data.train]].flatten(1).double().numpy()
    other = all_emoji.images("twitter")[data.rows].flatten(1).double().numpy()
    pca = PCA(8, svd_solver="full").fit(known)
    scale = np.sqrt(np.square(pca.transform(known)).mean())
    for mine, theirs in ((data.google[data.train], known), (data.twitter, other)):
        expected = pca.transform(theirs) / scale
        signs = np.sign((mine.numpy() * expected).sum(0))
        np.testing.assert_allclose(mine.numpy(), expected * signs, atol=2e-4)


def test_parts_share_no_concept() -> None:
    data, all_emoji = emoji_concepts(seed=3, components=2), emoji()
    parts = torch.cat([data.train, data.validation, data.test])
    assert parts.sort().values.tolist() == list(range(len(data)))
    families = all_emoji.family[data.rows]
    assert len(families.unique()) == len(data)
    assert data.names[5] == all_emoji.names[int(data.rows[5])]
    assert torch.equal(data.text[7], all_emoji.text_vectors[data.rows[7]])


def test_seed_decides_the_split() -> None:
    one, same, other = (emoji_concepts(seed=s, components=2) for s in (0, 0, 1))
    assert torch.equal(one.test, same.test)
    assert not torch.equal(one.test, other.test)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"components": 0}, "components"),
        ({"test": 0.0}, "test"),
        ({"validation": 0.6, "test": 0.5}, "validation"),
        ({"test": 0.8, "components": 100}, "components: expected fewer"),
    ],
)
def test_refuses(wrong: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        emoji_concepts(seed=0, **wrong)
