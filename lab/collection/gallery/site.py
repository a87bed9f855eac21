"""Writing the gallery: index, a page a notebook and the tables, each replaced in one step if it changed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader

from lab.collection import notebook as source_file
from lab.collection.card import COLOURS
from lab.collection.files import write
from lab.collection.gallery import api, exercises_page, paper_pages, sources, tables, thumbnail, views
from lab.collection.gallery.sources import Notebook, Theme
from lab.collection.gallery.views import Collection
from lab.collection.strip import stripped

HERE = Path(__file__).parent
_KEY = re.compile(r'<meta name="page-key" content="([0-9a-f]+)">')
_LINK = re.compile(rb"\]\(([^)\s]+\.(?:ipynb|md)[^)\s]*)\)")


def build(root: Path, results: Sequence[Mapping[str, Any]] | None = None, *, complete: bool) -> Path:
    """Render the gallery of the collection; a page is rendered anew only if what it shows has changed.

    Args:
        root: root of the collection.
        results: contents of ``result.json`` of the runs at hand; they come before older runs on disk.
        complete: whether all that is to run has run; if not, the index says how far it came.

    Returns:
        The path of ``build/gallery/index.html``.

    Raises:
        ValueError: a damaged ledger, list of papers or list of themes.

    Cost: about half a second a page to render; a tenth of a second in all where nothing changed.
    """
    root = Path(root)
    out = root / "build" / "gallery"
    shown = views.gather(root, results)
    environment = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True, trim_blocks=True)
    # the pages of the package's own functions are made with the collection that the package lies in
    environment.globals.update(page_key="", sprite="", up="", api=api.belongs(root))
    executed = _executed(shown)
    with_page = [book for book in shown.notebooks if book.name in executed]
    pages = {book.name: f"{book.theme}/{book.slug}.html" for book in with_page}

    kept = paper_pages.write_all(environment, shown, pages, out)
    write(out / "style.css", _style())
    write(out / "gallery.js", (HERE / "assets" / "gallery.js").read_text(encoding="utf-8"))
    pictures: dict[str, str] = {}
    for book in with_page:
        folder = out / book.theme
        kept |= {folder / f"{book.slug}.html", folder / f"{book.slug}.ipynb", folder / f"{book.slug}.png"}
        picture = _notebook(environment, shown, book, executed[book.name], with_page, pages, out)
        if picture:
            pictures[book.name] = picture
    tables.ledger(environment, shown, pages, out)
    tables.papers(environment, shown, pages, out)
    tables.losses(environment, out)
    tables.probes(environment, shown, pages, out)
    tables.tensions(environment, shown, pages, out)
    exercises_page.write_page(environment, shown, pages, out)
    _index(environment, shown, pages, pictures, results, complete, out)
    _sweep(out, kept)
    return out / "index.html"


def _executed(shown: Collection) -> dict[str, bytes]:
    """The executed notebooks that can be shown; a file that is damaged counts as none."""
    found = {}
    for name, run in shown.runs.items():
        if run.executed is None:
            continue
        try:
            data = run.executed.read_bytes()
            if json.loads(data)["cells"]:
                found[name] = data
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _notebook(
    environment: Environment,
    shown: Collection,
    book: Notebook,
    executed: bytes,
    with_page: Sequence[Notebook],
    pages: Mapping[str, str],
    out: Path,
) -> str:
    """Write page, picture and download of one notebook where they changed; return the picture's address."""
    page, picture = out / book.theme / f"{book.slug}.html", out / book.theme / f"{book.slug}.png"
    theme = next(theme for theme in shown.themes if theme.name == book.theme)
    siblings = [other for other in with_page if other.theme == book.theme]
    place = siblings.index(book)
    before = siblings[place - 1] if place else None
    after = siblings[place + 1] if place + 1 < len(siblings) else None
    run = shown.runs[book.name]
    titles = {other.name: other.title for other in shown.notebooks}
    told = {
        "theme": theme,
        "before": before,
        "after": after,
        "facts": views.facts(book, run),
        "needs": [(titles.get(name, name), pages.get(name, "")) for name in book.needs],
        "uses": views.linked_uses(book) if api.belongs(shown.root) else [],
        "citation": views.citation(book, run),
        "trouble": views.trouble(run),
        "error": run.result.get("error") or "",
    }
    rows = shown.claims_in(book)
    link = _linker(book, shown, pages)
    links = [link(url.decode()) for url in _LINK.findall(executed)]
    source = book.path.read_bytes()
    key = _digest(_fingerprint(), executed, source, repr((book, told, rows, links)).encode())
    if _key_of(page) != key:
        _write_download(book, page.with_suffix(".ipynb"))
        content = json.loads(executed)
        figure = thumbnail.figure(content, book.thumbnail)
        small = thumbnail.shrink(figure) if figure else None
        if small:
            write(picture, small)
        else:
            picture.unlink(missing_ok=True)
        write(page, _page(environment, book, executed, link, told, rows, key))
    return f"{book.theme}/{book.slug}.png" if picture.exists() else ""


