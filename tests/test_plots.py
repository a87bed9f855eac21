"""Figures carry alt text, intervals are Student's, maps repeat, colours stay apart."""

import base64
import io
from xml.etree import ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image
from scipy import stats

from lab import plots
from lab.checkup.compiled import keep_compiled


@pytest.fixture
def shown(monkeypatch):
    """What ``show`` hands to the front end."""
    caught = []
    monkeypatch.setattr("IPython.display.display", lambda *args, **kwargs: caught.append((args, kwargs)))
    return caught


def test_a_figure_is_shown_as_png_with_its_alt_text_and_closed(shown):
    fig, ax = plots.figure(title="One line")
    ax.plot([0, 1])
    plots.show(fig, "A line that rises from zero to one.")
    (bundle,), options = shown[0]
    picture = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert picture.format == "PNG" and picture.width > options["metadata"]["image/png"]["width"] > 300
    assert options["metadata"]["image/png"]["alt"] == bundle["text/plain"] == "A line that rises from zero to one."
    assert not plt.fignum_exists(fig.number)


def test_a_figure_comes_as_an_element_with_alt_text_too(shown):
    fig, ax = plots.figure()
    ax.plot([0, 1])
    plots.show(fig, 'A "line" that rises from <zero> to one & stays.')
    (bundle,), _ = shown[0]
    (image,) = ElementTree.fromstring(f"<p>{bundle['text/html'].replace('>', '/>')}</p>").iter("img")
    assert image.get("alt") == bundle["text/plain"]
    assert image.get("src") == f"data:image/png;base64,{bundle['image/png']}"


def test_the_same_figure_gives_the_same_bytes(shown):
    for _ in range(2):
        fig, ax = plots.figure()
        plots.band(ax, [1, 2], [[1.0, 2.0], [1.5, 2.5]], "a")
        plots.show(fig, "Two points with their interval band.")
    assert shown[0][0][0]["image/png"] == shown[1][0][0]["image/png"]


def lines(rows=1, columns=2, **axes):
    """Panels with lines whose labels are long or need setting."""
    fig, panels = plots.figure(columns, rows, title="All panels", **axes)
    for k, ax in enumerate(np.ravel(panels)):
        ax.plot([1, 10, 1000], [1e-7 * (k + 1), 2, 3], label=f"$\\lambda = {k}$")
        ax.set(title="A title", xlabel="dimensions", ylabel="a label of some length")
    return fig, np.ravel(panels)


def with_legend_outside():
    fig, panels = lines()
    panels[0].set_xscale("log")
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center")
    return fig


def with_colours_and_a_note_beyond():
    fig, panels = lines(2, 2, sharey=True)
    fig.colorbar(panels[1].imshow(np.eye(9)), ax=panels[1], label="value")
    panels[3].text(1.4, 0.5, "beyond the panel", transform=panels[3].transAxes, in_layout=False)
    panels[2].legend()
    return fig


def without_layout():
    fig, ax = plt.subplots()
    ax.plot([0, 1], label="plain")
    ax.legend()
    return fig


@pytest.mark.parametrize(
    "make",
    [
        with_legend_outside,
        with_colours_and_a_note_beyond,
        without_layout,
        lambda: lines(subplot_kw={"projection": "polar"})[0],
    ],
)
@pytest.mark.parametrize("dpi", [72, 130])
def test_a_picture_is_the_one_that_matplotlib_saves(make, dpi):
    buffer = io.BytesIO()
    make().savefig(buffer, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.12, metadata={"Software": None})
    fig = make()
    assert plots.rendered(fig, dpi) == buffer.getvalue()
    plt.close("all")


def test_a_picture_needs_no_canvas_of_pixels():
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    plain, other = with_legend_outside(), with_legend_outside()
    FigureCanvasSVG(other)
    assert plots.rendered(other, 100) == plots.rendered(plain, 100)
    plt.close("all")


@pytest.mark.parametrize("alt", ["", "too short", None])
def test_a_figure_without_alt_text_is_refused(alt, shown):
    fig, _ = plots.figure()
    with pytest.raises(ValueError, match="alt must describe the figure"):
        plots.show(fig, alt)
    assert not shown


def test_the_interval_is_scipys_t_interval():
    samples = np.random.default_rng(0).normal(size=(7, 3))
    mean, low, high = plots.interval(samples)
    for k in range(3):
        expected = stats.t.interval(0.95, 6, loc=samples[:, k].mean(), scale=stats.sem(samples[:, k]))
        assert (low[k], high[k]) == pytest.approx(expected)
        assert mean[k] == pytest.approx(samples[:, k].mean())


