"""Every notebook of the collection runs at profile smoke through papermill, as it is and with its exercises solved."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.collection import notebook, place
from lab.collection.records import exercises_in

BASE = Path(__file__).resolve().parents[2]
NOTEBOOKS = place.notebooks(BASE)
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=place.name_of)


@each
def test_it_runs_to_its_closing_record(path, execute):
    result, executed = execute(path)
    assert result["status"] == "ok", result["error"]
    assert {claim["verdict"] for claim in result["claims"]} <= {"not judged"}
    # A reader who has not touched the exercises meets no error and no praise.
    assert {record["status"] for record in exercises_in(executed)} <= {"not attempted"}


@each
def test_the_solutions_of_its_exercises_pass(path, execute):
    stubs = notebook.tagged(notebook.read(path), "exercise")
    if not stubs:
        pytest.skip("no exercises")
    result, executed = execute(path, notebook.with_solutions)
    assert result["status"] == "ok", result["error"]
    records = {record["name"]: record for record in exercises_in(executed)}
    assert len(records) >= len(stubs)
    failed = {name: record["message"] for name, record in records.items() if record["status"] != "passed"}
    assert not failed
