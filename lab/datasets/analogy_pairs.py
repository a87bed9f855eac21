"""Word pairs of one relation each, for analogy questions on word vectors."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_RELATIONS = {
    "capital": (
        "athens greece, baghdad iraq, bangkok thailand, beijing china, berlin germany, bern switzerland, "
        "budapest hungary, cairo egypt, canberra australia, copenhagen denmark, damascus syria, dublin ireland, "
        "hanoi vietnam, havana cuba, helsinki finland, islamabad pakistan, jakarta indonesia, kabul afghanistan, "
        "kiev ukraine, lisbon portugal, london england, madrid spain, manila philippines, moscow russia, "
        "nairobi kenya, oslo norway, ottawa canada, paris france, prague czech, rome italy, seoul korea, "
        "stockholm sweden, tehran iran, tokyo japan, vienna austria, warsaw poland"
    ),
    "nationality": (
        "australia australian, austria austrian, belgium belgian, brazil brazilian, canada canadian, china chinese, "
        "denmark danish, egypt egyptian, england english, france french, germany german, greece greek, "
        "hungary hungarian, india indian, indonesia indonesian, iran iranian, ireland irish, israel israeli, "
        "italy italian, japan japanese, mexico mexican, netherlands dutch, norway norwegian, poland polish, "
        "portugal portuguese, russia russian, spain spanish, sweden swedish, switzerland swiss, turkey turkish, "
        "ukraine ukrainian, vietnam vietnamese"
    ),
    "gender": (
        "actor actress, boy girl, brother sister, businessman businesswoman, dad mom, duke duchess, father mother, "
        "grandfather grandmother, grandson granddaughter, he she, heir heiress, hero heroine, him her, "
        "himself herself, his hers, husband wife, king queen, lord lady, male female, man woman, nephew niece, "
        "prince princess, son daughter, spokesman spokeswoman, stepfather stepmother, "
        "uncle aunt, waiter waitress"
    ),
    "plural": (
        "animal animals, apple apples, bank banks, bird birds, book books, bottle bottles, car cars, cat cats, "
        "child children, city cities, company companies, computer computers, country countries, cow cows, dog dogs, "
        "dollar dollars, eye eyes, finger fingers, foot feet, hand hands, horse horses, house houses, "
        "machine machines, man men, mouse mice, road roads, student students, tooth teeth, tree trees, "
        "window windows, woman women"
    ),
    "comparative": (
        "bad worse, big bigger, bright brighter, cheap cheaper, cold colder, cool cooler, deep deeper, easy easier, "
        "fast faster, good better, great greater, hard harder, heavy heavier, high higher, hot hotter, large larger, "
        "long longer, loud louder, low lower, new newer, old older, quick quicker, safe safer, short shorter, "
        "slow slower, small smaller, smart smarter, strong stronger, tall taller, tight tighter, tough tougher, "
        "warm warmer, weak weaker, wide wider, young younger"
    ),
    "superlative": (
        "bad worst, big biggest, bright brightest, cheap cheapest, deep deepest, "
        "easy easiest, fast fastest, good best, great greatest, hard hardest, heavy heaviest, high highest, "
        "hot hottest, large largest, long longest, low lowest, new newest, old oldest, poor poorest, rich richest, "
        "short shortest, slow slowest, small smallest, strong strongest, tall tallest, tough toughest, "
        "weak weakest, young youngest"
    ),
    "past": (
        "begin began, build built, buy bought, come came, dance danced, decide decided, eat ate, fall fell, feed fed, "
        "find found, fly flew, go went, grow grew, hide hid, hold held, jump jumped, keep kept, know knew, leave left, "
        "lose lost, make made, move moved, pay paid, play played, run ran, say said, see saw, sell sold, send sent, "
        "sing sang, sit sat, sleep slept, speak spoke, swim swam, take took, think thought, walk walked, write wrote"
    ),
    "participle": (
        "build building, buy buying, come coming, dance dancing, decide deciding, discover discovering, eat eating, "
        "fall falling, find finding, fly flying, go going, grow growing, hide hiding, jump jumping, keep keeping, "
        "look looking, lose losing, move moving, play playing, read reading, run running, say saying, see seeing, "
        "sell selling, send sending, sing singing, sit sitting, sleep sleeping, speak speaking, swim swimming, "
        "take taking, think thinking, walk walking, write writing"
    ),
    "adverb": (
        "actual actually, apparent apparently, calm calmly, careful carefully, clear clearly, complete completely, "
        "direct directly, easy easily, exact exactly, free freely, frequent frequently, general generally, "
        "immediate immediately, large largely, most mostly, obvious obviously, official officially, possible possibly, "
        "precise precisely, public publicly, quick quickly, quiet quietly, rapid rapidly, rare rarely, "
        "recent recently, safe safely, serious seriously, slow slowly, sudden suddenly, typical typically, "
        "usual usually"
    ),
    "opposite": (
        "able unable, certain uncertain, clear unclear, comfortable uncomfortable, expected unexpected, fair unfair, "
        "fortunate unfortunate, happy unhappy, healthy unhealthy, known unknown, likely unlikely, limited unlimited, "
        "paid unpaid, pleasant unpleasant, popular unpopular, possible impossible, "
        "reasonable unreasonable, related unrelated, stable unstable, successful unsuccessful, usual unusual, "
        "willing unwilling, aware unaware, wanted unwanted, resolved unresolved, realistic unrealistic"
    ),
}


def analogies() -> Mapping[str, tuple[tuple[str, str], ...]]:
    """Pairs of words of ten relations; any two pairs of one relation make the question a : b :: c : d.

    Four relations are about meaning (capital, nationality, gender, opposite), six about form (plural, comparative,
    superlative, past, participle, adverb).

    Returns:
        Relation to its pairs (first, second), at least 26 of each, in lower case; all words are among the 30,000 of
        :func:`lab.datasets.words`, and within a relation no word occurs twice.

    Cost: microseconds.

    Source: compiled for this package from general knowledge, in the manner of the questions of
    efficient-estimation-word-representations.

    Example:
        >>> pairs = analogies()
        >>> len(pairs), pairs["capital"][0]
        (10, ('athens', 'greece'))
    """
    return MappingProxyType(
        {name: tuple(_pair(pair) for pair in text.split(", ")) for name, text in _RELATIONS.items()}
    )


def _pair(text: str) -> tuple[str, str]:
    first, second = text.split()
    return first, second
