"""Checking a learner's function: by cases, with a diagnosis where the answer is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

from lab.collection import answers
from lab.collection.card import COLOURS
from lab.collection.output import publish

MIME = "application/vnd.lab.exercise.v1+json"
PASSED, FAILED, NOT_ATTEMPTED = "passed", "failed", "not attempted"
_COLOURS = {PASSED: COLOURS["supported"], FAILED: COLOURS["refuted"], NOT_ATTEMPTED: COLOURS["not judged"]}
Case = tuple[tuple[Any, ...], Any]


@dataclass(frozen=True)
class Outcome:
    """How an exercise went: `status` is ``passed``, ``failed`` or ``not attempted``; `message` says why."""

    name: str
    status: str
    message: str


def check(
    function: Callable[..., Any],
    cases: Sequence[Case],
    mistakes: Mapping[str, Callable[..., Any]] | None = None,
    tolerance: float = 1e-6,
) -> None:
    """Try a learner's function on cases and show how it went; never raises for what the function does.

    Args:
        function: the learner's function; one that returns None or ``...`` counts as not attempted.
        cases: (arguments as a tuple, expected answer) pairs. Answers may be numbers, bools, strings, NumPy arrays,
            torch tensors, or tuples of them.
        mistakes: diagnosis to wrong function: where a wrong answer is the one this function gives, its sentence is
            shown.
        tolerance: largest difference, relative to max(1, |expected|); widened to the rounding of the answer's dtype.

    Raises:
        TypeError, ValueError: the exercise itself is at fault: no cases, arguments that are no tuple, a mistake that
            all cases accept as right.

    >>> check(lambda x: 2 * x, cases=[((2,), 4)], mistakes={"You squared instead of doubling.": lambda x: x + 3})
    Exercise <lambda>: passed. All cases agree (1).
    """
    outcome = judge(function, cases, mistakes, tolerance)
    plain = f"Exercise {outcome.name}: {outcome.status}. {outcome.message}"
    colour = _COLOURS[outcome.status]
    html = (
        '<div class="lab-exercise" style="font-family:system-ui,sans-serif;font-size:14px;line-height:1.45;'
        "max-width:680px;margin:.5em 0;padding:.5em .9em;color:inherit;background:rgba(127,127,127,.07);"
        f'border:1px solid rgba(127,127,127,.35);border-left:5px solid {colour};border-radius:6px">'
        f'<span style="background:{colour};color:#fff;border-radius:1em;padding:.1em .8em;font-size:.85em;'
        f'font-weight:600;white-space:nowrap;margin-right:.7em">{escape(outcome.status)}</span>'
        f"{escape(outcome.message)}</div>"
    )
    publish({MIME: {"schema": 1, **asdict(outcome)}, "text/html": html, "text/plain": plain})


def judge(
    function: Callable[..., Any],
    cases: Sequence[Case],
    mistakes: Mapping[str, Callable[..., Any]] | None = None,
    tolerance: float = 1e-6,
) -> Outcome:
    """What `check` shows, as a value. Args and Raises as `check`."""
    mistakes = mistakes or {}
    _check_cases(cases, tolerance)
    wrong = {text: [_attempt(f, args) for args, _ in cases] for text, f in mistakes.items()}
    for text, given in wrong.items():
        if all(_agrees(g, e, tolerance) for g, (_, e) in zip(given, cases, strict=True)):
            raise ValueError(f"no case tells the mistake {text!r} from the right answer: add one that does")
    name = getattr(function, "__name__", "function")
    for i, (args, expected) in enumerate(cases):
        answer = _attempt(function, args)
        place = f"Case {i + 1} of {len(cases)}: " if len(cases) > 1 else ""
        if answer is None or answer is ... or isinstance(answer, NotImplementedError):
            if i == 0:
                return Outcome(name, NOT_ATTEMPTED, "Nothing is returned yet: write the body and end it by a return.")
            return Outcome(name, FAILED, f"{place}nothing is returned: not every way through ends by a return.")
        if isinstance(answer, Exception):
            return Outcome(name, FAILED, place + _raised(answer, function))
        difference = answers.difference(answer, expected, tolerance)
        if difference is None:
            continue
        for text, given in wrong.items():
            if not isinstance(given[i], Exception) and answers.difference(answer, given[i], tolerance) is None:
                return Outcome(name, FAILED, f"{place}{text}")
        return Outcome(name, FAILED, place + difference)
    return Outcome(name, PASSED, f"All cases agree ({len(cases)}).")


def _check_cases(cases: Sequence[Case], tolerance: float) -> None:
    if not cases:
        raise ValueError("cases must hold at least one (arguments, expected) pair, got none")
    for case in cases:
        if not isinstance(case, tuple) or len(case) != 2 or not isinstance(case[0], tuple):
            raise TypeError(f"each case must be (tuple of arguments, expected answer), got {case!r}")
    if not tolerance >= 0:
        raise ValueError(f"tolerance must be at least 0, got {tolerance}")


def _attempt(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """The answer, or the exception instead of it; works on copies, so that no case is changed for the next."""
    try:
        return function(*copy.deepcopy(args))
    except Exception as error:
        return error


def _agrees(answer: Any, expected: Any, tolerance: float) -> bool:
    return not isinstance(answer, Exception) and answers.difference(answer, expected, tolerance) is None


def _raised(error: Exception, function: Callable[..., Any]) -> str:
    line, trace = None, error.__traceback__
    code = getattr(function, "__code__", None)
    while trace is not None:
        if trace.tb_frame.f_code is code:
            line = trace.tb_lineno - code.co_firstlineno + 1
        trace = trace.tb_next
    where = f" in line {line} of the function" if line is not None else ""
    return f"it stops with {type(error).__name__}: {error}{where}."
