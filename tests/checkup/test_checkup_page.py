"""The page: the same bytes for the same seed, text escaped, no request, readable in light and dark and on a phone."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.checkup import checkup
from lab.checkup.findings import short
from lab.checkup.page import strip, summary
from lab.checkup.report import Report

MARKUP = "<script>alert('x')</script> $\\frac{1}{0}$ & \"co\""


def given() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    rows = (2 * rng.normal(size=(3, 12))[labels] + rng.normal(size=(120, 12)) + 3).astype(np.float32)
    rows[30] = rows[29]
    rows[31] = np.nan
    names = np.array([MARKUP, "cats", "dogs"])[labels]
    pairs = (rows + 0.5 * rng.normal(size=rows.shape)).astype(np.float32)
    return {"embeddings": rows, "labels": names, "pairs": pairs, "values": rows[:, 0] * (np.arange(120) != 31),
            "compare": rows[:, :6].copy(), "seed": 3}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quick_map() -> Iterator[None]:
    """A projection in place of the layout, which takes long to compile; the tests of the command use the real one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lab.checkup.maps.keep_compiled", lambda: None)
        patch.setattr("lab.plots.umap_map", lambda rows, seed, neighbours: np.asarray(rows)[:, :2])
        yield


@functools.cache
def examined() -> tuple[dict[str, Any], Report]:
    with np.errstate(invalid="ignore"):
        data = given()
    data["values"] = np.nan_to_num(data["values"])
    return data, checkup(**data)


def report() -> Report:
    return examined()[1]


class Tags(HTMLParser):
    """All tags with their attributes, and ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_arrays_stay_as_they_were() -> None:
    before, (after, _) = given(), examined()
    before["values"] = np.nan_to_num(before["values"])
    assert all(np.array_equal(after[n], x, equal_nan=x.dtype.kind == "f") for n, x in before.items() if n != "seed")


def test_text_from_files_is_escaped_and_nothing_is_executed() -> None:
    text = report().html()
    assert "<script" not in text and "alert(&#39;x&#39;)" in text
    assert "&lt;script&gt;" in text


def test_everything_a_page_needs_is_in_it() -> None:
    page = Tags(report().html())
    assert not page.all("script") and not page.all("form")
    assert all((a["src"] or "").startswith("data:image/png;base64,") for a in page.all("img"))
    assert [a["href"] for a in page.all("link")] == ["data:,"]
    for attributes in page.all("a"):
        assert (attributes["href"] or "").startswith("#")
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids)) and {(a["href"] or "")[1:] for a in page.all("a")} <= set(ids)
    assert all(len(a["alt"] or "") > 40 for a in page.all("img"))
    assert len(page.all("h1")) == 1
    assert not re.search(r"https?://", re.sub(r"data:[^\"]+", "", report().html()))


def test_each_finding_has_a_row_a_section_a_picture_and_sentences() -> None:
    text = report().html()
    keys = {"spread", "spectrum", "hubs", "norms", "duplicates", "dimension", "labels", "values", "gap", "retrieval",
            "comparison"}  # fmt: skip
    assert {f.key for f in report().findings} == keys
    for finding in report().findings:
        assert f'<a href="#{finding.key}">' in text and f'<h2 id="{finding.key}">' in text
        assert finding.pictures and finding.sentence.endswith(".") and finding.matters.endswith(".")
        assert not re.search(r"\bnan\b|\binf\b|None|–{2}", finding.sentence + finding.matters)
    assert text.index('id="overview"') < text.index('id="map"') < text.index('class="finding"')
    assert len(report().maps) == 3
    assert "Row 31 of 120" in text


def test_no_measured_number_is_missing_where_a_null_is_known() -> None:
    for finding in report().findings:
        for measure in (finding.headline, *finding.details):
            assert np.isfinite(measure.value), measure.name
            assert measure.null is None or np.isfinite(measure.null), measure.name


def test_saved_whole_or_not_at_all(tmp_path: Path) -> None:
    path = report().save(tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == report().html()
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(ValueError, match="cannot be written"):
        report().save(tmp_path / "nowhere" / "page.html")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="cannot be written"):
        report().save(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder", "page.html"]


def test_a_notebook_shows_the_same_page() -> None:
    shown = Tags(report()._repr_html_())
    (frame,) = shown.all("iframe")
    assert frame["srcdoc"] == report().html() and "sandbox" in frame and frame["title"]


def test_summary_names_the_worst_first() -> None:
    findings = report().findings
    text = summary(report())
    bad = [f for f in findings if f.status != "fine"]
    assert not bad or bad[0].title[1:] in text
    fine = Report(tuple(f for f in findings if f.status == "fine"), (), (), 0)
    assert summary(fine).startswith("Nothing stands out")


def test_numbers_are_read_easily() -> None:
    assert [short(x) for x in (0.0, 0.000123, 12.345, 1e6, float("nan"), -2.5)] == [
        "0", "0.000123", "12.3", "1,000,000", "–", "-2.5"]  # fmt: skip
    assert short(0.98765, "%") == "98.8 %"
    assert strip(report().findings[0].headline).startswith("<svg")


SPEC = importlib.util.spec_from_file_location(
    "gallery_browser", Path(__file__).parents[1] / "collection" / "gallery" / "test_gallery_browser.py"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    pytest.importorskip("websocket")
    assert SPEC and SPEC.loader
    module = importlib.util.module_from_spec(SPEC)
    SPEC.loader.exec_module(module)
    if module.CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    made = module.Browser(tmp_path_factory.mktemp("chromium"))
    made.contrast = module.CONTRAST
    yield made
    made.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_asks_for_nothing_and_can_read_all(browser: Any, tmp_path: Path, scheme: str) -> None:
    page = report().save(tmp_path / "page.html")
    browser.open(page, scheme)
    assert [u for u in browser.requests if not u.startswith("data:") and u != page.as_uri()] == []
    assert browser.complaints == []
    assert browser.run("Array.from(document.images).filter(i => !i.naturalWidth).length") == 0
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.run(browser.contrast) == []
    dark = browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    assert dark == (scheme == "dark")


def test_no_wider_than_a_phone_and_reached_by_keyboard(browser: Any, tmp_path: Path) -> None:
    browser.open(report().save(tmp_path / "page.html"), width=390, height=844)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert browser.run("document.documentElement.scrollWidth") <= 390
    # whatever scrolls sideways can be focused and so be scrolled by keyboard
    wide = "e => e.scrollWidth > e.clientWidth && e.tabIndex < 0"
    stuck = f"Array.from(document.querySelectorAll('pre, .scroll')).filter({wide}).length"
    assert browser.run(stuck) == 0
