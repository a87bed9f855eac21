"""Numbers typed into prose: a measured value belongs into a variable, where the next run changes it."""

from __future__ import annotations

import re

# what may hold numbers: code, formulas, folded solutions, comments, tags, links and addresses
_APART = (
    r"(?ms)^(```+|~~~+).*?^\1",
    r"(?s)<details>.*?</details>",
    r"(?s)<!--.*?-->",
    r"(?s)\$\$.*?\$\$",
    r"(?s)\\\[.*?\\\]|\\\(.*?\\\)",
    r"(?s)\\begin\{(\w+\*?)\}.*?\\end\{\1\}",
    r"(`+).+?\1",
    r"(?<!\\)\$[^$\n]+?(?<!\\)\$",
    r"\]\([^)]*\)",
    r"<[^>\n]*>",
    r"\w+://\S+",
)
# numbers that count or name something: sections, versions, confidence levels, places in a document
_NAMES = re.compile(
    r"(?i)\b(?:sections?|sec\.|figures?|fig\.|tables?|equations?|eq\.|eqs\.|theorem|lemma|corollary|proposition|"
    r"definition|algorithm|appendix|chapter|part|version|python|arxiv:?)\s*\(?[a-z]?\.?\d+(?:\.\d+)*\)?"
)
_LEVEL = re.compile(r"(?i)\b(?:90|95|99)\s?(?:%|percent|per cent)[\s-]+(?:\w+[\s-]+)?(?:intervals?|confidence|bands?)")
_DECIMAL = re.compile(r"(?<![\w.])[-+−]?\d*\.\d+(?:[eE][-+]?\d+)?(?![\w]|\.\d)")
_PERCENT = re.compile(r"(?i)(?<![\w.])\d+(?:\.\d+)?\s?(?:%|percent\b|per cent\b|percentage points?\b)")


def measured_numbers(markdown: str) -> list[str]:
    """Decimals and percentages in the running text of a Markdown cell, in order.

    Code, formulas, links, ``<details>``, section and version numbers and the confidence level of an interval do not
    count, so a setting such as ``$\\tau = 0.1$`` may stand in a formula or in code.

    >>> measured_numbers("It reaches 0.83, or 12 %, at `lr = 0.1` and $d = 2.5$ (95 % interval, Section 4.2).")
    ['0.83', '12 %']
    """
    text = markdown
    for pattern in _APART:
        text = re.sub(pattern, " ", text)
    text = _LEVEL.sub(" ", _NAMES.sub(" ", text))
    found = [(m.start(), m.end(), m.group().strip()) for m in _PERCENT.finditer(text)]
    spans = [(start, end) for start, end, _ in found]
    for m in _DECIMAL.finditer(text):
        if not any(start < m.end() and m.start() < end for start, end in spans):
            found.append((m.start(), m.end(), m.group()))
    return [number for _, _, number in sorted(found)]