def test_bands_and_points_stand_where_the_interval_says():
    samples = np.array([[1.0, 4.0], [2.0, 6.0], [3.0, 8.0]])
    _, low, high = plots.interval(samples)
    fig, ax = plots.figure()
    plots.band(ax, [10, 20], samples, "a")
    corners = ax.collections[0].get_paths()[0].vertices
    for x, lo, hi in zip((10, 20), low, high, strict=True):
        at = corners[corners[:, 0] == x, 1]
        assert (at.min(), at.max()) == pytest.approx((lo, hi))
    plt.close(fig)
    fig, ax = plots.figure()
    plots.bars(ax, ["one", "two"], samples)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["one", "two"]
    plots.mark(ax, 2, samples[:2, 0], index=2)
    drawn = [container.lines[2][0].get_segments()[0] for container in ax.containers]
    fewer = plots.interval(samples[:2, 0])
    for x, segment, ends in zip(range(3), drawn, [*zip(low, high, strict=True), fewer[1:]], strict=True):
        assert segment.tolist() == [[x, pytest.approx(ends[0])], [x, pytest.approx(ends[1])]]
    dots = [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "."]
    assert dots == [[1, 2, 3], [4, 6, 8], [1, 2]]
    plt.close(fig)


def test_samples_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="samples must be finite"):
        plots.interval([[1.0], [np.nan]])


def _seen_without(colour, cone):
    """A colour as a reader without one kind of cone sees it (Vienot, Brettel and Mollon 1999), in linear RGB."""
    rgb = np.array(to_rgb(colour)) ** 2.2
    to_lms = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    lms = to_lms @ rgb
    if cone == "L":
        lms[0] = 2.02344 * lms[1] - 2.52581 * lms[2]
    if cone == "M":
        lms[1] = 0.494207 * lms[0] + 1.24827 * lms[2]
    return np.clip(np.linalg.inv(to_lms) @ lms, 0, 1) ** (1 / 2.2)


@pytest.mark.parametrize("cone", ["none", "L", "M"])
def test_the_first_five_colours_stay_apart_for_colour_blind_readers(cone):
    seen = [_seen_without(c, cone) for c in plots.COLOURS[:5]]
    gaps = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(gaps) > 0.12
    # The same measure tells that pure red and a green of its lightness do not.
    if cone == "M":
        assert np.linalg.norm(_seen_without("#ff0000", "M") - _seen_without("#a1a100", "M")) < 0.12


def test_lines_of_one_figure_differ_in_shape_as_well_as_in_colour():
    assert len(set(plots.MARKERS)) == len(plots.MARKERS) == len(plots.COLOURS) == len(set(plots.COLOURS))


def test_a_circle_keeps_angles_and_gives_each_class_a_ring():
    fig, ax = plots.figure()
    plots.circle(ax, [[3.0, 0.0], [0.0, 0.5], [-2.0, 0.0]], [0, 1, 1], ["a", "b"])
    drawn = [collection.get_offsets() for collection in ax.collections]
    assert np.arctan2(*drawn[1][0][::-1]) == pytest.approx(np.pi / 2)
    radii = [np.linalg.norm(points, axis=1) for points in drawn]
    assert radii[1] == pytest.approx([radii[1][0]] * 2) and radii[0][0] != pytest.approx(radii[1][0])
    plt.close(fig)
    with pytest.raises(ValueError, match=r"xy must have shape \(N, 2\)"):
        plots.circle(ax, np.ones((3, 3)), [0, 0, 0])


def test_a_umap_map_repeats_and_keeps_far_groups_apart():
    keep_compiled()
    generator = np.random.default_rng(0)
    centres = np.eye(8)[:3] * 10
    labels = np.repeat(np.arange(3), 40)
    rows = centres[labels] + generator.normal(size=(120, 8))
    first, second = (plots.umap_map(rows, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    distances = np.linalg.norm(first[:, None] - first[None], axis=2) + np.eye(120) * 1e9
    assert (labels[distances.argmin(1)] == labels).mean() == 1
    with pytest.raises(ValueError, match="N > 15"):
        plots.umap_map(rows[:10], seed=0)
    with pytest.raises(ValueError, match="NaN"):
        plots.umap_map(rows * np.nan, seed=0)
