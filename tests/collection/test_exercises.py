"""Exercises: what passes, what counts as not attempted, and what a wrong answer is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lab.collection import exercises
from lab.collection.exercises import MIME, check, judge

X = torch.tensor([[3.0, 4.0], [1.0, 2.0], [0.0, 5.0]])
ROWS = [((X,), X.norm(dim=1))]


def stub(x: float) -> float: ...


@pytest.mark.parametrize("function", [stub, lambda x: None, lambda x: ...])
def test_a_stub_is_not_attempted(function: Callable[..., Any]) -> None:
    assert judge(function, [((1.0,), 1.0)]).status == "not attempted"


def test_a_stub_that_raises_not_implemented_is_not_attempted() -> None:
    def unwritten(x: float) -> float:
        raise NotImplementedError

    assert judge(unwritten, [((1.0,), 1.0)]).status == "not attempted"


@pytest.mark.parametrize(
    ("function", "cases"),
    [
        (lambda x: x.norm(dim=1), ROWS),
        (lambda x: x.double().norm(dim=1), ROWS),
        (lambda x: x.norm(dim=1).numpy(), ROWS),
        (lambda x: x.norm(dim=1).requires_grad_(), ROWS),
        (lambda a, b: a + b, [((1, 2), 3), ((0.1, 0.2), 0.3)]),
        (lambda a: torch.tensor(a), [((0.1,), 0.1)]),
        (lambda a: np.float32(a), [((0.1,), 0.1)]),
        (lambda a: a > 0, [((1,), True), ((-1,), False)]),
        (lambda a: (a, [a, "x"]), [((1,), (1, (1, "x")))]),
        (lambda a: a / 0 if a else float("inf"), [((0,), float("inf"))]),
        (lambda a: 2, [((1,), 2.0)]),
    ],
)
def test_right_answers_pass_whatever_holds_them(function: Callable[..., Any], cases: Any) -> None:
    outcome = judge(function, cases)
    assert outcome.status == "passed", outcome.message


@pytest.mark.parametrize(
    ("function", "cases", "words"),
    [
        (lambda x: x.norm(dim=0), ROWS, "shape is (2,), expected (3,)"),
        (lambda x: x.norm(dim=1, keepdim=True), ROWS, "keepdim"),
        (lambda x: x.norm(), ROWS, "reduction (sum, mean ...) too many"),
        (lambda x: x, ROWS, "reduction (sum, mean ...) is missing"),
        (lambda x: x, [((X,), X.T)], "axes are swapped"),
        (lambda x: x.norm(dim=1).round().long(), ROWS, "dtype is int64, expected float32"),
        (lambda x: x.norm(dim=1) * float("nan"), ROWS, "NaN in the answer (3 of 3 values)"),
        (lambda x: x.norm(dim=1) / 0, ROWS, "infinity in the answer"),
        (lambda x: -x.norm(dim=1), ROWS, "sign is turned round"),
        (lambda x: 2 * x.norm(dim=1), ROWS, "every value is 2 times the expected one"),
        (lambda x: x.norm(dim=1) + torch.tensor([0, 0, 1.0]), ROWS, "1 of 3 values differ; got 6, expected 5 at 2"),
        (lambda a: 0.7, [((1,), 0.5)], "got 0.7, expected 0.5."),
        (lambda a: "abc", [((1,), 0.5)], "type str, expected float"),
        (lambda a: (1, 2), [((1,), (1, 2, 3))], "2 values are returned, expected 3"),
        (lambda a: 1, [((1,), (1, 2))], "return them as a tuple"),
        (lambda a: (1, 5), [((1,), (1, 2))], "value 2 of 2: got 5, expected 2"),
        (lambda a: 1, [((1,), True)], "dtype is int64, expected bool"),
        (lambda a: np.array([True, True]), [((1,), np.array([True, False]))], "1 of 2 values are the wrong way round"),
        (lambda a, b: a, [((1,), 1)], "stops with TypeError"),
        (lambda a: a or None, [((1,), 1), ((0,), 0)], "Case 2 of 2: nothing is returned"),
    ],
)
def test_wrong_answers_are_diagnosed(function: Callable[..., Any], cases: Any, words: str) -> None:
    outcome = judge(function, cases)
    assert outcome.status == "failed"
    assert words in outcome.message


def test_an_exception_is_told_with_its_line() -> None:
    def broken(x: float) -> float:
        y = x
        return y / 0

    outcome = judge(broken, [((1.0,), 1.0)])
    assert outcome == exercises.Outcome(
        "broken", "failed", "it stops with ZeroDivisionError: float division by zero in line 3 of the function."
    )


def test_a_known_mistake_is_named_before_anything_else() -> None:
    mistakes = {
        "You forgot the root.": lambda x: (x * x).sum(1),
        "You took columns for rows.": lambda x: x.norm(dim=0),
        "This one raises.": lambda x: x.no_such_thing,
    }
    assert judge(lambda x: (x * x).sum(1), ROWS, mistakes).message == "You forgot the root."
    assert judge(lambda x: x.norm(dim=0), ROWS, mistakes).message == "You took columns for rows."
    assert "got 6, expected 5" in judge(lambda x: x.norm(dim=1) + 1, ROWS, mistakes).message
    assert judge(lambda x: x.norm(dim=1), ROWS, mistakes).status == "passed"


def test_rounding_is_forgiven_but_errors_are_not() -> None:
    assert judge(lambda a: a * (1 + 5e-7), [((1.0,), 1.0)]).status == "passed"
    assert judge(lambda a: a * (1 + 5e-6), [((1.0,), 1.0)]).status == "failed"
    assert judge(lambda a: a * (1 + 5e-6), [((1.0,), 1.0)], tolerance=1e-5).status == "passed"
    assert judge(lambda a: torch.tensor(a).half(), [((0.1,), 0.1)]).status == "failed"  # half is not rounding
    assert judge(lambda x: x.norm(dim=1) + 1e-4, ROWS).status == "failed"


def test_a_function_that_changes_its_argument_does_not_spoil_the_next_case() -> None:
    def spoils(x: torch.Tensor) -> torch.Tensor:
        return x.mul_(2).sum()

    cases = [((X,), 2 * X.sum()), ((X,), 2 * X.sum())]
    assert judge(spoils, cases).status == "passed"
    assert X[0, 0] == 3.0


def test_the_exercise_itself_is_checked() -> None:
    with pytest.raises(ValueError, match="at least one"):
        judge(stub, [])
    with pytest.raises(TypeError, match="tuple of arguments"):
        judge(stub, [(1.0, 1.0)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no case tells"):
        judge(stub, [((2,), 4)], {"You doubled.": lambda x: 2 * x})
    with pytest.raises(TypeError, match="expected answers are"):
        judge(lambda x: 1, [((2,), object())])
    with pytest.raises(ValueError, match="tolerance"):
        judge(stub, [((2,), 4)], tolerance=-1)


def test_the_record_travels_with_the_display(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[dict[str, Any]] = []
    monkeypatch.setattr(exercises, "publish", shown.append)
    check(lambda x: "<b>", [((1,), 1)])
    assert shown[0][MIME] == {
        "schema": 1,
        "name": "<lambda>",
        "status": "failed",
        "message": "the answer is of type str, expected int.",
    }
    check(lambda x: "<b>", [((1,), "x")])
    assert "&lt;b&gt;" in shown[1]["text/html"]
