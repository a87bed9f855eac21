"""JupyterLab in a real browser: a control of the playground changes its picture, the plot of training fills."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytest.importorskip("jupyterlab")
BASE = Path(__file__).resolve().parents[2]
# a browser beside a kernel takes its time: one notebook each run, all of them where LAB_BROWSER says "all"
MANY = None if os.environ.get("LAB_BROWSER") == "all" else 1
NOTEBOOKS = sorted((BASE / "notebooks" / "playground").glob("*.ipynb"))[:MANY]
WAIT = 240_000  # milliseconds; what takes a second or two where nothing else runs
# the interactive cell is the one with controls; what is drawn above it belongs to the static figures
CELL = ".jp-CodeCell:has(.widget-box)"
PICTURE = f"{CELL} .jp-OutputArea-output img"
TROUBLE = "[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type='application/vnd.jupyter.error']"
SETTINGS = {
    # every cell is in the page, also where nobody has scrolled to it
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
CODE = """
import time
import torch
from lab.training import LivePlot, fit

model = torch.nn.Linear(4, 1)
def batch(step):
    time.sleep(0.06)
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
history = fit(model, lambda m, x: (m(x) - x.sum(1, keepdim=True)).square().mean(), batch, steps=40,
              callbacks=[LivePlot(every=0.25)])
"""
# what the page shows, noted down whenever it changes
NOTE = """() => { window.seen = []; setInterval(() => {
  const image = document.querySelector('.jp-OutputArea-output img');
  if (image && image.src !== window.seen.at(-1)) window.seen.push(image.src);
}, 50); }"""


@contextmanager
def _served(base: Path) -> Iterator[str]:
    for name, content in SETTINGS.items():
        file = base / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {"JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
               "IPYTHONDIR": "ipython", "JUPYTERLAB_SETTINGS_DIR": "settings",
               "JUPYTERLAB_WORKSPACES_DIR": "workspaces"}  # fmt: skip
    environment = {**os.environ, **{name: str(base / folder) for name, folder in folders.items()}}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(BASE), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--expose-app-in-browser",
               str(base / "notebooks")]  # fmt: skip
    with (base / "log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=base, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 120
        while not _answers(f"{address}/api/status"):
            assert process.poll() is None and time.monotonic() < end, (base / "log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        process.terminate()  # ends the kernels as well
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that JupyterLab is over, with copies of the playground at profile smoke."""
    folder = tmp_path_factory.mktemp("lab") / "notebooks"
    shutil.copytree(BASE / "notebooks" / "playground", folder / "playground")
    for path in folder.rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('profile: str = \\"standard\\"', 'profile: str = \\"smoke\\"'), encoding="utf-8")
        assert text != path.read_text(encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def server(notebooks: Path) -> Iterator[str]:
    """The address of a JupyterLab over the notebooks."""
    with _served(notebooks.parent) as address:
        yield address


def run_all(page: Any, address: str) -> None:
    """Open a notebook in JupyterLab, wait for its kernel, and start all its cells."""
    page.goto(address, timeout=WAIT)
    page.wait_for_function("() => window.jupyterapp && document.querySelector('.jp-Notebook')", timeout=WAIT)
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell", timeout=WAIT)
    # without a kernel the command to run would ask for one
    ready = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    page.wait_for_function(ready, timeout=WAIT)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")


def changed(page: Any, before: str) -> str:
    """The picture once it is another than `before`."""
    page.wait_for_function(
        "([selector, before]) => (document.querySelector(selector)?.src ?? before) !== before",
        arg=[PICTURE, before],
        timeout=WAIT,
    )
    return str(page.locator(PICTURE).get_attribute("src"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_moving_a_control_changes_the_picture(server: str, browser: Any, path: Path) -> None:
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


def test_the_plot_fills_while_training_runs(notebooks: Path, server: str, browser: Any) -> None:
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    cells = [new_code_cell(CODE), new_code_cell("print('that was', len(history.loss), 'steps')")]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), notebooks / "live.ipynb")
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.add_init_script(f"({NOTE})()")
    run_all(page, f"{server}/lab/workspaces/live/tree/live.ipynb")
    page.wait_for_selector(".jp-OutputArea-output:has-text('that was 40 steps')", timeout=WAIT)
    # several pictures of a training that had not ended, each in the place of the one before
    page.wait_for_function("() => window.seen.length >= 4", timeout=20_000)
    assert page.locator(".jp-OutputArea-output img").count() == 1
    alt = page.locator(".jp-OutputArea-output img").get_attribute("alt")
    assert alt.startswith("Loss against step over 40 steps, ending at ")
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    page.close()
