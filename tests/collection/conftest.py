"""Fixtures for the tests of the collection wing."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from lab.collection.kernel import FOLDER_VARIABLE


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The helpers of ``tiny.py``: small collections of tiny notebooks, and ``lab`` run in them."""
    spec = importlib.util.spec_from_file_location("tiny_collection", Path(__file__).with_name("tiny.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a `GroupKernelManager` needs of its surroundings: a folder for its sockets, and one thread."""
    folder = tempfile.mkdtemp(prefix="k")  # a socket's path must be short
    monkeypatch.setenv(FOLDER_VARIABLE, folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield
    shutil.rmtree(folder)
