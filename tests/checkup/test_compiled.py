"""What numba compiles for UMAP is stored, the next process loads it, and torch keeps its threads."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import numpy as np
import torch
import umap.umap_
from lab.checkup.compiled import keep_compiled
from lab.plots import umap_map
keep_compiled()
torch.set_num_threads(1)
umap_map(np.random.default_rng(1).normal(size=(120, 12)).astype(np.float32), seed=3)
for function in (umap.umap_.smooth_knn_dist, umap.umap_.compute_membership_strengths):
    print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
print(torch.get_num_threads())
"""


def test_the_next_process_loads_what_one_compiled_and_torch_keeps_its_threads() -> None:
    # not in an empty store of its own: the libraries would compile for a minute while they are imported
    commands = (["-m", "lab.checkup.compiled"], ["-c", PROGRAM])
    two = {**os.environ, "NUMBA_NUM_THREADS": "2"}  # which numba, left alone, makes those of the whole process
    runs = [subprocess.run([sys.executable, *words], env=two, capture_output=True, text=True) for words in commands]
    assert (runs[0].returncode, runs[0].stdout) == (0, ""), runs[0].stderr
    assert runs[1].stdout.split() == ["1", "0", "1", "0", "1"], runs[1].stderr
