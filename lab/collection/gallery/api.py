"""Pages of the package's functions, from their docstrings, beside the gallery: ``build/gallery/api/``."""

from __future__ import annotations

import hashlib
import importlib
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

from lab.collection.files import write

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1]
# fmt: off
MODULES = (
    "losses", "probes", "corrections", "training", "datasets", "encoders", "augment", "geometry", "neighbours",
    "exact_search", "hyperbolic", "trees", "multi_vector", "plots", "checkup", "collection.session",
    "collection.claims", "collection.exercises",
)
# fmt: on
_KEY = ".key"


def belongs(root: Path) -> bool:
    """Whether the collection under `root` is the one that the package ``lab`` lies in."""
    return (Path(root) / "lab").is_dir() and (Path(root) / "lab").resolve() == PACKAGE


def build(root: Path, modules: Sequence[str] = MODULES, *, refresh: bool = True) -> Path | None:
    """Write the pages where the package changed since; nothing in a collection that holds no package.

    Args:
        root: root of the collection.
        modules: of ``lab``, each with a page of its own.
        refresh: whether pages of an earlier state of the package are made anew, or left as they are.

    Returns:
        The path of ``api/index.html``, or None where there is no package.

    Cost: imports the package and renders for some 20 seconds where something changed, else some milliseconds.
    """
    if not belongs(root):
        return None
    out = Path(root) / "build" / "gallery" / "api"
    mark = out / _KEY
    if mark.is_file() and not refresh:
        return out / "index.html"
    key = _key(modules)
    if not mark.is_file() or mark.read_text(encoding="utf-8") != key:
        shutil.rmtree(out, ignore_errors=True)
        render(out, modules)
        write(mark, key)
    return out / "index.html"


def render(out: Path, modules: Sequence[str]) -> None:
    """Write the pages of some modules of ``lab`` into the folder `out`."""
    import pdoc
    import pdoc.render

    names = [f"lab.{name}" for name in modules]
    for name in names:
        module = importlib.import_module(name)
        # packages that import their parts on demand must hold them, or nothing would be seen
        for part in getattr(module, "__all__", ()):
            setattr(module, part, getattr(module, part))
    folder = HERE / "templates" / "api"
    pdoc.render.configure(docformat="google", search=True, show_source=False, footer_text="", template_directory=folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pdoc.pdoc(*names, output_directory=out)


def _key(modules: Sequence[str]) -> str:
    digest = hashlib.sha256(repr(tuple(modules)).encode())
    files = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".jinja2", ".css")]
    for path in sorted(files):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
