"""Word pairs for analogies: in the vocabulary, no word twice within a relation, facts looked up elsewhere."""

from __future__ import annotations

import pytest

from lab.datasets import analogies, words

PAIRS = analogies()


def test_ten_relations_with_enough_pairs() -> None:
    assert set(PAIRS) == {
        "capital", "nationality", "gender", "opposite", "plural",
        "comparative", "superlative", "past", "participle", "adverb",
    }  # fmt: skip
    assert min(len(pairs) for pairs in PAIRS.values()) >= 26


@pytest.mark.parametrize("relation", sorted(PAIRS))
def test_words_are_known_and_differ(relation: str) -> None:
    known = words().index
    members = [word for pair in PAIRS[relation] for word in pair]
    assert [word for word in members if word not in known] == []
    # A word in two pairs of a relation would make one question's answer part of another's terms.
    assert len(set(members)) == len(members)


def test_regular_forms_are_spelt_by_rule() -> None:
    for stem, form in PAIRS["participle"]:
        assert form in (f"{stem}ing", f"{stem[:-1]}ing", f"{stem}{stem[-1]}ing")
    for stem, form in PAIRS["adverb"]:
        assert form in (f"{stem}ly", f"{stem[:-1]}ily", f"{stem[:-1]}y")
    for stem, form in PAIRS["opposite"]:
        assert form in (f"un{stem}", f"im{stem}")
    irregular = {"bad": ("worse", "worst"), "good": ("better", "best")}
    for place, (relation, ending) in enumerate((("comparative", "er"), ("superlative", "est"))):
        for stem, form in PAIRS[relation]:
            endings = [f"{stem}{ending}", f"{stem}{ending[1:]}", f"{stem[:-1]}i{ending}", f"{stem}{stem[-1]}{ending}"]
            assert form in endings or form == irregular[stem][place]


def test_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        PAIRS["capital"] = ()  # type: ignore[index]
