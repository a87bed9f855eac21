"""Callbacks for those who wait: a progress line, an early stop, a figure that fills."""

from __future__ import annotations

import math
import sys
import time
from typing import Any, TextIO

from lab.training.run import Callback, Run

__all__ = ["EarlyStop", "LivePlot", "Progress"]


class Progress(Callback):
    """One line, written over itself: step, loss, steps a second, time left.

    Args:
        label: in front of the line.
        every: seconds between updates; the last is always written.
        stream: where to; None is standard error.

    Cost: reads a loss at most once in ``every`` seconds, so an accelerator is hardly kept waiting.

    Example:
        >>> import io, torch
        >>> from lab.encoders import mlp
        >>> from lab.training import Rows, fit
        >>> out = io.StringIO()
        >>> _ = fit(mlp(4), lambda m, b: m(b.rows[0]).square().mean(), Rows(torch.rand(8, 4), batch_size=4), steps=3,
        ...         callbacks=[Progress("demo", stream=out)])
        >>> out.getvalue().split("\\r")[-1].startswith("demo: step 3 of 3, loss ")
        True
    """

    def __init__(self, label: str = "training", *, every: float = 0.5, stream: TextIO | None = None) -> None:
        self.label, self.every = label, every
        self.stream = stream
        self._begun = self._shown = 0.0
        self._first = 0

    def begin(self, run: Run) -> None:
        """Start the clock."""
        self._begun, self._first = time.monotonic(), run.done

    def after_step(self, run: Run) -> None:
        """Write, if it is time."""
        now = time.monotonic()
        last = run.done == run.steps or run.stop
        if run.fabric.global_rank or (now - self._shown < self.every and not last):
            return
        self._shown = now
        pace = (run.done - self._first) / max(now - self._begun, 1e-9)
        left = "" if last else f", {(run.steps - run.done) / pace:.0f} s left"
        loss = float(run.losses[-1].mean())
        line = f"{self.label}: step {run.done} of {run.steps}, loss {loss:.4g}, {pace:.0f}/s{left}"
        stream = self.stream or sys.stderr
        stream.write(f"\r{line:<78}" + ("\n" if last else ""))
        stream.flush()


class EarlyStop(Callback):
    """Stops when a probed number has not improved for some probes.

    Args:
        name: key in what the probe returns; a number, or an array whose mean counts.
        patience: probes without improvement that are waited for, at least 1.
        better: "lower" or "higher".
        least: smallest change that counts as one, at least 0.

    Attributes:
        best: the best value so far, and ``best_step`` the number of updates at it.

    Raises:
        ValueError: patience below 1, an unknown ``better``; the probe returns no such name or no finite number.

    Example:
        >>> import torch
        >>> from lab.encoders import mlp
        >>> from lab.training import Rows, fit
        >>> stop = EarlyStop("score", patience=2, better="higher")
        >>> history = fit(mlp(4), lambda m, b: m(b.rows[0]).square().mean(), Rows(torch.rand(8, 4), batch_size=4),
        ...               steps=50, probe=lambda model, step: {"score": min(step, 5)}, probe_every=1, callbacks=[stop])
        >>> stop.best_step, len(history.loss)
        (5, 7)
    """

    def __init__(self, name: str, *, patience: int, better: str = "lower", least: float = 0.0) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise ValueError(f"patience must be an int of at least 1, got {patience!r}")
        if better not in ("lower", "higher"):
            raise ValueError(f"better must be 'lower' or 'higher', got {better!r}")
        if not least >= 0:
            raise ValueError(f"least must be at least 0, got {least}")
        self.name, self.patience, self.sign, self.least = name, patience, 1 if better == "higher" else -1, least
        self.best, self.best_step = math.nan, -1
        self._seen = self._waited = 0

    def begin(self, run: Run) -> None:
        """Look at the probes of before, after a restart."""
        self.best, self.best_step, self._seen, self._waited = math.nan, -1, 0, 0
        self.after_step(run)

    def after_step(self, run: Run) -> None:
        """Look at new probes."""
        for probe in run.probes[self._seen :]:
            value = _number(probe, self.name)
            if math.isnan(self.best) or self.sign * (value - self.best) > self.least:
                self.best, self.best_step, self._waited = value, probe["step"], 0
            else:
                self._waited += 1
        self._seen = len(run.probes)
        run.stop = run.stop or self._waited >= self.patience


class LivePlot(Callback):
    """The loss as a figure that fills while training runs; without a notebook one figure at the end.

    Args:
        every: seconds between drawings.
        title: of the figure.

    Example:
        >>> LivePlot(every=5.0).every
        5.0
    """

    def __init__(self, *, every: float = 2.0, title: str = "Training") -> None:
        self.every, self.title = every, title
        self._shown = -math.inf
        self._handle: Any = None

    def begin(self, run: Run) -> None:
        """Open a place in the notebook, where there is one that can be drawn again."""
        self._handle, self._shown = None, time.monotonic()
        if run.fabric.global_rank == 0 and _interactive():
            from IPython.display import display

            self._handle = display("training begins", display_id=True)

    def after_step(self, run: Run) -> None:
        """Draw, if it is time and anybody looks."""
        if self._handle is not None and time.monotonic() - self._shown >= self.every:
            self._shown = time.monotonic()
            self._draw(run)

    def end(self, run: Run) -> None:
        """Draw the whole run once."""
        if run.fabric.global_rank == 0:
            self._draw(run)
        self._handle = None

    def _draw(self, run: Run) -> None:
        from lab import plots

        alt = f"Loss against step over {run.done} steps, ending at {float(run.losses[-1].mean()):.3g}."
        if self._handle is None:
            plots.show(self._figure(run), alt)
        else:
            data, metadata = plots.bundle(self._figure(run), alt)
            self._handle.update(data, metadata=metadata, raw=True)

    def _figure(self, run: Run) -> Any:
        import torch

        from lab import plots

        losses = torch.stack(run.losses).reshape(len(run.losses), -1).cpu().float()
        figure, ax = plots.figure(height=3.0)
        steps = range(run.done - len(losses) + 1, run.done + 1)
        if losses.shape[1] > 1:
            plots.band(ax, list(steps), losses.T.numpy(), "mean of the seeds", marker="")
        else:
            ax.plot(steps, losses[:, 0])
        ax.set(title=self.title, xlabel="step", ylabel="loss", xlim=(0, run.steps))
        return figure


def _number(probe: dict[str, Any], name: str) -> float:
    import numpy as np

    if name not in probe:
        raise ValueError(f"the probe returned no {name!r}, but {', '.join(map(repr, probe))}")
    value = float(np.mean(np.asarray(probe[name], dtype=float)))
    if not math.isfinite(value):
        raise ValueError(f"the probe must return a finite {name!r}, got {value} at step {probe['step']}")
    return value


def _interactive() -> bool:
    """Whether somebody sits in front: a kernel that papermill runs says so by having no standard input."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and getattr(getattr(shell, "kernel", None), "_allow_stdin", False)
