"""Every notebook of the collection runs at profile smoke through papermill, its exercises tried and solved."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from lab.collection import notebook, place
from lab.collection.records import exercises_in

BASE = Path(__file__).resolve().parents[2]
NOTEBOOKS = place.notebooks(BASE)
each = pytest.mark.parametrize("path", NOTEBOOKS, ids=place.name_of)


def tried_and_solved(content: dict) -> dict:
    """The notebook with each exercise tried as it is, then solved as its solution says and tried again.

    One run shows both what a reader meets who has not touched the exercises and that the solutions are right.
    """
    cells: list[dict] = []
    solved: list[dict] = []
    for cell in notebook.with_solutions(content)["cells"]:
        if cell["id"].endswith("-solution") and cell["cell_type"] == "code":
            solved.append(cell)  # held back until its check has seen the stub
            continue
        cells.append(cell)
        if "check" in notebook.tags(cell):
            again = {**copy.deepcopy(cell), "id": f"{cell['id']}-again"}
            cells += [*solved, again]
            solved = []
    assert not solved, "an exercise without a check"
    return {**content, "cells": cells}


@each
def test_it_runs_to_its_closing_record_and_its_solutions_pass(path, execute):
    content = notebook.read(path)
    stubs = [f.name for i in notebook.tagged(content, "exercise") for f in notebook.functions(content["cells"][i])]
    result, executed = execute(path, tried_and_solved)
    assert result["status"] == "ok", result["error"]
    assert {claim["verdict"] for claim in result["claims"]} <= {"not judged"}
    solved = [cell for cell in executed["cells"] if cell["id"].endswith("-again")]
    untouched = [cell for cell in executed["cells"] if not cell["id"].endswith("-again")]
    # A reader who has not touched the exercises meets no error and no praise; the solution earns it.
    for cells, status in ((untouched, "not attempted"), (solved, "passed")):
        found = {record["name"]: record["status"] for record in exercises_in({"cells": cells})}
        assert found == dict.fromkeys(stubs, status)
