"""The playground as a reader meets it: in JupyterLab in a real browser, a control is moved and the picture changes."""

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
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jupyterlab")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine (Debian package: chromium)")
BASE = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((BASE / "notebooks" / "playground").glob("*.ipynb"))
WAIT = 240_000  # milliseconds; a picture takes a second or two where nothing else runs
SETTINGS = {
    # every cell is in the page, also where nobody has scrolled to it
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}
# the interactive cell is the one with controls; what is drawn above it belongs to the static figures
CELL = ".jp-CodeCell:has(.widget-box)"
PICTURE = f"{CELL} .jp-OutputArea-output img"
TROUBLE = "[data-mime-type='application/vnd.jupyter.stderr'], [data-mime-type='application/vnd.jupyter.error']"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab over a copy of the notebooks, which keeps all its files in a temporary folder."""
    base = tmp_path_factory.mktemp("lab")
    shutil.copytree(BASE / "notebooks" / "playground", base / "notebooks" / "playground")
    for path in (base / "notebooks").rglob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace('profile: str = \\"standard\\"', 'profile: str = \\"smoke\\"'), encoding="utf-8")
        assert text != path.read_text(encoding="utf-8")
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
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield made
        made.close()


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
        page.goto(f"{server}/lab/tree/playground/{path.name}", timeout=WAIT)
        page.wait_for_function("() => window.jupyterapp && document.querySelector('.jp-Notebook')", timeout=WAIT)
        page.evaluate("async () => { await window.jupyterapp.restored; }")
        page.wait_for_selector(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell", timeout=WAIT)
        # without a kernel the command to run would ask for one
        ready = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        page.wait_for_function(ready, timeout=WAIT)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
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
        # neither an error nor a warning on the way
        assert page.locator(TROUBLE).all_inner_texts() == []
        assert complaints == []
        if folder := os.environ.get("LAB_SCREENSHOTS"):
            page.locator(CELL).screenshot(path=str(Path(folder) / f"{path.stem}.png"))
    finally:
        if folder := os.environ.get("LAB_SCREENSHOTS"):
            page.screenshot(path=str(Path(folder) / f"{path.stem}-page.png"))
        page.close()
