"""What all tests share."""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lab.collection.imports import skip_iri_grammar

skip_iri_grammar()
# One thread a worker, set before torch is imported: several workers with several threads each wait for one another, and
# the small products of most tests take up to ten times as long. numba would set the number for torch as well.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The notebooks come first: the longest tests at the beginning, and in one process, whose kernels share a server.

    A process of pytest-xdist that has done its part takes over from the end of another's, the short tests.
    """
    items.sort(key=lambda item: item.path.name != "test_every_notebook.py")


def pytest_collection_finish() -> None:
    """What is loaded and collected stays to the end, so that no collection of garbage needs to look through it."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def largest_tensor() -> Callable[[], AbstractContextManager]:
    """Under ``with largest_tensor() as largest:``, ``largest.numbers`` is the size of the largest tensor made."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            for one in made if isinstance(made, tuple | list) else (made,):
                if isinstance(one, torch.Tensor):
                    self.numbers = max(self.numbers, one.numel())
            return made

    return Largest


@pytest.fixture(scope="session")
def processes() -> Any:
    """A `multiprocessing` context whose processes are forked from one that has loaded what training needs."""
    kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    if kind == "forkserver":
        context.set_forkserver_preload(["lightning_fabric", "torch.optim", "scipy.optimize"])
    return context


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by playwright; the test is skipped where either is missing."""
    sync = pytest.importorskip("playwright.sync_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no chromium on this machine (Debian package: chromium)")
    with sync.sync_playwright() as driver:
        made = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield made
        made.close()
