"""The claims a notebook declares, read from its code without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from lab.collection.claims import SLUG, VERDICTS
from lab.collection.notebook import Notebook, parsed

_TEXTS = ("paper", "statement", "quantity", "control", "expected")


@dataclass(frozen=True)
class Declaration:
    """One call of ``run.claim``: cell position, slug and texts (None where computed), the name it is bound to."""

    cell: int
    slug: str | None
    name: str | None
    texts: dict[str, str | None]


def declarations(notebook: Notebook) -> list[Declaration]:
    """Every call of ``run.claim`` in a notebook's code cells, in order."""
    found, shared = [], _dictionaries(notebook)
    for i, cell in enumerate(notebook["cells"]):
        tree = parsed(cell)
        if tree is None:
            continue
        bound = {
            id(node.value): node.targets[0].id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
        }
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is(node.func, "run", "claim")]
        for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
            named: dict[str, ast.AST | None] = {}
            for keyword in call.keywords:
                if keyword.arg is not None:
                    named[keyword.arg] = keyword.value
                elif isinstance(keyword.value, ast.Name) and keyword.value.id in shared:
                    named |= shared[keyword.value.id]
                else:  # what a computed `**` brings is not known, so nothing can be said to be missing
                    named = dict.fromkeys(_TEXTS) | named
            slug = _text(call.args[0] if call.args else named.get("slug"))
            texts = {key: _text(named[key]) for key in _TEXTS if key in named}
            found.append(Declaration(i, slug, bound.get(id(call)), texts))
    return found


def slugs(notebook: Notebook) -> set[str] | None:
    """The slugs of the claims a notebook declares; None where one is computed, so that the set is not known."""
    found = {each.slug for each in declarations(notebook)}
    return None if None in found else {slug for slug in found if slug is not None}


def findings(notebook: Notebook) -> Iterator[tuple[int | None, str, str]]:
    """What breaks a rule about claims: (cell, rule, message)."""
    made = declarations(notebook)
    if not made:
        yield None, "claims", "no cell declares a claim by run.claim(...)"
    seen: set[str] = set()
    for each in made:
        if each.slug is not None:
            if not SLUG.fullmatch(each.slug):
                yield each.cell, "claims", f"the slug {each.slug!r} must be lower-case words joined by hyphens"
            if each.slug in seen:
                yield each.cell, "claims", f"the slug {each.slug!r} is declared twice"
            seen.add(each.slug)
        for key in _TEXTS:
            if key not in each.texts:
                yield each.cell, "claims", f"claim {each.slug!r} does not state its {key}"
        expected = each.texts.get("expected")
        if expected is not None and expected not in VERDICTS:
            yield each.cell, "claims", f"claim {each.slug!r} expects {expected!r}, none of {', '.join(VERDICTS)}"
        if each.name is not None:
            yield from _use(notebook, each)


def _use(notebook: Notebook, each: Declaration) -> Iterator[tuple[int | None, str, str]]:
    measured = shown = False
    for cell in notebook["cells"][each.cell :]:
        tree = parsed(cell)
        if tree is None or not tree.body:
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is(node.func, each.name, "measure"):
                measured = True
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "display":
                shown |= any(isinstance(inner, ast.Name) and inner.id == each.name for inner in ast.walk(node))
        # the value of a cell's last expression is displayed: `claim` or `claim.measure(...)`
        last = tree.body[-1]
        if isinstance(last, ast.Expr):
            value = last.value
            shown |= isinstance(value, ast.Name) and value.id == each.name
            shown |= isinstance(value, ast.Call) and _is(value.func, each.name, "measure")
        measured |= _in_loop(tree, each.name)
        shown |= _in_loop(tree, each.name)
    if not measured:
        yield each.cell, "claims", f"claim {each.slug!r} is never measured: `{each.name}.measure(values, control=...)`"
    if not shown:
        yield each.cell, "claims", f"claim {each.slug!r} is never shown: `display({each.name})`"


def _in_loop(tree: ast.AST, name: str | None) -> bool:
    """Whether the claim is handed on within a collection that a loop goes through, where this reading ends."""
    loops = [node.iter for node in ast.walk(tree) if isinstance(node, (ast.For, ast.comprehension))]
    return any(isinstance(inner, ast.Name) and inner.id == name for each in loops for inner in ast.walk(each))


def _dictionaries(notebook: Notebook) -> dict[str, dict[str, ast.AST | None]]:
    """The dictionaries written out in a notebook, by the name they are bound to: what claims have in common."""
    found: dict[str, dict[str, ast.AST | None]] = {}
    for cell in notebook["cells"]:
        for node in getattr(parsed(cell), "body", ()):
            if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
                continue
            value, pairs = node.value, None
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
                if not value.args and all(keyword.arg for keyword in value.keywords):
                    pairs = {str(keyword.arg): keyword.value for keyword in value.keywords}
            elif isinstance(value, ast.Dict) and all(_text(key) is not None for key in value.keys):
                pairs = {str(_text(key)): each for key, each in zip(value.keys, value.values, strict=True)}
            if pairs is not None:
                found[node.targets[0].id] = dict(pairs)
    return found


def _is(node: ast.AST, owner: str | None, attribute: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == attribute
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    )


def _text(node: ast.AST | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
