"""The playground as a reader meets it: in JupyterLab in a real browser, a control is moved and the picture changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupyterlab")
BASE = Path(__file__).resolve().parents[2]
# a browser beside a kernel takes its time: one notebook each run, all of them where LAB_BROWSER says "all"
MANY = None if os.environ.get("LAB_BROWSER") == "all" else 1
NOTEBOOKS = sorted((BASE / "notebooks" / "playground").glob("*.ipynb"))[:MANY]
WAIT = 240_000  # milliseconds; a picture takes a second or two where nothing else runs
# the interactive cell is the one with controls; what is drawn above it belongs to the static figures
CELL = ".jp-CodeCell:has(.widget-box)"
PICTURE = f"{CELL} .jp-OutputArea-output img"
TROUBLE = "[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type='application/vnd.jupyter.error']"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, served: Callable[[Path], Any]) -> Iterator[str]:
    """The address of a JupyterLab over a copy of the notebooks, at profile smoke."""
    base = tmp_path_factory.mktemp("lab")
    shutil.copytree(BASE / "notebooks" / "playground", base / "notebooks" / "playground")
    for path in (base / "notebooks").rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('profile: str = \\"standard\\"', 'profile: str = \\"smoke\\"'), encoding="utf-8")
        assert text != path.read_text(encoding="utf-8")
    with served(base) as address:
        yield address


def changed(page: Any, before: str) -> str:
    """The picture once it is another than `before`."""
    page.wait_for_function(
        "([selector, before]) => (document.querySelector(selector)?.src ?? before) !== before",
        arg=[PICTURE, before],
        timeout=WAIT,
    )
    return str(page.locator(PICTURE).get_attribute("src"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_moving_a_control_changes_the_picture(
    server: str, browser: Any, run_all: Callable[[Any, str], None], path: Path
) -> None:
    page = browser.new_page(viewport={"width": 1500, "height": 1100})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    try:
        # a workspace of its own: in a common one the notebooks of earlier tests open as well
        run_all(page, f"{server}/lab/workspaces/{path.stem}/tree/playground/{path.name}")
        # the closing line says that every cell before it ran
        page.wait_for_selector(".jp-OutputArea-output:has-text('Finished: 0 claims')", timeout=WAIT)
        first = changed(page, "")
        handles = page.locator(f"{CELL} .noUi-handle")
        if handles.count():
            handles.first.focus()
            page.keyboard.press("ArrowRight")
        else:  # the notebook whose controls are lists to choose from
            page.locator(f"{CELL} select").last.select_option(index=2)
        second = changed(page, first)
        if handles.count():
            page.keyboard.press("ArrowRight")
        else:  # another list, to which the two ends must follow
            page.locator(f"{CELL} select").first.select_option(index=2)
        changed(page, second)
        assert page.locator(PICTURE).count() == 1
        assert page.locator(PICTURE).evaluate("img => img.naturalWidth") > 400
        assert len(page.locator(PICTURE).get_attribute("alt")) > 20
        # neither an error nor a warning on the way
        assert page.locator(TROUBLE).all_inner_texts() == []
        assert complaints == []
        if folder := os.environ.get("LAB_SCREENSHOTS"):
            page.locator(CELL).screenshot(path=str(Path(folder) / f"{path.stem}.png"))
    finally:
        if folder := os.environ.get("LAB_SCREENSHOTS"):
            page.screenshot(path=str(Path(folder) / f"{path.stem}-page.png"))
        page.close()
