"""The structural check: the template passes, and each rule is seen to fail when it is broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.collection import check, template
from lab.collection.notebook import read, write
from lab.collection.strip import stripped

PAPERS = (
    "key,title,theme,kind,tier,scope,idea,claim,experiment,notebooks\n"
    "first-paper,The First Paper,gap,probe,1,reproduce,,,,\n"
    "second-paper,The Second Paper,hubs,probe,1,reproduce,,,,\n"
)
LEDGER = "key,theme,notebook,slug\nhubs/01-a-question#spread-shrinks,hubs,01-a-question,spread-shrinks\n"
Book = dict[str, Any]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A collection with one good notebook in a folder with a space."""
    root = tmp_path / "a collection"
    (root / "data").mkdir(parents=True)
    (root / "data" / "papers.csv").write_text(PAPERS)
    (root / "data" / "ledger.csv").write_text(LEDGER)
    template.new(root, "hubs", "01-a-question")
    return root


def cell(book: Book, name: str) -> dict[str, Any]:
    return next(c for c in book["cells"] if c["id"] == name)


def put(name: str, old: str, new: str) -> Callable[[Book], None]:
    def change(book: Book) -> None:
        found = cell(book, name)
        assert old in found["source"]
        found["source"] = found["source"].replace(old, new, 1)

    return change


def drop(name: str) -> Callable[[Book], None]:
    return lambda book: book["cells"].remove(cell(book, name))


def move(name: str, after: str) -> Callable[[Book], None]:
    def change(book: Book) -> None:
        found = cell(book, name)
        book["cells"].remove(found)
        book["cells"].insert(book["cells"].index(cell(book, after)) + 1, found)

    return change


def metadata(**changes: Any) -> Callable[[Book], None]:
    return lambda book: book["metadata"]["lab"].update(changes)


def add(name: str, content: str, kind: str = "code", after: str = "judge") -> Callable[[Book], None]:
    def change(book: Book) -> None:
        made: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}, "source": content}
        if kind == "code":
            made |= {"outputs": [], "execution_count": None}
        book["cells"].insert(book["cells"].index(cell(book, after)) + 1, made)

    return change


def several(*changes: Callable[[Book], None]) -> Callable[[Book], None]:
    def change(book: Book) -> None:
        for each in changes:
            each(book)

    return change


def tag(name: str, tags: list[str]) -> Callable[[Book], None]:
    return lambda book: cell(book, name)["metadata"].update(tags=tags)


TWICE = 'again = run.claim("spread-shrinks", paper="first-paper", statement="s", quantity="q", rule=lab.at_least(0), ' \
        'control="c", expected="supported").measure([1] * 5, control=0)\nagain'  # fmt: skip

