"""Reading back what an executed notebook recorded: claims, exercises, and the closing record that vouches for them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from lab.collection import claims, exercises, session

_CLAIM_TEXTS = ("slug", "paper", "statement", "quantity", "unit", "expected", "verdict")
_CLAIM_NUMBERS = ("value", "low", "high")


def claims_in(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The claim records of an executed notebook, in the order in which they first appear.

    A claim may be displayed more than once: the last record of a slug counts. What is no whole record is passed over.

    Args:
        notebook: a notebook as nbformat or ``json`` reads it; may be cut short or damaged.

    Returns:
        Claim records, one a slug.
    """
    found: dict[str, dict[str, Any]] = {}
    for record in _records(notebook, claims.MIME):
        if _is_claim(record):
            found[record["slug"]] = record
    return list(found.values())


def closing_in(notebook: Mapping[str, Any]) -> dict[str, Any] | None:
    """The closing record of an executed notebook (the last one), or None where the run did not come to its end."""
    closing = None
    for record in _records(notebook, session.MIME):
        if isinstance(record.get("claims"), int) and isinstance(record.get("verdicts"), Mapping):
            closing = record
    return closing


def exercises_in(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The exercise records of an executed notebook, one a name, the last one of each."""
    known = (exercises.PASSED, exercises.FAILED, exercises.NOT_ATTEMPTED)
    found: dict[str, dict[str, Any]] = {}
    for record in _records(notebook, exercises.MIME):
        if isinstance(record.get("name"), str) and record.get("status") in known:
            found[record["name"]] = record
    return list(found.values())


def accepted(notebook: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether an executed notebook may be counted: closing record there, and every claim it names recorded.

    Returns:
        (True, "") or (False, why not in one line).
    """
    closing = closing_in(notebook)
    if closing is None:
        return False, "the closing record is missing: the notebook did not reach run.finish()"
    found = {record["slug"]: record["verdict"] for record in claims_in(notebook)}
    if len(found) != closing["claims"]:
        return False, f"the closing record counts {closing['claims']} claims, {len(found)} are recorded"
    if found != dict(closing["verdicts"]):
        names = sorted(set(found.items()) ^ set(closing["verdicts"].items()))
        return False, f"closing record and claims disagree on {', '.join(sorted({slug for slug, _ in names}))}"
    return True, ""


def _records(notebook: Mapping[str, Any], mime: str) -> Iterator[dict[str, Any]]:
    cells = notebook.get("cells") if isinstance(notebook, Mapping) else None
    for cell in cells if isinstance(cells, list) else []:
        outputs = cell.get("outputs") if isinstance(cell, Mapping) else None
        for output in outputs if isinstance(outputs, list) else []:
            data = output.get("data") if isinstance(output, Mapping) else None
            record = data.get(mime) if isinstance(data, Mapping) else None
            if isinstance(record, str):  # some tools keep JSON bundles as text
                try:
                    record = json.loads(record)
                except ValueError:
                    continue
            if isinstance(record, Mapping) and record.get("schema", 1) == 1:
                yield json.loads(json.dumps(record))


def _is_claim(record: Mapping[str, Any]) -> bool:
    texts = all(isinstance(record.get(name), str) for name in _CLAIM_TEXTS)
    numbers = all(_is_number(record.get(name)) for name in _CLAIM_NUMBERS)
    parts = isinstance(record.get("rule"), Mapping) and isinstance(record.get("control"), Mapping)
    known = record.get("verdict") in (*claims.VERDICTS, claims.NOT_JUDGED)
    return texts and numbers and parts and known and isinstance(record.get("n"), int)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
