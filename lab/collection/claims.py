"""A claim: declared before its experiment, measured once, judged by its rule against its control."""

from __future__ import annotations

import re
from typing import Any

from lab.collection import card
from lab.collection.rules import INCONCLUSIVE, REFUTED, SUPPORTED, Rule
from lab.collection.statistics import METHODS, Interval, as_values, mean_interval

MIME = "application/vnd.lab.claim.v1+json"
VERDICTS = (SUPPORTED, REFUTED, INCONCLUSIVE)
NOT_JUDGED = "not judged"
FEWEST = {"smoke": 2, "standard": 5, "large": 5}
SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


class Claim:
    """What a paper says, the rule that would bear it out, and, once measured, the verdict. Made by ``run.claim``.

    The verdict is *supported* when the whole 95 % interval satisfies the rule and the control does not pass, *refuted*
    when the whole interval violates it, *inconclusive* otherwise, and *not judged* at profile smoke. A control passes
    when its mean satisfies the control's rule.

    Args:
        slug: short name, unique in the notebook: lower-case words joined by hyphens.
        paper: key of the paper in ``data/papers.csv``.
        statement: the claim as a sentence.
        quantity: what is measured, with the readout (which embedding, which probe).
        rule: the smallest effect that would matter: at_least, at_most or between.
        control: the condition in which the effect must vanish or turn round.
        expected: the verdict that is expected: supported, refuted or inconclusive.
        control_rule: the rule by which the control passes; the claim's own rule when None.
        unit: unit of the quantity, such as ``points``; empty for none.
        interval: how the interval is computed: ``t`` or ``bca``.
        profile: smoke, standard or large.

    Raises:
        ValueError: an empty text, a slug of another form, an unknown word for expected, interval or profile.
        TypeError: rule is no Rule.
    """

    def __init__(
        self,
        slug: str,
        *,
        paper: str,
        statement: str,
        quantity: str,
        rule: Rule,
        control: str,
        expected: str,
        control_rule: Rule | None = None,
        unit: str = "",
        interval: str = "t",
        profile: str = "standard",
    ) -> None:
        if not isinstance(slug, str) or not SLUG.fullmatch(slug):
            raise ValueError(f"slug must be lower-case words joined by hyphens, got {slug!r}")
        for name, text in (("paper", paper), ("statement", statement), ("quantity", quantity), ("control", control)):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"claim {slug!r}: {name} must be a text, got {text!r}")
        for name, value in (("rule", rule), ("control_rule", control_rule)):
            if not isinstance(value, Rule) and not (name == "control_rule" and value is None):
                raise TypeError(f"claim {slug!r}: {name} must come from at_least, at_most or between, got {value!r}")
        for name, word, known in (
            ("expected", expected, VERDICTS),
            ("interval", interval, METHODS),
            ("profile", profile, tuple(FEWEST)),
        ):
            if word not in known:
                raise ValueError(f"claim {slug!r}: {name} must be one of {', '.join(known)}, got {word!r}")
        self.slug, self.paper, self.statement, self.quantity = slug, paper, statement, quantity
        self.rule, self.control, self.expected = rule, control, expected
        self.control_rule = rule if control_rule is None else control_rule
        if not isinstance(unit, str):
            raise ValueError(f"unit must be a text such as 'points', empty for none, got {unit!r}")
        self.unit, self.method, self.profile = unit, interval, profile
        self.values: list[float] = []
        self.interval: Interval | None = None
        self.control_interval: Interval | None = None
        self.shown = False
        self._closed = False

    @property
    def measured(self) -> bool:
        """Whether `measure` has been called."""
        return self.interval is not None

    @property
    def control_passes(self) -> bool:
        """Whether the control's mean satisfies its rule, so that the effect says nothing about the claim."""
        self._require_measured()
        assert self.control_interval is not None
        return self.control_rule.satisfied(self.control_interval.value)

    def measure(self, values: Any, *, minus: Any = None, control: Any) -> Claim:
        """Record the result, once: one value a seed, and the same quantity in the control.

        Args:
            values: one number a seed (at least 5, at profile smoke at least 2).
            minus: numbers of a second condition, paired by seed; the claim is about values - minus.
            control: the quantity under the control, one number a seed or, where it is exact, a single number.

        Returns:
            The claim itself.

        Raises:
            ValueError: too few seeds, NaN or Inf, different lengths.
            RuntimeError: measured already, or the run is finished.
        """
        if self._closed:
            raise RuntimeError(f"claim {self.slug!r} cannot be measured after run.finish(): start the notebook again")
        if self.measured:
            raise RuntimeError(f"claim {self.slug!r} was measured already: a result is recorded once a run")
        fewest = FEWEST[self.profile]
        x = self._values(values, "values", fewest)
        if minus is not None:
            y = self._values(minus, "minus", fewest)
            if len(x) != len(y):
                raise ValueError(f"claim {self.slug!r}: values and minus are paired by seed, got {len(x)} and {len(y)}")
            x = [a - b for a, b in zip(x, y, strict=True)]
        if isinstance(control, (int, float)) and not isinstance(control, bool):
            exact = self._values([control], "control", 1)[0]
            against = Interval(exact, exact, exact, 1, "exact")
        else:
            against = mean_interval(self._values(control, "control", fewest), self.method)
        self.interval, self.control_interval, self.values = mean_interval(x, self.method), against, x
        return self

    @property
    def verdict(self) -> str:
        """``supported``, ``refuted``, ``inconclusive``, or ``not judged`` at profile smoke."""
        return self._judge()[0]

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, as a sentence."""
        return self._judge()[1]

    @property
    def surprising(self) -> bool:
        """Whether a verdict was reached that differs from the expected one."""
        return self.verdict not in (self.expected, NOT_JUDGED)

    def close(self) -> None:
        """Refuse further measuring; called by ``run.finish()``."""
        self._closed = True

    def record(self) -> dict[str, Any]:
        """The claim and its result as a JSON object. Raises RuntimeError before it is measured."""
        i, c = self._require_measured(), self.control_interval
        assert c is not None
        return {
            "schema": 1,
            "slug": self.slug,
            "paper": self.paper,
            "statement": self.statement,
            "quantity": self.quantity,
            "unit": self.unit,
            "rule": self.rule.to_json(),
            "control": {
                "text": self.control,
                "value": c.value,
                "low": c.low,
                "high": c.high,
                "n": c.n,
                "rule": self.control_rule.to_json(),
                "passes": self.control_passes,
            },
            "value": i.value,
            "low": i.low,
            "high": i.high,
            "n": i.n,
            "values": list(self.values),
            "interval": self.method,
            "expected": self.expected,
            "verdict": self.verdict,
            "reason": self.reason,
        }

    def _judge(self) -> tuple[str, str]:
        i = self._require_measured()
        if self.profile == "smoke":
            return NOT_JUDGED, "profile smoke only shows that the code runs"
        word = self.rule.judge(i.low, i.high)
        if word == SUPPORTED and self.control_passes:
            return INCONCLUSIVE, f"the control satisfies {self.control_rule.text} as well"
        if word == SUPPORTED:
            return word, f"the whole interval satisfies {self.rule.text} and the control does not pass"
        if word == REFUTED:
            return word, f"the whole interval violates {self.rule.text}"
        return word, f"the interval is only partly inside {self.rule.text}"

    def _values(self, values: Any, name: str, fewest: int) -> list[float]:
        try:
            x: list[float] = as_values(values, name).tolist()
        except ValueError as error:
            raise ValueError(f"claim {self.slug!r}: {error}") from None
        if len(x) < fewest:
            raise ValueError(
                f"claim {self.slug!r}: {name} needs at least {fewest} seeds at profile {self.profile}, got {len(x)}"
            )
        return x

    def _require_measured(self) -> Interval:
        if self.interval is None:
            raise RuntimeError(f"claim {self.slug!r} was not measured yet: call its measure(...) first")
        return self.interval

    def __repr__(self) -> str:
        return card.text(self.record()) if self.measured else self._declared()

    def _declared(self) -> str:
        return f"{self.slug}: {self.statement}\n  {self.quantity}, rule {self.rule.text}: not measured yet"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        if not self.measured:
            return {"text/plain": self._declared()}
        record, self.shown = self.record(), True
        return {MIME: record, "text/html": card.html(record), "text/plain": card.text(record)}
