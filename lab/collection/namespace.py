"""The parameters a running notebook declares: annotated scalars in its namespace, checked and coerced."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, MutableMapping
from typing import Any

SCALARS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}
REQUIRED: dict[str, type] = {"profile": str, "seed": int, "n_seeds": int, "device": str}
KNOWN = {"profile": ("smoke", "standard", "large"), "device": ("auto", "cpu", "cuda")}
KNOBS = 5
_MARK = "_lab_parameters"


def read(namespace: MutableMapping[str, Any]) -> dict[str, Any]:
    """The declared parameters of a notebook's namespace, coerced; the coerced values are written back.

    Args:
        namespace: the ``globals()`` of the notebook after its parameters cell.

    Returns:
        Name to value in the order of declaration.

    Raises:
        TypeError: a value or an annotation of another type than str, int, float, bool.
        ValueError: a missing or unknown name, a value out of range, more than five knobs.
    """
    kinds = declared(namespace)
    for name, kind in REQUIRED.items():
        if kinds.get(name) is not kind:
            raise ValueError(f"the parameters cell must declare `{name}: {kind.__name__}`")
    if len(kinds) - len(REQUIRED) > KNOBS:
        knobs = [name for name in kinds if name not in REQUIRED]
        raise ValueError(f"at most {KNOBS} knobs beside {', '.join(REQUIRED)}, got {len(knobs)}: {', '.join(knobs)}")
    _refuse_unknown(namespace, kinds)
    values = {}
    for name, kind in kinds.items():
        if name not in namespace:
            raise ValueError(f"parameter {name} is declared without a value")
        values[name] = coerce(name, namespace[name], kind)
    _check_ranges(values)
    namespace.update(values)
    namespace[_MARK] = tuple(kinds)
    return values


def declared(namespace: Mapping[str, Any]) -> dict[str, type]:
    """Name to type of all annotated names, however this Python keeps annotations.

    Raises:
        TypeError: an annotation that is not str, int, float or bool.
    """
    found: dict[str, Any] = {}
    # IPython compiles statement by statement, and from Python 3.14 on each replaces __annotate__: read the sources too
    for source in namespace.get("In", ()):
        cell = _annotations_in(source)
        if {"profile", "seed"} <= set(cell):
            found |= cell
    annotate = namespace.get("__annotate__")
    if callable(annotate):
        found |= annotate(1)
    found |= namespace.get("__annotations__", {})
    kinds: dict[str, type] = {}
    for name, annotation in found.items():
        word = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        if word not in SCALARS:
            raise TypeError(f"parameter {name} must be annotated str, int, float or bool, got {annotation!r}")
        kinds[name] = SCALARS[word]
    return kinds


def coerce(name: str, value: Any, kind: type) -> Any:
    """`value` as `kind`: an int becomes a float where one is declared, everything else must fit as it is.

    >>> coerce("temperature", 1, float)
    1.0
    """
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, kind):
        raise TypeError(f"parameter {name} must be {kind.__name__}, got {value!r} ({type(value).__name__})")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"parameter {name} must be finite, got {value}")
    return value


def _annotations_in(source: str) -> dict[str, str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # a cell with magics is no parameters cell
        return {}
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def _refuse_unknown(namespace: Mapping[str, Any], kinds: Mapping[str, type]) -> None:
    if _MARK in namespace:  # the set-up cell runs again in a living session: later cells have left their names
        return
    for name, value in namespace.items():
        private = name.startswith("_") or name.startswith("PAPERMILL_")
        if not private and name not in kinds and isinstance(value, (str, int, float)):
            raise ValueError(
                f"unknown parameter {name} = {value!r}; this notebook takes {', '.join(kinds)}. "
                "What is no parameter is defined after lab.begin"
            )


def _check_ranges(values: Mapping[str, Any]) -> None:
    for name, known in KNOWN.items():
        if values[name] not in known:
            raise ValueError(f"parameter {name} must be one of {', '.join(known)}, got {values[name]!r}")
    if values["seed"] < 0:
        raise ValueError(f"parameter seed must be a whole number from 0 up, got {values['seed']}")
    fewest = 2 if values["profile"] == "smoke" else 5
    if values["n_seeds"] < fewest:
        raise ValueError(
            f"parameter n_seeds must be at least {fewest} at profile {values['profile']}, got {values['n_seeds']}"
        )
