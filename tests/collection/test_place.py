"""Finding the collection, and the notebooks that names stand for."""

from __future__ import annotations

import pytest

from lab.collection import place


@pytest.fixture
def base(tiny, tmp_path, monkeypatch):
    names = ["angles/01-cosine", "angles/02-margin", "heat/01-cold", "heat/02-margin"]
    made = tiny.collection(tmp_path / "c", {name: tiny.notebook() for name in names})
    (made / "notebooks" / "heat" / ".ipynb_checkpoints").mkdir()
    (made / "notebooks" / "heat" / ".hidden.ipynb").touch()
    monkeypatch.chdir(made)
    return made


def test_root_is_the_nearest_collection_upwards(base, tmp_path, monkeypatch):
    monkeypatch.chdir(base / "notebooks" / "heat")
    assert place.root() == base
    monkeypatch.chdir(tmp_path)
    assert (place.root() / "lab" / "collection" / "place.py").is_file()


def names(paths):
    return [place.name_of(path) for path in paths]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ([], ["angles/01-cosine", "angles/02-margin", "heat/01-cold", "heat/02-margin"]),
        ([""], ["angles/01-cosine", "angles/02-margin", "heat/01-cold", "heat/02-margin"]),
        (["heat"], ["heat/01-cold", "heat/02-margin"]),
        (["01-cold"], ["heat/01-cold"]),
        (["02-margin"], ["angles/02-margin", "heat/02-margin"]),
        (["heat/02-margin", "angles/01-cosine", "01-cosine"], ["angles/01-cosine", "heat/02-margin"]),
        (["notebooks/heat/01-cold.ipynb"], ["heat/01-cold"]),
        (["./notebooks/heat/"], ["heat/01-cold", "heat/02-margin"]),
        (["heat/01-cold.ipynb"], ["heat/01-cold"]),
    ],
)
def test_choose(base, wanted, found):
    assert names(place.choose(base, wanted)) == found


def test_choose_takes_absolute_paths_and_paths_from_the_working_directory(base, monkeypatch):
    assert names(place.choose(base, [str(base / "notebooks" / "heat" / "01-cold.ipynb")])) == ["heat/01-cold"]
    monkeypatch.chdir(base / "notebooks")
    assert names(place.choose(base, ["./heat/01-cold.ipynb"])) == ["heat/01-cold"]


@pytest.mark.parametrize(
    ("name", "close"), [("haet", "'heat'"), ("01-cosin", "'01-cosine'"), ("heat/01-clod", "'heat/01-cold'")]
)
def test_an_unknown_name_is_refused_with_a_close_one(base, name, close):
    with pytest.raises(ValueError, match=f"unknown notebook or theme '{name}'; did you mean {close}"):
        place.choose(base, ["heat", name])


def test_an_empty_collection_is_said(tiny, tmp_path):
    with pytest.raises(ValueError, match="no notebooks were found"):
        place.choose(tiny.collection(tmp_path / "empty", {}), [])
