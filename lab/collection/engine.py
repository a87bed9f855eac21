"""papermill's engine, but for when it writes the executed notebook to disk.

papermill writes it before and after each cell, prose included, whole and validated: a hundred times for a short
notebook, which can take longer than running its code.
"""

from __future__ import annotations

import asyncio
from typing import Any

from papermill.engines import NBClientEngine, papermill_engines
from papermill.iorw import write_ipynb

NAME = "seldom"
SECONDS = 1.0


class Seldom(NBClientEngine):
    """Saves before the first cell, after the last or the one that raised, and a second after a cell began.

    Cells that end sooner share one save. So whoever ends a notebook that hangs finds where it hung and all that came
    before; what that very cell has said since its first second is not on disk.
    """

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **kwargs: Any) -> Any:
        """Execute the cells; `nb_man` is saved before and after by the caller."""
        path, nb_man.output_path = nb_man.output_path, None  # without a path it saves nothing
        due: asyncio.TimerHandle | None = None

        def save() -> None:
            nonlocal due
            due = None
            write_ipynb(nb_man.nb, path)

        def cell_begins(**_: Any) -> None:
            nonlocal due
            if due is None:
                due = asyncio.get_running_loop().call_later(SECONDS, save)

        try:
            return super().execute_managed_notebook(nb_man, kernel_name, on_cell_execute=cell_begins, **kwargs)
        finally:
            if due is not None:
                due.cancel()  # the event loop lives on and may be run again
            nb_man.output_path = path


papermill_engines.register(NAME, Seldom)
