"""What each page of the gallery says, joined from notebooks, runs, ledger and papers; nothing here writes a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lab.collection.gallery import sources
from lab.collection.gallery.bars import bar, control_value, rule_text, spread
from lab.collection.gallery.sources import ClaimRow, Notebook, Run, Theme
from lab.collection.papers import Paper, papers

STATES = ("measured here", "in a notebook", "missing", "cited only")
_TROUBLES = {"failed": "failed", "timeout": "timed out", "surprised": "a verdict changed"}


@dataclass(frozen=True)
class Collection:
    """Everything there is to show."""

    root: Path
    themes: list[Theme]
    notebooks: list[Notebook]
    runs: Mapping[str, Run]
    claims: list[ClaimRow]
    papers: Mapping[str, Paper]

    def claims_in(self, notebook: Notebook) -> list[ClaimRow]:
        """The claims to show for one notebook: those of its run where it has one, else those of the ledger."""
        run = self.runs.get(notebook.name)
        recorded = {row.key: row for row in self.claims if row.notebook == notebook.name and row.recorded}
        if run is None or not run.result.get("claims"):
            return list(recorded.values())
        # stability is known to the ledger alone
        return [
            replace(row, stability=recorded[row.key].stability) if row.key in recorded else row
            for row in sources.claims_of(run)
        ]


def gather(root: Path, results: Sequence[Mapping[str, Any]] | None) -> Collection:
    """Read the collection under `root`; the papers are left out where there is no list of them.

    Raises:
        ValueError: a damaged ledger, list of papers or list of themes.
    """
    books = sources.notebooks(root)
    names = {book.name for book in books}
    runs = {name: run for name, run in sources.runs(root, results).items() if name in names}
    claims = sources.ledger(root)
    known = {row.key for row in claims}
    for name in sorted(runs):
        claims += [row for row in sources.claims_of(runs[name]) if row.key not in known]
    listed = {paper.key: paper for paper in papers(root)} if (root / "data" / "papers.csv").exists() else {}
    return Collection(root, sources.themes(root, [book.theme for book in books]), books, runs, claims, listed)


def counts(rows: Iterable[ClaimRow]) -> list[tuple[str, int]]:
    """How many claims have which verdict, in a fixed order, without the verdicts nobody has."""
    found = Counter(row.verdict for row in rows)
    return [(verdict, found[verdict]) for verdict in sources.VERDICTS if found[verdict]]


def trouble(run: Run | None) -> str:
    """What went wrong with a run, in two or three words; empty when nothing did."""
    return "" if run is None else _TROUBLES.get(str(run.result.get("status", "")), "")


def facts(notebook: Notebook, run: Run | None) -> list[str]:
    """Level, reading time, and how it was run, as short phrases."""
    told = [notebook.level] if notebook.level else []
    if notebook.minutes:
        told.append(f"{notebook.minutes} min")
    if run is not None:
        # seconds of the processor: the wall's say more about what else the machine was doing
        seconds = (run.result.get("closing") or {}).get("processor_seconds", run.result.get("seconds"))
        if isinstance(seconds, (int, float)):
            time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
            told.append(f"ran in {time} (profile {run.result.get('profile')})")
        if run.result.get("seed") not in (None, 0):
            told.append(f"seed {run.result['seed']}")
    return told


def citation(notebook: Notebook, run: Run | None) -> str:
    """A BibTeX entry for a notebook: what was run, in which version, with which base seed."""
    from lab import __version__

    run_as = f", profile {run.result.get('profile')}, base seed {run.result.get('seed')}" if run is not None else ""
    lines = [
        "@misc{lab-" + notebook.name.replace("/", "-") + ",",
        "  title = {{" + notebook.title.replace("{", "").replace("}", "") + "}},",
        "  author = {{The lab}},",
        f"  howpublished = {{Notebook {notebook.name} of the lab, version {__version__}{run_as}}},",
    ]
    if notebook.papers:
        lines.append(f"  note = {{Reproduces claims of: {', '.join(notebook.papers)}}},")
    return "\n".join([*lines, "}"])


def card(shown: Collection, notebook: Notebook, page: str, picture: str) -> dict[str, Any]:
    """One card of the index.

    Args:
        shown: the collection.
        notebook: whose card it is.
        page, picture: addresses relative to the index; empty where there is none.
    """
    run = shown.runs.get(notebook.name)
    rows = shown.claims_in(notebook)
    told = facts(notebook, run)
    if run is None and rows:
        told.append("verdicts from the ledger")
    if not notebook.readable:
        told.append("its file cannot be read")
    return {
        "anchor": anchor(notebook.name),
        "title": notebook.title,
        "number": notebook.slug.partition("-")[0],
        "question": notebook.question,
        "papers": [(key, shown.papers[key].title) for key in notebook.papers if key in shown.papers],
        "verdicts": counts(rows),
        "trouble": trouble(run),
        "error": str((run.result.get("error") or "") if run else ""),
        "ran": run is not None or bool(rows),
        "facts": told,
        "uses": [name for _, name in notebook.uses],
        "page": page,
        "picture": picture,
    }


def uses(shown: Collection) -> dict[str, list[str]]:
    """What the notebooks work with, by kind and name: the choices of a filter."""
    found: dict[str, set[str]] = {"Losses": set(), "Probes": set(), "Corrections": set()}
    titles = {"loss": "Losses", "probe": "Probes", "correction": "Corrections"}
    for book in shown.notebooks:
        for kind, name in book.uses:
            found[titles[kind]].add(name)
    return {title: sorted(names, key=str.lower) for title, names in found.items() if names}


def linked_uses(notebook: Notebook) -> list[tuple[str, str]]:
    """(module of the package, name) of what a notebook works with, as the API pages are addressed."""
    wings = {"loss": "losses", "probe": "probes", "correction": "corrections"}
    return [(wings[kind], name) for kind, name in notebook.uses]


def anchor(name: str) -> str:
    """The id of a notebook's card on the index."""
    return f"notebook-{name.replace('/', '-')}"


