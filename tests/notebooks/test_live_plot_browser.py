"""The plot of training in JupyterLab: it fills while training runs and is one figure at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytest.importorskip("jupyterlab")
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


def test_the_plot_fills_while_training_runs(
    tmp_path: Path, served: Callable[[Path], Any], browser: Any, run_all: Callable[[Any, str], None]
) -> None:
    (tmp_path / "notebooks").mkdir()
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    cells = [new_code_cell(CODE), new_code_cell("print('that was', len(history.loss), 'steps')")]
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), tmp_path / "notebooks" / "live.ipynb")
    with served(tmp_path) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.add_init_script(f"({NOTE})()")
        run_all(page, f"{address}/lab/tree/live.ipynb")
        page.wait_for_selector(".jp-OutputArea-output:has-text('that was 40 steps')", timeout=240_000)
        # several pictures of a training that had not ended, each in the place of the one before
        page.wait_for_function("() => window.seen.length >= 4", timeout=20_000)
        assert page.locator(".jp-OutputArea-output img").count() == 1
        alt = page.locator(".jp-OutputArea-output img").get_attribute("alt")
        assert alt.startswith("Loss against step over 40 steps, ending at ")
        assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
        page.close()
