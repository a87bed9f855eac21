"""The pages of the gallery that are lists: the ledger, the papers, the losses, and where papers disagree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment

from lab.collection import catalogue, questions
from lab.collection import tensions as disputed
from lab.collection.files import write
from lab.collection.gallery import views
from lab.collection.gallery.views import Collection


def ledger(environment: Environment, shown: Collection, pages: Mapping[str, str], out: Path) -> None:
    """Write ``ledger.html``: every claim with its value, rule, control and verdict."""
    rows = views.ledger_rows(shown, pages)
    write(
        out / "ledger.html",
        environment.get_template("ledger.html.j2").render(
            kind="ledger",
            title="Ledger · the lab",
            description="Every claim with its measured value, its rule, its control and its verdict.",
            rows=rows,
            totals=views.counts(shown.claims),
            theme_names=sorted({row.theme for row in shown.claims}),
            verdict_names=[verdict for verdict, _ in views.counts(shown.claims)],
        ),
    )


def papers(environment: Environment, shown: Collection, pages: Mapping[str, str], out: Path) -> None:
    """Write ``papers.html``: the papers and what was measured of each."""
    rows = views.paper_rows(shown, pages)
    states = [(state, sum(view["state"] == state for view in rows)) for state in views.STATES]
    write(
        out / "papers.html",
        environment.get_template("papers.html.j2").render(
            kind="papers",
            title="Papers · the lab",
            description="The papers, how far each is taken up, and what was measured of it.",
            rows=rows,
            states=[(state, count) for state, count in states if count],
            state_names=[state for state, count in states if count],
            theme_names=sorted({view["paper"].theme for view in rows}),
            scopes=sorted({view["paper"].scope for view in rows}),
        ),
    )


def losses(environment: Environment, out: Path) -> None:
    """Write ``losses.html``: which losses of the package fit the data one has."""
    entries = catalogue.losses()
    kinds = [
        (kind, catalogue.DATA[kind], kind.replace(" ", "-"), catalogue.FIRST[kind], fit)
        for kind, fit in catalogue.fitting(None, entries)
    ]
    write(
        out / "losses.html",
        environment.get_template("losses.html.j2").render(
            kind="losses",
            title="Losses · the lab",
            description="Which loss fits the data one has: formula, source and relatives of every loss in lab.losses.",
            kinds=kinds,
            number=len(entries),
        ),
    )


def tensions(environment: Environment, shown: Collection, pages: Mapping[str, str], out: Path) -> None:
    """Write ``tensions.html``: pairs of claims that predict opposite things, and what decides between them."""
    rows = {view["row"].key: view for view in views.ledger_rows(shown, pages)}

    def side(part: disputed.Side) -> dict[str, object]:
        return {"says": part.says, "rows": [rows[key] for key in part.claims if key in rows]}

    told = [
        {"question": each.question, "one": side(each.one), "other": side(each.other), "decided": side(each.decided)}
        for each in disputed.tensions(shown.root)
    ]
    write(
        out / "tensions.html",
        environment.get_template("tensions.html.j2").render(
            kind="tensions",
            title="Where papers disagree · the lab",
            description="Questions on which papers predict opposite things, and the experiments that decide.",
            tensions=told,
        ),
    )


def probes(environment: Environment, shown: Collection, pages: Mapping[str, str], out: Path) -> None:
    """Write ``probes.html``: which probes answer which question, and what can be done about it."""
    known, remedies = questions.purposes("probes"), questions.purposes("corrections")
    used = {book.name: book.uses for book in shown.notebooks}
    titles = {book.name: book.title for book in shown.notebooks}
    told = [
        {
            "asks": each.asks,
            "probes": [(name, *known[name]) for name in each.probes],
            "corrections": [(name, *remedies[name]) for name in each.corrections],
            "notebooks": [(titles[name], pages.get(name, "")) for name in questions.working_with(each.probes, used)],
        }
        for each in questions.QUESTIONS
    ]
    write(
        out / "probes.html",
        environment.get_template("probes.html.j2").render(
            kind="probes",
            title="Probes · the lab",
            description="Which probe answers which question about embeddings, and what can be done about it.",
            questions=told,
        ),
    )