SPARE = (
    "idea", "scratch-text", "variation", "predict-2", "figure-2", "reading-2", "claim-text", "control-text",
    "experiment", "differs",
)  # fmt: skip
BROKEN: list[tuple[Callable[[Book], None], str, str]] = [
    (several(*map(drop, SPARE)), "cells", "24 cells, expected 25 to 45"),
    (several(*(add(f"x{i}", "text", "markdown") for i in range(12))), "cells", "46 cells"),
    (add("empty", " \n", "markdown"), "cells", "the cell is empty"),
    (put("title", "# ", "## "), "title", "`# Title`"),
    (lambda book: book["metadata"].pop("lab"), "metadata", 'metadata "lab"'),
    (metadata(question="Because."), "metadata", "lab.question"),
    (metadata(level="hard"), "metadata", "lab.level"),
    (metadata(minutes="20"), "metadata", "lab.minutes"),
    (metadata(papers=[]), "metadata", "lab.papers"),
    (metadata(papers=["no-paper"]), "papers", "'no-paper' of lab.papers is not in data/papers.csv"),
    (metadata(thumbnail="title"), "metadata", "lab.thumbnail"),
    (tag("parameters", []), "parameters", "tagged 'parameters'"),
    (put("parameters", "seed: int = 0", "seed = 0"), "parameters", "annotated scalar"),
    (put("parameters", "device: str", "where: str"), "parameters", "`device: str` is missing"),
    (put("parameters", '"standard"', '"smoke"'), "parameters", "profile must be 'standard' by default"),
    (put("parameters", "n_seeds: int = 5", "n_seeds: int = 3"), "parameters", "n_seeds must be at least 5"),
    (put("parameters", "  # runs per condition", ""), "parameters", "needs a short comment"),
    (put("parameters", "# runs per condition", "# runs, seed=0"), "parameters", "cannot read `=`"),
    (put("parameters", "device: str", "a: int = 1  # a\nb: int = 1  # b\nc: int = 1  # c\nd: int = 1  # d\n"
         "e: int = 1  # e\nf: int = 1  # f\ndevice: str"), "parameters", "6 knobs, at most 5"),
    (put("setup", "lab.begin(globals())", "lab.begin(locals())"), "setup", "found 0"),
    (move("setup", "title"), "setup", "after the parameters cell"),
    (drop("finish"), "finish", "the last cell must end with `run.finish()`"),
    (put("finish", "run.finish()", "run.finish()\nprint(1)"), "finish", "the last cell must end"),
    (several(drop("predict-1"), drop("predict-2")), "reading", "**Predict.**"),
    (several(drop("reading-1"), drop("reading-2")), "reading", "**Reading the figure.**"),
    (move("reading-1", "experiment"), "reading", "before anything was predicted"),
    (move("reading-1", "predict-1"), "reading", "no code runs between"),
    (put("references", "## References", "## Sources"), "sections", "`## References` is missing"),
    (move("references", "variation"), "sections", "in the order"),
    (put("conclude", "run.conclusion()", "run"), "conclusion", "run.conclusion()"),
    (add("long", "\n".join(f"x{i} = {i}" for i in range(31))), "length", "31 lines of code, at most 30"),
    (add("web", "page = 'https://example.org/data.csv'"), "offline", "web address"),
    (add("pip", "!pip install numpy"), "offline", "shell or install command"),
    (add("magic", "%pip install numpy"), "offline", "shell or install command"),
    (add("path", "open('/home/me/data.csv')"), "paths", "absolute path '/home/me/data.csv'"),
    (add("home", "open('~/data.csv')"), "paths", "absolute path"),
    (add("drive", "open(r'C:\\data.csv')"), "paths", "absolute path"),
    (add("wrong", "x = ("), "syntax", "does not parse"),
    (add("number", "It reaches 0.83.", "markdown"), "numbers", "0.83 typed into prose"),
    (put("claim", "first-paper", "no-paper"), "papers", "claim 'spread-shrinks' is not in data/papers.csv"),
    (put("claim", "spread-shrinks", "Spread Shrinks"), "claims", "hyphens"),
    (put("claim", '"supported"', '"yes"'), "claims", "expects 'yes'"),
    (put("claim", '    control="both draws in 4 dimensions",\n', ""), "claims", "does not state its control"),
    (put("judge", "narrower.measure(", "print("), "claims", "never measured"),
    (put("judge", "display(narrower)", "large"), "claims", "never shown"),
    (add("twice", TWICE), "claims", "declared twice"),
    (put("claim", "run.claim", "run.say"), "claims", "no cell declares a claim"),
    (put("exercise-2", "### Exercise 2 · ★★☆ · 10 minutes", "### Exercise 2"), "exercises", "the heading must read"),
    (put("exercise-2", "Exercise 2", "Exercise 3"), "exercises", "exercise 3 comes as number 2"),
    (several(*(drop(f"exercise-2{part}") for part in ("", "-stub", "-check", "-solution"))),
     "exercises", "1 exercises, expected 2 to 4"),
    (tag("exercise-1-stub", []), "exercises", "no code cell tagged `exercise`"),
    (put("exercise-1-stub", "    ...", "    return dimension**-0.5"), "exercises", "the body must be `...` alone"),
    (put("exercise-1-stub", "dimension: int", "dimension"), "exercises", "types are missing for dimension"),
    (put("exercise-1-stub", " -> float", ""), "exercises", "types are missing for the returned value"),
    (put("exercise-1-stub", "def ", "x = 1\ndef "), "exercises", "one function and nothing else"),
    (drop("exercise-1-check"), "exercises", "a code cell tagged `check` must follow"),
    (put("exercise-1-check", "    predicted_spread,", "    spread,"), "exercises", "does not call exercises.check"),
    (drop("exercise-1-solution"), "exercises", "must solve it"),
    (put("exercise-1-solution", "def predicted_spread", "def other"), "exercises", "does not define predicted_spread"),
    (put("exercise-1-solution", "return dimension", "return ("), "exercises", "the solution does not parse"),
]  # fmt: skip


def test_the_template_passes(place: Path) -> None:
    assert check.problems(place) == []


