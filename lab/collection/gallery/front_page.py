"""The part of ``README.md`` that is generated: what was found, with the numbers of the ledger."""

from __future__ import annotations

import re
from pathlib import Path

from lab.collection.files import write
from lab.collection.gallery import sources
from lab.collection.gallery.bars import rule_text, spread
from lab.collection.papers import papers
from lab.collection.tensions import findings

BEGIN, END = "<!-- generated from data/ledger.csv -->", "<!-- end of what is generated -->"
_BLOCK = re.compile(re.escape(BEGIN) + r"\n.*?" + re.escape(END), re.DOTALL)


def block(root: Path) -> str:
    """The findings as a numbered list in Markdown, between the two marks.

    Raises:
        ValueError: a finding whose claim is not in the ledger, or a damaged file.
    """
    rows = {row.key: row for row in sources.ledger(root)}
    titles = {paper.key: paper.title for paper in papers(root)}
    lines = [BEGIN]
    for number, finding in enumerate(findings(root), start=1):
        row = rows.get(finding.claim)
        if row is None:
            raise ValueError(f"notebooks/findings.toml names {finding.claim!r}, which is not in data/ledger.csv")
        link = f"[{row.notebook}](notebooks/{row.notebook}.ipynb)"
        lines.append(
            f"{number}. **{finding.headline}.** The claim “{row.statement.rstrip('.')}” is *{row.verdict}*: "
            f"{spread(row)}, rule {rule_text(row)}. {link}, after *{titles.get(row.paper, row.paper)}*."
        )
    return "\n".join([*lines, END])


def updated(root: Path) -> str | None:
    """The text of ``README.md`` with its generated part as it must be now; None where it has no such part."""
    path = Path(root) / "README.md"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    if not _BLOCK.search(text):
        return None
    made = block(root)
    return _BLOCK.sub(lambda _: made, text)


def update(root: Path) -> bool:
    """Bring ``README.md`` up to date; returns whether it changed."""
    text = updated(root)
    return text is not None and write(Path(root) / "README.md", text)
