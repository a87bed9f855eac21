"""Where papers predict opposite things (``notebooks/tensions.toml``), and the findings the README begins with."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TENSIONS, FINDINGS = "notebooks/tensions.toml", "notebooks/findings.toml"


@dataclass(frozen=True)
class Side:
    """What is said, in words without measured numbers, and the keys of the claims in the ledger that speak to it."""

    says: str
    claims: tuple[str, ...]


@dataclass(frozen=True)
class Tension:
    """A question on which papers disagree: one side, the other, and what decides between them."""

    question: str
    one: Side
    other: Side
    decided: Side

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        """All three parts."""
        return self.one, self.other, self.decided


@dataclass(frozen=True)
class Finding:
    """A headline, and the key of the claim it rests on."""

    headline: str
    claim: str


def tensions(root: Path) -> list[Tension]:
    """The tensions in the order of their file; none where there is no file.

    Raises:
        ValueError: no TOML, or an entry without its parts; the message names the file and the entry.
    """
    found = []
    for number, entry in enumerate(_entries(Path(root) / TENSIONS, "tension"), start=1):
        where = f"{TENSIONS}, tension {number}"
        parts = {}
        for name in ("one", "other", "decided"):
            part = entry.get(name)
            claims = part.get("claims") if isinstance(part, dict) else None
            says = part.get("says") if isinstance(part, dict) else None
            if not isinstance(says, str) or not isinstance(claims, list) or not claims:
                raise ValueError(f"{where}: {name} needs says and at least one key in claims")
            parts[name] = Side(" ".join(says.split()), tuple(str(key) for key in claims))
        if not isinstance(entry.get("question"), str):
            raise ValueError(f"{where}: a question is missing")
        found.append(Tension(entry["question"], **parts))
    return found


def findings(root: Path) -> list[Finding]:
    """The findings in the order of their file; none where there is no file.

    Raises:
        ValueError: no TOML, or an entry without headline or claim.
    """
    found = []
    for number, entry in enumerate(_entries(Path(root) / FINDINGS, "finding"), start=1):
        if not isinstance(entry.get("headline"), str) or not isinstance(entry.get("claim"), str):
            raise ValueError(f"{FINDINGS}, finding {number}: needs headline and claim")
        found.append(Finding(entry["headline"], entry["claim"]))
    return found


def unknown(root: Path, known: set[str]) -> list[tuple[str, str]]:
    """(file, key) of every claim that one of the two lists names and that is not among the `known` keys."""
    named = [(TENSIONS, key) for each in tensions(root) for side in each.sides for key in side.claims]
    named += [(FINDINGS, each.claim) for each in findings(root)]
    return [(file, key) for file, key in named if key not in known]


def _entries(path: Path, name: str) -> list[dict[str, Any]]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from None
    entries = told.get(name, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError(f"{path}: expected a list of [[{name}]]")
    return entries
