"""Formulas as inline SVG: no script, no font, no request; the colour is that of the text around."""

from __future__ import annotations

import hashlib
import re
import xml.etree.ElementTree as ET
from html import escape
from typing import Any

# the size formulas are set at, in SVG units; on the page they scale with the text, one size being SCALE em
SIZE, SCALE, MARGIN = 20.0, 1.08, 0.6
TALLEST = 30.0  # in multiples of the size
_LARGE = re.compile(r"\\(?:sum|prod|coprod|bigcup|bigcap|bigoplus|bigotimes|bigsqcup|bigvee|bigwedge)\s*_\s*")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")


class Formulas:
    """The formulas of one page; each glyph is drawn once, in `sprite`, and referred to by every formula that needs it.

    >>> page = Formulas()
    >>> html = page.inline(r"x^2")
    >>> html.startswith("<svg"), 'aria-label="x^2"' in html, page.sprite().count("<symbol")
    (True, True, 2)
    """

    def __init__(self) -> None:
        self._glyphs: dict[str, str] = {}

    def inline(self, tex: str) -> str:
        """A formula within a line of text, on its baseline; the TeX itself in ``<code>`` where it cannot be set."""
        return self._set(tex, inline=True)

    def block(self, tex: str) -> str:
        """A formula on a line of its own."""
        return f'<div class="formula">{self._set(tex, inline=False)}</div>\n'

    def sprite(self) -> str:
        """The glyphs used so far, as a hidden SVG that belongs on the same page; empty when there are none."""
        if not self._glyphs:
            return ""
        symbols = "".join(self._glyphs[key] for key in sorted(self._glyphs))
        return f'<svg class="sprite" aria-hidden="true" width="0" height="0" focusable="false">{symbols}</svg>'

    def _set(self, tex: str, inline: bool) -> str:
        tex = " ".join(tex.split())
        try:
            formula = _typeset(tex, inline)
            box = formula.node.bbox
            drawing = formula.svgxml()
        except Exception:  # the typesetter raises whatever its parser meets; readable TeX is better than no page
            return f'<code class="tex">{escape(tex)}</code>'
        width, height = float(drawing.attrib["width"]), float(drawing.attrib["height"])
        label = escape(tex)
        unit = SCALE / SIZE
        # the viewBox reaches from above the formula to `depth` below its baseline
        depth = MARGIN - box.ymin
        return (
            f'<svg class="tex" role="img" aria-label="{label}" viewBox="{_short(drawing.attrib["viewBox"])}" '
            f'style="width:{width * unit:.3f}em;height:{height * unit:.3f}em;vertical-align:{-depth * unit:.3f}em">'
            f"<title>{label}</title>{self._body(drawing)}</svg>"
        )

    def _body(self, drawing: ET.Element) -> str:
        names: dict[str, str] = {}
        for symbol in drawing.iter("symbol"):
            inner = _short("".join(ET.tostring(child, encoding="unicode") for child in symbol))
            box = _short(symbol.attrib["viewBox"])
            name = "g" + hashlib.sha256(f"{box}{inner}".encode()).hexdigest()[:10]
            names["#" + symbol.attrib["id"]] = "#" + name
            self._glyphs[name] = f'<symbol id="{name}" viewBox="{box}">{inner}</symbol>'
        parts = []
        for element in drawing:
            if element.tag == "symbol":
                continue
            for part in element.iter():
                if part.attrib.get("href") in names:
                    part.attrib["href"] = names[part.attrib["href"]]
                # the style sheet fills formulas with the colour of the text
                if part.attrib.get("fill") == "currentColor":
                    del part.attrib["fill"]
            parts.append(_short(ET.tostring(element, encoding="unicode")))
        return "".join(parts)


def _typeset(tex: str, inline: bool) -> Any:
    import ziamath

    formula = ziamath.Latex(_adapt(tex, inline), size=SIZE, color="currentColor", inline=inline, margin=MARGIN)
    # no formula in a text is that tall: a delimiter was stretched without bounds
    if formula.node.bbox.ymax - formula.node.bbox.ymin > TALLEST * SIZE:
        raise ValueError(f"{tex!r} cannot be set at a sensible height")
    # a command the parser does not know is passed on as text and would be drawn as such
    if any("\\" in (part.text or "") for part in formula.mathml.iter()):
        raise ValueError(f"unknown command in {tex!r}")
    return formula


def _adapt(tex: str, inline: bool) -> str:
    """TeX the parser would misread, written in a form it knows."""
    tex = re.sub(r"\\mathop\{\\mathrm\{(\w+)\}\}", r"\\operatorname{\1}", tex)
    tex = re.sub(r"\\operatorname\*\{", r"\\operatorname{", tex)
    # \mathbf 1 with a blank before its argument
    tex = re.sub(r"\\(math(?:bf|bb|cal|rm))\s+(\w)", r"\\\1{\2}", tex)
    # bold and blackboard digits are characters of their own
    tex = tex.replace(r"\mathbb{1}", "\U0001d7d9").replace(r"\mathbf{1}", "\U0001d7cf")
    return tex if inline else _bounded(tex)


def _bounded(tex: str) -> str:
    r"""Give each large operator with a lower limit alone an empty upper one.

    Without it the typesetter stretches a delimiter around the operator to a hundred times its height.

    >>> _bounded(r"\left(\sum_{i \in A_{k}} x + \prod_j^n y + \sum_\alpha\right)")
    '\\left(\\sum_{i \\in A_{k}}^{} x + \\prod_j^n y + \\sum_\\alpha^{}\\right)'
    >>> _bounded(r"\sum_{i \in \bigcup_k A_k} x")
    '\\sum_{i \\in \\bigcup_k A_k}^{} x'
    """
    parts, done = [], 0
    for found in _LARGE.finditer(tex):
        if found.start() < done:  # part of another one's limit
            continue
        end = _argument(tex, found.end())
        parts.append(tex[done:end])
        done = end
        if not tex[end:].lstrip().startswith("^"):
            parts.append("^{}")
    return "".join([*parts, tex[done:]])


def _argument(tex: str, start: int) -> int:
    """Where the argument that begins at `start` ends: after a group in braces, a command or one character."""
    if tex[start : start + 1] != "{":
        command = re.compile(r"\\[a-zA-Z]+").match(tex, start)
        return command.end() if command else start + 1
    depth = 0
    for place in range(start, len(tex)):
        depth += {"{": 1, "}": -1}.get(tex[place], 0)
        if depth == 0:
            return place + 1
    return len(tex)


def _short(text: str) -> str:
    """Numbers to two decimals: a glyph's path at half the size, and no difference to see."""
    return _NUMBER.sub(lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), text)
