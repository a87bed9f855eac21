"""Where the collection lies and what its notebooks are called."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path


def root() -> Path:
    """Root folder of the collection.

    The nearest folder, from the working directory upwards, that holds ``notebooks/`` and ``data/manifest.json``; if
    there is none, the folder the package lies in. Cost: a few look-ups in the file system.

    Returns:
        An absolute path.

    Example:
        >>> (root() / "notebooks").is_dir()
        True
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "notebooks").is_dir() and (folder / "data" / "manifest.json").is_file():
            return folder
    return Path(__file__).resolve().parents[2]


def notebooks(base: Path) -> list[Path]:
    """Every notebook of the collection under `base`, ordered by theme and file name.

    Args:
        base: root of the collection.

    Returns:
        Paths ``base/notebooks/<theme>/<slug>.ipynb``, and before them those that lie in ``base/notebooks`` itself and
        lead into the themes; empty where there is none. Folders and files whose names start with a dot are left out.
    """
    top = sorted((base / "notebooks").glob("*.ipynb"))
    found = top + sorted((base / "notebooks").glob("*/*.ipynb"))
    return [p for p in found if not p.name.startswith(".") and not p.parent.name.startswith(".")]


def name_of(path: Path) -> str:
    """What a notebook is called everywhere: ``theme/slug``.

    Example:
        >>> name_of(Path("notebooks/uniformity/02-temperature.ipynb"))
        'uniformity/02-temperature'
    """
    return f"{path.parent.name}/{path.stem}"


def choose(base: Path, wanted: Sequence[str]) -> list[Path]:
    """The notebooks that some names stand for.

    Args:
        base: root of the collection.
        wanted: each a theme, a slug, ``theme/slug`` or a path, with or without ``.ipynb``; empty strings are ignored.

    Returns:
        Paths in the order of `notebooks`, none twice; all of them where nothing is wanted.

    Raises:
        ValueError: a name stands for no notebook (the message suggests close ones), or the collection is empty.
    """
    everything = notebooks(base)
    names = [name for name in wanted if name.strip()]
    if not everything:
        raise ValueError(f"no notebooks were found under {base / 'notebooks'}")
    chosen: set[Path] = set()
    for name in names:
        matches = [path for path in everything if _stands_for(name.strip(), path, base)]
        if not matches:
            known = [known for p in everything for known in (p.parent.name, p.stem, name_of(p))]
            raise ValueError(f"unknown notebook or theme {name!r}{suggestion(name, known)}")
        chosen.update(matches)
    return [path for path in everything if path in chosen or not names]


def _stands_for(name: str, path: Path, base: Path) -> bool:
    plain = name.removesuffix(".ipynb").rstrip("/")
    if plain in (path.parent.name, path.stem, name_of(path)):
        return True
    # Only what looks like a path is looked up as one: a folder that happens to be called like a theme proves nothing.
    if "/" not in name and "\\" not in name and not name.endswith(".ipynb"):
        return False
    places = {Path(plain).resolve(), (base / plain).resolve()}
    return path.with_suffix("").resolve() in places or path.parent.resolve() in places


def suggestion(name: str, known: Sequence[str]) -> str:
    """``; did you mean 'x'?`` where something known is close to `name`, else ``; known: ...`` for a short list.

    Example:
        >>> suggestion("smok", ["smoke", "standard", "large"])
        "; did you mean 'smoke'?"
        >>> suggestion("q", ["smoke", "standard", "large"])
        '; known: smoke, standard, large'
    """
    options = list(dict.fromkeys(known))
    close = difflib.get_close_matches(name.lower(), options, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if 0 < len(options) <= 8:
        return f"; known: {', '.join(options)}"
    return ""
