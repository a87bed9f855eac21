"""One run of one notebook: its parameters, its seeds, its claims, and the closing record."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, TypeVar

from lab.collection import card
from lab.collection import namespace as names
from lab.collection.claims import NOT_JUDGED, Claim
from lab.collection.fingerprint import code_hash
from lab.collection.output import Markdown, progress, publish
from lab.collection.rules import Rule

MIME = "application/vnd.lab.run.v1+json"
T = TypeVar("T")


class VerdictChanged(RuntimeError):
    """A verdict differs from the one the notebook expects."""


def begin(namespace: MutableMapping[str, Any]) -> Run:
    """Start the run: check the parameters in `namespace`, seed every generator, choose the device.

    Args:
        namespace: ``globals()`` of the notebook. Its parameters cell declares ``profile: str``, ``seed: int``,
            ``n_seeds: int``, ``device: str`` and at most five knobs; ints become floats where floats are declared.

    Returns:
        The run, with `seeds`, `more_seeds`, `pick`, `claim`, `progress`, `conclusion` and `finish`.

    Raises:
        TypeError: a parameter of another type than declared.
        ValueError: an unknown profile, device or parameter, a seed below 0, fewer than 5 seeds (2 at smoke).
        RuntimeError: device ``cuda`` without a usable GPU.
    """
    return Run(names.read(namespace))


class Run:
    """The run a notebook is in; made by `begin`.

    Attributes:
        profile: ``smoke``, ``standard`` or ``large``.
        seed: the base seed.
        seeds: independent whole numbers below 2**31 derived from the base seed, one a repetition (two at smoke).
        device: the ``torch.device`` to compute on.
        parameters: name to value of everything the parameters cell declares.
        claims: the claims declared so far, by slug.
        closing: the closing record once finished, else None.
    """

    def __init__(self, values: dict[str, Any]) -> None:
        self.parameters = dict(values)
        self.profile: str = values["profile"]
        self.seed: int = values["seed"]
        self.n_seeds: int = 2 if self.profile == "smoke" else values["n_seeds"]
        self.seeds = derive_seeds(self.seed, self.n_seeds)
        self.claims: dict[str, Claim] = {}
        self.closing: dict[str, Any] | None = None
        self.device = _prepare(values["device"], self.seed)
        self._started = time.perf_counter()

    def __repr__(self) -> str:
        n = len(self.seeds)
        return f"profile {self.profile}, base seed {self.seed}, {n} seeds, {self.device}, {len(self.claims)} claims"

    def pick(self, smoke: T, standard: T, large: T | None = None) -> T:
        """The size that belongs to this run's profile; `large` is the standard size when left out."""
        if self.profile == "smoke":
            return smoke
        return large if self.profile == "large" and large is not None else standard

    def more_seeds(self, smoke: int, standard: int, large: int | None = None) -> tuple[int, ...]:
        """`seeds`, and further ones up to the number that belongs to the profile, for what is quick or needs more.

        All are independent, and each stays the same whatever the numbers. Where `n_seeds` is larger, `seeds` alone.

        Args:
            smoke, standard, large: how many at each profile, `seeds` included; `large` is as `standard` when left out.

        Returns:
            Whole numbers below 2**31; the first are those of `seeds`.
        """
        return derive_seeds(self.seed, max(len(self.seeds), self.pick(smoke, standard, large)))

    def claim(
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
    ) -> Claim:
        """Declare a claim, before its experiment; arguments as `lab.collection.claims.Claim`.

        Raises:
            ValueError: a slug that another claim of this run has, or what `Claim` refuses.
            RuntimeError: the run is finished.
        """
        if self.closing is not None:
            raise RuntimeError(f"claim {slug!r} comes after run.finish(): declare it before its experiment")
        if slug in self.claims:
            raise ValueError(f"claim {slug!r} is declared already: slugs are unique in a notebook")
        made = Claim(
            slug,
            paper=paper,
            statement=statement,
            quantity=quantity,
            rule=rule,
            control=control,
            expected=expected,
            control_rule=control_rule,
            unit=unit,
            interval=interval,
            profile=self.profile,
        )
        self.claims[slug] = made
        return made

    def progress(self, items: Iterable[T], label: str) -> Iterator[T]:
        """Iterate over `items` with one line that is updated in place and at the end says how long it took.

        Outside IPython nothing is shown.
        """
        return progress(items, label)

    def conclusion(self) -> Markdown:
        """The recorded claims as Markdown: verdict, statement, value, rule and control of each."""
        lines = []
        if self.profile == "smoke":
            lines.append("*Profile smoke: the code ran, nothing is judged.*\n")
        for claim in self.claims.values():
            lines.append(_sentence(claim))
        return Markdown("\n".join(lines) if lines else "*No claim was recorded.*")

    def finish(self) -> None:
        """Emit the closing record, then raise if a claim was not measured or a verdict is not the expected one.

        Measured claims that were not displayed yet are displayed first, so that their records are kept.

        Raises:
            RuntimeError: finished already, or a claim was never measured.
            VerdictChanged: at profiles standard and large, a verdict differs from `expected`.
        """
        if self.closing is not None:
            raise RuntimeError("run.finish() was called already: it belongs into the last cell, once")
        claims = list(self.claims.values())
        for claim in claims:
            claim.close()
            if claim.measured and not claim.shown:
                publish(claim._repr_mimebundle_())
        missing = [c.slug for c in claims if not c.measured]
        surprises = [c for c in claims if c.measured and c.surprising]
        self.closing = {
            "schema": 1,
            "claims": len(claims),
            "profile": self.profile,
            "seed": self.seed,
            "n_seeds": len(self.seeds),
            "parameters": self.parameters,
            "device": str(self.device),
            "versions": versions(),
            "threads": _threads(),
            "code": code_hash(),
            "seconds": round(time.perf_counter() - self._started, 3),
            "processor_seconds": round(time.process_time(), 3),
            "verdicts": {c.slug: c.verdict for c in claims if c.measured},
            "surprises": [c.slug for c in surprises],
            "unmeasured": missing,
        }
        judged = [word for word in self.closing["verdicts"].values() if word != NOT_JUDGED]
        summary = ", ".join(f"{judged.count(word)} {word}" for word in dict.fromkeys(judged)) or "nothing judged"
        plain = f"Finished: {len(claims)} claims, {summary}; {self.closing['seconds']:.1f} s at profile {self.profile}."
        publish({MIME: self.closing, "text/plain": plain})
        if missing:
            raise RuntimeError(f"declared but never measured: {', '.join(missing)}. Call measure(...) on each claim")
        if surprises:
            raise VerdictChanged(_surprise_text(surprises))


