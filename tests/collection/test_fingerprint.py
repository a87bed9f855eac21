"""What makes a run a different run, and what does not."""

from __future__ import annotations

import copy
import json
import shutil

import pytest

from lab.collection import fingerprint

CODE = 'def f(x):  # twice\n    """Double."""\n\n    return 2 * x  # "#"\n'


@pytest.mark.parametrize(
    "other",
    [
        "def f(x):\n    return 2 * x\n",
        '"""Module."""\n' + CODE,
        CODE.replace("Double.", "Twice\n    as much."),
        CODE.replace("\n\n", "\n\n\n\n") + "\n# the end",
    ],
)
def test_comments_docstrings_and_blank_lines_do_not_count(other):
    assert fingerprint.essence(other) == fingerprint.essence(CODE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x = 1  # one\n# more\n", "x = 1\n"),  # no quotes anywhere near a mark
        ("x = '''\n# kept\n'''  # said\n", "x = '''\n# kept\n'''\n"),
        (
            "try:\n    x = 1\nexcept E:\n    class A:\n        'Doc.'\n        x = 1\n",
            "try:\n    x = 1\nexcept E:\n    class A:\n        x = 1\n",
        ),
        (
            "match x:\n    case 1:\n        def f():\n            'Doc.'\n            return 1\n",
            "match x:\n    case 1:\n        def f():\n            return 1\n",
        ),
    ],
)
def test_nor_do_they_elsewhere(one, other):
    assert fingerprint.essence(one) == fingerprint.essence(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CODE, CODE.replace("2 * x", "3 * x")),
        ("x = '# a'", "x = '# b'"),
        ("def f(): 'a'; return 1", "def f(): 'a'; return 2"),
        ("def f(\n    a): 'doc'", "def f(\n    b): 'doc'"),
        ("x = 'a'\n'b'", "x = 'a'\n'c'"),
        ("x = '''\n# a\n'''", "x = '''\n# b\n'''"),
        ("class A:\n    x = 1", "class A:\n        x = 2"),
        ("x = (", "x = )"),
    ],
)
def test_code_counts(one, other):
    assert fingerprint.essence(one) != fingerprint.essence(other)


@pytest.fixture
def package(tmp_path):
    for name in ("geometry.py", "losses/a.py", "collection/claims.py", "collection/runner.py", "cli.py", "__init__.py"):
        path = tmp_path / "lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n", encoding="utf-8")
    return tmp_path / "lab"


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("geometry.py", True),
        ("losses/a.py", True),
        ("losses/new.py", True),
        ("collection/claims.py", True),
        ("collection/runner.py", False),
        ("cli.py", False),
        ("__init__.py", False),
    ],
)
def test_science_and_judging_code_counts(package, name, counts):
    before = fingerprint.code_hash(package)
    (package / name).write_text("x = 2\n", encoding="utf-8")
    assert (fingerprint.code_hash(package) != before) == counts


def test_the_place_of_the_package_does_not_count(package, tmp_path):
    other = shutil.copytree(package, tmp_path / "elsewhere" / "lab")
    assert fingerprint.code_hash(other) == fingerprint.code_hash(package)


def test_the_key_follows_code_parameters_data_and_pins(tiny, tmp_path):
    base = tiny.collection(tmp_path, {})
    notebook, values = tiny.notebook("x = 1"), {"profile": "smoke", "seed": 0}

    def key(notebook=notebook, values=values, code="c", name="a/01-one"):
        return fingerprint.run_key(name, notebook, values, base, code)

    first = key()
    assert first == key() and len(first) == 64
    prose = copy.deepcopy(notebook)
    prose["cells"][0]["source"] = "# Another title"
    assert key(prose) == first
    split = copy.deepcopy(notebook)
    split["cells"][-1]["source"] = ["x = 1"]
    assert key(split) == first
    assert key(tiny.notebook("x = 2")) != first
    assert key(values={**values, "profile": "standard"}) != first
    assert key(values={**values, "seed": 0.0}) != first
    assert key(code="d") != first
    assert key(name="a/02-copy") != first
    manifest = {"schema": 1, "files": [{"path": "set/a", "sha256": "1", "source": "here"}]}
    (base / "data" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert key() == first  # nobody reads it
    notebook = tiny.notebook("x = path('set/a')")
    with_data = key(notebook)
    manifest["files"][0]["sha256"] = "2"
    (base / "data" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    changed = key(notebook)
    assert changed != with_data
    manifest["files"][0]["sha256"] = "1"
    manifest["files"][0]["source"] = "there"
    (base / "data" / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert key(notebook) == with_data
    (base / "constraints.txt").write_text("torch==1\n# a note\n", encoding="utf-8")
    pinned = key(notebook)
    tail = "\n# [no result depends on these] What shows.\npdoc==1\n"
    (base / "constraints.txt").write_text("torch==1\n" + tail, encoding="utf-8")
    assert key(notebook) == pinned
    (base / "constraints.txt").write_text("torch==1\nscipy==1\n" + tail, encoding="utf-8")
    assert key(notebook) != pinned
    (base / "constraints.txt").write_text("torch==1\n# a note\n", encoding="utf-8")
    assert pinned != with_data
    (base / "constraints.txt").write_text("# another note\ntorch==1\n", encoding="utf-8")
    assert key(notebook) == pinned
