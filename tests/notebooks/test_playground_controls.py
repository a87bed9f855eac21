"""The playground away from a browser: whatever a reader does to a control, the picture is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lab.collection import notebook

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "notebooks" / "playground").glob("*.ipynb"))


def executed(path: Path) -> dict[str, Any]:
    """The names a notebook defines, run in this process at profile smoke, but for its figures and its closing cell."""
    names: dict[str, Any] = {"__name__": "__main__"}
    content = notebook.read(path)
    for cell in content["cells"]:
        text = notebook.source(cell)
        if cell["cell_type"] != "code" or "run.finish()" in text:
            continue
        if "parameters" in notebook.tags(cell):
            text = text.replace('"standard"', '"smoke"', 1)
        exec(compile(text, cell["id"], "exec"), names)
    return names


def extremes(control: Any) -> list[Any]:
    """The values at both ends of a control."""
    if hasattr(control, "base"):
        return [control.base**control.min, control.base**control.max]
    if hasattr(control, "max"):
        return [control.min, control.max]
    values = [False, True] if isinstance(control.value, bool) else list(control.options)
    return [values[0], values[-1]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_end_of_every_control_draws(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = executed(path)
    play, controls, plots = found["play"], found["controls"], found["plots"]
    settings = {name: control.value for name, control in controls.items()}
    ends = {name: extremes(control) for name, control in controls.items()}
    wanted = [{**settings, name: value} for name, pair in ends.items() for value in pair]
    wanted += [{name: pair[i] for name, pair in ends.items()} for i in (0, 1)]
    shown = []
    display, plots.show = plots.show, lambda figure, alt, **more: (display(figure, alt, **more), shown.append(alt))
    try:
        for values in wanted:
            before = len(shown)
            play(**values)
            # a list and ends that do not belong together draw nothing, as they never stay together
            assert len(shown) == before + 1 or path.stem.startswith("04"), values
    finally:
        plots.show = display
    assert len(set(shown)) > len(controls)
    assert "nan" not in " ".join(shown)
    capsys.readouterr()


def test_the_ends_follow_the_list() -> None:
    """Every list comes with two ends of its own, draws between them, and refuses two ends that are one."""
    found = executed(next(path for path in NOTEBOOKS if path.stem.startswith("04")))
    play, controls, plots = found["play"], found["controls"], found["plots"]
    drawn: list[str] = []
    display, plots.show = plots.show, lambda figure, alt, **more: (display(figure, alt, **more), drawn.append(alt))
    try:
        for name in controls["name"].options:
            controls["name"].value = name
            low, high = controls["low"].value, controls["high"].value
            assert (low, high) == found["collections"][name].ends
            play(name, low, high)
            assert drawn[-1].startswith(f"{name} between {low} and {high}")
            count = len(drawn)
            play(name, low, low)
            play(name, low, "no such item")
            assert len(drawn) == count
    finally:
        plots.show = display
