"""Figures of one style: titles, units, intervals, alt text, and colours that colour-blind readers can tell apart.

A figure is an opaque, near-white panel with dark ink, so that it reads the same on a light and on a dark page.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Okabe and Ito's colours, without the yellow, which vanishes on a light panel; markers repeat the distinction in shape.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#5A5A5A", "#6A3D9A", "#8C564B", "#1B1B1B")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
PANEL, INK, GRID = "#FCFCFB", "#24292F", "#DADDE1"

_STYLE: dict[str, Any] = {
    "figure.facecolor": PANEL,
    "axes.facecolor": PANEL,
    "savefig.facecolor": PANEL,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8B929A",
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": True,
    "legend.framealpha": 0.85,
    "legend.facecolor": PANEL,
    "legend.edgecolor": GRID,
    "font.family": "DejaVu Sans",
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "none",
}


def figure(
    columns: int = 1,
    rows: int = 1,
    *,
    width: float | None = None,
    height: float = 3.2,
    title: str | None = None,
    **axes: Any,
) -> tuple[Any, Any]:
    """A figure and its axes in the lab's style, which matplotlib keeps for the rest of the process.

    Args:
        columns, rows: panels.
        width: inches; by default 5.2 for one column, 4.1 a column otherwise.
        height: inches a row.
        title: line above all panels.
        axes: passed to ``matplotlib.pyplot.subplots`` (``sharey=True``, ``subplot_kw=...``).

    Returns:
        (figure, axes); axes as from ``subplots``.

    Relations: ``show`` displays it with its alt text and closes it.
    """
    import matplotlib.pyplot as plt
    from cycler import cycler

    # Texts and legends read the style when they are made, after this call, so it has to last.
    style: Any = {**_STYLE, "axes.prop_cycle": cycler(color=COLOURS)}
    plt.rcParams.update(style)
    size = (width or (5.2 if columns == 1 else 4.1 * columns), height * rows)
    drawn, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", **axes)
    if title:
        drawn.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left", color=INK)
    return drawn, panels


def show(drawn: Any, alt: str, *, dpi: int = 130) -> None:
    """Display a figure as PNG with its alt text, and close it.

    Args: as :func:`bundle`, which makes what is displayed.

    Raises:
        ValueError: alt text missing or too short to say anything.
    """
    from IPython.display import display

    data, metadata = bundle(drawn, alt, dpi=dpi)
    display(data, metadata=metadata, raw=True)


def bundle(drawn: Any, alt: str, *, dpi: int = 130) -> tuple[dict[str, str], dict[str, Any]]:
    """A figure as the data and metadata a notebook displays; the figure is closed.

    Args:
        drawn: a matplotlib figure.
        alt: what a reader who cannot see it should know, in one or two sentences; at least 20 characters.
        dpi: dots per inch of the file; it is shown at 72 dots per inch, so it stays sharp on dense screens.

    Returns:
        The PNG, an HTML element with it, and the alt text as plain text; and the metadata of the PNG.

    Raises:
        ValueError: alt text missing or too short to say anything.

    Example:
        >>> drawn, ax = figure()
        >>> list(bundle(drawn, "Axes without anything in them.")[0])
        ['image/png', 'text/html', 'text/plain']
    """
    import matplotlib.pyplot as plt

    if not isinstance(alt, str) or len(alt.strip()) < 20:
        raise ValueError(f"alt must describe the figure in a sentence (at least 20 characters), got {alt!r}")
    png = rendered(drawn, dpi)
    plt.close(drawn)
    width = round(int.from_bytes(png[16:20], "big") * 84 / dpi)
    data = base64.b64encode(png).decode("ascii")
    # JupyterLab drops the alt text of a bare PNG, so it gets an element that has one; others take the PNG.
    element = f'<img alt="{html.escape(alt)}" width="{width}" src="data:image/png;base64,{data}">'
    return {"image/png": data, "text/html": element, "text/plain": alt}, {"image/png": {"alt": alt, "width": width}}


def rendered(drawn: Any, dpi: int) -> bytes:
    """A figure as PNG, cut to what is drawn and a margin of 0.12 inches; the same bytes at every run.

    The bytes of ``savefig`` with ``bbox_inches="tight"`` and ``pad_inches=0.12``, which draws all of it once more to
    find the layout.

    Args:
        drawn: a matplotlib figure; it has this resolution and a fixed layout afterwards.
        dpi: dots per inch.

    Relations: ``bundle`` adds the alt text and closes the figure.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = drawn.canvas if isinstance(drawn.canvas, FigureCanvasAgg) else FigureCanvasAgg(drawn)
    drawn.set_dpi(dpi)
    if engine := drawn.get_layout_engine():
        engine.execute(drawn)
        drawn.set_layout_engine(None)
    box = drawn.get_tightbbox(canvas.get_renderer()).padded(0.12)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format="png", dpi=dpi, bbox_inches=box, metadata={"Software": None})
    return buffer.getvalue()