def derive_seeds(seed: int, count: int) -> tuple[int, ...]:
    """`count` independent seeds below 2**31 from one base seed; the first k do not depend on `count`.

    >>> derive_seeds(0, 2) == derive_seeds(0, 5)[:2]
    True
    """
    from numpy.random import SeedSequence

    return tuple(int(child.generate_state(1)[0]) >> 1 for child in SeedSequence(seed).spawn(count))


def versions() -> dict[str, str]:
    """Version of Python and of the packages that can change a result."""
    from importlib.metadata import PackageNotFoundError, version

    from lab import __version__

    found = {"python": ".".join(map(str, sys.version_info[:3])), "lab": __version__}
    for name in ("torch", "numpy", "scipy", "scikit-learn"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _prepare(device: str, seed: int) -> Any:
    import numpy as np
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("parameter device is 'cuda', but no usable GPU was found; 'auto' takes the CPU then")
    chosen = torch.device("cuda" if device != "cpu" and torch.cuda.is_available() else "cpu")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    if chosen.type == "cpu":  # on a GPU it would need another set-up of cuBLAS before the process starts
        torch.use_deterministic_algorithms(True, warn_only=True)
    return chosen


def _threads() -> int:
    torch = sys.modules.get("torch")
    return int(torch.get_num_threads()) if torch is not None else 1


def _sentence(claim: Claim) -> str:
    if not claim.measured:
        return f"- **not measured**: {claim.statement}"
    record = claim.record()
    unit = f" {claim.unit}" if claim.unit else ""
    control = record["control"]
    return (
        f"- **{claim.verdict}**: {claim.statement} {claim.quantity}: {card.spread(record)}{unit} over {record['n']} "
        f"seeds; rule {claim.rule.text}; control ({claim.control}): {card.spread(control)}{unit}."
    )


def _surprise_text(surprises: list[Claim]) -> str:
    each = "; ".join(f"{c.slug}: expected {c.expected}, measured {c.verdict} ({c.reason})" for c in surprises)
    return (
        f"{each}. If this run differs on purpose (another seed, knob or device) the verdict is its finding. Otherwise "
        "look at the experiment: fix it, use more seeds, or record the new verdict as `expected` with a paragraph on "
        "why. The rule stays as it is."
    )
