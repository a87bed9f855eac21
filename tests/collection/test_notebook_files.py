"""Reading, writing and stripping notebooks: one canonical form, reached in one step."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lab.collection.notebook import read, source, text, title, with_solutions, write
from lab.collection.strip import is_stripped, strip, stripped

EXECUTED: dict[str, Any] = {
    "cells": [
        {"cell_type": "markdown", "id": "top", "metadata": {"editable": True}, "source": ["# A title\n", "text"]},
        {
            "cell_type": "code",
            "id": "one",
            "metadata": {"tags": ["parameters"], "papermill": {"duration": 1.0}, "execution": {"iopub": "now"}},
            "source": "seed: int = 0\r\nx = 'ä'\n",
            "execution_count": 3,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": "hello"}],
        },
        {"cell_type": "code", "metadata": {"lab": {"numbers": "quoted"}, "tags": []}, "source": "1", "outputs": []},
        {"cell_type": "code", "id": "one", "metadata": {}, "source": "1", "outputs": [], "execution_count": None},
    ],
    "metadata": {
        "lab": {"question": "Why?"},
        "kernelspec": {"name": "my-env", "display_name": "Mine"},
        "language_info": {"name": "python", "version": "3.12.1"},
        "papermill": {"duration": 3},
        "widgets": {},
    },
    "nbformat": 4,
    "nbformat_minor": 4,
}


def save(path: Path, notebook: Any = EXECUTED) -> Path:
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def test_stripping_keeps_sources_tags_and_lab_and_drops_the_rest(tmp_path: Path) -> None:
    path = save(tmp_path / "a b.ipynb")
    assert not is_stripped(path)
    assert strip(path)
    made = json.loads(path.read_text(encoding="utf-8"))
    assert made["metadata"] == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "lab": {"question": "Why?"},
        "language_info": {"name": "python"},
    }
    assert [c["metadata"] for c in made["cells"]] == [{}, {"tags": ["parameters"]}, {"lab": {"numbers": "quoted"}}, {}]
    assert [source(c) for c in made["cells"]] == ["# A title\ntext", "seed: int = 0\nx = 'ä'\n", "1", "1"]
    for cell in made["cells"][1:]:
        assert cell["outputs"] == [] and cell["execution_count"] is None
    assert (made["nbformat"], made["nbformat_minor"]) == (4, 5)


def test_ids_are_kept_derived_when_missing_and_never_shared(tmp_path: Path) -> None:
    ids = [cell["id"] for cell in stripped(read(save(tmp_path / "n.ipynb")))["cells"]]
    assert ids[:2] == ["top", "one"]
    assert len(set(ids)) == 4  # two cells of the same content and one id that was taken
    again = [cell["id"] for cell in stripped(read(save(tmp_path / "m.ipynb")))["cells"]]
    assert ids == again


def test_an_id_kept_by_a_later_cell_is_not_given_to_an_earlier_one(tmp_path: Path) -> None:
    book = copy.deepcopy(EXECUTED)
    given = stripped(read(save(tmp_path / "n.ipynb", book)))["cells"][2]["id"]
    book["cells"][3]["id"] = given
    ids = [cell["id"] for cell in stripped(read(save(tmp_path / "n.ipynb", book)))["cells"]]
    assert ids[3] == given
    assert len(set(ids)) == 4


def test_stripping_twice_changes_nothing(tmp_path: Path) -> None:
    path = save(tmp_path / "n.ipynb")
    strip(path)
    first, stamp = path.read_bytes(), path.stat().st_mtime_ns
    assert is_stripped(path)
    assert not strip(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (first, stamp)
    assert [p.name for p in tmp_path.iterdir()] == ["n.ipynb"]  # no temporary file is left


def test_the_form_is_the_one_nbformat_writes(tmp_path: Path) -> None:
    path = save(tmp_path / "n.ipynb")
    strip(path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
    nbformat.write(book, tmp_path / "theirs.ipynb")
    assert (tmp_path / "theirs.ipynb").read_bytes() == path.read_bytes()


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = save(tmp_path / "n.ipynb")
    strip(path)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    assert not is_stripped(path)


def test_attachments_survive(tmp_path: Path) -> None:
    book = copy.deepcopy(EXECUTED)
    book["cells"][0]["attachments"] = {"a.png": {"image/png": "iVBOR"}}
    assert stripped(read(save(tmp_path / "n.ipynb", book)))["cells"][0]["attachments"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "no notebook of nbformat 4"),
        ('{"nbformat": 3, "worksheets": []}', "no notebook of nbformat 4"),
        ('{"nbformat": 4, "cells": [{"cell_type": "heading"}]}', "neither code, markdown nor raw"),
        ('{"nbformat": 4, "cells": [3]}', "neither code, markdown nor raw"),
    ],
)
def test_what_is_no_notebook_is_refused_by_name_and_left_alone(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text(content)
    for function in (read, strip, is_stripped):
        with pytest.raises(ValueError, match=f"broken.ipynb.*{words}"):
            function(path)
    assert path.read_text() == content
    with pytest.raises(ValueError, match="there is no notebook"):
        read(tmp_path / "missing.ipynb")


def test_writing_and_reading_give_the_same_notebook(tmp_path: Path) -> None:
    book = stripped(read(save(tmp_path / "n.ipynb")))
    write(book, tmp_path / "m.ipynb")
    assert read(tmp_path / "m.ipynb") == book
    assert text(book).endswith("}\n")
    assert title(book) == "A title"


def exercise(solution: str) -> dict[str, Any]:
    def code(content: str, *tags: str) -> dict[str, Any]:
        return {"cell_type": "code", "id": content[:5], "metadata": {"tags": list(tags)}, "source": content}

    folded = f"<details><summary>Solution</summary>\n\n```python\n{solution}\n```\n\n</details>"
    return {
        "cells": [
            code("def f(x: int) -> int:\n    ...", "exercise"),
            code("exercises.check(f, cases=[])", "check"),
            {"cell_type": "markdown", "id": "s", "metadata": {}, "source": folded},
        ]
    }


def test_solutions_are_put_right_after_their_stubs() -> None:
    given = exercise("def f(x: int) -> int:\n    return 2 * x")
    made = with_solutions(given)
    assert [cell["cell_type"] for cell in made["cells"]] == ["code", "code", "code", "markdown"]
    space: dict[str, Any] = {}
    exec(made["cells"][0]["source"] + "\n" + made["cells"][1]["source"], space)
    assert space["f"](4) == 8
    assert len(given["cells"]) == 3


def test_an_exercise_without_its_solution_is_refused() -> None:
    with pytest.raises(ValueError, match="does not define f"):
        with_solutions(exercise("def g(x):\n    return x"))
    unsolved = exercise("")
    unsolved["cells"][2]["source"] = "nothing here"
    with pytest.raises(ValueError, match="exercise f has no solution"):
        with_solutions(unsolved)
    two = {"cells": unsolved["cells"][:2] + exercise("def f(x): return x")["cells"]}
    with pytest.raises(ValueError, match="exercise f has no solution"):  # the next exercise's solution is not its own
        with_solutions(two)
