"""Emoji in two drawing styles, with names, keywords, groups, skin tones, gender, families and sentence vectors.

Needs: npm install emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0 emojibase-data@17.0.0
       (in any folder; its `node_modules` is the argument), and the Python packages in requirements.txt beside this
       file.
Run:   python data/build/emoji.py NODE_MODULES

An emoji is taken if both styles draw it; the bare swatches of skin tones and one wrong flag are left out. The pictures
(64 x 64 with transparency) are laid on white and halved by the mean of 2 x 2 pixels, in whole numbers. Texts are the
English names and keywords of emojibase; a variant has the keywords of its base.

A family holds what should stay on one side of a split: variants in skin tone, gender, hair and direction, the few
counterparts with code points of their own (prince, princess), and emoji whose pictures agree in every pixel of a style
(the flags of Norway and of Svalbard).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import texts
from packing import declare, npm_version, out_folder, require, write_csv, write_npz
from PIL import Image

STYLES = {"google": "emoji-datasource-google", "twitter": "emoji-datasource-twitter"}
VERSIONS = {"emoji-datasource-google": "16.0.0", "emoji-datasource-twitter": "16.0.0", "emojibase-data": "17.0.0"}
COLUMNS = ["hexcode", "name", "keywords", "group", "subgroup", "skin_tone", "second_skin_tone", "gender", "family"]

# Version 16.0.0 of the google style draws the flag of Saudi Arabia for Sark.
WRONG = {"1F1E8-1F1F6"}
FEMALE = {"woman", "women", "girl", "princess", "mermaid", "Mrs."}
MALE = {"man", "men", "boy", "prince", "merman"}
TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
# Dropped from a code sequence: joiner, female and male sign, four kinds of hair, "facing right".
DROPPED = TONES | {"FE0F", "200D", "2640", "2642", "1F9B0", "1F9B1", "1F9B2", "1F9B3", "27A1"}
# Man and woman become person; boy and girl become child.
NEUTRAL = {"1F468": "1F9D1", "1F469": "1F9D1", "1F466": "1F9D2", "1F467": "1F9D2"}
# Counterparts that no code point ties together.
TOGETHER = [
    ("1F934", "1F478", "1FAC5"),  # prince, princess, person with crown
    ("1F385", "1F936", "1F9D1-1F384"),  # Santa Claus, Mrs. Claus, Mx Claus
    ("1F483", "1F57A"),  # woman and man dancing
    ("1F474", "1F475", "1F9D3"),  # old man, old woman, older person
    ("1F930", "1FAC3", "1FAC4"),  # pregnant woman, man, person
    ("1F46B", "1F46C", "1F46D", "1F9D1-1F91D-1F9D1"),  # holding hands
    ("1F48F", "1F9D1-2764-1F48B-1F9D1"),  # kiss
    ("1F491", "1F9D1-2764-1F9D1"),  # couple with heart
    ("1F46A", "1F9D1-1F9D1-1F9D2"),  # family
]


@dataclass(frozen=True)
class Emoji:
    hexcode: str
    base: str
    name: str
    keywords: tuple[str, ...]
    group: str
    subgroup: str
    tones: tuple[int, int]
    gender: int


def plain(hexcode: str) -> str:
    """Code points without the variation selector, which sources write or leave out."""
    return "-".join(part for part in hexcode.upper().split("-") if part != "FE0F")


def concept(hexcode: str) -> str:
    """Code points without tone, gender, hair and direction."""
    rest = "-".join(NEUTRAL.get(part, part) for part in hexcode.split("-") if part not in DROPPED)
    return rest or hexcode  # the female sign, the male sign and the arrow stand on their own


def gender_of(name: str, group: str) -> int:
    """0 female, 1 male by the words of the name, -1 where neither or both are said."""
    said = set(name.replace(":", " ").replace(",", " ").split()) if group == "people-body" else set()
    female, male = bool(said & FEMALE), bool(said & MALE)
    return -1 if female == male else int(male)


def read_emojibase(folder: Path) -> dict[str, Emoji]:
    """Every emoji and variant, by plain code points, in the order of emojibase."""
    names = json.loads((folder / "meta/groups.json").read_text(encoding="utf-8"))
    found = {}
    for base in json.loads((folder / "en/data.json").read_text(encoding="utf-8")):
        if "group" not in base:
            continue
        group, subgroup = names["groups"][str(base["group"])], names["subgroups"][str(base["subgroup"])]
        for item in (base, *base.get("skins", [])):
            tone = item.get("tone", 0)
            tones = (tone, tone) if isinstance(tone, int) else (tone[0], tone[1])
            gender = gender_of(item["label"], group)
            if item.get("gender", gender) != gender:
                raise SystemExit(f"{item['label']}: emojibase gives another gender than the name")
            found[plain(item["hexcode"])] = Emoji(
                hexcode=plain(item["hexcode"]),
                base=plain(base["hexcode"]),
                name=item["label"],
                keywords=tuple(base.get("tags", ())),
                group=group,
                subgroup=subgroup,
                tones=tones,
                gender=gender,
            )
    return found


def read_pictures(node_modules: Path, style: str) -> dict[str, Path]:
    """Path of the picture of each emoji and variant a style draws, by plain code points."""
    package = node_modules / STYLES[style]
    found = {}
    for item in json.loads((package / "emoji.json").read_text(encoding="utf-8")):
        for variant in (item, *item.get("skin_variations", {}).values()):
            if variant[f"has_img_{style}"]:
                found[plain(variant["unified"])] = package / f"img/{style}/64" / variant["image"]
    return found


def on_white(path: Path) -> np.ndarray:
    """Picture as (32, 32, 3) bytes: on white, each pixel the rounded mean of 2 x 2."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGBA"), dtype=np.int64)
    if pixels.shape != (64, 64, 4):
        raise SystemExit(f"{path}: 64 x 64 pixels expected, found {pixels.shape[:2]}")
    colour, alpha = pixels[..., :3], pixels[..., 3:]
    # 255 times the picture on white, summed over 2 x 2 pixels, divided by 4 * 255 with rounding.
    white = (colour * alpha + 255 * (255 - alpha)).reshape(32, 2, 32, 2, 3).sum(axis=(1, 3))
    return ((white + 510) // 1020).astype(np.uint8)


def families(items: Sequence[Emoji], pictures: Sequence[np.ndarray]) -> list[int]:
    """Number of each emoji's family, counted in the order of their first members."""
    root = list(range(len(items)))

    def find(index: int) -> int:
        while root[index] != index:
            index = root[index]
        return index

    first: dict[object, int] = {}

    def tie(key: object, index: int) -> None:
        one, other = sorted((find(index), find(first.setdefault(key, index))))
        root[other] = one

    alias = {code: codes[0] for codes in TOGETHER for code in codes}
    for index, item in enumerate(items):
        tie(("base", item.base), index)
        code = concept(item.hexcode)
        tie(("concept", alias.get(code, code)), index)
        if item.name.startswith("family"):
            tie("family", index)
        for style, stack in enumerate(pictures):
            tie((style, stack[index].tobytes()), index)
    numbers: dict[int, int] = {}
    return [numbers.setdefault(find(index), len(numbers)) for index in range(len(items))]


def main() -> None:
    arguments = out_folder(__doc__, node_modules=True)
    out, node_modules = arguments.out, arguments.node_modules
    source = {
        name: "npm " + require(name, npm_version(node_modules, name), wanted) for name, wanted in VERSIONS.items()
    }
    model = texts.source()
    known = read_emojibase(node_modules / "emojibase-data")
    drawn = {style: read_pictures(node_modules, style) for style in STYLES}
    usable = {code for code in known if code not in WRONG and all(code in pictures for pictures in drawn.values())}
    items = [e for code, e in known.items() if code in usable and e.group != "component"]
    pictures = {style: np.stack([on_white(drawn[style][e.hexcode]) for e in items]) for style in STYLES}
    family = families(items, list(pictures.values()))
    if len({item.name for item in items}) != len(items):
        raise SystemExit("two emoji share a name")

    for style, images in pictures.items():
        write_npz(out / f"emoji/{style}.npz", {"images": images})
    rows = [
        (e.hexcode, e.name, "|".join(e.keywords), e.group, e.subgroup, *e.tones, e.gender, number)
        for e, number in zip(items, family, strict=True)
    ]
    write_csv(out / "emoji/emoji.csv", COLUMNS, rows)
    vectors = {
        "name": texts.text_vectors([e.name for e in items]),
        "text": texts.text_vectors([", ".join((e.name, *e.keywords)) for e in items]),
    }
    write_npz(out / "emoji/vectors.npz", vectors)

    google, twitter, base = (source[name] for name in VERSIONS)
    size = f"{len(items):,} emoji, 32 x 32 RGB on white"
    declare(
        out,
        dataset="emoji",
        script="emoji.py",
        files={
            "emoji/google.npz": (f"{size}, Noto style", google, "Apache-2.0 (licences/noto-emoji.txt)"),
            "emoji/twitter.npz": (f"{size}, Twemoji style", twitter, "CC-BY-4.0 (licences/twemoji.txt)"),
            "emoji/emoji.csv": (
                "names, keywords, groups, skin tones, gender, families",
                base,
                "MIT (licences/emojibase.txt)",
            ),
            "emoji/vectors.npz": (
                "384-d vectors of the name, and of name and keywords",
                f"{base}; {model}",
                "MIT (licences/emojibase.txt); Apache-2.0 (licences/minilm.txt)",
            ),
        },
    )


if __name__ == "__main__":
    main()
