"""``exercises.html``: every exercise of the collection with its solution, for those who teach with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment

from lab.collection.files import write
from lab.collection.gallery.markdown import Prose
from lab.collection.gallery.sources import Notebook
from lab.collection.gallery.views import Collection
from lab.collection.notebook import source

_HEADING = re.compile(r"^### Exercise (\d+) · ([★☆]+) · (\d+) minutes?[ \t]*$", re.MULTILINE)
_DETAILS = re.compile(r"<details><summary>Solution</summary>\s*(.*?)\s*</details>", re.DOTALL)


@dataclass(frozen=True)
class Exercise:
    """One exercise: its notebook (``theme/slug``), number, stars, minutes, and its three texts in Markdown or Python.

    `solution` is empty where the notebook shows none.
    """

    notebook: str
    number: int
    stars: int
    minutes: int
    task: str
    stub: str
    solution: str


def exercises(book: Notebook) -> list[Exercise]:
    """The exercises of a notebook in their order; none of a file that cannot be read as a notebook."""
    try:
        cells = json.loads(book.path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return []
    found: list[Exercise] = []
    heading: tuple[str, str, str] | None = None
    task = stub = ""
    for cell in cells:
        text = source(cell)
        if cell["cell_type"] == "code":
            stub = text if "exercise" in cell.get("metadata", {}).get("tags", []) else stub
            continue
        # what stands before a heading belongs to the exercise above it
        parts = _HEADING.split(text)
        for k in range(0, len(parts), 4):
            if k:
                heading, task, stub = (parts[k - 3], parts[k - 2], parts[k - 1]), _DETAILS.sub("", parts[k]).strip(), ""
            solution = _DETAILS.search(parts[k])
            if solution and heading:
                number, stars, minutes = heading
                code = stub.rstrip()
                made = Exercise(book.name, int(number), stars.count("★"), int(minutes), task, code, solution[1])
                found.append(made)
                heading = None
    return found


def write_page(environment: Environment, shown: Collection, pages: Mapping[str, str], out: Path) -> None:
    """Write ``exercises.html``.

    Args:
        environment: jinja2 with the gallery's templates.
        shown: the collection.
        pages: address of a notebook's page by ``theme/slug``, for those that have one.
        out: folder of the gallery.
    """
    prose = Prose(_linker(pages), taken={"main", "exercises"})
    rows: list[dict[str, Any]] = []
    for book in shown.notebooks:
        theme = next(theme for theme in shown.themes if theme.name == book.theme)
        for each in exercises(book):
            code = f"```python\n{each.stub}\n```" if each.stub else ""
            rows.append(
                {
                    "exercise": each,
                    "title": book.title,
                    "theme": theme.title,
                    "page": pages.get(book.name, ""),
                    "task": prose.html(f"{each.task}\n\n{code}"),
                    "solution": prose.html(each.solution),
                }
            )
    write(
        out / "exercises.html",
        environment.get_template("exercises.html.j2").render(
            kind="exercises",
            title="Exercises · the lab",
            description="Every exercise of the collection with its difficulty, its minutes and its solution.",
            rows=rows,
            minutes=sum(row["exercise"].minutes for row in rows),
            theme_titles=[theme.title for theme in shown.themes if any(row["theme"] == theme.title for row in rows)],
            sprite=prose.formulas.sprite(),
        ),
    )


def _linker(pages: Mapping[str, str]) -> Callable[[str], str]:
    def link(url: str) -> str:
        name = "/".join(url.partition("#")[0].removesuffix(".ipynb").split("/")[-2:])
        return pages.get(name, "index.html") if url.partition("#")[0].endswith(".ipynb") else url

    return link
