"""The picture on a notebook's card: one figure of its run, made small."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

WIDTH, HEIGHT = 640, 400


def figure(executed: Mapping[str, Any], cell: str) -> bytes | None:
    """The PNG a run drew: the last one of the cell with the id `cell`, else the last one of the notebook.

    Args:
        executed: an executed notebook.
        cell: a cell's id, or "".
    """
    last = chosen = None
    for one in executed["cells"]:
        for output in one.get("outputs", ()):
            data = output.get("data", {}).get("image/png")
            if data:
                last = "".join(data)
                if one.get("id") == cell:
                    chosen = last
    picture = chosen or last
    return base64.b64decode(picture) if picture else None


def fitted(png: bytes) -> Picture | None:
    """A picture that fits into 640 x 400 pixels on its own background colour; None when it is no picture."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png)) as opened:
            opened.load()
            image: Image.Image = opened.convert("RGBA")
    except OSError:
        return None
    paper = Image.new("RGBA", image.size, (255, 255, 255, 255))
    paper.alpha_composite(image)
    flat = paper.convert("RGB")
    flat.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    # the figure's own ground continues to the card's edges
    canvas = Image.new("RGB", (WIDTH, HEIGHT), flat.getpixel((0, 0)))
    canvas.paste(flat, ((WIDTH - flat.width) // 2, (HEIGHT - flat.height) // 2))
    return canvas


def encoded(picture: Picture, colours: int, **options: Any) -> bytes:
    """A picture as PNG with a palette of `colours`; `options` go to the encoder.

    The palette covers the colours that are there, however few pixels have them: one that goes by numbers of pixels
    spends itself on the ground and gives thin lines the colours of their neighbours.
    """
    from PIL import Image

    flat = picture.quantize(colours, method=Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    flat.save(buffer, "PNG", optimize=True, **options)
    return buffer.getvalue()


def shrink(png: bytes) -> bytes | None:
    """A picture as PNG of 640 x 400 pixels on its own background colour; None when it is no picture."""
    picture = fitted(png)
    return None if picture is None else encoded(picture, 128)
