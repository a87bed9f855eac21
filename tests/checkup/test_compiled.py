"""What numba compiles for UMAP is stored and loaded again by the next process."""

from __future__ import annotations

import os
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


def test_the_second_process_loads_what_the_first_compiled(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    runs = [subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True) for _ in range(2)]
    assert [run.stdout.split() for run in runs] == [["0", "1"], ["1", "0"]], runs[0].stderr
