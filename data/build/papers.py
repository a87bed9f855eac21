"""The list of papers: data/papers.csv from a table of tab-separated values.

Needs: nothing beyond Python.
Run:   python data/build/papers.py PAPERS.tsv

The table has the columns key, title, theme, kind, tier, idea, claim and repro (the experiment). The tier says how far a
paper is taken up: 1 and 2 are reproduced, 3 sketched, 4 cited. The column `notebooks` is generated from the notebooks;
what an existing papers.csv holds there is kept.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

SCOPES = {"1": "reproduce", "2": "reproduce", "3": "sketch", "4": "cite"}
COLUMNS = ["key", "title", "theme", "kind", "tier", "scope", "idea", "claim", "experiment", "notebooks"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path, help="the table of papers, tab-separated")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent.parent, help="data folder to write to"
    )
    arguments = parser.parse_args()
    target = arguments.out / "papers.csv"
    joined = {}
    if target.exists():
        with target.open(encoding="utf-8", newline="") as handle:
            joined = {row["key"]: row["notebooks"] for row in csv.DictReader(handle)}
    lines = arguments.table.read_text(encoding="utf-8").splitlines()
    header = lines[0].split("\t")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        cells = line.split("\t")
        if len(cells) != len(header):
            raise SystemExit(f"{arguments.table}:{number}: {len(header)} cells expected, found {len(cells)}")
        paper = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        if paper["tier"] not in SCOPES:
            raise SystemExit(f"{arguments.table}:{number}: tier 1 to 4 expected, found {paper['tier']!r}")
        paper |= {
            "scope": SCOPES[paper["tier"]],
            "experiment": paper["repro"],
            "notebooks": joined.get(paper["key"], ""),
        }
        rows.append([paper[column] for column in COLUMNS])
    if len({row[0] for row in rows}) != len(rows):
        raise SystemExit(f"{arguments.table}: a key stands there twice")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with target.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    print(f"{target}: {len(rows)} papers")


if __name__ == "__main__":
    main()
