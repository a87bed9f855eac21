"""A page for every paper: what it says, what was measured of it here, and where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment

from lab.collection.files import write
from lab.collection.gallery import views
from lab.collection.gallery.views import Collection

SCOPES = {
    "reproduce": "to be reproduced",
    "sketch": "to be sketched",
    "cite": "cited only",
}


def write_all(environment: Environment, shown: Collection, pages: Mapping[str, str], out: Path) -> set[Path]:
    """Write ``papers/<key>.html`` for every paper of the list.

    Args:
        environment: jinja2 with the gallery's templates.
        shown: the collection.
        pages: address of a notebook's page by ``theme/slug``, for those that have one.
        out: folder of the gallery.

    Returns:
        The files that belong there.
    """
    template = environment.get_template("paper.html.j2")
    claims: dict[str, list[dict[str, object]]] = {}
    for each in views.ledger_rows(shown, pages):
        claims.setdefault(each["row"].paper, []).append(each)
    titles = {book.name: book.title for book in shown.notebooks}
    kept = set()
    for view in views.paper_rows(shown, pages):
        paper = view["paper"]
        path = out / "papers" / f"{paper.key}.html"
        kept.add(path)
        write(
            path,
            template.render(
                kind="papers",
                title=f"{paper.title} · the lab",
                description=paper.claim,
                up="../",
                paper=paper,
                scope=SCOPES[paper.scope],
                view=view,
                rows=claims.get(paper.key, []),
                titles={name: titles.get(name, name) for name, _ in view["notebooks"]},
            ),
        )
    return kept
