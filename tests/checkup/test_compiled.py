"""What numba compiles for UMAP is stored and loaded again by the next process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import numpy as np
from lab.checkup.compiled import keep_compiled
keep_compiled()
import umap.utils
assert umap.utils.norm(np.array([3.0, 4.0])) == 5.0
stats = umap.utils.norm.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def test_the_next_process_loads_what_one_compiled() -> None:
    # not in an empty store of its own: the libraries would compile for a minute while they are imported
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True) for _ in range(2)]
    assert sorted(map(int, runs[0].stdout.split())) == [0, 1], runs[0].stderr
    assert runs[1].stdout.split() == ["1", "0"], runs[1].stderr
