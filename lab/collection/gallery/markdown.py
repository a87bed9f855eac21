"""Markdown cells as HTML: formulas set, headings with anchors and a table of contents, links that stay inside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from lab.collection.gallery.formula import Formulas

# paragraphs that stand out: a question to the reader, and what a figure shows
_OPENINGS = {"<strong>Predict.</strong>": "predict", "<strong>Reading the figure.</strong>": "reading"}
_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True)
class Heading:
    """One entry of a page's contents: its level (2 or 3), its anchor and its text as HTML."""

    level: int
    anchor: str
    html: str


class Prose(IPythonRenderer):
    """Renders the markdown of one page and keeps its headings and formulas.

    Args:
        link: turns the address of a link to another notebook (``02-x.ipynb``) into one on the site.
        taken: anchors that are in use on the page already.
    """

    def __init__(self, link: Callable[[str], str], taken: set[str] | None = None) -> None:
        super().__init__(escape=False)
        self.formulas = Formulas()
        self.headings: list[Heading] = []
        self._link = link
        self._taken = set() if taken is None else taken

    def html(self, source: str, attachments: Mapping[str, Any] | None = None) -> str:
        """One markdown cell as HTML."""
        self.attachments = dict(attachments or {})
        # a table wider than a phone scrolls by itself
        return _scroll_tables(MarkdownWithMath(renderer=self).render(source))

    def anchor(self, text: str) -> str:
        """An id made of `text`, not used on the page before."""
        base = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"
        name, number = base, 1
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name)
        return name

    def heading(self, text: str, level: int, **attrs: Any) -> str:
        anchor = self.anchor(_TAG.sub("", re.sub(r"<svg.*?</svg>", "", text)))
        if 2 <= level <= 3:
            self.headings.append(Heading(level, anchor, re.sub(r"</?a\b[^>]*>", "", text)))
        if level == 1:
            return f'<h1 id="{anchor}">{text}</h1>\n'
        plain = escape(_TAG.sub("", re.sub(r"<svg.*?</svg>", "", text)))
        mark = f'<a class="anchor" href="#{anchor}" aria-label="Link to: {plain}">#</a>'
        return f'<h{level} id="{anchor}">{text} {mark}</h{level}>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, self._link(url), title)

    def block_math(self, body: str) -> str:
        return self.formulas.block(body)

    def inline_math(self, body: str) -> str:
        return self.formulas.inline(body)

    def latex_environment(self, name: str, body: str) -> str:
        if name.rstrip("*") == "equation":
            return self.formulas.block(body)
        # align and gather are displays of their own; inside a formula they are called aligned and gathered
        inner = {"align": "aligned", "gather": "gathered"}.get(name.rstrip("*"), name)
        return self.formulas.block(rf"\begin{{{inner}}}{body}\end{{{inner}}}")

    def paragraph(self, text: str) -> str:
        # a formula on its own is a block and must not stand inside <p>
        if text.startswith('<div class="formula">'):
            return text
        kind = next((kind for opening, kind in _OPENINGS.items() if text.startswith(opening)), "")
        if '<div class="formula">' in text:
            return f'<div class="p {kind}">{text}</div>\n'
        return f'<p class="{kind}">{text}</p>\n' if kind else super().paragraph(text)


def _scroll_tables(html: str) -> str:
    html = re.sub(r"<table\b", '<div class="scroll"><table', html)
    return html.replace("</table>", "</table></div>")
