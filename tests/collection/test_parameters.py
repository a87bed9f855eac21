"""Reading the parameters cell, and typing what a person gives for it."""

from __future__ import annotations

import pytest

from lab.collection import parameters

KNOWN = {
    "profile": (str, "standard"),
    "seed": (int, 0),
    "device": (str, "auto"),
    "steps": (int, 10),
    "rate": (float, 0.1),
    "wide": (bool, False),
}


def cells(source: str, *tags: str) -> dict:
    return {"cells": [{"cell_type": "code", "metadata": {"tags": list(tags)}, "source": source}]}


def test_types_and_defaults_are_read():
    source = 'profile: str = "standard"  # smoke or not\nseed: int = 0\nlow: float = -1\nwide: bool = True'
    assert parameters.declared(cells(source, "parameters")) == {
        "profile": (str, "standard"),
        "seed": (int, 0),
        "low": (float, -1.0),
        "wide": (bool, True),
    }


@pytest.mark.parametrize(
    "line", ["seed = 0", "seed: int", "seed: int = 0.5", "n: int = True", "x: list = []", "a: int = 2 + 3", "print(1)"]
)
def test_other_lines_are_refused(line):
    with pytest.raises(ValueError, match="annotated scalar"):
        parameters.declared(cells(line, "parameters"))


def test_a_notebook_needs_one_parameters_cell():
    with pytest.raises(ValueError, match="found 0"):
        parameters.declared(cells("seed: int = 0"))
    with pytest.raises(ValueError, match="not Python"):
        parameters.declared(cells("seed: int = ", "parameters"))


def resolve(*given: tuple[str, str], profile: str = "smoke", seed: int = 3, known=KNOWN):
    return parameters.resolve(known, given, profile=profile, seed=seed, where="theme/slug")


def test_values_are_typed_and_defaults_kept():
    given = [("steps", "5"), ("rate", "2"), ("wide", "Yes"), ("steps", "7")]
    assert resolve(*given) == {
        "profile": "smoke", "seed": 3, "device": "auto", "steps": 7, "rate": 2.0, "wide": True,
    }  # fmt: skip
    assert isinstance(resolve(("rate", "2"))["rate"], float)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("step", "5"), "unknown parameter 'step' for theme/slug; did you mean 'steps'"),
        (("steps", "5.5"), "'steps' of theme/slug must be a whole number, got '5.5'"),
        (("steps", ""), "must be a whole number"),
        (("rate", "fast"), "'rate' of theme/slug must be a number, got 'fast'"),
        (("rate", "nan"), "must be a finite number"),
        (("wide", "2"), "'wide' of theme/slug must be true or false"),
        (("device", "gpu"), "unknown device 'gpu'"),
        (("seed", "1"), "--seed"),
        (("profile", "smoke"), "--profile"),
    ],
)
def test_wrong_parameters_are_refused(given, words):
    with pytest.raises(ValueError, match=words):
        resolve(given)


def test_unknown_profiles_are_refused():
    with pytest.raises(ValueError, match="unknown profile 'smok'; did you mean 'smoke'"):
        resolve(profile="smok")


def test_a_notebook_without_profile_or_seed_is_refused():
    with pytest.raises(ValueError, match="theme/slug: the parameters cell has no `seed: int`"):
        resolve(known={"profile": (str, "standard")})
