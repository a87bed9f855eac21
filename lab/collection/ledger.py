"""The ledger, ``data/ledger.csv``: one row a claim, made by runs at profile ``standard`` with base seed 0."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from lab.collection.files import write
from lab.collection.outcome import OK
from lab.collection.place import name_of, notebooks

# fmt: off
COLUMNS = [
    "key", "theme", "notebook", "slug", "paper", "statement", "quantity", "value", "low", "high", "n", "unit", "rule",
    "control", "control_value", "verdict", "expected", "stability", "profile", "seed", "seconds", "code",
]
# fmt: on
VERDICTS = ("supported", "refuted", "inconclusive")
_NUMBERS = ("value", "low", "high", "n", "seed", "seconds")
_AGREE = 1e-6  # numbers closer than this, relatively, are the same result on another machine
_SAME = 1e-5  # the same result of changed code
Row = dict[str, str]


def read(base: Path) -> dict[str, Row]:
    """The rows of the ledger by key, in the order of the file.

    Args:
        base: root of the collection.

    Returns:
        key (``theme/notebook#slug``) -> column -> text; empty where there is no ledger yet.

    Raises:
        ValueError: the file is damaged; the message names the file, the line and what is wrong there.
    """
    path = base / "data" / "ledger.csv"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from None
    rows: dict[str, Row] = {}
    try:
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        header = next(lines, None)
        if header != COLUMNS:
            raise ValueError(f"{path}: the first line must name the columns {','.join(COLUMNS)}")
        for cells in lines:
            problem = _problem(cells, rows)
            if problem:
                raise ValueError(f"{path}, line {lines.line_num}: {problem}")
            rows[cells[0]] = dict(zip(COLUMNS, cells, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}: not a table of comma-separated values ({error})") from None
    return rows


def _problem(cells: list[str], before: Mapping[str, Row]) -> str | None:
    if len(cells) != len(COLUMNS):
        return f"{len(COLUMNS)} cells expected, found {len(cells)}"
    row = dict(zip(COLUMNS, cells, strict=True))
    if row["key"] != f"{row['theme']}/{row['notebook']}#{row['slug']}":
        return f"the key {row['key']!r} is not theme/notebook#slug of its row"
    if row["key"] in before:
        return f"the key {row['key']!r} stands there twice"
    if row["verdict"] not in VERDICTS:
        return f"the verdict {row['verdict']!r} is none of {', '.join(VERDICTS)}"
    numbers = [(name, row[name]) for name in _NUMBERS]
    numbers += [(name, row[name]) for name in ("control_value", "stability") if row[name]]
    for name, text in numbers:
        try:
            sound = math.isfinite(float(text))
        except ValueError:
            sound = False
        if not sound:
            return f"{name} must be a finite number, found {text!r}"
    return None


def update(base: Path, results: Iterable[Mapping[str, Any]], stability: Mapping[str, float] | None = None) -> bool:
    """Write the claims of some runs into the ledger.

    Rows of these notebooks whose claim is gone are dropped, and rows of notebooks that no longer exist. A row that
    agrees with the run (same code, same verdict, numbers equal to 1e-6) stays as it is, byte by byte. The file is
    replaced in one step, under a lock, and only if it changes.

    Args:
        base: root of the collection.
        results: runs with status ``ok``, at profile standard, base seed 0 and default parameters.
        stability: key of a claim -> share of equal verdicts over other base seeds, 0 to 1; known shares of claims
            left out here are kept as long as the code is the same, or every number of the notebook comes out again to
            1e-5: training would blow up the least change, so such code computes what it did before.

    Returns:
        Whether the file changed.

    Raises:
        ValueError: a run that does not belong in the ledger, or a damaged ledger.
    """
    shares = stability or {}
    (base / "build").mkdir(exist_ok=True)
    with FileLock(base / "build" / ".ledger.lock"):
        rows = read(base)
        for result in results:
            name = f"{result['theme']}/{result['notebook']}"
            if result["status"] != OK or result["profile"] != "standard" or result["seed"] != 0:
                raise ValueError(f"{name}: only accepted runs at profile standard with base seed 0 go into the ledger")
            fresh = {claim["key"]: row_of(result, claim) for claim in result["claims"]}
            old = {k: row for k, row in rows.items() if f"{row['theme']}/{row['notebook']}" == name}
            same = old.keys() == fresh.keys() and all(_alike(old[k], row, _SAME) for k, row in fresh.items())
            rows = {k: row for k, row in rows.items() if k in fresh or k not in old}
            for key, row in fresh.items():
                rows[key] = _merge(rows.get(key), row, shares.get(key), same)
        existing = {name_of(path) for path in notebooks(base)}
        rows = {k: row for k, row in rows.items() if f"{row['theme']}/{row['notebook']}" in existing}
        return write(base / "data" / "ledger.csv", _text(rows))


def row_of(result: Mapping[str, Any], claim: Mapping[str, Any]) -> Row:
    """The row of one claim of a run; stability is empty."""
    control = claim["control"]
    row = {
        "key": claim["key"],
        "theme": result["theme"],
        "notebook": result["notebook"],
        "slug": claim["slug"],
        "paper": claim["paper"],
        "statement": claim["statement"],
        "quantity": claim["quantity"],
        "value": number(claim["value"]),
        "low": number(claim["low"]),
        "high": number(claim["high"]),
        "n": str(claim["n"]),
        "unit": claim["unit"] or "",
        "rule": claim["rule"]["text"],
        "control": control["text"],
        "control_value": number(control["value"]),
        "verdict": claim["verdict"],
        "expected": claim["expected"],
        "stability": "",
        "profile": result["profile"],
        "seed": str(result["seed"]),
        # of one thread's work where known, which whatever else the machine does hardly changes
        "seconds": f"{(result.get('closing') or {}).get('processor_seconds', result['seconds']):.0f}",
        "code": result["key"],
    }
    return {name: " ".join(str(row[name]).split()) for name in COLUMNS}


def number(value: float | None) -> str:
    """A number as the ledger writes it: eight significant digits, so that 1e-6 can be told apart; None is empty.

    Example:
        >>> number(0.123456789), number(3.0), number(None)
        ('0.12345679', '3', '')
    """
    return "" if value is None else f"{value:.8g}"


def _alike(old: Row, new: Row, digits: float) -> bool:
    """Whether two rows measure the same thing with the same result, up to a relative difference."""
    if any(old[name] != new[name] for name in ("n", "rule", "control", "verdict")):
        return False
    numbers = [(old[name], new[name]) for name in ("value", "low", "high", "control_value")]
    if any(not a or not b for a, b in numbers):
        return all(a == b for a, b in numbers)
    # what is nothing but rounding, such as a difference of 1e-15, may be another every time
    slack = max(1e-12, digits * max(abs(float(new[name])) for name in ("value", "low", "high")))
    return all(math.isclose(float(a), float(b), rel_tol=digits, abs_tol=slack) for a, b in numbers)


def _merge(old: Row | None, new: Row, share: float | None, same_results: bool) -> Row:
    same_code = old is not None and old["code"] == new["code"]
    kept = old["stability"] if old is not None and (same_code or same_results) else ""
    stability = kept if share is None else f"{share:.3g}"
    if old is None or not same_code or old["verdict"] != new["verdict"]:
        return {**new, "stability": stability}
    return {**(old if _alike(old, new, _AGREE) else new), "stability": stability}


def _text(rows: Mapping[str, Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[key] for key in sorted(rows))
    return out.getvalue()
