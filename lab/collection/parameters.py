"""The parameters cell: which parameters a notebook has, of what type, and typed values for those given by a person."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lab.collection.notebook import source, tags
from lab.collection.place import suggestion

Scalar = bool | int | float | str
PROFILES = ("smoke", "standard", "large")
DEVICES = ("auto", "cpu", "cuda")
_TYPES: dict[str, type[Scalar]] = {"str": str, "int": int, "float": float, "bool": bool}
_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def declared(notebook: Mapping[str, Any]) -> dict[str, tuple[type, Scalar]]:
    """Type and default of every parameter of a notebook.

    Args:
        notebook: a notebook as nbformat or ``json`` reads it.

    Returns:
        name -> (``str``, ``int``, ``float`` or ``bool``; the default), in the order of the cell.

    Raises:
        ValueError: no cell tagged ``parameters`` or two of them, or a line there that is not an annotated scalar.

    Example:
        >>> cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "seed: int = 0  # base seed"}
        >>> declared({"cells": [cell]})
        {'seed': (<class 'int'>, 0)}
    """
    tagged = [cell for cell in notebook["cells"] if "parameters" in tags(cell)]
    if len(tagged) != 1:
        raise ValueError(f"one cell must be tagged 'parameters', found {len(tagged)}")
    try:
        lines = ast.parse(source(tagged[0])).body
    except SyntaxError as error:
        raise ValueError(f"the parameters cell is not Python: {error.msg} (line {error.lineno})") from error
    found: dict[str, tuple[type, Scalar]] = {}
    for line in lines:
        name, kind, default = _declaration(line)
        found[name] = (kind, default)
    return found


def _declaration(line: ast.stmt) -> tuple[str, type, Scalar]:
    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(line.annotation, ast.Name):
        kind = _TYPES.get(line.annotation.id)
        try:
            default: Any = ast.literal_eval(line.value) if line.value is not None else None
        except ValueError:
            default = None
        if kind is float and type(default) is int:
            default = float(default)
        if kind is not None and type(default) is kind:
            return line.target.id, kind, default
    found = ast.unparse(line)
    raise ValueError(f"every line of the parameters cell must be an annotated scalar like seed: int = 0, not {found!r}")


def resolve(
    known: Mapping[str, tuple[type, Scalar]], given: Sequence[tuple[str, str]], *, profile: str, seed: int, where: str
) -> dict[str, Scalar]:
    """All parameters of one run of a notebook, typed.

    Args:
        known: what `declared` returned.
        given: (name, text) pairs as a person typed them; the last one of a name counts.
        profile: ``smoke``, ``standard`` or ``large``; goes to the parameter ``profile``.
        seed: base seed; goes to the parameter ``seed``.
        where: the notebook's name, for messages.

    Returns:
        A value for every parameter of the notebook, in its order.

    Raises:
        ValueError: an unknown parameter (with a suggestion), a text that is not of the parameter's type, an unknown
            profile or device, or a notebook without ``profile`` or ``seed``.

    Example:
        >>> known = {"profile": (str, "standard"), "seed": (int, 0), "lr": (float, 0.1)}
        >>> resolve(known, [("lr", "1")], profile="smoke", seed=3, where="theme/slug")
        {'profile': 'smoke', 'seed': 3, 'lr': 1.0}
    """
    check_profile(profile)
    for required, kind in (("profile", str), ("seed", int)):
        if known.get(required, (None,))[0] is not kind:
            raise ValueError(f"{where}: the parameters cell has no `{required}: {kind.__name__}`")
    values: dict[str, Scalar] = {name: default for name, (_, default) in known.items()}
    values.update(profile=profile, seed=seed)
    for name, text in given:
        if name in ("profile", "seed"):
            raise ValueError(f"parameter {name!r} has an option of its own: --{name}")
        if name not in known:
            raise ValueError(f"unknown parameter {name!r} for {where}{suggestion(name, list(known))}")
        values[name] = _typed(name, text, known[name][0], where)
    device = values.get("device", "auto")
    if device not in DEVICES:
        raise ValueError(f"unknown device {device!r}{suggestion(str(device), DEVICES)}")
    return values


def check_profile(profile: str) -> None:
    """Raise ValueError, with a suggestion, unless `profile` is one of `PROFILES`."""
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}{suggestion(profile, PROFILES)}")


def _typed(name: str, text: str, kind: type, where: str) -> Scalar:
    try:
        if kind is bool:
            return _WORDS[text.strip().lower()]
        value: Scalar = kind(text)
    except (ValueError, KeyError):
        expected = {int: "a whole number", float: "a number", bool: "true or false"}[kind]
        raise ValueError(f"parameter {name!r} of {where} must be {expected}, got {text!r}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"parameter {name!r} of {where} must be a finite number, got {text!r}")
    return value
