"""The gallery as files: what the pages say, and that they load nothing from elsewhere."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image

from lab.collection import card, gallery

PAGES = ("index.html", "ledger.html", "papers.html", "uniformity/01-alignment.html", "uniformity/02-temperature.html")
RESOURCES = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src", "use": "href"}
CSS = re.compile(r"url\(\s*['\"]?([^)'\"]*)|@import\s+['\"]?([^'\";]*)")


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def card_of(index: BeautifulSoup, name: str) -> Tag:
    found = index.find(id=f"notebook-{name.replace('/', '-')}")
    assert isinstance(found, Tag)
    return found


@pytest.fixture
def site(collection: Path, ledger_of: Callable[[], None]) -> Path:
    ledger_of()
    return gallery.build(collection, complete=True).parent


def loaded(page: BeautifulSoup, text: str) -> list[str]:
    """Every address the page would load something from."""
    found = [str(tag[name]) for kind, name in RESOURCES.items() for tag in page.find_all(kind) if tag.get(name)]
    found += [str(tag["srcset"]) for tag in page.find_all(srcset=True)]
    return found + [one or two for one, two in CSS.findall(text)]


def test_pages_load_only_what_lies_in_the_folder(site: Path) -> None:
    for name in PAGES:
        text = (site / name).read_text(encoding="utf-8")
        for address in loaded(soup(site / name), text):
            parts = urlparse(address)
            if parts.scheme == "data" or address.startswith("#"):
                continue
            assert not parts.scheme and not parts.netloc, (name, address)
            target = ((site / name).parent / unquote(parts.path)).resolve()
            assert target.is_file() and site.resolve() in target.parents, (name, address)
    for name in ("style.css", "gallery.js"):
        text = (site / name).read_text(encoding="utf-8")
        assert "//" not in re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
        assert not CSS.findall(text)


def test_links_within_the_gallery_lead_somewhere(site: Path) -> None:
    for name in PAGES:
        for tag in soup(site / name).find_all("a"):
            parts = urlparse(str(tag["href"]))
            assert not parts.scheme
            target = ((site / name).parent / unquote(parts.path)).resolve() if parts.path else site / name
            assert target.is_file(), (name, tag["href"])
            if parts.fragment:
                assert soup(target).find(id=unquote(parts.fragment)) is not None, (name, tag["href"])


def test_pages_are_whole_and_usable(site: Path) -> None:
    for name in PAGES:
        page = soup(site / name)
        assert (site / name).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
        assert page.html is not None and page.html["lang"] == "en"
        assert page.find("meta", attrs={"name": "viewport"}) is not None
        assert page.title is not None and page.title.text
        skip = page.find("a", class_="skip")
        assert isinstance(skip, Tag) and page.find(id=str(skip["href"]).removeprefix("#")) is not None
        assert len(page.find_all("main")) == len(page.find_all("h1")) == 1
        assert all(image.has_attr("alt") for image in page.find_all("img"))
        twice = [one for one, count in Counter(tag["id"] for tag in page.find_all(id=True)).items() if count > 1]
        assert twice == []


def test_the_index_says_what_was_run_and_what_not(site: Path) -> None:
    index = soup(site / "index.html")
    titles = [heading.text for heading in index.find_all("h2")]
    assert titles == ["Uniformity & friends", "Hubness"]  # those of themes.toml first
    assert "Two forces on a sphere." in index.text
    done = card_of(index, "uniformity/01-alignment").get_text(" ", strip=True)
    for words in ("1 supported", "1 refuted", "introductory", "30 min", "42 s", "standard", "Is it so?"):
        assert words in done
    assert "The First <Paper> & its kin" in done
    failed = card_of(index, "uniformity/02-temperature").get_text(" ", strip=True)
    assert "failed" in failed and "division by <zero>" in failed
    waiting = card_of(index, "uniformity/03-later")
    assert "not run yet" in waiting.text and waiting.find("img") is None
    assert index.find(class_="banner") is None


def test_the_index_says_how_far_a_run_has_come(collection: Path) -> None:
    result = json.loads((collection / "build" / "runs" / "aaaa" / "result.json").read_text(encoding="utf-8"))
    index = soup(gallery.build(collection, [result], complete=False))
    banner = index.find(class_="banner")
    assert isinstance(banner, Tag) and "1 of 4 notebooks so far" in banner.text


def test_the_picture_of_a_card_is_the_figure_it_names(site: Path) -> None:
    picture = card_of(soup(site / "index.html"), "uniformity/01-alignment").find("img")
    assert isinstance(picture, Tag) and picture["loading"] == "lazy"
    with Image.open(site / str(picture["src"])) as image:
        assert image.size == (640, 400)
        colours = {tuple(c) for c in np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()}
    # figure-one is blue; the last figure, which is taken where none is named, is orange
    assert (0, 114, 178) in colours and (213, 94, 0) not in colours


def test_without_a_named_figure_the_last_one_is_taken(collection: Path) -> None:
    path = collection / "notebooks" / "uniformity" / "01-alignment.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("figure-one", "nothing"), encoding="utf-8")
    site = gallery.build(collection, complete=True).parent
    with Image.open(site / "uniformity" / "01-alignment.png") as image:
        colours = {tuple(c) for c in np.asarray(image.convert("RGB")).reshape(-1, 3).tolist()}
    assert (213, 94, 0) in colours


def test_a_fresh_clone_shows_the_verdicts_of_the_ledger(collection: Path, ledger_of: Callable[[], None]) -> None:
    ledger_of()
    shutil.rmtree(collection / "build" / "runs")
    site = gallery.build(collection, complete=True).parent
    told = card_of(soup(site / "index.html"), "uniformity/01-alignment")
    assert "1 supported" in told.text and "verdicts from the ledger" in told.text
    heading = told.find("h3")
    assert isinstance(heading, Tag) and heading.find("a") is None
    assert len(soup(site / "ledger.html").select("#ledger tbody tr")) == 2


def test_the_ledger_page_tells_each_claim(site: Path) -> None:
    rows = soup(site / "ledger.html").select("#ledger tbody tr")
    told = {str(row["data-verdict"]): row for row in rows}
    assert set(told) == {"supported", "refuted"}
    text = told["supported"].get_text(" ", strip=True)
    # mean of 0.6, 0.7, 0.65, 0.62, 0.68 and its 95 % interval, t(0.975, 4) = 2.7764
    values = np.array([0.6, 0.7, 0.65, 0.62, 0.68])
    half = 2.7764451 * values.std(ddof=1) / np.sqrt(5)
    assert f"{values.mean():.3f} [{values.mean() - half:.3f}, {values.mean() + half:.3f}]" in text
    assert "≥ 0.4" in text and "labels shuffled" in text and "The statement of <ranks> & more" in text
    assert told["supported"].select("td")[-1].text == "1"  # stability
    bar = told["supported"].select_one("svg.bar")
    assert bar is not None
    rule, interval, dot = bar.select_one(".rule"), bar.select_one(".interval"), bar.select_one(".value")
    assert rule is not None and interval is not None and dot is not None
    left, right = map(float, re.findall(r"[\d.]+(?=[HV]|$)", str(interval["d"]).replace(" ", "H"))[::2])
    assert float(str(rule["x"])) < left < float(str(dot["cx"])) < right  # all of it inside the rule
    assert right <= 150


def test_claims_that_are_not_in_the_ledger_say_so(collection: Path) -> None:
    row = soup(gallery.build(collection, complete=True).parent / "ledger.html").select_one("#ledger tbody tr")
    assert row is not None and "not in the ledger" in row.text


def test_the_papers_page_tells_what_is_there_and_what_is_missing(site: Path) -> None:
    states = {str(row["id"]): str(row["data-state"]) for row in soup(site / "papers.html").select("#papers tbody tr")}
    assert states == {
        "paper-one": "measured here",
        "paper-two": "measured here",
        "paper-three": "cited only",
        "paper-four": "missing",
    }


def test_a_damaged_notebook_or_run_does_not_keep_the_others_from_being_shown(collection: Path) -> None:
    (collection / "notebooks" / "hubness" / "01-hubs.ipynb").write_text("{", encoding="utf-8")
    (collection / "build" / "runs" / "bbbb" / "executed.ipynb").write_text("{", encoding="utf-8")
    (collection / "build" / "runs" / "cccc").mkdir()
    (collection / "build" / "runs" / "cccc" / "result.json").write_text("[", encoding="utf-8")
    index = soup(gallery.build(collection, complete=True))
    assert "cannot be read" in card_of(index, "hubness/01-hubs").text
    assert "failed" in card_of(index, "uniformity/02-temperature").text
    assert "1 supported" in card_of(index, "uniformity/01-alignment").text


def test_only_what_changed_is_rendered_and_written_again(collection: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lab.collection.gallery import page

    site = gallery.build(collection, complete=True).parent
    times = {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()}
    with monkeypatch.context() as patched:
        patched.setattr(page, "body", lambda *_: pytest.fail("a page was rendered that had not changed"))
        gallery.build(collection, complete=True)
    assert {path: path.stat().st_mtime_ns for path in site.rglob("*") if path.is_file()} == times
    run = collection / "build" / "runs" / "aaaa" / "executed.ipynb"
    run.write_text(run.read_text(encoding="utf-8").replace("It is blue.", "It is azure."), encoding="utf-8")
    gallery.build(collection, complete=True)
    changed = {path.name for path in site.rglob("*") if path.is_file() and path.stat().st_mtime_ns != times.get(path)}
    assert changed == {"01-alignment.html"}
    assert "It is azure." in (site / "uniformity" / "01-alignment.html").read_text(encoding="utf-8")


def test_pages_of_a_notebook_that_is_gone_go_too(collection: Path) -> None:
    site = gallery.build(collection, complete=True).parent
    (collection / "notebooks" / "uniformity" / "01-alignment.ipynb").unlink()
    gallery.build(collection, complete=True)
    assert not list((site / "uniformity").glob("01-*"))
    assert (site / "uniformity" / "02-temperature.html").is_file()


@pytest.mark.parametrize(("passed", "shown"), [("old", "old"), (None, "newest"), ("smoke", "smoke"), ("seed", "seed")])
def test_which_run_of_a_notebook_is_shown(
    collection: Path, add_run: Callable[..., dict[str, Any]], passed: str | None, shown: str
) -> None:
    import os

    import nbformat

    source = collection / "notebooks" / "uniformity" / "03-later.ipynb"
    results = {}
    kinds = [("old", "standard", 0), ("newest", "standard", 0), ("seed", "standard", 1003), ("smoke", "smoke", 0)]
    for age, (key, profile, seed) in enumerate(kinds):
        notebook = nbformat.read(source, as_version=4)
        notebook.cells[-1].outputs = [nbformat.v4.new_output("stream", name="stdout", text=f"this is {key}")]
        results[key] = add_run(collection, "uniformity", "03-later", notebook, key=key, profile=profile, seed=seed)
        path = collection / "build" / "runs" / key / "result.json"
        os.utime(path, (1000 + age, 1000 + age))
    chosen = None if passed is None else [results[passed]]
    site = gallery.build(collection, chosen, complete=True).parent
    assert f"this is {shown}" in (site / "uniformity" / "03-later.html").read_text(encoding="utf-8")


def test_verdicts_can_be_told_apart_without_seeing_all_colours() -> None:
    # linear-light matrices of Machado and others (2009) for people without one kind of cone
    kinds = {
        "all cones": np.eye(3),
        "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    }

    def linear(colour: str) -> np.ndarray:
        c = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)

    def lab(light: np.ndarray) -> np.ndarray:
        xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
        xyz = xyz @ np.clip(light, 0, 1) / np.array([0.9505, 1, 1.089])
        f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    judged = [card.COLOURS[verdict] for verdict in ("supported", "refuted", "inconclusive")]
    for name, matrix in kinds.items():
        for one, two in itertools.combinations(judged, 2):
            distance = np.linalg.norm(lab(np.array(matrix) @ linear(one)) - lab(np.array(matrix) @ linear(two)))
            assert distance > 25, (name, one, two, distance)
    for colour in card.COLOURS.values():
        assert 1.05 / (linear(colour) @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5  # white text on it
