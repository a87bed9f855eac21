"""What a run shows in its notebook: MIME bundles, Markdown, and progress as one line updated in place."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

T = TypeVar("T")


class Markdown(str):
    """A text that a notebook renders as Markdown."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_markdown_(self) -> str:
        return str(self)


def progress(items: Iterable[T], label: str) -> Iterator[T]:
    """Iterate over `items` with one line that is updated in place and at the end says how long it took.

    Outside IPython nothing is shown.

    Args:
        items: what to iterate over; with a length, the line also tells the time left.
        label: the words the line begins with.
    """
    total = len(items) if isinstance(items, Sized) else None
    line, start, last = _Line(label), time.perf_counter(), 0.0
    done = 0
    line.show(_state(label, 0, total, 0.0))
    try:
        for item in items:
            yield item
            done += 1
            seconds = time.perf_counter() - start
            if seconds - last > 0.25:
                last = seconds
                line.show(_state(label, done, total, seconds))
    finally:  # a loop left early or by an error says how far it came
        line.show(f"{label}: {done} in {time.perf_counter() - start:.1f} s")


def in_ipython() -> bool:
    """Whether this code runs in IPython or a notebook."""
    module = sys.modules.get("IPython")
    return module is not None and module.get_ipython() is not None


def publish(bundle: dict[str, Any]) -> None:
    """Display a MIME bundle; outside IPython print its plain text."""
    if in_ipython():
        from IPython.display import display

        display(bundle, raw=True)
    else:
        print(bundle["text/plain"])


class _Line:
    """One line of output, updated in place."""

    def __init__(self, label: str) -> None:
        self._handle: Any = None

    def show(self, text: str) -> None:
        if not in_ipython():
            return
        from IPython.display import display

        if self._handle is None:
            self._handle = display({"text/plain": text}, raw=True, display_id=True)
        else:
            self._handle.update({"text/plain": text}, raw=True)


def _state(label: str, done: int, total: int | None, seconds: float) -> str:
    if total is None:
        return f"{label}: {done}, {seconds:.0f} s"
    left = f", about {seconds / done * (total - done):.0f} s left" if done else ""
    return f"{label}: {done} of {total}{left}"
