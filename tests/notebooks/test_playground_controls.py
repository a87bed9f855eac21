"""The playground away from a browser: whatever a reader does to a control, the picture is drawn."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from lab import plots
from lab.collection import notebook

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks" / "playground").glob("*.ipynb"))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The alt texts of all figures, which are drawn in full but displayed nowhere."""
    monkeypatch.setenv("JPY_SESSION_NAME", "as in a browser")
    alts: list[str] = []
    draw = plots.show
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    monkeypatch.setattr(plots, "show", lambda figure, alt, **more: (draw(figure, alt, **more), alts.append(alt)))
    return alts


def executed(path: Path) -> dict[str, Any]:
    """The names a notebook defines, run in this process at profile smoke, all but its last cell."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook.read(path)["cells"][:-1]:
        text = notebook.source(cell)
        if cell["cell_type"] == "code":
            smoke = text.replace('"standard"', '"smoke"', 1) if "parameters" in notebook.tags(cell) else text
            exec(compile(smoke, cell["id"], "exec"), names)
    return names


def ends(control: Any) -> tuple[Any, Any]:
    """The smallest and the largest value of a control, or the first and the last."""
    if hasattr(control, "base"):
        return control.base**control.min, control.base**control.max
    if hasattr(control, "max"):
        return control.min, control.max
    return (False, True) if isinstance(control.value, bool) else (control.options[0], control.options[-1])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_end_of_every_control_draws(path: Path, shown: list[str]) -> None:
    found = executed(path)
    assert shown, "no figure before the controls"
    static = len(shown)
    reach = {name: ends(control) for name, control in found["controls"].items()}
    # all at one end, all at the other, and by turns
    for pattern in ((0,), (1,), (0, 1), (1, 0)):
        values = {name: pair[i] for (name, pair), i in zip(reach.items(), cycle(pattern), strict=False)}
        before = len(shown)
        found["play"](**values)
        # two ends that are one, or belong to another list, make no axis
        assert len(shown) == before + 1 or path.stem.startswith("04"), values
    assert len(set(shown[static:])) > 1
    assert "nan" not in " ".join(shown)


def test_the_two_ends_follow_the_list(shown: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    found = executed(next(path for path in NOTEBOOKS if path.stem.startswith("04")))
    play, controls, lists = found["play"], found["controls"], found["collections"]
    chosen = [name for name in lists if name.endswith(("pixels", "jobs", "months"))]
    for name in chosen:
        controls["name"].value = name
        low, high = controls["low"].value, controls["high"].value
        assert (low, high) == lists[name].ends
        # the picture was drawn by the change itself, since the controls are joined to it
        assert shown[-1].startswith(f"{name} between {low} and {high}")
        count = len(shown)
        capsys.readouterr()
        play(name, low, low)
        assert "two different ends" in capsys.readouterr().out
        play(name, low, "no such item")
        assert len(shown) == count
