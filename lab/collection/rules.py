"""The rule a claim is judged by: which values of a quantity count as the effect being there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Rule:
    """A closed range of values that count as the effect; build one by `at_least`, `at_most` or `between`.

    Args:
        low: smallest value that satisfies the rule, or None where there is no lower limit.
        high: largest value that satisfies the rule, or None where there is no upper limit.

    >>> at_least(0.4).judge(0.5, 0.7), at_least(0.4).judge(0.1, 0.3), at_least(0.4).judge(0.3, 0.5)
    ('supported', 'refuted', 'inconclusive')
    >>> Rule.from_text(at_most(0.1).text) == Rule.from_json(at_most(0.1).to_json()) == at_most(0.1)
    True
    """

    low: float | None
    high: float | None

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            limit = getattr(self, name)
            if limit is not None:
                object.__setattr__(self, name, _finite(limit, name))
        if self.low is None and self.high is None:
            raise ValueError("a rule needs a limit: at_least(x), at_most(x) or between(low, high)")
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError(f"between(low, high) needs low < high, got low={self.low:g} and high={self.high:g}")

    @property
    def kind(self) -> str:
        """``at_least``, ``at_most`` or ``between``."""
        if self.high is None:
            return "at_least"
        return "at_most" if self.low is None else "between"

    @property
    def text(self) -> str:
        """The rule as a person reads it: ``>= 0.4``, ``<= 0.1``, ``0.05 to 0.2``; `from_text` reads it back."""
        if self.high is None:
            return f">= {_text(self.low)}"
        if self.low is None:
            return f"<= {_text(self.high)}"
        return f"{_text(self.low)} to {_text(self.high)}"

    def __str__(self) -> str:
        return self.text

    def satisfied(self, value: float) -> bool:
        """Whether one value satisfies the rule (the limits themselves do). Raises ValueError on NaN or Inf."""
        number = _finite(value, "value")
        return (self.low is None or number >= self.low) and (self.high is None or number <= self.high)

    def judge(self, low: float, high: float) -> str:
        """The verdict for an interval from `low` to `high`: all of it, none of it or part of it inside the rule.

        A point interval (low equals high) is decided exactly, so it is never inconclusive.

        Returns:
            ``supported``, ``refuted`` or ``inconclusive``.

        Raises:
            ValueError: low above high, NaN or Inf.
        """
        low, high = _finite(low, "low"), _finite(high, "high")
        if low > high:
            raise ValueError(f"judge(low, high) needs low <= high, got low={low:g} and high={high:g}")
        if self.satisfied(low) and self.satisfied(high):
            return SUPPORTED
        apart = (self.low is not None and high < self.low) or (self.high is not None and low > self.high)
        return REFUTED if apart else INCONCLUSIVE

    def to_json(self) -> dict[str, Any]:
        """The rule as a JSON object with kind, low, high and text."""
        return {"kind": self.kind, "low": self.low, "high": self.high, "text": self.text}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rule:
        """The rule written by `to_json`. Raises ValueError when kind and limits contradict each other."""
        rule = cls(data.get("low"), data.get("high"))
        if data.get("kind") != rule.kind:
            raise ValueError(f"rule of kind {data.get('kind')!r} has the limits of {rule.kind!r}: {dict(data)}")
        return rule

    @classmethod
    def from_text(cls, text: str) -> Rule:
        """The rule written as `text`. Raises ValueError for any other wording."""
        if found := re.fullmatch(rf"\s*>=\s*({_NUMBER})\s*", text):
            return at_least(float(found[1]))
        if found := re.fullmatch(rf"\s*<=\s*({_NUMBER})\s*", text):
            return at_most(float(found[1]))
        if found := re.fullmatch(rf"\s*({_NUMBER})\s+to\s+({_NUMBER})\s*", text):
            return between(float(found[1]), float(found[2]))
        raise ValueError(f"rule text {text!r} is none of '>= x', '<= x', 'low to high'")


def at_least(x: float) -> Rule:
    """The rule "value >= x".

    >>> print(at_least(0.4))
    >= 0.4
    """
    return Rule(_finite(x, "x"), None)


def at_most(x: float) -> Rule:
    """The rule "value <= x".

    >>> print(at_most(0.1))
    <= 0.1
    """
    return Rule(None, _finite(x, "x"))


def between(low: float, high: float) -> Rule:
    """The rule "low <= value <= high".

    >>> print(between(0.05, 0.2))
    0.05 to 0.2
    """
    return Rule(_finite(low, "low"), _finite(high, "high"))


def _finite(value: Any, name: str) -> float:
    if isinstance(value, (bool, str)):
        raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number


def _text(number: float | None) -> str:
    # repr keeps every digit, so the text reads back to the same rule; 3.0 is written 3
    assert number is not None
    return repr(number).removesuffix(".0")
