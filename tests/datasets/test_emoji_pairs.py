"""Emoji: rows agree over pictures, texts and attributes; families never straddle a split."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lab.datasets import emoji


@pytest.fixture(scope="module")
def data():
    return emoji()


def row(data, name):
    return data.names.index(name)


def test_shapes_and_types(data):
    count = len(data)
    assert count == 3780
    for style in ("google", "twitter"):
        images = data.images(style)
        assert images.shape == (count, 3, 32, 32)
        assert images.dtype == torch.float32
        assert images.min() == 0
        assert images.max() == 1
        assert (images.flatten(1).std(dim=1) > 0).all(), "a blank picture"
    for vectors in (data.text_vectors, data.name_vectors):
        assert vectors.shape == (count, 384)
        assert vectors.dtype == torch.float32
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(count))
    for column in (data.group, data.subgroup, data.skin_tone, data.gender, data.family):
        assert column.shape == (count,)
        assert column.dtype == torch.int64
    assert len(data.keywords) == len(data.hexcodes) == count
    assert len(set(data.names)) == len(set(data.hexcodes)) == count
    assert all(words and all(words) for words in data.keywords)


def test_background_is_white(data):
    corners = data.images("twitter")[:, :, 0, 0]
    assert (corners == 1).all(dim=1).float().mean() > 0.7


def test_names_match_the_pictures(data):
    for style in ("google", "twitter"):
        images = data.images(style)
        red, green, blue = (images[row(data, f"{colour} heart")] for colour in ("red", "green", "blue"))
        assert red[0].mean() > red[1].mean() + 0.2
        assert green[1].mean() > green[2].mean() + 0.1
        assert blue[2].mean() > blue[0].mean() + 0.2
        tones = [row(data, f"thumbs up: {tone} skin tone") for tone in ("light", "medium", "dark")]
        light, medium, dark = images[tones].mean(dim=(1, 2, 3)).tolist()
        assert light > medium > dark
        assert data.skin_tone[tones].tolist() == [1, 3, 5]


@pytest.mark.parametrize("style", ["google", "twitter"])
def test_pictures_are_those_stored(data, style):
    from lab.datasets import manifest

    with np.load(manifest.path(f"emoji/{style}.npz")) as file:
        stored = file["images"]
    rows = [0, 1234, len(data) - 1]
    np.testing.assert_allclose(data.images(style)[rows].permute(0, 2, 3, 1), stored[rows] / 255, atol=1e-7)


@pytest.mark.parametrize("style", ["google", "twitter"])
def test_pictures_are_upright(data, style):
    """The stripes of France stand, blue to red; those of the Netherlands lie, red to blue."""
    images = data.images(style)
    france, dutch = images[row(data, "flag: France")], images[row(data, "flag: Netherlands")]
    for first, last, front, back in (
        (france[:, 16, 5], france[:, 16, 26], 2, 0),
        (dutch[:, 10, 16], dutch[:, 21, 16], 0, 2),
    ):
        assert first[front] > first[back] + 0.2
        assert last[back] > last[front] + 0.2


def test_text_vectors_match_the_names(data):
    """Name and text of one emoji are each other's nearest, mostly, among the bases of all families."""
    rows = data.representatives()
    nearest = (data.text_vectors[rows] @ data.name_vectors[rows].T).argmax(dim=1)
    assert (nearest == torch.arange(len(rows))).float().mean() > 0.8
    dog, cat, clock = (row(data, name) for name in ("dog face", "cat face", "alarm clock"))
    for vectors in (data.text_vectors, data.name_vectors):
        assert vectors[dog] @ vectors[cat] > vectors[dog] @ vectors[clock] + 0.2


def test_groups_hold_whole_subgroups(data):
    assert data.group_names[int(data.group[row(data, "grinning face")])] == "smileys-emotion"
    assert data.subgroup_names[int(data.subgroup[row(data, "red heart")])] == "heart"
    assert len(data.group_names) == 9 == len(data.group.unique())
    for subgroup in data.subgroup.unique():
        assert len(data.group[data.subgroup == subgroup].unique()) == 1


def test_skin_tones_are_those_of_the_names(data):
    """Counted in the names, longest first, so that "medium-light" is not read as "light"."""
    tones = {"medium-light": 2, "medium-dark": 4, "light": 1, "medium": 3, "dark": 5}
    for i, name in enumerate(data.names):
        said = [tones[part] for part in tones for _ in range(name.count(f" {part} skin tone"))]
        expected = 0 if not said else said[0] if len(set(said)) == 1 else -1
        assert data.skin_tone[i] == expected, name
        if expected == -1:
            assert sorted(data.skin_tones[i].tolist()) == sorted(said)
        else:
            assert data.skin_tones[i].tolist() == [expected, expected]
    assert data.skin_tones[row(data, "kiss: person, person, light skin tone, dark skin tone")].tolist() == [1, 5]


def test_gender(data):
    expected = {
        "woman surfing": 0,
        "man surfing": 1,
        "person surfing": -1,
        "princess": 0,
        "boy": 1,
        "kiss: woman, man": -1,
    }
    expected |= {"women holding hands": 0, "man’s shoe": -1, "flag: Isle of Man": -1, "merman": 1}
    assert {name: int(data.gender[row(data, name)]) for name in expected} == expected


def test_families_hold_the_variants(data):
    together = [
        ("thumbs up", "thumbs up: dark skin tone"),
        ("woman health worker", "man health worker: light skin tone", "health worker"),
        ("prince", "princess: dark skin tone"),
        ("woman: red hair", "man: bald"),
        ("person walking", "woman walking facing right"),
        ("couple with heart: woman, man", "couple with heart"),
        ("flag: Norway", "flag: Bouvet Island"),
    ]
    apart = [("thumbs up", "thumbs down"), ("female sign", "male sign"), ("dog", "cat"), ("health worker", "judge")]
    for first, *others in together:
        for other in others:
            names = [name for name in data.names if name.replace(":", "") == other.replace(":", "")]
            assert names, other
            assert data.family[row(data, first)] == data.family[row(data, names[0])], (first, other)
    for first, other in apart:
        assert data.family[row(data, first)] != data.family[row(data, other)]


def test_equal_pictures_share_a_family(data):
    for images in (data.google, data.twitter):
        seen: dict[bytes, int] = {}
        for picture, family in zip(images.numpy(), data.family.tolist(), strict=True):
            assert seen.setdefault(picture.tobytes(), family) == family


def test_split_keeps_families_together_and_follows_the_seed(data):
    train, test = data.split(test=0.2, seed=3)
    assert torch.cat([train, test]).sort().values.tolist() == list(range(len(data)))
    assert not set(data.family[train].tolist()) & set(data.family[test].tolist())
    assert len(test) == int(0.2 * len(data))
    again, other = data.split(test=0.2, seed=3)[1], data.split(test=0.2, seed=4)[1]
    assert test.tolist() == again.tolist() != other.tolist()


def test_representatives_are_the_first_of_each_family(data):
    first: dict[int, int] = {}
    for i, family in enumerate(data.family.tolist()):
        first.setdefault(family, i)
    assert data.representatives().tolist() == sorted(first.values())


def test_bad_arguments(data):
    with pytest.raises(ValueError, match="style: expected one of google, twitter, got 'apple'"):
        data.images("apple")
    with pytest.raises(ValueError, match="test"):
        data.split(test=0.0, seed=0)
    with pytest.raises(ValueError, match="seed"):
        data.split(seed=-1)
