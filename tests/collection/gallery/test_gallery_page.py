"""A notebook's page: its cells, outputs, contents and ways on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bs4 import BeautifulSoup, Tag

from lab.collection import gallery


@pytest.fixture
def page(seen_site: Path) -> BeautifulSoup:
    path = seen_site / "uniformity" / "01-alignment.html"
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def test_outputs_are_those_a_reader_needs(page: BeautifulSoup) -> None:
    assert "a warning nobody needs" not in page.text
    printed = page.select_one("pre.text")
    assert printed is not None and printed.text == "100 %\n"  # the line was overwritten
    assert [image["alt"] for image in page.select("figure img")] == [
        'A blue square, "left" of the middle',
        "An orange square",
    ]
    first = page.select_one("figure img")
    assert first is not None and (first["width"], first["height"]) == ("600", "300")
    assert page.select_one("style") is None
    assert page.select_one("table.dataframe") is not None and "border" not in page.select("table.dataframe")[0].attrs


def test_claims_have_an_address_and_are_listed_at_the_top(page: BeautifulSoup) -> None:
    links = [str(link["href"]) for link in page.select(".found a")]
    assert links == ["#claim-ranks", "#claim-fails"]
    for link in links:
        found = page.find(id=link.removeprefix("#"))
        assert isinstance(found, Tag) and found.select_one(".lab-claim") is not None
    assert [badge.text.strip("✓✕") for badge in page.select(".found .badge")] == ["supported", "refuted"]


def test_contents_name_each_section_once(page: BeautifulSoup) -> None:
    links = [(str(link["href"]), link.get_text(strip=True)) for link in page.select("#contents a")]
    assert links == [
        ("#idea-and-maths", "Idea and maths"),
        ("#exercises", "Exercises"),
        ("#exercise-1-5-minutes", "Exercise 1 · ★☆☆ · 5 minutes"),
        ("#idea-and-maths-2", "Idea and maths"),
    ]
    for address, _ in links:
        assert page.find(id=address.removeprefix("#")) is not None


def test_formulas_are_drawn_and_what_cannot_be_stays_readable(page: BeautifulSoup) -> None:
    labels = [str(drawing["aria-label"]) for drawing in page.select("main svg.tex")]
    assert r"\mathcal{L}_i" in labels and r"\tau" in labels
    assert r"\mathcal{L}_i = -\log \frac{e^{s_{ii}/\tau}}{\sum_j e^{s_{ij}/\tau}}" in labels
    assert page.select_one("div.formula svg.tex") is not None
    fallback = page.select_one("code.tex")
    assert fallback is not None and fallback.text == r"\nosuchcommand{x}"
    text = page.select_one("main")
    assert text is not None and "$" not in text.text
    glyphs = {str(symbol["id"]) for symbol in page.select(".sprite symbol")}
    assert {str(use["href"]).removeprefix("#") for use in page.select("main use")} == glyphs


def test_code_folds_is_coloured_and_exercises_keep_their_solutions_shut(page: BeautifulSoup) -> None:
    assert all(part.has_attr("open") for part in page.select("details.source"))
    assert page.select_one(".highlight .k") is not None
    solution = next(part for part in page.select("details") if part.find("summary", string="Solution"))
    assert not solution.has_attr("open") and solution.select_one(".highlight .k") is not None
    marked = [(part["class"], part.text.split(".")[0]) for part in page.select("p.predict, p.reading")]
    assert marked == [(["predict"], "Predict"), (["reading"], "Reading the figure")]
    assert page.select_one(".cell.exercise details.source") is not None


def test_ways_on(page: BeautifulSoup, collection: Path) -> None:
    assert page.select_one("nav.turn [rel=prev]") is None
    after = page.select_one("nav.turn [rel=next]")
    assert after is not None and after["href"] == "02-temperature.html"
    assert "lab run 01-alignment --seed 1" in page.text
    # links between notebooks lead to pages, and to the card of one that has none
    links = {link.text: str(link["href"]) for link in page.select(".cell a")}
    assert links["the next one"] == "../uniformity/02-temperature.html"
    assert links["one never run"] == "../index.html#notebook-uniformity-03-later"


def test_the_notebook_can_be_taken_along_without_outputs(seen_site: Path, page: BeautifulSoup) -> None:
    button = page.select_one("a[download]")
    assert button is not None
    taken = json.loads((seen_site / "uniformity" / str(button["href"])).read_text(encoding="utf-8"))
    notebooks = seen_site.parents[1] / "notebooks"
    source = json.loads((notebooks / "uniformity" / "01-alignment.ipynb").read_text(encoding="utf-8"))
    assert [cell["id"] for cell in taken["cells"]] == [cell["id"] for cell in source["cells"]]
    assert all(cell["outputs"] == [] for cell in taken["cells"] if cell["cell_type"] == "code")


def test_of_the_values_of_a_run_those_that_differ_are_shown(page: BeautifulSoup) -> None:
    given = page.select_one(".cell.injected-parameters")
    assert given is not None
    assert "In this run" in given.text and "seed = 7" in given.text and "profile" not in given.text


def test_a_run_that_failed_begins_with_its_title_and_says_what_happened(collection: Path) -> None:
    path = gallery.build(collection, complete=True).parent / "uniformity" / "02-temperature.html"
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    assert "An Exception" not in page.text
    heading, banner = page.select_one("main h1"), page.select_one(".banner")
    assert heading is not None and heading.text == "Temperature"
    assert banner is not None and banner.text.startswith("Failed. ZeroDivisionError: division by <zero>")
    traceback = page.select_one("pre.error")
    assert traceback is not None and traceback.text.strip() == "ZeroDivisionError"
    following = heading.find_all_next("p", class_="facts")
    assert following  # level, minutes and run time stand below the title
