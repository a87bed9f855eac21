"""How often an executed notebook is written to disk, and what can be read there while a cell runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from jupyter_core.utils import ensure_event_loop
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lab.collection import engine
from lab.collection.kernel import GroupKernelManager

LOOK = """
import json, time
time.sleep({wait})
cells = json.load(open("executed.ipynb"))["cells"]
print(json.dumps([(cell["metadata"]["papermill"]["status"], len(cell.get("outputs", []))) for cell in cells]))
"""


@pytest.fixture
def execute(sockets: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Executes code cells with prose between them; returns the saved cells and how often they were saved."""
    monkeypatch.chdir(tmp_path)
    written = []
    for module in (engine, papermill.engines, papermill.execute):
        whole = module.write_ipynb
        monkeypatch.setattr(
            module, "write_ipynb", lambda nb, path, whole=whole: (written.append(path), whole(nb, path))
        )

    def run(*codes: str) -> tuple[list[dict], int]:
        cells = [cell for code in codes for cell in (new_markdown_cell("Prose."), new_code_cell(code))]
        spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": spec}), "source.ipynb")
        papermill.execute_notebook(
            "source.ipynb",
            "executed.ipynb",
            engine_name=engine.NAME,
            kernel_name="python3",
            kernel_manager_class=GroupKernelManager,
            shutdown_kernel="immediate",
            progress_bar=False,
        )
        assert set(written) == {"executed.ipynb"}
        return json.loads(Path("executed.ipynb").read_text(encoding="utf-8"))["cells"], len(written)

    run.written = written
    return run


def seen_by(cell: dict) -> list[tuple[str, int]]:
    """Status and number of outputs of every cell, as the file had them while `cell` ran."""
    return [(status, outputs) for status, outputs in json.loads("".join(cell["outputs"][0]["text"]))]


def test_it_is_written_now_and_then_and_whole_at_the_end(execute: Any) -> None:
    quick = [f"print({i})" for i in range(25)]
    cells, written = execute(*quick, LOOK.format(wait=1.5 * engine.SECONDS), "print('last')")
    assert cells[-1]["outputs"][0]["text"] == ["last\n"]
    assert {cell["metadata"]["papermill"]["status"] for cell in cells} == {"completed"}
    # at its start and end by papermill, which would have saved it two times 54 times between, and once or twice here
    assert written <= 8
    seen = seen_by(cells[-3])
    assert seen[-4:] == [("completed", 0), ("running", 0), ("pending", 0), ("pending", 0)]
    assert seen[:-3:2] == [("completed", 0)] * 26 and seen[1:-4:2] == [("completed", 1)] * 25


def test_a_cell_that_raises_is_written_with_what_it_raised(execute: Any) -> None:
    with pytest.raises(papermill.PapermillExecutionError, match="nothing comes of it"):
        execute("print('before')", "raise ValueError('nothing comes of it')", "print('after')")
    cells = json.loads(Path("executed.ipynb").read_text(encoding="utf-8"))["cells"]
    before, failed, after = (cell for cell in cells if cell["cell_type"] == "code")  # prose about the error is put in
    status = [cell["metadata"]["papermill"]["status"] for cell in (before, failed, after)]
    assert status == ["completed", "failed", "pending"]
    assert failed["outputs"][0]["ename"] == "ValueError"


def test_nothing_is_written_once_it_is_over(execute: Any) -> None:
    _, written = execute("print('quick')")
    ensure_event_loop().run_until_complete(asyncio.sleep(1.2 * engine.SECONDS))  # the one that executed
    assert len(execute.written) == written
