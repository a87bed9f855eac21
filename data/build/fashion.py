"""Fashion-MNIST, a balanced part of it: 1,000 training and 200 test images of each of the ten classes.

Needs: the Debian package dataset-fashion-mnist 0.0~git20200523.55506a9-1 (`apt-get install dataset-fashion-mnist`)
       and numpy.
Run:   python data/build/fashion.py

The first images of each class are taken and left in the order of the source, so that nothing is drawn.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from packing import debian_version, declare, out_folder, require, write_npz

PACKAGE, VERSION = "dataset-fashion-mnist", "0.0~git20200523.55506a9-1"
FOLDER = Path("/usr/share/datasets/fashion-mnist")
PER_CLASS = {"train": 1000, "t10k": 200}


def read_idx(path: Path) -> np.ndarray:
    """Array of bytes in an IDX file: two zero bytes, type 8, number of axes, big-endian sizes, then the data."""
    content = gzip.decompress(path.read_bytes())
    zeros, kind, axes = content[:2], content[2], content[3]
    if zeros != b"\0\0" or kind != 8:
        raise SystemExit(f"{path}: not an IDX file of bytes")
    shape = np.frombuffer(content, dtype=">u4", count=axes, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * axes).reshape(shape)


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of the first ``count`` items of each class, in ascending order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]))


def main() -> None:
    out = out_folder(__doc__).out
    source = "Debian package " + require(PACKAGE, debian_version(PACKAGE), VERSION)
    arrays = {}
    for part, count in PER_CLASS.items():
        images = read_idx(FOLDER / f"{part}-images-idx3-ubyte.gz")
        labels = read_idx(FOLDER / f"{part}-labels-idx1-ubyte.gz")
        chosen = first_of_each_class(labels, count)
        name = "train" if part == "train" else "test"
        arrays[f"{name}_images"], arrays[f"{name}_labels"] = images[chosen], labels[chosen]
    write_npz(out / "fashion/images.npz", arrays)
    what = "10,000 training and 2,000 test images of clothing, 28 x 28 grey, ten balanced classes"
    declare(
        out,
        dataset="fashion",
        script="fashion.py",
        files={"fashion/images.npz": (what, source, "MIT (licences/fashion-mnist.txt)")},
    )


if __name__ == "__main__":
    main()
