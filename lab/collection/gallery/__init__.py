"""The gallery: static pages of notebooks, claims and papers, and the ledger as a page of Markdown.

``build(root, results, complete=...)`` renders ``build/gallery/``,
``write_readme(root)`` writes ``notebooks/README.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["build", "build_api", "readme", "write_readme"]


def build(root: Path, results: Sequence[Mapping[str, Any]] | None = None, *, complete: bool) -> Path:
    """Render the gallery into ``build/gallery/`` under `root`; see `lab.collection.gallery.site.build`."""
    # the exporter and its parsers take a second to import: only who builds a gallery pays for it
    from lab.collection.gallery import site

    return site.build(Path(root), results, complete=complete)


def build_api(root: Path, *, refresh: bool = True) -> Path | None:
    """Write the pages of the package's functions; see `lab.collection.gallery.api.build`."""
    from lab.collection.gallery import api

    return api.build(Path(root), refresh=refresh)


def readme(root: Path) -> str:
    """The text of ``notebooks/README.md``; see `lab.collection.gallery.readme_page.readme`."""
    from lab.collection.gallery import readme_page

    return readme_page.readme(Path(root))


def write_readme(root: Path) -> bool:
    """Write ``notebooks/README.md``, its pictures and the findings in ``README.md``; returns whether one changed.

    Raises:
        ValueError: a damaged ledger, or a finding that is not in it.
    """
    from lab.collection.gallery import front_page, pictures, readme_page

    changed = [pictures.update(Path(root)), readme_page.write_readme(Path(root)), front_page.update(Path(root))]
    return any(changed)