def ledger_rows(shown: Collection, pages: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of the ledger's page.

    Args:
        shown: the collection.
        pages: address of a notebook's page by ``theme/slug``, for those that have one.
    """
    rows = []
    for row in shown.claims:
        paper = shown.papers.get(row.paper)
        note = "" if row.recorded else f"profile {row.profile}, seed {row.seed}; not in the ledger"
        if row.verdict not in (row.expected, "not judged") and row.expected:
            note = f"{row.expected} was expected" + (f"; {note}" if note else "")
        rows.append(
            {
                "row": row,
                "href": _claim_address(row, pages),
                "paper": paper.title if paper else "",
                "spread": spread(row),
                "bar": bar(row),
                "rule": rule_text(row),
                "control": control_value(row),
                "order": sources.VERDICTS.index(row.verdict) if row.verdict in sources.VERDICTS else 9,
                "note": note,
            }
        )
    return rows


def paper_rows(shown: Collection, pages: Mapping[str, str]) -> list[dict[str, Any]]:
    """The rows of the papers' page: what was measured first, within a state in the order of the list."""
    by_paper: dict[str, list[ClaimRow]] = {}
    for row in shown.claims:
        by_paper.setdefault(row.paper, []).append(row)
    taken_up: dict[str, set[str]] = {}
    for book in shown.notebooks:
        for key in book.papers:
            taken_up.setdefault(key, set()).add(book.name)
    rows = []
    for paper in shown.papers.values():
        claims = by_paper.get(paper.key, [])
        names = sorted(taken_up.get(paper.key, set()) | {row.notebook for row in claims})
        judged = any(row.verdict != "not judged" for row in claims)
        rows.append(
            {
                "paper": paper,
                "state": STATES[0] if judged else STATES[1] if names else STATES[3 if paper.scope == "cite" else 2],
                "claims": [(row, _claim_address(row, pages)) for row in claims],
                "notebooks": [(name, pages.get(name, "")) for name in names],
            }
        )
    return sorted(rows, key=lambda view: STATES.index(view["state"]))


def _claim_address(row: ClaimRow, pages: Mapping[str, str]) -> str:
    page = pages.get(row.notebook)
    return f"{page}#claim-{row.slug}" if page else ""
