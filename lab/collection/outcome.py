"""What came of a notebook's run: accepted, surprised, failed or timed out, with the reason in one line."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab.collection import process
from lab.collection.notebook import source, tags, title
from lab.collection.records import accepted, claims_in, closing_in

OK, SURPRISED, FAILED, TIMEOUT = "ok", "surprised", "failed", "timeout"
# Runs that came to their end: their verdicts are known and running them again would give the same.
FINISHED = (OK, SURPRISED)
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def describe(
    path: Path, notebook: Mapping[str, Any] | None, key: str, parameters: Mapping[str, Any], profile: str, seed: int
) -> dict[str, Any]:
    """The part of a result that is known before the run; status is ``failed`` until something better is known.

    Args:
        path: ``notebooks/<theme>/<slug>.ipynb``.
        notebook: its content, or None where it could not be read.
        key: the key of the run.
        parameters: typed values of all parameters.
        profile: profile asked for.
        seed: base seed asked for.

    Returns:
        The dictionary that becomes ``result.json``.
    """
    return {
        "theme": path.parent.name,
        "notebook": path.stem,
        "slug": path.stem,
        "title": (title(notebook) if notebook else "") or path.stem,
        "status": FAILED,
        "error": None,
        "seconds": 0.0,
        "profile": profile,
        "seed": seed,
        "parameters": dict(parameters),
        "claims": [],
        "closing": None,
        "key": key,
        "source": digest(notebook) if notebook is not None else "",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def failed(result: dict[str, Any], error: str) -> dict[str, Any]:
    """`result` as that of a notebook that could not even be started."""
    return {**result, "status": FAILED, "error": one_line(error)}


def judge(
    result: dict[str, Any], folder: Path, code: int | None, seconds: float, limit: float | None
) -> dict[str, Any]:
    """The result of a run that has ended.

    A run is accepted only if its process ended with 0, the closing record is there, its claims are those
    displayed, and profile and seed are those asked for. A run whose only fault is that the closing
    cell found verdicts other than the expected ones is ``surprised``.

    Args:
        result: what `describe` returned.
        folder: working directory of the worker.
        code: exit code of the worker, or None where it was ended for passing its limit.
        seconds: wall-clock seconds it took.
        limit: its limit, for the message.

    Returns:
        A new dictionary with status, error, claims and closing record filled in.
    """
    done = {**result, "seconds": round(seconds, 1), "finished": datetime.now(UTC).isoformat(timespec="seconds")}
    executed = _read(folder / "executed.ipynb")
    if code is None:
        where = _running_cell(executed)
        return {**done, "status": TIMEOUT, "error": f"ended after its limit of {limit:g} s{where}"}
    error = (_read(folder / "outcome.json") or {}).get("error")
    if executed is None or (code != 0 and error is None):
        return {**done, "status": FAILED, "error": f"the worker ended with {code}: {_last_line(folder / process.LOG)}"}
    claims, closing = claims_in(executed), closing_in(executed)
    name = f"{done['theme']}/{done['notebook']}"
    done["claims"] = [{**claim, "key": f"{name}#{claim['slug']}"} for claim in claims]
    done["closing"] = closing
    problem = _problem(done, executed, closing)
    if error is not None and (error["name"] != "VerdictChanged" or problem):
        where = f" (in the cell that starts with: {_beginning(error['source'])})" if error["source"] else ""
        return {**done, "status": FAILED, "error": one_line(f"{error['name']}: {error['message']}") + where}
    if problem:
        return {**done, "status": FAILED, "error": problem}
    if error is not None:
        by_slug = {claim["slug"]: claim for claim in claims}
        changed = [by_slug[slug] for slug in (closing or {}).get("surprises", []) if slug in by_slug]
        each = ", ".join(f"{claim['slug']} is {claim['verdict']}, not {claim['expected']}" for claim in changed)
        return {**done, "status": SURPRISED, "error": each or one_line(str(error["message"]))}
    return {**done, "status": OK}


def _problem(done: Mapping[str, Any], executed: Mapping[str, Any], closing: dict[str, Any] | None) -> str | None:
    whole, reason = accepted(executed)
    if not whole or closing is None:
        return reason
    for name in ("profile", "seed"):
        if closing.get(name) != done[name]:
            return f"it ran with {name} {closing.get(name)!r} where {done[name]!r} was asked for"
    return None


def digest(notebook: Mapping[str, Any]) -> str:
    """Hash of everything a reader sees of a notebook's source: prose, code and metadata."""
    cells = [[cell["cell_type"], cell.get("id"), source(cell), cell.get("metadata", {})] for cell in notebook["cells"]]
    text = json.dumps([cells, notebook.get("metadata", {})], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def one_line(text: str, width: int = 300) -> str:
    """First line of a message that says something, without colours, shortened to `width`."""
    plain = _ANSI.sub("", text)
    line = next((line.strip() for line in plain.splitlines() if line.strip()), "no message")
    return line if len(line) <= width else line[: width - 3] + "..."


def _running_cell(executed: Any) -> str:
    # Counted as in the notebook itself, without the cell that papermill puts in.
    cells = [c for c in (executed or {}).get("cells", []) if "injected-parameters" not in tags(c)]
    for number, cell in enumerate(cells, start=1):
        if cell.get("metadata", {}).get("papermill", {}).get("status") == "running":
            return f", in cell {number}: {_beginning(source(cell))}"
    return ""


def _beginning(code: str) -> str:
    return next((line.strip()[:60] for line in code.splitlines() if line.strip()), "")


def _read(path: Path) -> Any:
    # Whatever a killed process left half-written counts as absent.
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _last_line(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log"
    return next((one_line(line) for line in reversed(lines) if line.strip()), "no message")
