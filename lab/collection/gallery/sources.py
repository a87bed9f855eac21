"""What there is to show: themes, notebooks, their runs, and their claims, read from the files of the collection."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.collection import place
from lab.collection.ledger import read as read_ledger
from lab.collection.uses import uses

VERDICTS = ("supported", "refuted", "inconclusive", "not judged")


@dataclass(frozen=True)
class Theme:
    """A folder of notebooks: its name, a title, an introduction in plain words, and its place among the themes."""

    name: str
    title: str
    intro: str
    order: int


@dataclass(frozen=True)
class Notebook:
    """What the source of a notebook says about itself.

    `uses` are the losses, probes and corrections it imports, `needs` the names of the notebooks to read before it;
    `readable` is False when the file is no notebook.
    """

    theme: str
    slug: str
    path: Path
    title: str
    question: str
    level: str
    minutes: int | None
    papers: tuple[str, ...]
    thumbnail: str
    uses: tuple[tuple[str, str], ...] = ()
    needs: tuple[str, ...] = ()
    readable: bool = True

    @property
    def name(self) -> str:
        """``theme/slug``."""
        return f"{self.theme}/{self.slug}"


@dataclass(frozen=True)
class Run:
    """The result of one execution, and the executed notebook where there is one."""

    result: Mapping[str, Any]
    executed: Path | None
    written: float

    @property
    def name(self) -> str:
        """``theme/slug`` of the notebook that was run."""
        return f"{self.result.get('theme', '')}/{self.result.get('notebook', '')}"


@dataclass(frozen=True)
class ClaimRow:
    """One claim with its numbers, from the ledger (`recorded`) or from a run that is not in the ledger."""

    key: str
    paper: str
    statement: str
    quantity: str
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    unit: str
    rule: str
    control: str
    control_value: float | None
    verdict: str
    expected: str
    stability: str
    profile: str
    seed: str
    recorded: bool

    @property
    def notebook(self) -> str:
        """``theme/slug`` of the claim's notebook."""
        return self.key.partition("#")[0]

    @property
    def theme(self) -> str:
        """The claim's theme."""
        return self.key.partition("/")[0]

    @property
    def slug(self) -> str:
        """The claim's own short name."""
        return self.key.partition("#")[2]


def notebooks(root: Path) -> list[Notebook]:
    """Every notebook under ``notebooks/<theme>/``, by theme and name; hidden folders and files are left out."""
    return [_notebook(path) for path in place.notebooks(root)]


def _notebook(path: Path) -> Notebook:
    theme, slug = path.parent.name, path.stem
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        about = content["metadata"].get("lab", {})
        first = "".join(content["cells"][0]["source"])
        heading = re.search(r"^#\s+(.+)$", first, re.MULTILINE)
        minutes = about.get("minutes")
        return Notebook(
            theme=theme,
            slug=slug,
            path=path,
            title=heading[1].strip() if heading else slug,
            question=str(about.get("question", "")),
            level=str(about.get("level", "")),
            minutes=minutes if isinstance(minutes, int) else None,
            papers=tuple(str(key) for key in about.get("papers", ())),
            thumbnail=str(about.get("thumbnail") or ""),
            uses=uses(content),
            needs=tuple(str(name) for name in about.get("needs", ())),
        )
    except (OSError, ValueError, KeyError, IndexError, AttributeError, TypeError):
        # a damaged notebook is reported by the checker; here it must not keep the others from being shown
        return Notebook(theme, slug, path, slug, "", "", None, (), "", readable=False)


def themes(root: Path, names: Sequence[str]) -> list[Theme]:
    """The themes of `names` in the order of ``notebooks/themes.toml``, those it does not list after them by name.

    Raises:
        ValueError: the file is no TOML.
    """
    path = root / "notebooks" / "themes.toml"
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    order = {name: place for place, name in enumerate(told)}
    found = []
    for name in sorted(set(names), key=lambda name: (order.get(name, len(order)), name)):
        about = told.get(name, {})
        title = about.get("title", name.replace("-", " ").capitalize())
        found.append(Theme(name, title, " ".join(about.get("intro", "").split()), order.get(name, len(order))))
    return found


def runs(root: Path, results: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Run]:
    """For each notebook the run to show.

    A run among `results` comes first, then one that judged its claims before one at profile smoke, then one with
    base seed 0, which the ledger is made of, then the newest.

    Args:
        root: root of the collection; runs lie in ``build/runs/<key>/``.
        results: contents of ``result.json`` of the runs at hand.
    """
    preferred = {str(result.get("key")) for result in results or ()}
    best: dict[str, tuple[tuple[bool, bool, bool, float, str], Run]] = {}
    for path in sorted((root / "build" / "runs").glob("*/result.json")):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            written = path.stat().st_mtime
        except (OSError, ValueError):
            continue
        if not isinstance(result, dict):
            continue
        executed = path.with_name("executed.ipynb")
        run = Run(result, executed if executed.exists() else None, written)
        key = str(result.get("key", path.parent.name))
        rank = (key in preferred, result.get("profile") != "smoke", result.get("seed") == 0, written, key)
        if run.name not in best or rank > best[run.name][0]:
            best[run.name] = (rank, run)
    shown = {name: run for name, (_, run) in best.items()}
    for result in results or ():
        # a run that left nothing behind (it failed before the first cell) is still known by its result
        run = Run(result, None, 0.0)
        if run.name not in shown or shown[run.name].result.get("key") != result.get("key"):
            shown[run.name] = run
    return shown


def ledger(root: Path) -> list[ClaimRow]:
    """The claims of ``data/ledger.csv`` in its order; empty when there is no ledger yet.

    Raises:
        ValueError: the ledger is damaged.
    """
    return [
        ClaimRow(
            **{name: row[name] for name in (*_TEXTS, *_LABELS)},
            value=_number(row["value"]),
            low=_number(row["low"]),
            high=_number(row["high"]),
            n=int(row["n"]),
            control_value=_number(row["control_value"]),
            recorded=True,
        )
        for row in read_ledger(root).values()
    ]


_TEXTS = ("key", "paper", "statement", "quantity", "unit", "rule", "control", "verdict", "expected", "stability")
_LABELS = ("profile", "seed")


def _number(text: str) -> float | None:
    return float(text) if text else None


def claims_of(run: Run) -> list[ClaimRow]:
    """The claims a run recorded, in the order in which they were declared."""
    rows = []
    for record in run.result.get("claims") or ():
        control = record.get("control") or {}
        rows.append(
            ClaimRow(
                key=f"{run.name}#{record.get('slug', '')}",
                paper=record.get("paper", ""),
                statement=record.get("statement", ""),
                quantity=record.get("quantity", ""),
                value=record.get("value"),
                low=record.get("low"),
                high=record.get("high"),
                n=record.get("n"),
                unit=record.get("unit") or "",
                rule=(record.get("rule") or {}).get("text", ""),
                control=control.get("text", ""),
                control_value=control.get("value"),
                verdict=record.get("verdict", ""),
                expected=record.get("expected", ""),
                stability="",
                profile=str(run.result.get("profile", "")),
                seed=str(run.result.get("seed", "")),
                recorded=False,
            )
        )
    return rows
