"""Jobs: one run each of one notebook, prepared from what lies on disk at that moment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.collection import notebook, parameters
from lab.collection.fingerprint import run_key
from lab.collection.ledger import Row
from lab.collection.outcome import OK, describe, failed
from lab.collection.place import name_of

LIMITS: dict[str, float | None] = {"smoke": 120.0, "standard": 600.0, "large": None}
_GUESS = {"smoke": 15.0, "standard": 60.0, "large": 1800.0}


@dataclass(frozen=True)
class Job:
    """One run to be made.

    Args:
        base: root of the collection.
        path: the notebook.
        profile, seed: what is asked for.
        given: other parameters, as a person typed them.
        content: the notebook when the job was prepared; empty where it cannot be read.
        values: typed values of all parameters.
        key: key of the run; empty where it cannot be made.
        recorded: whether its claims belong in the ledger (standard, base seed 0, defaults otherwise).
        problem: why it cannot be run, or None.
    """

    base: Path
    path: Path
    profile: str
    seed: int
    given: tuple[tuple[str, str], ...]
    content: Mapping[str, Any]
    values: Mapping[str, Any]
    key: str
    recorded: bool
    problem: str | None

    @property
    def name(self) -> str:
        """``theme/slug``."""
        return name_of(self.path)

    def blank(self) -> dict[str, Any]:
        """The result before the run; that of a failure where the job has a problem."""
        result = describe(self.path, self.content or None, self.key, self.values, self.profile, self.seed)
        return failed(result, self.problem) if self.problem else result

    def again(self) -> Job:
        """The same job as the files are now: what is executed and what its key speaks of must be the same."""
        try:
            return prepare(self.base, self.path, profile=self.profile, seed=self.seed, given=self.given)
        except ValueError as error:
            return _broken(self.base, self.path, self.profile, self.seed, self.given, str(error))


def prepare(base: Path, path: Path, *, profile: str, seed: int, given: Sequence[tuple[str, str]] = ()) -> Job:
    """Read a notebook and work out what its run depends on.

    Args:
        base: root of the collection.
        path: the notebook.
        profile: ``smoke``, ``standard`` or ``large``.
        seed: base seed, 0 or more.
        given: (name, text) pairs for other parameters.

    Returns:
        The job. A notebook that is broken in itself gives a job with a `problem`, so that others can go on.

    Raises:
        ValueError: the caller's mistake: an unknown profile, device or parameter, or a value of the wrong type.
    """
    parameters.check_profile(profile)
    if seed < 0:
        raise ValueError(f"the base seed must be 0 or more, got {seed}")
    pairs = tuple(given)
    try:
        content = notebook.read(path)
        known = parameters.declared(content)
        defaults = parameters.resolve(known, [], profile="standard", seed=0, where=name_of(path))
    except ValueError as error:
        return _broken(base, path, profile, seed, pairs, str(error))
    values = parameters.resolve(known, pairs, profile=profile, seed=seed, where=name_of(path))
    key = run_key(name_of(path), content, values, base)
    return Job(base, path, profile, seed, pairs, content, values, key, values == defaults, None)


def _broken(base: Path, path: Path, profile: str, seed: int, given: tuple[tuple[str, str], ...], problem: str) -> Job:
    return Job(base, path, profile, seed, given, {}, {}, "", False, problem)


def expected_seconds(
    jobs: Iterable[Job], ledger: Mapping[str, Row], past: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """How long each notebook will probably take.

    Args:
        jobs: jobs of one profile.
        ledger: rows of the ledger, used at profile standard.
        past: results on disk, newest first.

    Returns:
        name of the notebook -> seconds: its newest accepted run here at this profile, else its ledger row, else a
        guess by profile.
    """
    known: dict[tuple[str, str], float] = {}
    for result in past:
        if result["status"] == OK:
            known.setdefault((f"{result['theme']}/{result['notebook']}", result["profile"]), float(result["seconds"]))
    for row in ledger.values():
        known.setdefault((f"{row['theme']}/{row['notebook']}", row["profile"]), float(row["seconds"]))
    return {job.name: known.get((job.name, job.profile), _GUESS[job.profile]) for job in jobs}
