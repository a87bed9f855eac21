"""Files are replaced in one step."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.collection import files


def test_what_is_the_same_is_left_alone_and_what_differs_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "page.html"
    assert files.write(path, "a\nä")
    assert path.read_bytes() == b"a\n\xc3\xa4"
    first = path.stat()
    assert not files.write(path, "a\nä")
    assert path.stat().st_mtime_ns == first.st_mtime_ns
    assert files.write(path, b"b")
    # another file took its place: whoever had the old one open still reads it whole
    assert path.stat().st_ino != first.st_ino
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.csv"
    files.write(path, "old")

    def broken(*_: object) -> None:
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="no room"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["ledger.csv"]
