"""`lab checkup` from end to end: one line and exit code 2 for bad input, the same page twice, inputs untouched."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lab.checkup
from lab.cli import main

NASTY = "<script>alert('1')</script>"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 6)).astype(np.float32)
    np.save("x.npy", x)
    np.save("short.npy", x[:-1])
    np.save("labels.npy", np.array([NASTY, "dog"])[np.arange(60) % 2])
    np.save("values.npy", x[:, 0] + 0.1 * generator.normal(size=60))
    np.save("pairs.npy", x + 0.1)
    np.save("other.npy", x[:, :4])
    return tmp_path


def call(capsys, *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["checkup", *words])
    shown = capsys.readouterr()
    return ended.value.code or 0, shown.out, shown.err


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        path.name: f"{stat.S_IMODE(path.stat().st_mode):o} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in folder.iterdir()
        if path.suffix != ".html"
    }


def test_the_same_inputs_and_seed_give_the_same_page_and_inputs_stay_as_they_were(folder, capsys):
    for path in folder.iterdir():
        path.chmod(0o444)
    before = bytes_of(folder)
    options = ["--labels", "labels.npy", "--values", "values.npy", "--pairs", "pairs.npy", "--compare", "other.npy"]
    code, out, err = call(capsys, "x.npy", *options, "-o", "a.html", "--seed", "3")
    assert (code, err) == (0, "") and re.match(r"a\.html: \d+ findings, \d+ of trouble, \d+ worth a look", out)
    assert call(capsys, "x.npy", *options, "-o", "b.html", "--seed", "3")[0] == 0
    first, second = Path("a.html").read_bytes(), Path("b.html").read_bytes()
    assert first == second and len(first) > 10_000
    assert bytes_of(folder) == before
    page = first.decode()
    assert NASTY not in page and "&lt;script&gt;" in page


def test_the_options_reach_the_checkup(folder, capsys, monkeypatch):
    seen = {}

    class Made:
        findings = ()

        def save(self, path):
            seen["path"] = path

    monkeypatch.setattr(lab.checkup, "checkup", lambda x, **given: seen.update(given, x=x) or Made())
    words = "x.npy --labels l.npy --pairs p.npy --values v.npy --compare c.npy -o out.html --seed 7"
    assert call(capsys, *words.split())[0] == 0
    assert callable(seen.pop("progress"))
    assert seen == {
        "x": "x.npy", "labels": "l.npy", "pairs": "p.npy", "values": "v.npy", "compare": "c.npy", "seed": 7,
        "path": Path("out.html"),
    }  # fmt: skip


def write(name: str):
    """Broken inputs by what they are called below."""
    x = np.load("x.npy")
    if name == "cut.npy":
        Path(name).write_bytes(Path("x.npy").read_bytes()[:-1])
    elif name == "objects.npy":
        np.save(name, np.array([{}, {}], dtype=object))
    elif name == "nan.npy":
        np.save(name, np.full_like(x, np.nan))
    elif name == "zero.npy":
        np.save(name, np.zeros_like(x))
    elif name == "few.npy":
        np.save(name, x[:3])
    elif name == "x.bin":
        Path(name).write_bytes(b"\0")
    elif name == "floats.npy":
        np.save(name, np.linspace(0, 1, 60))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("away.npy", "away.npy: there is no such file"),
        ("x.bin", "x.bin: unknown format .bin; one of .npy"),
        ("cut.npy", "cut.npy is cut short: its header promises 60 x 6 of float32, 1,440 bytes, and 1,439 are there"),
        ("objects.npy", "objects.npy holds Python objects (a pickle), which are never loaded"),
        ("nan.npy", "no usable row, 60 of 60 hold NaN or infinity"),
        ("zero.npy", "no usable row, 0 of 60 hold NaN or infinity and 60 are all zeros"),
        ("few.npy", "3 usable rows"),
        ("x.npy --labels short.npy", "short.npy"),
        ("x.npy --labels floats.npy", "floats.npy: labels must be words or whole numbers"),
        ("x.npy --values labels.npy", "labels.npy: values must be numbers"),
        ("x.npy --pairs short.npy", "59"),
        ("x.npy --pairs other.npy", "4"),
        ("x.npy --compare short.npy", "59"),
        ("x.npy --seed -1", "seed"),
        ("x.npy -o report.txt", "report.txt: its name must end in .html"),
        ("x.npy -o x.npy", "x.npy: that is an input, and inputs are only read"),
        ("x.npy --labels labels.npy -o ./labels.npy", "that is an input"),
        ("x.npy -o link.html", "that is an input"),
        ("x.npy -o hard.html", "that is an input"),
        ("x.npy -o away/report.html", "there is no folder away"),
        ("x.npy -o folder.html", "that is a folder"),
    ],
)
def test_a_mistake_ends_with_one_line_and_exit_code_2(folder, capsys, words, said):
    os.symlink("x.npy", "link.html")
    os.link("x.npy", "hard.html")
    Path("folder.html").mkdir()
    write(words.split()[0])
    np.save("floats.npy", np.linspace(0, 1, 60))
    before = sorted(os.listdir())
    code, out, err = call(capsys, *words.split())
    assert (code, out) == (2, "") and err.startswith("lab: ") and err.count("\n") == 1
    assert said in err
    assert sorted(os.listdir()) == before  # no page, no part of one


def test_faults_that_leave_something_to_say_become_warnings_on_the_page(folder, capsys):
    x = np.load("x.npy")
    x[3, 1], x[7], x[20] = np.nan, 0.0, x[5]
    pq.write_table(pa.table({"vector": list(x), "class": ["a"] * 60, "age": range(60)}), "t.parquet")
    code, _, err = call(capsys, "t.parquet:vector", "--labels", "t.parquet:class", "--values", "t.parquet:age")
    page = Path("report.html").read_text(encoding="utf-8")
    assert (code, err) == (0, "")
    for said in ("Row 3 of 60 holds NaN", "Row 7 of 60 is all zeros", "row 20 is row 5 again", "one label"):
        assert said in page


def test_progress_is_one_line_on_a_terminal_and_nothing_elsewhere(capsys, monkeypatch):
    from lab import commands

    with commands.progress_line() as show:
        show("reading")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(commands.os, "get_terminal_size", lambda _: os.terminal_size((10, 5)))
    monkeypatch.setattr("sys.stderr.fileno", lambda: 2, raising=False)
    with commands.progress_line() as show:
        show("reading\nembeddings")
    assert capsys.readouterr().err == "\r\x1b[Kreading e\r\x1b[K"
