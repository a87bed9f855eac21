"""What a person types: help that reads well, and mistakes that end with one line and exit code 2."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lab.cli import folded, main


@pytest.fixture
def base(tiny, tmp_path, monkeypatch):
    notebooks = {"heat/01-cold": tiny.notebook(*tiny.FINE), "heat/02-warm": tiny.notebook(*tiny.FINE)}
    made = tiny.collection(tmp_path / "c", notebooks)
    monkeypatch.chdir(made)
    return made


def call(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code or 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run 03-hot", "unknown notebook or theme '03-hot'"),
        ("run haet", "did you mean 'heat'?"),
        ("run --profile smok", "unknown profile 'smok'; did you mean 'smoke'?"),
        ("run -p shfit 1", "unknown parameter 'shfit' for heat/01-cold; did you mean 'shift'?"),
        ("run -p shift much", "parameter 'shift' of heat/01-cold must be a number, got 'much'"),
        ("run -p n_seeds 1.5", "parameter 'n_seeds' of heat/01-cold must be a whole number, got '1.5'"),
        ("run -p device tpu", "unknown device 'tpu'"),
        ("run -p shift", "-p needs a name and a value"),
        ("run -p seed 3", "--seed"),
        ("run --seed one", "--seed"),
        ("run --seed -1", "the base seed must be 0 or more, got -1"),
        ("run -j 0", "the number of workers must be at least 1, got 0"),
        ("run --timeout 0", "the time limit must be above 0 seconds"),
        ("run --budget 3", "--budget goes with --verify only"),
        ("run --verify --budget 0", "the budget must be above 0 minutes"),
        ("run --verify --profile smoke", "--verify cannot be combined with --profile"),
        ("run --verify --stability 3", "--verify cannot be combined with --stability"),
        ("run --stability 3 --seed 4", "--stability cannot be combined with --seed"),
        ("run --stability 0", "at least 1 other base seed"),
        ("run --fast", "No such option: --fast"),
        ("rn", "No such command 'rn'"),
        ("check 03-hot", "unknown notebook or theme '03-hot'"),
        ("strip 03-hot", "unknown notebook or theme '03-hot'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2_and_nothing_runs(base, capsys, words, said):
    assert call(*words.split()) == 2
    shown = capsys.readouterr()
    assert said in shown.err and shown.err.count("\n") == 1 and shown.err.startswith("lab: ")
    assert shown.out == ""
    assert not (base / "build").exists()


def test_a_damaged_ledger_is_one_line_that_names_it(base, capsys):
    (base / "data" / "ledger.csv").write_text("key,nonsense\n", encoding="utf-8")
    assert call("run") == 2
    assert "ledger.csv: the first line must name the columns" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-p", "a", "1", "x"], ["-p", "a=1", "x"]),
        (["-p", "a", "-1"], ["-p", "a=-1"]),
        (["-p", "a", "b=c"], ["-p", "a=b=c"]),
        (["-p", "a=1", "x"], ["-p", "a=1", "x"]),
        (["--parameter", "a", "", "-p", "b", "2"], ["--parameter", "a=", "-p", "b=2"]),
    ],
)
def test_parameters_take_two_words(words, expected):
    assert folded(words) == expected


@pytest.mark.parametrize("words", ["", "run", "check", "strip", "new", "gallery", "papers", "data", "data verify"])
def test_every_command_explains_itself(capsys, words):
    assert call(*words.split(), "--help") == 0
    shown = capsys.readouterr().out
    assert f"Usage: lab {words}".strip() in shown
    assert len(shown.splitlines()) > 4


def test_starting_lab_imports_nothing_heavy():
    heavy = ["torch", "numpy", "pandas", "nbformat", "papermill", "matplotlib", "jupyter_client"]
    code = f"import sys, lab.cli; sys.exit(', '.join(m for m in {heavy} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
