"""What ``lab check`` finds: notebooks that break the collection's rules, and lists that do not fit together."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.collection import assignments, declarations, health, ledger, papers, place, structure, tensions
from lab.collection.notebook import SLUG, THEME, Notebook, read, source
from lab.collection.strip import is_stripped

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Problem:
    """One broken rule: the file from the root, the cell ("" for the whole file), the rule's name, what to do."""

    file: str
    cell: str
    rule: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}, {self.cell}" if self.cell else self.file
        return f"{where}: {self.message} [{self.rule}]"


def problems(root: Path, only: Collection[Path] | None = None) -> list[Problem]:
    """Every broken rule in the collection under `root`, in the order of the files; empty when all is well.

    Args:
        root: root of the collection, with ``notebooks/`` and ``data/papers.csv``.
        only: look at these notebooks alone; at all of them, and the ledger, when None.

    Cost: reads every notebook twice; runs nothing.
    """
    root = Path(root)
    keys: set[str] | None = None
    found: list[Problem] = []
    try:
        keys = {paper.key for paper in papers.papers(root)}
    except ValueError as error:
        found = [Problem("data/papers.csv", "", "papers", str(error))]
    names = {place.name_of(path) for path in place.notebooks(root)}
    slugs: dict[str, set[str] | None] = {}
    for path in place.notebooks(root) if only is None else only:
        found += [*notebook_problems(path, root, keys), *_needs(path, root, names)]
        try:
            slugs[place.name_of(path)] = declarations.slugs(read(path))
        except ValueError:
            slugs[place.name_of(path)] = None
    if only is not None:
        return found
    stale = [*health.broken_links(root), *health.unused_names(root, PACKAGE)]
    found += [Problem(file, "", rule, message) for file, rule, message in stale]
    found += _ledger(root, slugs)
    try:
        rows = ledger.read(root)
    except ValueError:
        return found  # whatever works with the ledger names the fault
    return [*found, *_pictures(root, rows), *_told(root, set(rows))]


def notebook_problems(path: Path, root: Path, keys: set[str] | None = None) -> list[Problem]:
    """Every broken rule in one notebook.

    Args:
        path: the notebook's file.
        root: root of the collection; problems name the file from there.
        keys: the keys of ``data/papers.csv``; None leaves paper keys unchecked.
    """
    file = path.relative_to(root).as_posix()
    try:
        notebook = read(path)
    except ValueError as error:
        return [Problem(file, "", "format", str(error))]
    found = []
    if not THEME.fullmatch(path.parent.name) or not SLUG.fullmatch(path.stem):
        found.append(Problem(file, "", "name", "expected notebooks/<theme>/NN-words.ipynb in lower case with hyphens"))
    rules = (structure,) if structure.is_guide(notebook) else (structure, assignments, declarations)
    several = [module.findings(notebook) for module in rules]
    others = [_papers(notebook, keys), health.notebook_links(root, path, notebook), health.figures(notebook)]
    for each in [*several, *others]:
        found += [Problem(file, _cell(notebook, at), rule, message) for at, rule, message in each]
    if not is_stripped(path):
        found.append(Problem(file, "", "stripped", "not in its canonical form: run `lab strip`"))
    return found


def _cell(notebook: Notebook, at: int | None) -> str:
    if at is None or not 0 <= at < len(notebook["cells"]):
        return ""
    cell = notebook["cells"][at]
    begin = source(cell).strip().split("\n")[0][:40]
    return f"cell {at + 1} ({begin})" if begin else f"cell {at + 1}"


def _papers(notebook: Notebook, keys: set[str] | None) -> Iterator[tuple[int | None, str, str]]:
    lab = notebook.get("metadata", {}).get("lab", {})
    named = lab.get("papers", []) if isinstance(lab, dict) else []
    for key in named if isinstance(named, list) else []:
        if keys is not None and key not in keys:
            yield None, "papers", f"the paper {key!r} of lab.papers is not in data/papers.csv"
    for claim in declarations.declarations(notebook):
        key = claim.texts.get("paper")
        if key is not None and keys is not None and key not in keys:
            yield claim.cell, "papers", f"the paper {key!r} of claim {claim.slug!r} is not in data/papers.csv"


def _needs(path: Path, root: Path, names: Collection[str]) -> Iterator[Problem]:
    """Notebooks to read before that do not exist."""
    try:
        lab = read(path).get("metadata", {}).get("lab", {})
    except ValueError:
        return
    for name in lab.get("needs", []) if isinstance(lab, dict) and isinstance(lab.get("needs", []), list) else []:
        if name not in names:
            file = path.relative_to(root).as_posix()
            yield Problem(file, "", "metadata", f"lab.needs names {name!r}, and there is no such notebook")


def _ledger(root: Path, slugs: dict[str, set[str] | None]) -> Iterator[Problem]:
    path = root / "data" / "ledger.csv"
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    seen: set[str] = set()
    for number, row in enumerate(rows, start=2):
        key = row.get("key") or ""
        name, _, slug = key.partition("#")
        known = slugs.get(name)
        if key in seen:
            yield Problem("data/ledger.csv", f"row {number}", "ledger", f"the key {key} stands there twice")
        elif name not in slugs:
            yield Problem("data/ledger.csv", f"row {number}", "ledger", f"{key} belongs to no notebook")
        elif known is not None and slug not in known:
            yield Problem("data/ledger.csv", f"row {number}", "ledger", f"{name} declares no claim {slug!r}")
        seen.add(key)


def _pictures(root: Path, rows: Mapping[str, ledger.Row]) -> Iterator[Problem]:
    """Thumbnails that are missing, too large, or of another run than the numbers beside them."""
    from lab.collection.gallery import pictures

    for name in dict.fromkeys(key.partition("#")[0] for key in rows):
        file = pictures.path(root, name, ".png")
        shown = file.relative_to(root).as_posix()
        if not file.is_file():
            yield Problem(shown, "", "pictures", "missing: `lab run` makes it with the run that fills the ledger")
            continue
        if file.stat().st_size > pictures.LARGEST:
            yield Problem(shown, "", "pictures", f"{file.stat().st_size} bytes, at most {pictures.LARGEST}")
        told = [row for key, row in rows.items() if key.partition("#")[0] == name]
        if pictures.mark_of(file) != pictures.mark(told):
            yield Problem(shown, "", "pictures", "of another run than data/ledger.csv: `lab run` brings both together")


def _told(root: Path, claims: set[str]) -> Iterator[Problem]:
    """Claims that pages quote and that do not exist, and pages that say something else than the ledger."""
    from lab.collection.gallery import front_page, readme

    try:
        for file, key in tensions.unknown(root, claims):
            yield Problem(file, "", "tensions", f"the claim {key!r} is not in data/ledger.csv")
        for file, text in (("README.md", front_page.updated(root)), ("notebooks/README.md", readme(root))):
            path = root / file
            if text is not None and path.is_file() and path.read_text(encoding="utf-8") != text:
                yield Problem(file, "", "generated", "does not say what data/ledger.csv says: `lab run` writes it anew")
    except ValueError as error:
        yield Problem("README.md", "", "generated", str(error))
