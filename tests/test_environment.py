"""The three files that say what is installed agree with each other and with what the package imports."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

BASE = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((BASE / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]).lower()


def pins() -> dict[str, str]:
    lines = (BASE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return {plain(line): line for line in lines if line.strip() and not line.startswith("#")}


def test_every_direct_dependency_has_an_exact_pin(project):
    extras = [name for group in project["optional-dependencies"].values() for name in group]
    for requirement in [*project["dependencies"], *extras]:
        pin = pins().get(plain(requirement), "")
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!_-]*", pin), f"{requirement} is not pinned: {pin!r}"


def test_every_line_of_the_constraints_is_an_exact_pin():
    for line in pins().values():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!_-]*(\s*;.*)?", line), line


def test_conda_installs_what_make_installs(project):
    conda = yaml.safe_load((BASE / "environment.yml").read_text(encoding="utf-8"))
    own = [entry for entry in conda["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    python = next(entry for entry in own if plain(entry) == "python").removeprefix("python")
    assert python.split(",")[0] == project["requires-python"]
    # Everything else comes through pip, from the same pins and the same requirements as the Makefile's.
    assert sorted(plain(entry) for entry in own) == ["pip", "python"]
    assert pip == ["--constraint constraints.txt", "--editable .[dev]"]
    recipe = (BASE / "Makefile").read_text(encoding="utf-8")
    assert '--constraint constraints.txt --editable ".[dev]"' in recipe


# Files that may import what an extra installs: they say so, or do without, where it is missing.
OPTIONAL = {"lab/bench/": "dev", "lab/collection/cluster.py": "cluster", "lab/collection/remote.py": "cluster"}


def test_the_package_imports_only_what_it_declares(project):
    declared = {plain(name) for name in project["dependencies"]}
    extras = {
        start: {plain(name) for name in project["optional-dependencies"][extra]} for start, extra in OPTIONAL.items()
    }

    def allowed(path: Path) -> set[str]:
        where = path.relative_to(BASE).as_posix()
        return declared.union(*(names for start, names in extras.items() if where.startswith(start)))

    known = packages_distributions()
    undeclared = {
        f"{path.relative_to(BASE)}: {name}"
        for path in (BASE / "lab").rglob("*.py")
        for name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name not in sys.stdlib_module_names and name != "lab"
        if not {plain(owner) for owner in known.get(name, [])} & allowed(path)
    }
    assert not undeclared


def imported(tree: ast.Module) -> set[str]:
    """Top-level names of the modules a file imports, wherever it does so."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found
