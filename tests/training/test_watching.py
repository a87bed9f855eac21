"""Progress, early stop and the figure that fills, seen from outside."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from lab.encoders import mlp
from lab.training import Checkpoints, EarlyStop, LivePlot, Progress, Rows, fit, stack

DATA = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))


def loss(model: Any, batch: Any) -> torch.Tensor:
    return model(batch.rows[0]).square().mean((-2, -1))


def run(*callbacks: Any, steps: int = 20, scores: Any = None, **options: Any) -> Any:
    probe = None if scores is None else lambda model, step: {"score": scores[step]}
    every = None if scores is None else 1
    return fit(mlp(6, 3), loss, Rows(DATA, batch_size=8), steps=steps, device="cpu", callbacks=list(callbacks),
               probe=probe, probe_every=every, **options)  # fmt: skip


def test_progress_is_one_line_written_over_itself() -> None:
    out = io.StringIO()
    run(Progress("demo", every=0, stream=out))
    text = out.getvalue()
    assert text.count("\n") == 1 and text.endswith("\n") and text.count("\r") == 20
    lines = text.split("\r")[1:]
    assert lines[0].startswith("demo: step 1 of 20, loss ") and " s left" in lines[0] and " s left" not in lines[-1]


def test_progress_keeps_quiet_in_between() -> None:
    out = io.StringIO()
    run(Progress(every=1000, stream=out))
    assert out.getvalue().count("\r") <= 2


@pytest.mark.parametrize(
    ("better", "patience", "least", "stopped", "best"),
    [("higher", 2, 0.0, 5, 3), ("higher", 3, 0.0, 9, 6), ("lower", 2, 0.0, 2, 0), ("higher", 2, 0.5, 3, 1)],
)
def test_early_stop_waits_as_long_as_asked(better, patience, least, stopped, best) -> None:
    scores = [0.0, 1.0, 1.2, 1.3, 1.1, 1.3, 1.4, *[1.0] * 20]
    stop = EarlyStop("score", patience=patience, better=better, least=least)
    history = run(stop, scores=scores)
    assert len(history.loss) == stopped and stop.best_step == best and stop.best == scores[best]


def test_early_stop_goes_on_counting_after_a_restart(tmp_path) -> None:
    scores = [0.0, 1.0, 0.9, 0.8, 0.7, *[0.0] * 20]

    class Killed(Exception):
        pass

    def fails(model: Any, batch: Any) -> torch.Tensor:
        fails.calls += 1
        if fails.calls == 4:
            raise Killed
        return loss(model, batch)

    fails.calls = 0
    probe = lambda model, step: {"score": scores[step]}  # noqa: E731
    options: dict[str, Any] = {"steps": 20, "device": "cpu", "probe": probe, "probe_every": 1}
    for objective in (fails, loss):
        stop, saved = EarlyStop("score", patience=3, better="higher"), Checkpoints(tmp_path, every=1)
        try:
            history = fit(mlp(6, 3), objective, Rows(DATA, batch_size=8), callbacks=[stop, saved], **options)
        except Killed:
            continue
    assert len(history.loss) == 4 and stop.best_step == 1


def test_early_stop_takes_the_mean_of_an_array_and_refuses_the_rest() -> None:
    scores = [np.array([0.0, 2.0])] * 30
    stop = EarlyStop("score", patience=1)
    run(stop, scores=scores)
    assert stop.best == 1.0
    with pytest.raises(ValueError, match="returned no 'accuracy', but 'step', 'score'"):
        run(EarlyStop("accuracy", patience=1), scores=scores)
    with pytest.raises(ValueError, match=r"finite 'score', got nan at step 0"):
        run(EarlyStop("score", patience=1), scores=[float("nan")] * 30)
    for wrong in ({"patience": 0}, {"patience": 1, "better": "more"}, {"patience": 1, "least": -1.0}):
        with pytest.raises(ValueError):
            EarlyStop("score", **wrong)


@pytest.mark.parametrize("members", [1, 3])
def test_headless_one_figure_of_the_whole_run(members, monkeypatch) -> None:
    import matplotlib.pyplot as plt

    from lab import plots

    shown: list[tuple[Any, str]] = []
    bundle = plots.bundle
    monkeypatch.setattr(plots, "bundle", lambda figure, alt, **_: shown.append((figure, alt)) or bundle(figure, alt))
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: None)
    model = mlp(6, 3) if members == 1 else stack([mlp(6, 3, seed=s) for s in range(members)])
    seed: Any = 0 if members == 1 else list(range(members))
    batches = Rows(DATA, batch_size=8, seed=seed)
    before = plt.get_fignums()  # another test may have left figures open
    history = fit(model, loss, batches, steps=7, device="cpu", callbacks=[LivePlot(every=0)])
    ((figure, alt),) = shown
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), history.loss.reshape(7, -1).mean(1).numpy(), rtol=1e-5)
    assert list(line.get_xdata()) == list(range(1, 8)) and "7 steps" in alt
    assert plt.get_fignums() == before


def test_in_a_notebook_the_figure_is_drawn_again_in_its_place(monkeypatch) -> None:
    from lab.training import watching

    updates: list[Any] = []
    handle = type("Handle", (), {"update": lambda self, data, **_: updates.append(data)})()
    monkeypatch.setattr(watching, "_interactive", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: handle)
    run(LivePlot(every=0), steps=4)
    assert len(updates) == 5  # one a step and the whole at the end
    assert all("image/png" in data and "Loss against step" in data["text/html"] for data in updates)
