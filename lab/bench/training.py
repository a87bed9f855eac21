"""The training loop beside a bare one, stacked seeds beside single runs, and another library's loop."""

from __future__ import annotations

from collections.abc import Callable

import torch

from lab.bench.measure import alone, in_turns
from lab.bench.training_forms import BATCH, MEMBERS, STEPS, prepare


def report(rows: int | None, say: Callable[[str], None]) -> None:
    """Pictures a second, overhead, stacked seeds, memory, another library; ``rows`` caps the pictures to draw from."""
    n = min(10_000, rows or 10_000)
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads; small conv net, 14 x 14, two views of {BATCH}")
    plain, ours = in_turns(prepare("loop", "bare", n), prepare("loop", "lab", n), seconds=60)
    seen = 2 * BATCH * STEPS
    say(f"cpu, float32: {seen / ours:,.0f} pictures/s, a bare torch loop {seen / plain:,.0f}")
    say(f"  lab takes {ours / plain:.3f} of the bare loop's time")
    for place in accelerators():
        plain, ours = in_turns(
            prepare("loop", f"bare:{place}", n), prepare("loop", f"lab:{place}:32-true", n), seconds=20
        )
        say(f"{place}, float32: {seen / ours:,.0f} pictures/s: {ours / plain:.3f} of a bare loop's time")
        full, half = in_turns(
            prepare("loop", f"lab:{place}:32-true", n), prepare("loop", f"lab:{place}:bf16-mixed", n), seconds=20
        )
        say(f"{place}, bfloat16 mixed: {seen / half:,.0f} pictures/s: {half / full:.2f} of float32's time")
    single, stacked = in_turns(prepare("seeds", "one by one", n), prepare("seeds", "lab", n), seconds=20)
    say(f"{MEMBERS} perceptrons of width 64, batch 64: stacked {single / stacked:.2f} times as fast as one by one")
    try:
        other, ours = in_turns(prepare("labels", "pytorch-metric-learning", n), prepare("labels", "lab", n), seconds=20)
    except ImportError:
        say("pytorch-metric-learning is not installed: not compared")
    else:
        say(f"the loop of pytorch-metric-learning, same net and loss: lab takes {ours / other:.2f} of its time")
    for form in ("bare", "lab"):
        say(f"memory beyond the start, {form}: {alone(['training', 'loop', form, str(n), '1']).megabytes:.0f} MB")


def accelerators() -> list[str]:
    """Devices beside the CPU that are present."""
    return [name for name, there in (("cuda", torch.cuda), ("mps", torch.backends.mps)) if there.is_available()]
