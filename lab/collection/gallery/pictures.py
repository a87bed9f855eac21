"""``notebooks/pictures/``: a thumbnail and a drawing of the claims of every notebook, for readers who run nothing.

The thumbnail carries a mark of the ledger rows it was made with, so that a picture of one run beside numbers of another
is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from lab.collection import ledger
from lab.collection.files import write
from lab.collection.gallery import sources, thumbnail
from lab.collection.gallery.bars import rule_text, shapes, spread
from lab.collection.gallery.sources import ClaimRow

FOLDER = "notebooks/pictures"
LARGEST = 30_000  # bytes of a thumbnail
_MARK = "lab-ledger"
_SIGNS = {"supported": "✓", "refuted": "✕", "inconclusive": "≈"}
_STYLE = """
text{font:13px system-ui,sans-serif;fill:#24292f}.sign{font-weight:700}.number{fill:#57606a}
.rule{fill:#d5e5f3}.limit{stroke:#6f9dc4;stroke-width:1.5}.axis{stroke:#57606a;stroke-opacity:.5}
.interval{stroke:#24292f;stroke-width:3;stroke-linecap:round}.value{fill:#24292f}
.control{fill:#fff;stroke:#57606a;stroke-width:1.6}.ground{fill:#fcfcfb}
.supported{fill:#0a67a3}.refuted{fill:#b8420f}.inconclusive{fill:#6b6357}
@media(prefers-color-scheme:dark){text{fill:#e6e9ec}.number{fill:#a3abb5}.rule{fill:#24405a}.limit{stroke:#7fb0dc}
.interval{stroke:#e6e9ec}.value{fill:#e6e9ec}.axis{stroke:#a3abb5}.control{fill:#171b20;stroke:#a3abb5}.ground{fill:#171b20}
.supported{fill:#7fb8e6}.refuted{fill:#ef9a76}.inconclusive{fill:#c4bba9}}
"""


def path(root: Path, name: str, suffix: str) -> Path:
    """Where the picture of the notebook `name` (``theme/slug``) lies; `suffix` is ``.png`` or ``.svg``."""
    return Path(root) / FOLDER / f"{name}{suffix}"


def mark(rows: Iterable[ledger.Row]) -> str:
    """A short hash of what the ledger says of one notebook: its claims, their values and the run they come from."""
    told = sorted((row["key"], row["value"], row["low"], row["high"], row["verdict"], row["code"]) for row in rows)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def mark_of(png: Path) -> str:
    """The mark a thumbnail carries; empty where it has none or is no picture."""
    from PIL import Image

    try:
        with Image.open(png) as image:
            return str(image.info.get(_MARK, ""))
    except OSError:
        return ""


def update(root: Path) -> bool:
    """Bring the pictures up to date with ledger and runs; returns whether a file changed.

    A thumbnail is made where the very run that stands in the ledger lies in ``build/runs/``; else it stays as it is.
    Drawings need the ledger alone. Pictures of notebooks that are gone are removed.

    Raises:
        ValueError: a damaged ledger.
    """
    root = Path(root)
    recorded: dict[str, list[ledger.Row]] = {}
    for key, row in ledger.read(root).items():
        recorded.setdefault(key.partition("#")[0], []).append(row)
    claims: dict[str, list[ClaimRow]] = {}
    for claim in sources.ledger(root):
        claims.setdefault(claim.notebook, []).append(claim)
    changed, kept = False, set()
    for book in sources.notebooks(root):
        if book.name not in recorded:
            continue
        png, svg = path(root, book.name, ".png"), path(root, book.name, ".svg")
        kept |= {png, svg}
        svg.parent.mkdir(parents=True, exist_ok=True)
        changed |= write(svg, drawing(claims[book.name]))
        wanted = mark(recorded[book.name])
        executed = root / "build" / "runs" / recorded[book.name][0]["code"] / "executed.ipynb"
        if mark_of(png) != wanted and executed.is_file():
            figure = thumbnail.figure(json.loads(executed.read_bytes()), book.thumbnail)
            small = reduced(figure, wanted) if figure else None
            changed |= bool(small) and write(png, small or b"")
    for old in (root / FOLDER).glob("*/*"):
        if old.suffix in (".png", ".svg") and old not in kept:
            old.unlink()
            changed = True
    return changed


def reduced(png: bytes, told: str) -> bytes | None:
    """A figure as a thumbnail of at most `LARGEST` bytes that carries the mark `told`; None when it is no picture."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = thumbnail.fitted(png)
    if picture is None:
        return None
    about = PngInfo()
    about.add_text(_MARK, told)
    for width, colours in ((480, 64), (480, 32), (400, 32), (320, 16), (240, 8)):
        size = (width, round(width * picture.height / picture.width))
        small = thumbnail.encoded(picture.resize(size, Image.Resampling.LANCZOS), colours, pnginfo=about)
        if len(small) <= LARGEST:
            break
    return small


def drawing(rows: Sequence[ClaimRow]) -> str:
    """The claims of a notebook as an SVG: sign of the verdict, short name, interval beside the rule, numbers."""
    high, bar = 30, 200
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {high * len(rows) + 12}" width="860" '
        f'height="{high * len(rows) + 12}" role="img"><style>{_STYLE}</style>',
        f'<rect class="ground" width="860" height="{high * len(rows) + 12}" rx="8"/>',
    ]
    for i, row in enumerate(rows):
        y = 6 + high * i
        told = f"{spread(row)} · rule {rule_text(row)}"
        parts += [
            f'<text class="sign {escape(row.verdict)}" x="14" y="{y + 20}">{_SIGNS.get(row.verdict, "–")}</text>',
            f'<text x="34" y="{y + 20}">{escape(row.slug)}</text>',
            f'<g transform="translate(330 {y + 2})">{"".join(shapes(row, bar, 26))}</g>',
            f'<text class="number" x="550" y="{y + 20}">{escape(told)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
