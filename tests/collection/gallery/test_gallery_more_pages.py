"""Pages of papers, disputes, exercises and probes, the findings of the README, and the pictures beside the ledger."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bs4 import BeautifulSoup, Tag
from PIL import Image

import lab.corrections
import lab.probes
from lab.collection import check, gallery, ledger, questions, tensions
from lab.collection.gallery import api, exercises_page, front_page, pictures, sources, thumbnail
from lab.collection.notebook import read
from lab.collection.uses import uses

RANKS, FAILS = "uniformity/01-alignment#ranks", "uniformity/01-alignment#fails"
BASE = Path(__file__).resolve().parents[3]


@pytest.fixture
def site(collection: Path, ledger_of: Callable[[], None]) -> Path:
    ledger_of()
    return gallery.build(collection, complete=True).parent


def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def text_of(page: BeautifulSoup, **where: str) -> str:
    found = page.find(**where)  # type: ignore[arg-type]
    assert isinstance(found, Tag)
    return " ".join(found.get_text(" ").split())


# papers


def test_every_paper_has_a_page_that_says_what_was_measured_and_what_not(site: Path) -> None:
    expected = {f"paper-{number}" for number in ("one", "two", "three", "four")}
    assert {path.stem for path in (site / "papers").glob("*.html")} == expected
    one = soup(site / "papers" / "paper-one.html")
    assert one.h1 is not None and one.h1.get_text() == "The First <Paper> & its kin"
    said = text_of(one, id="main")
    assert "The statement of <ranks> & more" in said and "supported" in said and "0.65" in said and "≥ 0.4" in said
    assert "<fails>" not in said
    (link,) = [a["href"] for a in one.find_all("a") if "ranks" in a.get_text()]
    assert (site / "papers" / str(link).partition("#")[0]).resolve() == (site / "uniformity" / "01-alignment.html")
    assert "Nothing yet" in text_of(soup(site / "papers" / "paper-four.html"), id="main")
    assert "no experiment is planned" in text_of(soup(site / "papers" / "paper-three.html"), id="main")


def test_a_paper_that_leaves_the_list_loses_its_page(collection: Path, site: Path) -> None:
    listed = collection / "data" / "papers.csv"
    lines = listed.read_text(encoding="utf-8").splitlines(keepends=True)
    listed.write_text("".join(line for line in lines if not line.startswith("paper-four")), encoding="utf-8")
    gallery.build(collection, complete=True)
    assert not (site / "papers" / "paper-four.html").exists() and (site / "papers" / "paper-one.html").exists()


def test_a_notebook_page_can_be_cited_and_names_what_to_read_first(collection: Path) -> None:
    path = collection / "notebooks" / "uniformity" / "01-alignment.ipynb"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"level"', '"needs": ["hubness/01-hubs"], "level"', 1), encoding="utf-8")
    page = soup(gallery.build(collection, complete=True).parent / "uniformity" / "01-alignment.html")
    cite = text_of(page, **{"class_": "cite"})
    assert cite.startswith("Cite @misc{lab-uniformity-01-alignment,") and "base seed 0" in cite and "paper-two" in cite
    assert "Read first Hubs | and | bars" in text_of(page, **{"class_": "needs"})


# what a notebook works with


def test_uses_are_read_off_both_ways_of_importing() -> None:
    cell = "from lab import losses as L, plots, probes\nfrom lab.corrections import PCA as p\n"
    cell += "L.triplet(x)\nprobes.nc1\nplots.show"
    notebook = {"cells": [{"cell_type": "code", "source": cell}, {"cell_type": "code", "source": "not python ("}]}
    assert uses(notebook) == (("correction", "PCA"), ("loss", "triplet"), ("probe", "nc1"))


# disputes and findings

SIDE = '[tension.{name}]\nsays = "{says}"\nclaims = ["{claim}"]\n'


def dispute(root: Path, claim: str = RANKS) -> None:
    parts = [SIDE.format(name=name, says=f"{name} is <said>", claim=claim) for name in ("one", "other", "decided")]
    (root / tensions.TENSIONS).write_text('[[tension]]\nquestion = "Is it?"\n' + "".join(parts), encoding="utf-8")


def test_disputes_show_what_the_ledger_says(collection: Path, ledger_of: Callable[[], None]) -> None:
    ledger_of()
    dispute(collection)
    page = soup(gallery.build(collection, complete=True).parent / "tensions.html")
    section = text_of(page, **{"class_": "tension"})
    assert "one is <said>" in section and section.count("The statement of <ranks> & more") == 3 and "0.65" in section


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[tension]]\nquestion = 'Q'\n", "tension 1: one needs says"),
        ("[[tension]\n", "tensions.toml"),
        ("tension = 3", "expected a list of"),
    ],
)
def test_a_damaged_list_of_disputes_is_named(collection: Path, text: str, said: str) -> None:
    (collection / tensions.TENSIONS).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="tensions.toml") as caught:
        tensions.tensions(collection)
    assert said in str(caught.value)


def test_findings_are_written_between_their_marks_and_follow_the_ledger(
    collection: Path, ledger_of: Callable[[], None]
) -> None:
    ledger_of()
    told = f'[[finding]]\nheadline = "It does"\nclaim = "{FAILS}"\n'
    (collection / tensions.FINDINGS).write_text(told, encoding="utf-8")
    front = collection / "README.md"
    front.write_text(f"# Top\n\n{front_page.BEGIN}\nold\n{front_page.END}\n\nEnd\n", encoding="utf-8")
    assert [p.file for p in check.problems(collection) if p.rule == "generated"] == ["README.md"]
    assert front_page.update(collection) and not front_page.update(collection)
    text = front.read_text(encoding="utf-8")
    assert text.startswith("# Top") and text.endswith("End\n") and "old" not in text
    assert "**It does.**" in text and "*refuted*" in text and "A Second Paper" in text
    assert [p for p in check.problems(collection) if p.rule == "generated"] == []


def test_a_quoted_claim_that_does_not_exist_is_found(collection: Path, ledger_of: Callable[[], None]) -> None:
    ledger_of()
    dispute(collection, claim="uniformity/01-alignment#gone")
    found = [p for p in check.problems(collection) if p.rule == "tensions"]
    assert len(found) == 3 and "#gone" in found[0].message and found[0].file == tensions.TENSIONS


# exercises


def test_exercises_are_listed_with_their_solutions(collection: Path, site: Path) -> None:
    (row,) = [row for row in soup(site / "exercises.html").find_all("tr") if row.td]
    assert row["data-stars"] == "1" and "return 2 * x" in row.find("details").get_text()
    assert "def double(x: float) -> float:" in row.get_text()
    (book,) = [book for book in sources.notebooks(collection) if book.name == "uniformity/01-alignment"]
    (made,) = exercises_page.exercises(book)
    assert (made.number, made.stars, made.minutes) == (1, 1, 5)


def test_every_exercise_of_the_collection_is_found() -> None:
    for book in sources.notebooks(BASE):
        stubs = [cell for cell in read(book.path)["cells"] if "exercise" in cell["metadata"].get("tags", [])]
        assert len(exercises_page.exercises(book)) == len(stubs), book.name


# probes


def test_every_probe_answers_a_question_and_every_answer_exists() -> None:
    public = {name for name in lab.probes.__all__ if inspect.isfunction(getattr(lab.probes, name))}
    named = {name for each in questions.QUESTIONS for name in each.probes}
    assert public - named == set() and named <= set(lab.probes.__all__)
    remedies = {name for each in questions.QUESTIONS for name in each.corrections}
    assert remedies <= set(lab.corrections.__all__)
    known = questions.purposes("probes")
    assert all(known[name][0] for name in named)


# pictures


def test_pictures_carry_the_run_they_belong_to(collection: Path, ledger_of: Callable[[], None]) -> None:
    ledger_of()
    recorded = ledger.read(collection)
    name = "uniformity/01-alignment"
    code = recorded[RANKS]["code"]
    assert [p.rule for p in check.problems(collection) if "pictures" in p.file] == ["pictures"]  # there is none yet
    assert code == "aaaa" and pictures.update(collection)
    png = pictures.path(collection, name, ".png")
    assert pictures.mark_of(png) == pictures.mark(recorded.values()) != ""
    with Image.open(png) as image:
        assert image.convert("RGB").getpixel((image.width // 4, image.height // 2))[2] > 150  # the blue square
    drawn = pictures.path(collection, name, ".svg").read_text(encoding="utf-8")
    assert ">ranks<" in drawn and "✓" in drawn and "✕" in drawn and drawn.count('class="interval"') == 2
    assert [p for p in check.problems(collection) if "pictures" in p.file] == []
    assert not pictures.update(collection)
    # other numbers beside the same picture are noticed
    path = collection / "data" / "ledger.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("0.65", "0.66"), encoding="utf-8")
    assert any("of another run" in p.message for p in check.problems(collection))
    # and a notebook that is gone takes its pictures along
    (collection / "notebooks" / f"{name}.ipynb").unlink()
    assert pictures.update(collection) and not png.exists()


def test_a_thumbnail_is_small_whatever_the_figure() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (800, 1200, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    small = pictures.reduced(buffer.getvalue(), "told")
    assert small is not None and len(small) <= pictures.LARGEST
    assert pictures.reduced(b"no picture", "told") is None


def test_thin_lines_keep_their_colours_in_a_small_picture() -> None:
    shown = np.full((500, 800, 3), 252, dtype=np.uint8)
    shown[20:240, 20:780] = np.linspace(200, 252, 760)[None, :, None]  # a shaded ground, which takes up many greys
    lines = {300: (10, 103, 163), 320: (184, 66, 15), 340: (27, 140, 110), 360: (204, 121, 167)}
    for row, colour in lines.items():
        shown[row : row + 6, 100:700] = colour
    buffer = io.BytesIO()
    Image.fromarray(shown).save(buffer, "PNG")
    for small in (thumbnail.shrink(buffer.getvalue()), pictures.reduced(buffer.getvalue(), "told")):
        assert small is not None
        with Image.open(io.BytesIO(small)) as image:
            scale = image.width / 800
            for row, colour in lines.items():
                seen = image.convert("RGB").getpixel((round(400 * scale), round((row + 2.5) * scale)))
                assert max(abs(a - b) for a, b in zip(seen, colour, strict=True)) <= 30, (row, seen)


def test_the_page_of_notebooks_shows_the_pictures(collection: Path, ledger_of: Callable[[], None]) -> None:
    ledger_of()
    gallery.write_readme(collection)
    text = (collection / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert 'src="pictures/uniformity/01-alignment.png"' in text and "(pictures/uniformity/01-alignment.svg)" in text
    assert "03-later.png" not in text


# the package's functions


def test_pages_of_the_package_tell_what_docstrings_say_and_load_nothing(tmp_path: Path) -> None:
    api.render(tmp_path, ("trees", "probes"))
    page = soup(tmp_path / "lab" / "trees.html")
    assert "tree_distances" in page.get_text()
    assert soup(tmp_path / "lab" / "probes.html").find(id="uniformity") is not None  # imported on demand
    for path in tmp_path.rglob("*.html"):
        for tag in soup(path).find_all(["img", "script", "link"]):
            address = str(tag.get("src") or (tag.get("href") if tag.name == "link" else "") or "")
            assert not address.startswith(("http", "//")), (path, address)


def test_a_collection_without_the_package_gets_no_pages_of_it(collection: Path) -> None:
    assert api.build(collection) is None and not (collection / "build" / "gallery" / "api").exists()