def _page(
    environment: Environment,
    book: Notebook,
    executed: bytes,
    link: Callable[[str], str],
    told: Mapping[str, Any],
    rows: Sequence[sources.ClaimRow],
    key: str,
) -> str:
    import nbformat

    from lab.collection.gallery.page import body

    content = nbformat.reads(executed.decode("utf-8"), as_version=4)
    made = body(content, link)
    anchors = set(re.findall(r'id="(claim-[^"]+)"', made.rest + made.first))
    return environment.get_template("notebook.html.j2").render(
        kind="notebook",
        title=f"{book.title} · the lab",
        description=book.question or book.title,
        up="../",
        page_key=key,
        sprite=made.sprite,
        first=made.first,
        rest=made.rest,
        headings=made.headings,
        slug=book.slug,
        claims=[(row, f"claim-{row.slug}" if f"claim-{row.slug}" in anchors else "") for row in rows],
        **told,
    )


def _linker(book: Notebook, shown: Collection, pages: Mapping[str, str]) -> Callable[[str], str]:
    """How links between notebooks are written on the site: to the page where there is one, else to the card."""
    known = {other.name for other in shown.notebooks}

    def link(url: str) -> str:
        target, mark, fragment = url.partition("#")
        if ":" in target or not target.endswith((".ipynb", ".md")):
            return url
        if target.endswith(".md"):
            return "../index.html"
        # slug.ipynb and ../theme/slug.ipynb are the two forms in use: the last two parts name the notebook
        name = "/".join(PurePosixPath(book.theme, target.removesuffix(".ipynb")).parts[-2:])
        if name in pages:
            return f"../{pages[name]}{mark}{fragment}"
        return f"../index.html#{views.anchor(name)}" if name in known else "../index.html"

    return link


def _index(
    environment: Environment,
    shown: Collection,
    pages: Mapping[str, str],
    pictures: Mapping[str, str],
    results: Sequence[Mapping[str, Any]] | None,
    complete: bool,
    out: Path,
) -> None:
    themes: list[tuple[Theme, list[dict[str, Any]]]] = []
    for theme in shown.themes:
        books = [book for book in shown.notebooks if book.theme == theme.name]
        cards = [views.card(shown, book, pages.get(book.name, ""), pictures.get(book.name, "")) for book in books]
        themes.append((theme, cards))
    write(
        out / "index.html",
        environment.get_template("index.html.j2").render(
            kind="index",
            title="the lab: what papers claim about embeddings, measured",
            description="Notebooks that reproduce what papers claim about the geometry of learned embeddings.",
            themes=themes,
            theme_titles=[theme.title for theme, _ in themes],
            verdict_names=[verdict for verdict, _ in views.counts(shown.claims)],
            uses=views.uses(shown),
            totals=views.counts(shown.claims),
            claim_count=len(shown.claims),
            complete=complete,
            done=len(results) if results is not None else len(shown.runs),
            total=len(shown.notebooks),
        ),
    )


def _write_download(book: Notebook, path: Path) -> None:
    try:
        write(path, source_file.text(stripped(source_file.read(book.path))))
    except ValueError:
        path.unlink(missing_ok=True)


def _style() -> str:
    colours = "".join(f"  --{verdict.replace(' ', '-')}: {colour};\n" for verdict, colour in COLOURS.items())
    return (HERE / "assets" / "style.css").read_text(encoding="utf-8") + f"\n:root {{\n{colours}}}\n"


def _fingerprint() -> bytes:
    """What decides how a page looks: the code and templates of the gallery."""
    files = sorted(path for path in HERE.rglob("*") if path.suffix in (".py", ".j2"))
    return _digest(*(path.read_bytes() for path in files)).encode()


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}\0".encode())
        digest.update(part)
    return digest.hexdigest()


def _key_of(page: Path) -> str:
    try:
        with page.open(encoding="utf-8") as file:
            found = _KEY.search(file.read(2000))
    except FileNotFoundError:
        return ""
    return found[1] if found else ""


def _sweep(out: Path, kept: set[Path]) -> None:
    """Remove pages of notebooks that are gone."""
    for path in out.glob("*/*"):
        made_here = path.suffix in (".html", ".ipynb", ".png") and not path.name.startswith(".")
        if path.parent.name != "api" and made_here and path not in kept:
            path.unlink(missing_ok=True)
