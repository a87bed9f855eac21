"""A new notebook from the template: it runs, and passes the checks, before a word of it is changed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from lab.collection import papers, place
from lab.collection.notebook import SLUG, THEME, read, write


def new(root: Path, theme: str, slug: str) -> Path:
    """Write ``notebooks/<theme>/<slug>.ipynb`` from the template.

    Args:
        root: root of the collection.
        theme: folder under ``notebooks/``, lower-case words joined by hyphens; made if need be.
        slug: the file's name without suffix: two digits and words, such as ``06-my-question``.

    Returns:
        The path of the new notebook.

    Raises:
        ValueError: a theme or slug of another form, a notebook of that name or number there already, no papers.
    """
    if not THEME.fullmatch(theme):
        raise ValueError(f"theme must be lower-case words joined by hyphens, such as hubness, got {theme!r}")
    if not SLUG.fullmatch(slug):
        raise ValueError(f"slug must be two digits and words joined by hyphens, such as 06-my-question, got {slug!r}")
    path = Path(root) / "notebooks" / theme / f"{slug}.ipynb"
    for other in place.notebooks(Path(root)):
        if other.parent.name == theme and other.stem[:2] == slug[:2]:
            raise ValueError(f"{theme} has number {slug[:2]} already: {place.name_of(other)}")
    if path.exists():
        raise ValueError(f"{path} exists already")
    listed = papers.papers(Path(root))
    if not listed:
        raise ValueError("data/papers.csv lists no paper that a claim could name")
    paper = next((each for each in listed if each.theme == theme), listed[0])
    words = {"title": slug[3:].replace("-", " ").capitalize(), "paper": paper.key, "paper_title": paper.title}
    model = files("lab.collection").joinpath("templates/notebook.ipynb")
    write(_filled(read(Path(str(model))), words), path)
    return path


def _filled(part: Any, words: dict[str, str]) -> Any:
    """`part` with every ``{{name}}`` in its strings replaced."""
    if isinstance(part, dict):
        return {key: _filled(value, words) for key, value in part.items()}
    if isinstance(part, list):
        return [_filled(value, words) for value in part]
    if isinstance(part, str):
        for name, value in words.items():
            part = part.replace("{{" + name + "}}", value)
    return part
