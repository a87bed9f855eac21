"""Maps of the rows: one UMAP layout, coloured by label, by how often rows are found, and by local dimension."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lab.checkup.compiled import keep_compiled
from lab.checkup.findings import Picture, short
from lab.checkup.material import Material
from lab.checkup.phenomenon_labels import clipped
from lab.checkup.pictures import figure, picture
from lab.plots import COLOURS, MARKERS

LEAST_ROWS = 30
NEIGHBOURS = 15
NAMED = 9


def draw(material: Material, local: torch.Tensor) -> tuple[Picture, ...]:
    """Two or three pictures of the same layout; none where there are too few rows for a map."""
    from lab.plots import umap_map

    at = material.map_rows
    if len(at) < LEAST_ROWS:
        return ()
    keep_compiled()
    xy = umap_map(material.unit[at].numpy(), seed=material.seed, neighbours=NEIGHBOURS)
    made = []
    if material.labels is not None:
        made.append(_by_label(material, xy, material.labels[at].numpy()))
    counts = material.counts[at].numpy().astype(float)
    made.append(
        _by_number(
            xy,
            np.log1p(counts),
            "How often is a row found?",
            f"lists of {material.k} that name the row",
            np.expm1,
            f"Map of {len(at):,} rows coloured by how many neighbour lists name them, up to "
            f"{short(float(counts.max()))}.",
        )
    )
    known = local[at].numpy()
    if np.isfinite(known).any():
        level = np.where(np.isfinite(known), known, np.nanmedian(known))
        low, high = np.quantile(level, [0.02, 0.98])
        made.append(
            _by_number(
                xy,
                np.clip(level, low, high),
                "How many ways to differ, where?",
                "local dimension",
                None,
                f"Map of {len(at):,} rows coloured by local dimension, mostly {short(float(low))} to "
                f"{short(float(high))}.",
            )
        )
    return tuple(made)


def _panel(title: str) -> tuple[Any, Any]:
    drawn, ax = figure(width=4.4, height=4.2)
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return drawn, ax


def _by_label(material: Material, xy: np.ndarray, labels: np.ndarray) -> Picture:
    counts = np.bincount(labels, minlength=len(material.label_names))
    named = np.argsort(-counts, kind="stable")[:NAMED]
    drawn, ax = _panel("Which class lies where?")
    rest = ~np.isin(labels, named)
    if rest.any():
        ax.scatter(*xy[rest].T, s=4, color="#B9BFC6", linewidths=0, label="other classes")
    for i, label in enumerate(named.tolist()):
        chosen = labels == label
        if chosen.any():
            ax.scatter(
                *xy[chosen].T,
                s=7,
                color=COLOURS[i],
                marker=MARKERS[i],
                alpha=0.8,
                linewidths=0,
                label=clipped(material.label_names[label], 22),
            )
    legend = ax.legend(markerscale=2, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.01), fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
    names = ", ".join(material.label_names[i] for i in named[:5].tolist())
    return picture(drawn, f"Map of {len(xy):,} rows coloured by class; the commonest are {names}.")


def _by_number(xy: np.ndarray, level: np.ndarray, title: str, what: str, back: Any, alt: str) -> Picture:
    drawn, ax = _panel(title)
    order = np.argsort(level, kind="stable")
    points = ax.scatter(*xy[order].T, s=6, c=level[order], cmap="cividis_r", linewidths=0, alpha=0.85)
    bar = drawn.colorbar(points, ax=ax, orientation="horizontal", fraction=0.05, pad=0.02)
    bar.set_label(what)
    if back is not None:
        ticks = [t for t in (0, 1, 3, 10, 30, 100, 300, 1000, 3000, 10000) if np.log1p(t) <= level.max()]
        bar.set_ticks([float(np.log1p(t)) for t in ticks], labels=[f"{t:,}" for t in ticks])
    return picture(drawn, alt)
