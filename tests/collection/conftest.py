"""Fixtures for the tests of the collection wing."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """The helpers of ``tiny.py``: small collections of tiny notebooks, and ``lab`` run in them."""
    spec = importlib.util.spec_from_file_location("tiny_collection", Path(__file__).with_name("tiny.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
