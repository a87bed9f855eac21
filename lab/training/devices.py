"""Where to train and in which precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["choose_fabric"]


def choose_fabric(device: str | torch.device, precision: str, model: nn.Module) -> Any:
    """A Lightning Fabric for one device.

    Args:
        device: "auto" (an accelerator where there is one), "cpu", "cuda", "cuda:N" or "mps".
        precision: a name Fabric knows, or "auto": bfloat16 mixed on an accelerator that has it natively, unless the
            model is in float64, else the model's own. On a CPU without native bfloat16 a step takes 5 to 12 times as
            long in it, so "auto" never takes it there.
        model: read for its dtype.

    Returns:
        A ``lightning_fabric.Fabric``; importing it takes more than a second, which is why it waits until here.

    Raises:
        ValueError: an unknown or absent device, an unknown precision.

    Example:
        >>> str(choose_fabric("cpu", "auto", nn.Linear(1, 1)).device)
        'cpu'
    """
    from lightning_fabric import Fabric

    name = str(device)
    kind, _, number = name.partition(":")
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if kind not in present or (number and not number.isdigit()):
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps', got {name!r}")
    if not present[kind] or (kind == "cuda" and number and int(number) >= torch.cuda.device_count()):
        raise ValueError(f"device must be one this machine has, got {name!r}")
    if precision == "auto":
        native = kind == "cuda" and torch.cuda.get_device_capability()[0] >= 8
        double = any(p.dtype == torch.float64 for p in model.parameters())
        # "32-true" converts nothing, so a float64 model stays one; "64-true" would return outputs in float32
        precision = "bf16-mixed" if native and not double else "32-true"
    devices: Any = [int(number)] if kind == "cuda" and number else 1
    try:
        return Fabric(accelerator=kind, devices=devices, precision=precision)  # type: ignore[arg-type]
    except ValueError as error:
        raise ValueError(f"precision must be 'auto' or a name Lightning Fabric knows, got {precision!r}") from error
