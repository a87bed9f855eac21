"""UMAP's compiled functions kept on disk: compiling them takes half a minute, which every first map would wait for.

``python -m lab.checkup.compiled`` draws a small map now, so that the first one somebody asks for need not wait.
"""

from __future__ import annotations

import sys
import warnings


def keep_compiled() -> None:
    """Let numba store the machine code of umap and pynndescent, beside their sources or in the user's cache folder.

    The first map on a machine compiles, later ones load. ``NUMBA_CACHE_DIR`` moves the store; where no folder can be
    written, all goes on as without it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import umap  # noqa: F401  brings both libraries in

    for name, module in list(sys.modules.items()):
        if name.split(".")[0] not in ("umap", "pynndescent"):
            continue
        for function in list(vars(module).values()):
            if hasattr(function, "enable_caching") and function.py_func.__module__ == name:  # one of numba's
                try:
                    function.enable_caching()
                except RuntimeError:  # no folder to write to
                    return


def main() -> None:
    """Compile what a map needs, and keep it."""
    import numpy as np

    from lab.plots import umap_map

    keep_compiled()
    rows = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    umap_map(rows, seed=0)


if __name__ == "__main__":
    main()
