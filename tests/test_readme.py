"""Every example of the README that is fenced as code runs as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BASE = Path(__file__).resolve().parents[1]
README = (BASE / "README.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [code for kind, code in FENCES if kind == "python"]
SHELL = [code for kind, code in FENCES if kind == "sh"]


def test_there_is_an_example_for_each_kind_of_reader() -> None:
    assert {kind for kind, _ in FENCES} == {"python", "sh"}
    assert any("hubness" in code for code in PYTHON) and any("nt_xent" in code for code in PYTHON)
    assert any("lab run" in code for code in SHELL) and any("lab checkup" in code for code in SHELL)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out or "print" not in code


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A clone with one notebook, and what a person with embeddings has at hand."""
    (tmp_path / "notebooks" / "uniformity").mkdir(parents=True)
    shutil.copy(BASE / "notebooks" / "uniformity" / "02-temperature.ipynb", tmp_path / "notebooks" / "uniformity")
    shutil.copy(BASE / "constraints.txt", tmp_path)
    shutil.copytree(BASE / "data", tmp_path / "data", ignore=shutil.ignore_patterns("ledger.csv", "build"))
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 3, 300)
    rows = draw.normal(size=(300, 16)) + 2 * np.eye(16)[labels]
    np.save(tmp_path / "embeddings.npy", rows.astype(np.float32))
    (tmp_path / "labels.csv").write_text("label\n" + "\n".join(map(str, labels)) + "\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("code", SHELL, ids=range(len(SHELL)))
def test_commands_run(code: str, place: Path) -> None:
    for line in code.splitlines():
        words = line.partition("#")[0].split()
        assert words[0] == ".venv/bin/lab"
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words[1:]],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    if "checkup" in code:
        assert "<html" in (place / "report.html").read_text(encoding="utf-8")[:2000]
    else:
        assert (place / "build" / "gallery" / "uniformity" / "02-temperature.html").is_file()