@pytest.mark.parametrize(("change", "rule", "words"), BROKEN, ids=[f"{r}-{w[:30]}" for _, r, w in BROKEN])
def test_a_broken_rule_is_named(place: Path, change: Callable[[Book], None], rule: str, words: str) -> None:
    path = place / "notebooks" / "hubs" / "01-a-question.ipynb"
    book = copy.deepcopy(read(path))
    # the paper of the template is the theme's own, here the second
    for each in book["cells"]:
        each["source"] = each["source"].replace("second-paper", "first-paper")
    book["metadata"]["lab"]["papers"] = ["first-paper"]
    change(book)
    write(stripped(book), path)
    found = check.notebook_problems(path, place, {"first-paper", "second-paper"})
    assert any(problem.rule == rule and words in problem.message for problem in found), [str(p) for p in found]
    assert all(problem.file == "notebooks/hubs/01-a-question.ipynb" for problem in found)


def test_a_quoted_number_may_stand_in_prose(place: Path) -> None:
    path = place / "notebooks" / "hubs" / "01-a-question.ipynb"
    book = read(path)
    add("number", "The paper reports 83.2 %.", "markdown")(book)
    write(book, path)
    assert [p.rule for p in check.problems(place)] == ["numbers"]
    cell(book, "number")["metadata"] = {"lab": {"numbers": "quoted"}}
    write(book, path)
    assert check.problems(place) == []


def test_texts_that_claims_share_count_as_stated(place: Path) -> None:
    path = place / "notebooks" / "hubs" / "01-a-question.ipynb"
    book = read(path)
    put("claim", '    paper="second-paper",\n', "    **common,\n")(book)
    for shared, rules in (
        ('common = dict(paper="second-paper")', []),
        ('common = {"paper": "second-paper"}', []),
        ('common = dict(paper="no-paper")', ["papers"]),
        ('common = dict(unit="points")', ["claims"]),
        ("common = make()", []),
    ):
        add("shared", shared, after="claim-text")(book)
        write(book, path)
        assert [p.rule for p in check.problems(place)] == rules, shared
        drop("shared")(book)


def test_outputs_and_form_are_checked(place: Path) -> None:
    path = place / "notebooks" / "hubs" / "01-a-question.ipynb"
    book = json.loads(path.read_text(encoding="utf-8"))
    book["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    book["cells"][2]["id"] = book["cells"][3]["id"]
    book["nbformat_minor"], book["metadata"]["kernelspec"]["name"] = 4, "other"
    path.write_text(json.dumps(book))
    assert {"outputs", "format", "kernel", "stripped"} <= {p.rule for p in check.problems(place)}
    path.write_text("{")
    assert [(p.rule, p.file) for p in check.problems(place)] == [("format", "notebooks/hubs/01-a-question.ipynb")]


def test_names_of_themes_and_files_have_a_form(place: Path) -> None:
    good = place / "notebooks" / "hubs" / "01-a-question.ipynb"
    for name in ("hubs/a-question.ipynb", "hubs/1-a.ipynb", "My Theme/02-a.ipynb"):
        path = place / "notebooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(good.read_bytes())
        assert [p.rule for p in check.problems(place)] == ["name"]
        path.unlink()


def test_lists_that_do_not_fit_are_found(place: Path) -> None:
    ledger = place / "data" / "ledger.csv"
    ledger.write_text(LEDGER + "hubs/02-gone#x,hubs,02-gone,x\n" + LEDGER.split("\n")[1] + "\n"
                      + "hubs/01-a-question#other,hubs,01-a-question,other\n")  # fmt: skip
    found = [(p.cell, p.message) for p in check.problems(place)]
    assert [row for row, _ in found] == ["row 3", "row 4", "row 5"]
    expected = ("belongs to no notebook", "stands there twice", "declares no claim")
    for (_, message), words in zip(found, expected, strict=True):
        assert words in message
    only = list((place / "notebooks").glob("*/*.ipynb"))
    assert check.problems(place, only) == []
    ledger.unlink()
    (place / "data" / "papers.csv").write_text("key\n")
    assert [(p.file, p.rule) for p in check.problems(place)] == [("data/papers.csv", "papers")]


def test_a_problem_says_where_and_what(place: Path) -> None:
    path = place / "notebooks" / "hubs" / "01-a-question.ipynb"
    book = read(path)
    add("number", "It reaches 0.83.", "markdown", after="title")(book)
    move("number", "predict-1")(book)
    write(book, path)
    (found,) = check.problems(place)
    position = [c["id"] for c in book["cells"]].index("number") + 1
    assert str(found).startswith(f"notebooks/hubs/01-a-question.ipynb, cell {position} (It reaches 0.83.): 0.83 typed")
    assert str(found).endswith("[numbers]")
