"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["History"]


@dataclass(frozen=True)
class History:
    """The record of one call of :func:`lab.training.fit`.

    Args:
        loss: (steps,), or (steps, S) for S stacked seeds, on the CPU.
        seconds: wall-clock time of the whole call.
        probes: one dict a probe, with its key "step" (number of updates done) and what the probe returned.

    Example:
        >>> import torch
        >>> History(torch.tensor([2.0, 1.0]), 0.1).frame()["loss"].tolist()
        [2.0, 1.0]
    """

    loss: Tensor
    seconds: float
    probes: list[dict[str, Any]] = field(default_factory=list)

    def frame(self) -> pd.DataFrame:
        """The losses as a table.

        Returns:
            Columns "step" (from 1), "member" (0..S-1; 0 for a single run) and "loss", one row a step and member.
        """
        import pandas as pd

        table = self.loss.reshape(len(self.loss), -1)
        steps, members = table.shape
        return pd.DataFrame(
            {
                "step": [i + 1 for i in range(steps) for _ in range(members)],
                "member": list(range(members)) * steps,
                "loss": table.flatten().tolist(),
            }
        )

    def probe_frame(self) -> pd.DataFrame:
        """The probes as a table: one row a probe, columns "step" and the names the probe returned."""
        import pandas as pd

        return pd.DataFrame(self.probes)
