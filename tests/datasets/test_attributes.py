"""Attributes of emoji against the names by hand, and varied fashion pictures against plain loops and scipy."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lab.datasets import emoji, emoji_attributes, turned, varied_fashion

DATA = emoji()
FOUND = emoji_attributes(DATA)


def by_name(attribute: str) -> dict[str, float]:
    found = FOUND[attribute]
    return {DATA.names[row]: value for row, value in zip(found.rows.tolist(), found.values.tolist(), strict=True)}


@pytest.mark.parametrize("name", FOUND)
def test_every_attribute_is_whole(name: str) -> None:
    found = FOUND[name]
    assert found.name == name and len(found) >= 11
    assert found.values.dtype == torch.float32 and bool(found.values.isfinite().all())
    assert len(found.values.unique()) >= 2
    assert torch.equal(found.rows, found.rows.unique())
    assert torch.equal(found.family, DATA.family[found.rows])
    assert set(found.item_kind.tolist()) == set(range(len(found.item_kind_names)))
    if found.kind == "binary":
        assert found.values.unique().tolist() == [0.0, 1.0]
    if found.kind == "circular":
        assert float(found.values.min()) >= 0 and float(found.values.max()) < 360


def test_kinds_and_sizes() -> None:
    kinds = [found.kind for found in FOUND.values()]
    assert [kinds.count(kind) for kind in ("ordinal", "binary", "circular")] == [4, 5, 4]
    sizes = {"skin tone": int((DATA.skin_tone > 0).sum()), "gender": int((DATA.gender >= 0).sum()), "number": 11,
             "size": 12, "moon phase": 12, "clock hour": 24}  # fmt: skip
    assert {name: len(FOUND[name]) for name in sizes} == sizes


@pytest.mark.parametrize(
    ("attribute", "name", "value"),
    [
        ("skin tone", "waving hand: dark skin tone", 5), ("skin tone", "waving hand: light skin tone", 1),
        ("happiness", "grinning face", 1), ("happiness", "neutral face", 0), ("happiness", "angry face", -1),
        ("size", "black medium-small square", 2), ("size", "white medium square", 3), ("size", "small blue diamond", 1),
        ("number", "keycap: 10", 10), ("number", "keycap: 0", 0),
        ("gender", "man running", 1), ("gender", "woman running", 0),
        ("facing right", "woman walking: facing right", 1), ("facing right", "woman walking", 0),
        ("animal", "dog face", 1), ("animal", "cherry blossom", 0), ("animal", "bread", 0),
        ("vehicle", "bicycle", 1), ("vehicle", "hospital", 0),
        ("white", "white heart", 1), ("white", "black large square", 0),
        ("clock hour", "three-thirty", 105), ("clock hour", "eleven o’clock", 330), ("clock hour", "twelve-thirty", 15),
        ("moon phase", "full moon face", 180), ("moon phase", "waning crescent moon", 315),
        ("direction", "left arrow", 270), ("direction", "down-right arrow", 135), ("direction", "play button", 90),
        ("direction", "backhand index pointing down: dark skin tone", 180), ("direction", "red triangle pointed up", 0),
        ("hue", "green apple", 120), ("hue", "large orange diamond", 30), ("hue", "purple heart", 280),
    ],
)  # fmt: skip
def test_values_by_hand(attribute: str, name: str, value: float) -> None:
    assert by_name(attribute)[name] == value


@pytest.mark.parametrize(
    ("attribute", "name"),
    [("skin tone", "waving hand"), ("gender", "person running"), ("happiness", "grinning cat"), ("hue", "leafy green"),
     ("hue", "light blue heart"), ("direction", "left-right arrow"), ("direction", "left arrow curving right"),
     ("number", "keycap: #"), ("size", "white square button"), ("moon phase", "crescent moon"),
     ("vehicle", "fuel pump"), ("clock hour", "alarm clock"), ("white", "white flower"),
     ("facing right", "man climbing")],
)  # fmt: skip
def test_who_has_no_value(attribute: str, name: str) -> None:
    assert name in DATA.names
    assert (name in by_name(attribute)) is (attribute == "vehicle")  # a fuel pump stands among ground transport


def test_stated_values_stand_in_the_name() -> None:
    words = {"white": {0: "black", 1: "white"}, "hue": {120: "green", 240: "blue"}, "size": {4: "large"}}
    for attribute, said in words.items():
        assert FOUND[attribute].stated
        for name, value in by_name(attribute).items():
            assert value not in said or said[value] in name
    assert not FOUND["animal"].stated and not FOUND["happiness"].stated


def test_a_quarter_turn_is_that_of_numpy() -> None:
    images = torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(1))
    for quarters in range(4):
        expected = np.rot90(images.numpy(), -quarters, axes=(2, 3))  # numpy turns the other way
        np.testing.assert_allclose(turned(images, torch.full((3,), 90.0 * quarters)), expected, atol=1e-5)


def test_any_angle_and_scale_read_where_scipy_reads() -> None:
    picture = ndimage.gaussian_filter(np.random.default_rng(0).random((14, 14)), 1.0)
    picture[:3] = picture[-3:] = 0
    picture[:, :3] = picture[:, -3:] = 0
    degrees, scale, centre = 33.0, 0.8, 6.5
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / scale  # rows, columns
    expected = ndimage.affine_transform(picture, turn, centre - turn @ [centre, centre], order=1)
    image = torch.from_numpy(picture)[None, None]
    found = turned(image, torch.tensor([degrees]), torch.tensor([scale], dtype=torch.float64))
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-6)


def test_variations_do_what_their_values_say() -> None:
    draw = torch.Generator().manual_seed(2)
    images, labels = torch.rand(200, 1, 8, 8, generator=draw), torch.arange(200) % 10
    dim = varied_fashion(images, labels, "brightness", seed=3)
    for i in range(5):
        torch.testing.assert_close(dim.images[i], images[i] * dim.values[i])
    turn = varied_fashion(images, labels, "turn", seed=3)
    torch.testing.assert_close(turn.images, turned(images, turn.values))
    assert turn.kind == "circular" and float(turn.values.max()) > 350 and float(turn.values.min()) < 10
    assert float(varied_fashion(images, labels, "quarter turn", seed=3).values.max()) <= 90
    count = varied_fashion(images, labels, "count", seed=3)
    quarters = [[count.images[i, 0, a : a + 4, b : b + 4] for a in (0, 4) for b in (0, 4)] for i in range(200)]
    assert [sum(bool(q.sum() > 0) for q in four) for four in quarters] == count.values.tolist()
    assert len({tuple(bool(q.sum() > 0) for q in four) for four in quarters}) == 15  # all ways to fill some quarters
    small = torch.stack([images[0, 0, a : a + 2, b : b + 2].mean() for a in range(0, 8, 2) for b in range(0, 8, 2)])
    full = next(q for q in quarters[0] if q.sum() > 0)
    torch.testing.assert_close(full.flatten(), small)
    white = torch.ones(200, 1, 40, 40)  # large, as the soft edge of a small square has a size of its own
    scale = varied_fashion(white, labels, "scale", seed=3)
    share = scale.images.mean((1, 2, 3))
    assert torch.corrcoef(torch.stack([share, scale.values.square()]))[0, 1] > 0.999


def test_amounts_hang_on_the_seed_alone() -> None:
    images, labels = torch.rand(20, 1, 4, 4), torch.zeros(20, dtype=torch.int64)
    one, same = (varied_fashion(x, labels, "turn", seed=5).values for x in (images, images.flip(0)))
    assert torch.equal(one, same)
    assert not torch.equal(one, varied_fashion(images, labels, "turn", seed=6).values)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"variation": "colour"}, "variation"), ({"images": torch.rand(4, 4, 4)}, "images"), ({"seed": -1}, "seed"),
     ({"images": torch.rand(4, 1, 5, 5)}, "images"), ({"labels": torch.zeros(3)}, "labels")],
)  # fmt: skip
def test_varied_fashion_refuses(wrong: dict, named: str) -> None:
    given = {"images": torch.rand(4, 1, 4, 4), "labels": torch.zeros(4), "variation": "turn", "seed": 0} | wrong
    with pytest.raises(ValueError, match=named):
        varied_fashion(given.pop("images"), given.pop("labels"), given.pop("variation"), **given)


def test_turned_refuses() -> None:
    images = torch.rand(2, 1, 4, 4)
    for wrong, named in (((images[0], torch.zeros(2)), "images"), ((images, torch.zeros(3)), "degrees"),
                         ((images, torch.zeros(2), torch.tensor([1.0, 0.0])), "scale"),
                         ((images, torch.zeros(2), torch.ones(3)), "scale")):  # fmt: skip
        with pytest.raises(ValueError, match=named):
            turned(*wrong)