def interval(samples: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over the first axis with Student's t interval: (mean, low, high), each of the remaining shape.

    Args:
        samples: (S, ...) one row a seed, S >= 1; with S = 1 the interval has no width.
        confidence: share, between 0 and 1.

    Example:
        >>> mean, low, high = interval([[1.0], [3.0]])
        >>> round(float(high[0] - mean[0]), 3)
        12.706
    """
    from scipy import stats

    x = np.asarray(samples, dtype=float)
    if x.ndim == 0 or x.shape[0] < 1 or not np.isfinite(x).all():
        raise ValueError("samples must be finite and have one row a seed")
    mean = x.mean(0)
    if x.shape[0] == 1:
        return mean, mean, mean
    half = stats.t.ppf(0.5 + confidence / 2, x.shape[0] - 1) * x.std(0, ddof=1) / np.sqrt(x.shape[0])
    return mean, mean - half, mean + half


def band(ax: Any, x: ArrayLike, samples: ArrayLike, label: str | None = None, *, index: int = 0, **line: Any) -> None:
    """A line through the means over seeds, with their 95 % interval as a band.

    Args:
        ax: matplotlib axes.
        x: (K,) positions.
        samples: (S, K), one row a seed.
        label: for the legend.
        index: which colour and marker of the cycle.
        line: passed to ``ax.plot``.
    """
    mean, low, high = interval(samples)
    colour = line.pop("color", COLOURS[index % len(COLOURS)])
    line.setdefault("marker", MARKERS[index % len(MARKERS)])
    ax.plot(x, mean, label=label, color=colour, **line)
    ax.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)


def bars(ax: Any, names: Sequence[str], samples: ArrayLike, *, colours: Sequence[str] | None = None) -> None:
    """One point a condition with its 95 % interval, and every seed as a small dot beside it.

    Args:
        ax: matplotlib axes.
        names: K conditions.
        samples: (S, K), one row a seed. For conditions with different numbers of seeds: :func:`mark` for each.
        colours: K colours; the cycle by default.
    """
    columns = np.asarray(samples, dtype=float).T
    for i, name in enumerate(names):
        mark(ax, i, columns[i], index=i, colour=(colours or COLOURS)[i % len(colours or COLOURS)], label=name)
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.5, len(names) - 0.5)


def mark(
    ax: Any, x: float, values: ArrayLike, *, index: int = 0, colour: str | None = None, label: str | None = None
) -> None:
    """The mean of one condition at `x` with its 95 % interval, and every seed as a small dot beside it.

    Args:
        ax: matplotlib axes.
        x: place on the horizontal axis.
        values: (S,), one a seed.
        index: of the marker, and of the colour where none is given, in their cycles.
        colour: of all of it.
        label: for a legend.
    """
    mean, low, high = interval(values)
    colour = colour or COLOURS[index % len(COLOURS)]
    ax.errorbar([x], [mean], yerr=[[mean - low], [high - mean]], fmt=MARKERS[index % len(MARKERS)], color=colour,
                capsize=4, label=label, zorder=3)  # fmt: skip
    ax.plot(np.full(len(np.asarray(values)), x + 0.18), values, ".", color=colour, alpha=0.45, markersize=4)


def points(ax: Any, xy: ArrayLike, labels: ArrayLike, names: Sequence[str] | None = None, *, size: float = 8) -> None:
    """A scatter of 2-d points coloured by class, with a legend where there are names."""
    xy, labels = np.asarray(xy, dtype=float), np.asarray(labels)
    for i, label in enumerate(np.unique(labels)):
        chosen = labels == label
        ax.scatter(*xy[chosen].T, s=size, color=COLOURS[i % len(COLOURS)], alpha=0.75, linewidths=0,
                   marker=MARKERS[i % len(MARKERS)], label=None if names is None else names[i])  # fmt: skip
    if names is not None:
        ax.legend(markerscale=2, ncols=1 if len(names) <= 10 else 2, bbox_to_anchor=(1, 1), loc="upper left")


def circle(ax: Any, xy: ArrayLike, labels: ArrayLike, names: Sequence[str] | None = None) -> None:
    """Unit vectors in the plane on their circle, each class on a slightly different radius so none hides another."""
    xy, labels = np.asarray(xy, dtype=float), np.asarray(labels)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(f"xy must have shape (N, 2), got {xy.shape}")
    turn = np.linspace(0, 2 * np.pi, 200)
    ax.plot(np.cos(turn), np.sin(turn), color="#8B929A", linewidth=0.8)
    _, order = np.unique(labels, return_inverse=True)
    unit = xy / np.linalg.norm(xy, axis=1, keepdims=True)
    points(ax, unit * (1.05 + 0.06 * order)[:, None], labels, names, size=5)
    ax.set_aspect("equal")
    ax.axis("off")


def umap_map(embeddings: ArrayLike, *, seed: int, neighbours: int = 15) -> np.ndarray:
    """A UMAP map of the rows by cosine distance: (N, 2), the same for the same seed.

    Neighbourhoods are kept, distances between far groups are not: read which points lie together, not how far.

    Args:
        embeddings: (N, d), N > neighbours.
        seed: of the layout.
        neighbours: how local the map is.

    Raises:
        ValueError: too few rows, NaN or infinity.

    Cost: seconds for thousands of rows.
    """
    import warnings

    x = np.asarray(embeddings, dtype=np.float32)
    if x.ndim != 2 or x.shape[0] <= neighbours:
        raise ValueError(f"embeddings must have shape (N, d) with N > {neighbours}, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("embeddings holds NaN or infinity")
    import torch

    threads = torch.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import umap

            return np.asarray(
                umap.UMAP(n_neighbors=neighbours, metric="cosine", random_state=seed, n_jobs=1).fit_transform(x)
            )
    finally:
        # numba sets the number of OpenMP threads of the whole process when it first runs in parallel, torch's included
        torch.set_num_threads(threads)
