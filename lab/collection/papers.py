"""The list of papers: what each claims, how far the lab takes it up, and which notebooks measure it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lab.collection import ledger, place
from lab.collection.files import write

SCOPES = ("reproduce", "sketch", "cite")


@dataclass(frozen=True)
class Paper:
    """One row of ``data/papers.csv``.

    Args:
        key: short name, unique in the list; what claims and notebooks refer to.
        title, theme, kind: the paper's title, its theme, and what it mainly contributes (loss, probe, theory ...).
        tier: "1" to "4", how central the paper is to the lab.
        scope: reproduce, sketch or cite.
        idea, claim, experiment: what it proposes, what it says follows, how that can be tried at a small scale.
        notebooks: names (``theme/slug``) of the notebooks that take it up, joined by semicolons; generated.
    """

    key: str
    title: str
    theme: str
    kind: str
    tier: str
    scope: str
    idea: str
    claim: str
    experiment: str
    notebooks: str

    @property
    def taken_up_in(self) -> tuple[str, ...]:
        """The names of the notebooks that take the paper up, sorted."""
        return tuple(name for name in self.notebooks.split(";") if name)

    @property
    def missing(self) -> bool:
        """Whether the paper is to be reproduced or sketched and no notebook does so yet."""
        return self.scope != "cite" and not self.taken_up_in


COLUMNS = [field.name for field in fields(Paper)]


def papers(root: Path) -> list[Paper]:
    """The papers in the order of ``data/papers.csv``.

    Args:
        root: root of the collection.

    Raises:
        ValueError: the file is missing, lacks a column, has a row of another length, an unknown scope or a key twice.
    """
    path = Path(root) / "data" / "papers.csv"
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    except FileNotFoundError:
        raise ValueError(f"the list of papers is missing: {path}") from None
    if not rows or rows[0] != COLUMNS:
        raise ValueError(f"{path}: columns {','.join(COLUMNS)} expected, found {','.join(rows[0]) if rows else 'none'}")
    found: dict[str, Paper] = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(COLUMNS):
            raise ValueError(f"{path}: row {number} has {len(row)} cells, expected {len(COLUMNS)}")
        paper = Paper(*row)
        if paper.scope not in SCOPES:
            raise ValueError(f"{path}: {paper.key} has the scope {paper.scope!r}, expected one of {', '.join(SCOPES)}")
        if paper.key in found:
            raise ValueError(f"{path}: the key {paper.key!r} stands there twice")
        found[paper.key] = paper
    return list(found.values())


def listing(root: Path, theme: str | None = None, missing: bool = False) -> list[Paper]:
    """The papers of one theme or of all, optionally only those that are still missing.

    Args:
        root: root of the collection.
        theme: a theme of the list; all themes when None.
        missing: keep only papers to be reproduced or sketched that no notebook takes up yet.

    Raises:
        ValueError: an unknown theme; the message names the known ones.
    """
    rows = papers(root)
    known = sorted({paper.theme for paper in rows})
    if theme is not None and theme not in known:
        raise ValueError(f"no paper has the theme {theme!r}; known themes: {', '.join(known)}")
    return [paper for paper in rows if theme in (None, paper.theme) and (paper.missing or not missing)]


def update(root: Path) -> bool:
    """Write the column ``notebooks`` anew from the notebooks' metadata and the ledger's claims.

    A notebook takes a paper up when its metadata ``lab.papers`` names the key or one of its claims in the ledger does.
    Rows of the ledger whose notebook is gone are passed over. The same input gives the same bytes, and a file that
    would not change is not written.

    Args:
        root: root of the collection.

    Returns:
        Whether the file changed.

    Raises:
        ValueError: a notebook or a claim names a key that is not in the list, or a notebook cannot be read.
    """
    rows = papers(root)
    joined: dict[str, set[str]] = {paper.key: set() for paper in rows}
    for source, notebook, key in _mentions(Path(root)):
        if key not in joined:
            raise ValueError(f"{source} names the paper {key!r}, which is not in data/papers.csv")
        joined[key].add(notebook)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for paper in rows:
        writer.writerow([*list(asdict(paper).values())[:-1], ";".join(sorted(joined[paper.key]))])
    return write(Path(root) / "data" / "papers.csv", buffer.getvalue())


def _mentions(root: Path) -> Iterator[tuple[str, str, str]]:
    """Who names which paper: (where it is said, the notebook's name, the paper's key)."""
    present = set()
    for path in place.notebooks(root):
        name = place.name_of(path)
        present.add(name)
        try:
            keys = json.loads(path.read_text(encoding="utf-8"))["metadata"].get("lab", {}).get("papers", [])
        except (ValueError, KeyError, AttributeError, TypeError):
            raise ValueError(f"notebooks/{name}.ipynb cannot be read as a notebook") from None
        yield from ((f"notebooks/{name}.ipynb", name, key) for key in keys)
    for key, row in ledger.read(root).items():
        name = key.partition("#")[0]
        if name in present:
            yield f"data/ledger.csv, claim {key},", name, row["paper"]
