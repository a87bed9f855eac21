"""Attributes of emoji that have an order, two sides or a circle: what an axis in an embedding can be asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from lab.datasets.emoji_pairs import Emoji, emoji

AttributeKind = Literal["ordinal", "binary", "circular"]


@dataclass(frozen=True)
class EmojiAttribute:
    """Emoji that have one attribute, with its values; entry i is the same emoji in every tensor.

    Attributes:
        name: such as "skin tone".
        kind: "ordinal", whose order alone is meant; "binary", 0 or 1; "circular", an angle of 0 <= value < 360 degrees.
        low, high: what a small and a large value mean (of a circle: the values at 0 and at 180 degrees).
        stated: whether the emoji's English name says the value in a word; else only its place among the groups does.
        rows: (N,) ascending int64 rows of :func:`lab.datasets.emoji`.
        values: (N,) float32.
        family: (N,) int64: variants of one emoji share one, and belong on one side of a split.
        item_kind: (N,) int64 into ``item_kind_names``: a coarse kind of item, to be held out as a whole.
        item_kind_names: such as ("hand", "person").
    """

    name: str
    kind: AttributeKind
    low: str
    high: str
    stated: bool
    rows: Tensor
    values: Tensor
    family: Tensor
    item_kind: Tensor
    item_kind_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)


class _Item(NamedTuple):
    """What a rule sees of an emoji."""

    name: str
    group: str
    subgroup: str
    tone: int
    gender: int


Found = tuple[float, str] | None  # the value and the kind of item, or None for an emoji without the attribute

_HAPPINESS = {"face-smiling": 1, "face-affection": 1, "face-tongue": 1, "face-neutral-skeptical": 0,
              "face-unwell": -1, "face-concerned": -1, "face-negative": -1}  # fmt: skip
_HOURS = ("twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven")
_PHASES = ("new moon", "waxing crescent moon", "first quarter moon", "waxing gibbous moon", "full moon",
           "waning gibbous moon", "last quarter moon", "waning crescent moon")  # fmt: skip
_COMPASS = {"up": 0, "up-right": 45, "right": 90, "down-right": 135, "down": 180, "down-left": 225, "left": 270,
            "up-left": 315}  # fmt: skip
_BUTTONS = {"play button": 90, "fast-forward button": 90, "reverse button": 270, "fast reverse button": 270,
            "upwards button": 0, "fast up button": 0, "downwards button": 180, "fast down button": 180}  # fmt: skip
_HUES = {"red": 0, "orange": 30, "yellow": 60, "green": 120, "blue": 240, "purple": 280}
_SIZES = {"small": 1, "medium-small": 2, "medium": 3, "large": 4}
_FACING = re.compile(r"walking|kneeling|with white cane|in motorized wheelchair|in manual wheelchair|running")


def _skin_tone(item: _Item) -> Found:
    hand = item.subgroup.startswith(("hand", "body"))
    return (item.tone, "hand" if hand else "person") if item.tone > 0 else None


def _gender(item: _Item) -> Found:
    return (item.gender, item.subgroup) if item.gender >= 0 else None


def _happiness(item: _Item) -> Found:
    return (_HAPPINESS[item.subgroup], "face") if item.subgroup in _HAPPINESS else None


def _facing_right(item: _Item) -> Found:
    way = _FACING.search(item.name) if item.subgroup == "person-activity" else None
    return (float("facing right" in item.name), way.group()) if way else None


def _animal(item: _Item) -> Found:
    if item.subgroup.startswith(("animal", "plant")) or item.group == "food-drink":
        return float(item.subgroup.startswith("animal")), item.subgroup
    return None


def _vehicle(item: _Item) -> Found:
    if item.subgroup.startswith("place") or item.subgroup in ("transport-ground", "transport-water", "transport-air"):
        return float(item.subgroup.startswith("transport")), item.subgroup
    return None


def _white(item: _Item) -> Found:
    colour, _, rest = item.name.partition(" ")
    if colour not in ("black", "white") or item.subgroup not in ("geometric", "heart", "flag"):
        return None
    return float(colour == "white"), rest.split()[-1]


def _size(item: _Item) -> Found:
    found = re.search(r"\b(medium-small|medium|small|large)\b.*?(square|diamond)$", item.name)
    return (_SIZES[found[1]], found[2]) if found and item.subgroup == "geometric" else None


def _number(item: _Item) -> Found:
    found = re.fullmatch(r"keycap: (\d+)", item.name)
    return (float(found[1]), "keycap") if found else None


def _hour(item: _Item) -> Found:
    found = re.fullmatch(r"(\w+)( o.clock|-thirty)", item.name)
    if item.subgroup != "time" or not found:
        return None
    half = found[2] == "-thirty"
    return 30.0 * _HOURS.index(found[1]) + 15.0 * half, "half hour" if half else "whole hour"


def _phase(item: _Item) -> Found:
    phase = item.name.removesuffix(" face")
    return (45.0 * _PHASES.index(phase), "moon" if phase == item.name else "face") if phase in _PHASES else None


def _direction(item: _Item) -> Found:
    if item.name in _BUTTONS:
        return _BUTTONS[item.name], "button"
    patterns = {"arrow": r"([a-z-]+) arrow", "hand": r"(?:backhand )?index pointing (\w+)(?:: .*)?",
                "triangle": r"red triangle pointed (\w+)"}  # fmt: skip
    for kind, pattern in patterns.items():
        found = re.fullmatch(pattern, item.name)
        if found and found[1] in _COMPASS:
            return _COMPASS[found[1]], kind
    return None


def _hue(item: _Item) -> Found:
    found = re.fullmatch(r"(?:large |small )?(\w+) (circle|square|diamond|heart|book|apple)", item.name)
    return (_HUES[found[1]], found[2]) if found and found[1] in _HUES else None


class _Rule(NamedTuple):
    name: str
    kind: AttributeKind
    low: str
    high: str
    stated: bool
    find: Callable[[_Item], Found]


_RULES = (
    _Rule("skin tone", "ordinal", "light", "dark", True, _skin_tone),
    _Rule("happiness", "ordinal", "unhappy face", "happy face", False, _happiness),
    _Rule("size", "ordinal", "small", "large", True, _size),
    _Rule("number", "ordinal", "0", "10", True, _number),
    _Rule("gender", "binary", "female", "male", True, _gender),
    _Rule("facing right", "binary", "facing left", "facing right", True, _facing_right),
    _Rule("animal", "binary", "plant, food or drink", "animal", False, _animal),
    _Rule("vehicle", "binary", "place", "vehicle", False, _vehicle),
    _Rule("white", "binary", "black", "white", True, _white),
    _Rule("clock hour", "circular", "twelve", "six", True, _hour),
    _Rule("moon phase", "circular", "new moon", "full moon", True, _phase),
    _Rule("direction", "circular", "up", "down", True, _direction),
    _Rule("hue", "circular", "red", "cyan", True, _hue),
)


def emoji_attributes(data: Emoji | None = None) -> dict[str, EmojiAttribute]:
    """Thirteen attributes read off the names and groups of the emoji: four ordinal, five binary, four circular.

    - ordinal: "skin tone" (1 to 5), "happiness" of faces (-1, 0, 1, by subgroup), "size" of squares and diamonds (1 to
      4), "number" on keycaps (0 to 10);
    - binary: "gender" (1 male), "facing right" of people (a mirror image of the others), "animal" (against plants, food
      and drink), "vehicle" (against places), "white" (against black, of shapes, hearts and flags);
    - circular, in degrees: "clock hour" (the hour hand of 24 clock faces, clockwise from twelve), "moon phase" (from
      new moon, waxing), "direction" of arrows, buttons and pointing hands (clockwise from up), "hue" of shapes, hearts,
      books and apples (nominal angle of the colour's name on the colour wheel).

    Args:
        data: the emoji, if they are loaded already.

    Returns:
        An :class:`EmojiAttribute` by name, in the order above.

    Raises:
        DamagedData: a file is missing or changed.

    Cost: 0.4 s, most of it for loading the emoji.

    Source: the names, groups and columns of emojibase; the happiness of a face is that of its subgroup, so a smiling
    devil, whose subgroup is "face-negative", counts as unhappy.

    Relations: :func:`lab.datasets.group_split` splits by ``family``; both drawing styles of a row have its value.
    :func:`lab.datasets.varied_fashion` gives attributes that are set by hand.

    Example:
        >>> found = emoji_attributes()["clock hour"]
        >>> len(found), found.values[:3].tolist(), found.item_kind_names
        (24, [0.0, 15.0, 30.0], ('half hour', 'whole hour'))
    """
    data = emoji() if data is None else data
    items = [
        _Item(name, data.group_names[group], data.subgroup_names[subgroup], tone, gender)
        for name, group, subgroup, tone, gender in zip(
            data.names, data.group.tolist(), data.subgroup.tolist(), data.skin_tone.tolist(), data.gender.tolist(),
            strict=True)
    ]  # fmt: skip
    return {rule.name: _attribute(rule, items, data.family) for rule in _RULES}


def _attribute(rule: _Rule, items: Iterable[_Item], family: Tensor) -> EmojiAttribute:
    found = {row: value for row, item in enumerate(items) if (value := rule.find(item)) is not None}
    rows = torch.tensor(list(found))
    names = tuple(sorted({kind for _, kind in found.values()}))
    return EmojiAttribute(
        name=rule.name,
        kind=rule.kind,
        low=rule.low,
        high=rule.high,
        stated=rule.stated,
        rows=rows,
        values=torch.tensor([float(value) for value, _ in found.values()]),
        family=family[rows],
        item_kind=torch.tensor([names.index(kind) for _, kind in found.values()]),
        item_kind_names=names,
    )
