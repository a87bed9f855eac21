"""Nouns of WordNet 3.0: the tree below "mammal" and the 5,000 most frequent synsets, with glosses and vectors.

Needs: the Debian package wordnet-base 1:3.0-37 (`apt-get install wordnet-base`), and the Python packages in
       requirements.txt beside this file.
Run:   python data/build/wordnet.py

Frequency is the number of times a synset's lemmas were tagged with it in WordNet's sense-tagged texts (cntlist.rev),
summed over its lemmas; ties go to the smaller synset number. Named instances (cities, people) are left out. A synset's
name is its most often tagged lemma. The gloss is the definition without the example sentences.

WordNet gives some synsets several hypernyms: the first is the parent, the others are listed beside it. Depth counts the
shortest way up, to the root of all nouns (entity) or to mammal.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import texts
from packing import debian_version, declare, out_folder, require, write_csv, write_npz

FOLDER = Path("/usr/share/wordnet")
ENTITY, MAMMAL = "00001740", "01861778"
COUNT = 5_000
COLUMNS = ["synset", "lemma", "lemmas", "category", "count", "depth", "parent", "other_parents", "gloss"]
# The lexicographer files of nouns, numbered 3 to 28 in WordNet's lexnames(5).
CATEGORIES = (
    "Tops act animal artifact attribute body cognition communication event feeling food group location motive object "
    "person phenomenon plant possession process quantity relation shape state substance time"
)


@dataclass(frozen=True)
class Synset:
    number: str
    lemmas: tuple[str, ...]
    senses: tuple[tuple[str, int, int], ...]  # lemma in lower case, lexicographer file, identifier in it
    file: int
    hypernyms: tuple[str, ...]
    instance: bool
    gloss: str


def read_synset(line: str) -> Synset:
    """One line of data.noun, as wndb(5) describes it."""
    fields, _, gloss = line.partition(" | ")
    cells = fields.split()
    file, size = int(cells[1]), int(cells[3], 16)
    words = [(cells[4 + 2 * i], int(cells[5 + 2 * i], 16)) for i in range(size)]
    start = 4 + 2 * size
    pointers = [cells[start + 1 + 4 * i : start + 5 + 4 * i] for i in range(int(cells[start]))]
    return Synset(
        number=cells[0],
        lemmas=tuple(word.replace("_", " ") for word, _ in words),
        senses=tuple((word.lower(), file, identifier) for word, identifier in words),
        file=file,
        hypernyms=tuple(target for symbol, target, _, _ in pointers if symbol == "@"),
        instance=any(symbol == "@i" for symbol, _, _, _ in pointers),
        gloss=definition(gloss),
    )


def definition(gloss: str) -> str:
    """The gloss up to its first example sentence."""
    return re.split(r'\s*[;:,]\s*"', gloss.strip(), maxsplit=1)[0]


def read_counts(path: Path) -> Counter[tuple[str, int, int]]:
    """How often each noun sense was tagged; a line holds ``lemma%1:file:identifier::``, the sense's rank, the count."""
    counts: Counter[tuple[str, int, int]] = Counter()
    for line in path.read_text(encoding="ascii").splitlines():
        key, _, count = line.split()
        lemma, _, rest = key.rpartition("%")
        kind, file, identifier = rest.split(":")[:3]
        if kind == "1":
            counts[(lemma, int(file), int(identifier))] += int(count)
    return counts


def rows(
    chosen: Sequence[Synset], root: str, known: dict[str, Synset], counts: Counter[tuple[str, int, int]]
) -> list[list[object]]:
    """Table rows. A parent is the nearest chosen synset upwards: the first found by breadth, in WordNet's order."""
    index = {synset.number: i for i, synset in enumerate(chosen)}

    def depth(synset: Synset) -> int:
        steps, level = 0, {synset.number}
        while root not in level:
            level = {up for number in level for up in known[number].hypernyms}
            steps += 1
        return steps

    def parents(synset: Synset) -> list[int]:
        level = list(synset.hypernyms)
        while level:
            found = [index[number] for number in level if number in index]
            if found:
                return list(dict.fromkeys(found))
            level = [up for number in level for up in known[number].hypernyms]
        return []

    table: list[list[object]] = []
    for synset in chosen:
        tagged = [counts[sense] for sense in synset.senses]
        first, *others = parents(synset) or [-1]
        table.append(
            [
                f"n{synset.number}",
                synset.lemmas[tagged.index(max(tagged))],
                "|".join(synset.lemmas),
                CATEGORIES.split()[synset.file - 3],
                sum(tagged),
                depth(synset),
                first,
                " ".join(map(str, others)),
                synset.gloss,
            ]
        )
    return table


def below(root: str, known: dict[str, Synset]) -> list[Synset]:
    """The synset and all its descendants, parents before children, breadth first, by number within a level."""
    children: dict[str, list[str]] = {}
    for synset in known.values():
        for number in synset.hypernyms:
            children.setdefault(number, []).append(synset.number)
    level, found = [root], {root: None}
    while level:
        level = sorted({child for number in level for child in children.get(number, []) if child not in found})
        found |= dict.fromkeys(level)
    return [known[number] for number in found]


def main() -> None:
    out = out_folder(__doc__).out
    source = "Debian package " + require("wordnet-base", debian_version("wordnet-base"), "1:3.0-37")
    model = texts.source()
    lines = (FOLDER / "data.noun").read_text(encoding="ascii").splitlines()
    known = {s.number: s for s in (read_synset(line) for line in lines if not line.startswith("  "))}
    counts = read_counts(FOLDER / "cntlist.rev")

    frequent = sorted(
        (synset for synset in known.values() if not synset.instance),
        key=lambda synset: (-sum(counts[sense] for sense in synset.senses), synset.number),
    )[:COUNT]
    tables = {
        "mammals": rows(below(MAMMAL, known), MAMMAL, known, counts),
        "nouns": rows(frequent, ENTITY, known, counts),
    }
    for name, table in tables.items():
        write_csv(out / f"wordnet/{name}.csv", COLUMNS, table)
    write_npz(
        out / "wordnet/vectors.npz",
        {name: texts.text_vectors([str(row[-1]) for row in table]) for name, table in tables.items()},
    )
    licence = "WordNet-3.0 (licences/wordnet.txt)"
    size = {name: f"{len(table):,}" for name, table in tables.items()}
    declare(
        out,
        dataset="wordnet",
        script="wordnet.py",
        files={
            "wordnet/mammals.csv": (f"the hypernym tree of {size['mammals']} synsets below mammal", source, licence),
            "wordnet/nouns.csv": (f"the {size['nouns']} most frequent noun synsets with glosses", source, licence),
            "wordnet/vectors.npz": (
                "384-d vectors of the glosses of both",
                f"{source}; {model}",
                f"{licence}; Apache-2.0 (licences/minilm.txt)",
            ),
        },
    )


if __name__ == "__main__":
    main()
