"""Figures of the page as PNG bytes that are the same at every run."""

from __future__ import annotations

from typing import Any

from lab.checkup.findings import Picture

DPI = 130


def figure(width: float = 5.2, height: float = 3.0) -> tuple[Any, Any]:
    """A figure with one panel in the lab's style; no window and no notebook output."""
    import matplotlib

    interactive = matplotlib.is_interactive()
    from lab import plots

    drawn, ax = plots.figure(width=width, height=height)
    if interactive:
        import matplotlib.pyplot as plt

        plt.close(drawn)
    return drawn, ax


def picture(drawn: Any, alt: str, caption: str = "") -> Picture:
    """The figure as a picture with its alt text; the figure is closed."""
    import matplotlib.pyplot as plt

    from lab import plots

    png = plots.rendered(drawn, DPI)
    plt.close(drawn)
    pixels = int.from_bytes(png[16:20], "big")
    return Picture(png, alt, round(pixels * 100 / DPI), caption)
