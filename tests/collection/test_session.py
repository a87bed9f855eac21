"""A run: its parameters, seeds, sizes, claims, and how it ends."""

from __future__ import annotations

import random
import time
from typing import Any

import numpy as np
import pytest
import torch

import lab
from lab.collection import output, session
from lab.collection.session import MIME, Run, VerdictChanged, derive_seeds


def namespace(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"profile": "standard", "seed": 0, "n_seeds": 5, "device": "cpu"} | changes
    kinds = {"profile": str, "seed": int, "n_seeds": int, "device": str}
    return {"__name__": "__main__", "_": 3, "torch": torch, **values, "__annotations__": dict(kinds)}


def run_of(**changes: Any) -> Run:
    return lab.begin(namespace(**changes))


def declare(run: Run, slug: str = "a-claim", **changes: Any) -> Any:
    given = {"paper": "p", "statement": "It works.", "quantity": "q", "control": "c", "expected": "supported"}
    return run.claim(slug, **({**given, "rule": lab.at_least(1)} | changes))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The bundles a run displays."""
    bundles: list[dict[str, Any]] = []
    monkeypatch.setattr(session, "publish", bundles.append)
    return bundles


def test_annotations_are_found_however_python_keeps_them() -> None:
    plain = namespace()
    kinds = plain.pop("__annotations__")
    modern = {**plain, "__annotate__": lambda form: kinds if form == 1 else None}
    text = {**plain, "__annotations__": {name: kind.__name__ for name, kind in kinds.items()}}
    # a cell is compiled statement by statement, so only the last annotation may be left: its source has them all
    source = 'profile: str = "x"\nseed: int = 1\nn_seeds: int = 2\ndevice: str = "x"'
    cells = {**plain, "In": ["", "%magic", source], "__annotate__": lambda form: {"device": str}}
    for each in (modern, text, cells):
        assert list(lab.begin(each).parameters) == ["profile", "seed", "n_seeds", "device"]


def test_whole_numbers_become_floats_where_floats_are_declared() -> None:
    space = namespace(tau=1)
    space["__annotations__"]["tau"] = float
    run = lab.begin(space)
    assert type(run.parameters["tau"]) is float
    assert type(space["tau"]) is float


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("seed", 1.0, TypeError),
        ("seed", "1", TypeError),
        ("seed", True, TypeError),
        ("seed", -1, ValueError),
        ("n_seeds", 4, ValueError),
        ("profile", "smok", ValueError),
        ("profile", 3, TypeError),
        ("device", "gpu", ValueError),
    ],
)
def test_wrong_values_are_refused_by_name(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"{name} must be"):
        run_of(**{name: value})


def test_knobs_have_their_type_and_are_at_most_five() -> None:
    for value, kind in ((0.5, int), ("x", float), (1, bool), (float("nan"), float)):
        space = namespace(knob=value)
        space["__annotations__"]["knob"] = kind
        with pytest.raises((TypeError, ValueError), match="knob must be"):
            lab.begin(space)
    space = namespace(**{f"knob{i}": i for i in range(6)})
    space["__annotations__"] |= {f"knob{i}": int for i in range(6)}
    with pytest.raises(ValueError, match="at most 5"):
        lab.begin(space)
    space = namespace(knob=[1])
    space["__annotations__"]["knob"] = list
    with pytest.raises(TypeError, match="str, int, float or bool"):
        lab.begin(space)


def test_unknown_names_are_refused_but_not_when_the_cell_runs_again() -> None:
    with pytest.raises(ValueError, match=r"unknown parameter sed = 3.*profile, seed, n_seeds, device"):
        run_of(sed=3)
    space = namespace()
    lab.begin(space)
    space["best"] = 0.5
    lab.begin(space)


def test_missing_parameters_are_named() -> None:
    space = namespace()
    del space["__annotations__"]["seed"]
    with pytest.raises(ValueError, match="seed: int"):
        lab.begin(space)
    space = namespace()
    del space["seed"]
    with pytest.raises(ValueError, match="seed is declared without a value"):
        lab.begin(space)


def test_seeds_are_independent_of_each_other_and_of_how_many_there_are() -> None:
    assert derive_seeds(3, 8)[:5] == derive_seeds(3, 5)
    everything = [s for base in range(200) for s in derive_seeds(base, 10)]
    assert len(set(everything)) == len(everything)
    assert all(isinstance(s, int) and 0 <= s < 2**31 for s in everything)
    # uniform over their range: the mean of 2,000 lies within five standard errors of the middle
    assert abs(np.mean(everything) / 2**31 - 0.5) < 5 / np.sqrt(12 * len(everything))
    assert derive_seeds(0, 2) == tuple(
        int(np.random.SeedSequence(0, spawn_key=(i,)).generate_state(1)[0]) // 2 for i in range(2)
    )


def test_smoke_has_two_seeds_and_its_own_sizes() -> None:
    assert len(run_of(profile="smoke").seeds) == 2
    assert len(run_of(n_seeds=7).seeds) == 7
    assert run_of(profile="smoke").pick(smoke=1, standard=2, large=3) == 1
    assert run_of().pick(smoke=1, standard=2, large=3) == 2
    assert run_of(profile="large").pick(smoke=1, standard=2, large=3) == 3
    assert run_of(profile="large").pick(smoke=1, standard=2) == 2


def test_more_seeds_begin_with_the_seeds_and_are_never_fewer() -> None:
    def children(count: int) -> tuple[int, ...]:
        spawned = (np.random.SeedSequence(4, spawn_key=(i,)) for i in range(count))
        return tuple(int(one.generate_state(1)[0]) // 2 for one in spawned)

    standard, smoke, large = run_of(seed=4), run_of(profile="smoke", seed=4), run_of(profile="large", seed=4)
    assert standard.more_seeds(smoke=3, standard=9) == children(9)
    assert standard.more_seeds(smoke=3, standard=9)[: len(standard.seeds)] == standard.seeds
    assert run_of(seed=4, n_seeds=11).more_seeds(smoke=3, standard=9) == children(11)
    assert smoke.more_seeds(smoke=3, standard=9) == children(3) and smoke.more_seeds(1, 9) == children(2)
    assert large.more_seeds(3, 9) == children(9) and large.more_seeds(3, 9, large=20) == children(20)


def test_every_generator_starts_from_the_base_seed() -> None:
    draws = []
    for seed in (4, 4, 5):
        run_of(seed=seed)
        draws.append((random.random(), float(np.random.rand()), float(torch.rand(()))))
    assert draws[0] == draws[1]
    assert all(a != b for a, b in zip(draws[1], draws[2], strict=True))


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert run_of(device="auto").device == torch.device("cpu")
    with pytest.raises(RuntimeError, match="no usable GPU"):
        run_of(device="cuda")


def test_the_closing_record_counts_and_comes_before_any_error(shown: list[dict[str, Any]]) -> None:
    run = run_of()
    good, bad, missing = declare(run, "good"), declare(run, "bad"), declare(run, "missing")
    good.measure([2.0, 2.1, 1.9, 2.0, 2.0], control=0.0)
    bad.measure([0.0, 0.1, 0.0, 0.1, 0.0], control=0.0)
    good._repr_mimebundle_()
    with pytest.raises(RuntimeError, match="never measured: missing"):
        run.finish()
    assert [bundle.get("text/plain", "")[:12] for bundle in shown][:1] == ["REFUTED  bad"]  # shown by finish, good was
    closing = shown[-1][MIME]
    assert closing is run.closing
    assert (closing["claims"], closing["surprises"], closing["unmeasured"]) == (3, ["bad"], ["missing"])
    assert closing["verdicts"] == {"good": "supported", "bad": "refuted"}
    assert (closing["schema"], closing["profile"], closing["seed"], closing["n_seeds"]) == (1, "standard", 0, 5)
    assert closing["versions"].keys() == {"python", "torch", "numpy", "scipy", "scikit-learn", "lab"}
    assert closing["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert closing["threads"] == torch.get_num_threads()
    assert len(closing["code"]) == 64
    assert closing["seconds"] >= 0 and 0 < closing["processor_seconds"] <= time.process_time() + 1e-3
    assert closing["parameters"] == {"profile": "standard", "seed": 0, "n_seeds": 5, "device": "cpu"}
    assert missing.slug in run.claims


def test_a_changed_verdict_is_raised_with_names_and_advice(shown: list[dict[str, Any]]) -> None:
    run = run_of()
    declare(run, "turned").measure([0.0, 0.1, 0.0, 0.1, 0.0], control=0.0)
    with pytest.raises(VerdictChanged, match=r"turned: expected supported, measured refuted .*rule stays as it is"):
        run.finish()
    assert shown[-1][MIME]["surprises"] == ["turned"]
    with pytest.raises(RuntimeError, match="called already"):
        run.finish()
    with pytest.raises(RuntimeError, match=r"after run.finish"):
        declare(run, "late")


def test_smoke_never_raises_over_a_verdict(shown: list[dict[str, Any]]) -> None:
    run = run_of(profile="smoke")
    declare(run).measure([0.0, 0.1], control=0.0)
    run.finish()
    assert shown[-1][MIME]["verdicts"] == {"a-claim": "not judged"}


def test_measuring_after_the_end_is_refused(shown: list[dict[str, Any]]) -> None:
    run = run_of()
    claim = declare(run)
    with pytest.raises(RuntimeError, match="never measured"):
        run.finish()
    with pytest.raises(RuntimeError, match="finish"):
        claim.measure([2.0] * 5, control=0.0)


def test_slugs_are_unique_and_too_few_seeds_name_the_claim() -> None:
    run = run_of()
    claim = declare(run)
    with pytest.raises(ValueError, match="declared already"):
        declare(run)
    with pytest.raises(ValueError, match=r"'a-claim': values needs at least 5 seeds at profile standard, got 3"):
        claim.measure([1.0, 2.0, 3.0], control=0.0)


def test_the_conclusion_is_rendered_from_what_was_recorded() -> None:
    run = run_of()
    assert "No claim" in run.conclusion()
    declare(run, unit="points").measure([2.0, 2.1, 1.9, 2.05, 1.95], control=0.5)
    declare(run, "open")
    text = run.conclusion()._repr_markdown_()
    assert "- **supported**: It works. q: 2.000 [1.902, 2.098] points over 5 seeds; rule >= 1; control (c): 0.5" in text
    assert "- **not measured**: It works." in text


def test_progress_is_one_line_that_is_updated_and_ends_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(output._Line, "show", lambda self, text: lines.append(text))
    run = run_of()
    assert list(run.progress(iter("ab"), "letters")) == ["a", "b"]
    assert lines[0] == "letters: 0, 0 s"
    lines.clear()
    for item in run.progress([1, 2, 3], "numbers"):
        if item == 2:
            break
    assert lines[0] == "numbers: 0 of 3"
    assert lines[-1].startswith("numbers: 1 in ")
    assert lines[-1].endswith(" s")


def test_outside_a_notebook_progress_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(output.progress(range(3), "quiet")) == [0, 1, 2]
    assert capsys.readouterr().out == ""
