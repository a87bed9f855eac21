"""``notebooks/README.md``: the ledger as a page, for readers who see the notebooks where they are hosted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.collection.files import write
from lab.collection.gallery import pictures, sources
from lab.collection.gallery.bars import rule_text, spread
from lab.collection.gallery.sources import ClaimRow, Notebook
from lab.collection.gallery.views import counts

_SIGNS = {"supported": "✓", "refuted": "✕", "inconclusive": "≈"}


def readme(root: Path) -> str:
    """The ledger as Markdown: a table of notebooks for each theme, and a table of claims for each notebook.

    Only notebooks, ledger, ``themes.toml`` and the committed pictures are read, so the same collection gives the same
    text everywhere.

    Args:
        root: root of the collection.

    Raises:
        ValueError: a damaged ledger or list of themes.
    """
    books = sources.notebooks(root)
    rows: dict[str, list[ClaimRow]] = {}
    for row in sources.ledger(root):
        rows.setdefault(row.notebook, []).append(row)
    shown = [row for book in books for row in rows.get(book.name, [])]
    parts = [
        "# Notebooks and what they found\n",
        "This page is generated from the notebooks and from `data/ledger.csv`; changes made here are lost.\n",
        f"{_count(len(books), 'notebook')}, {_count(len(shown), 'claim')}: {_tally(shown)}. "
        "A claim is *supported* when its whole 95 % interval satisfies the rule and its control does not, *refuted* "
        "when the whole interval violates the rule, and *inconclusive* otherwise. In the drawings the line is the "
        "interval, the dot the mean, the shaded stretch what satisfies the rule, and the hollow diamond the control.\n",
    ]
    for theme in sources.themes(root, [book.theme for book in books]):
        of_theme = [book for book in books if book.theme == theme.name]
        parts.append(f"## {_cell(theme.title)}\n")
        if theme.intro:
            parts.append(f"{theme.intro}\n")
        parts.append(_overview(root, of_theme, rows))
        parts += [_claims(root, book, rows[book.name]) for book in of_theme if rows.get(book.name)]
    return "\n".join(parts)


def write_readme(root: Path) -> bool:
    """Write `readme` to ``notebooks/README.md`` in one step; returns whether the file changed."""
    return write(Path(root) / "notebooks" / "README.md", readme(Path(root)))


def _address(book: Notebook) -> str:
    """Of a notebook, from the folder of notebooks; its file may lie in that folder itself."""
    return f"{book.slug if book.theme == 'notebooks' else book.name}.ipynb"


def _overview(root: Path, books: Sequence[Notebook], rows: dict[str, list[ClaimRow]]) -> str:
    lines = ["| | notebook | question | claims |", "|---|---|---|---|"]
    for book in books:
        found, link, picture = _tally(rows.get(book.name, [])), _address(book), ""
        if pictures.path(root, book.name, ".png").is_file():
            alt = _cell(f"Figure of the notebook {book.title}").replace('"', "&quot;")
            picture = f'<a href="{link}"><img src="pictures/{book.name}.png" width="200" alt="{alt}"></a>'
        lines.append(f"| {picture} | [{_cell(book.title)}]({link}) | {_cell(book.question)} | {found} |")
    return "\n".join(lines) + "\n"


def _claims(root: Path, book: Notebook, rows: Sequence[ClaimRow]) -> str:
    lines = [f"### {_cell(book.title)}\n"]
    if pictures.path(root, book.name, ".svg").is_file():
        lines.append(f"![Interval and rule of each claim](pictures/{book.name}.svg)\n")
    lines += ["| claim | measured | rule | verdict |", "|---|---|---|---|"]
    for row in rows:
        said = f"{_cell(row.statement)}<br><sub>{_cell(row.quantity)}; paper `{row.paper}`</sub>"
        sign = _SIGNS.get(row.verdict, "")
        lines.append(f"| {said} | {_cell(spread(row))} | {_cell(rule_text(row))} | {sign} {row.verdict} |")
    return "\n".join(lines) + "\n"


def _tally(rows: Sequence[ClaimRow]) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in counts(rows)) or "not run yet"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cell(text: str) -> str:
    """A text that cannot break a table: one line, bars escaped."""
    return " ".join(text.split()).replace("|", "\\|")
