"""What every build script shares: files whose bytes depend on their content alone, and the manifest that declares them.

Needs numpy. An .npz written by numpy carries the clock in its zip entries; here the date is fixed, the order of the
arrays is the order given, and the compression is plain deflate at level 9 (bytes agree wherever zlib's own encoder is
used).
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import subprocess
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parent.parent
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip file can hold


def out_folder(description: str, *, node_modules: bool = False) -> argparse.Namespace:
    """Command line of a build script: ``--out`` (the data folder) and, where needed, the folder ``node_modules``."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    if node_modules:
        parser.add_argument(
            "node_modules", type=Path, help="the folder `node_modules` the npm packages were installed in"
        )
    parser.add_argument(
        "--out", type=Path, default=DATA, help="data folder to write to (default: the one of this checkout)"
    )
    return parser.parse_args()


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as a compressed .npz with fixed dates, in the order given; nothing is pickled."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # the same on every system
            info.external_attr = 0o644 << 16
            archive.writestr(info, buffer.getvalue(), compresslevel=9)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    r"""Write a UTF-8 CSV with ``\n`` line ends on every system."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def debian_version(package: str) -> str:
    """Version of an installed Debian package."""
    return subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", package], check=True, capture_output=True, text=True
    ).stdout.strip()


def npm_version(node_modules: Path, package: str) -> str:
    """Version of an npm package below ``node_modules``."""
    return str(json.loads((node_modules / package / "package.json").read_text(encoding="utf-8"))["version"])


def require(package: str, found: str, wanted: str) -> str:
    """``package version``, or the end of the build: another version would not give the same bytes."""
    if found != wanted:
        raise SystemExit(f"{package}: version {wanted} is needed, found {found}")
    return f"{package} {found}"


def pypi_version(package: str) -> str:
    """Version of an installed Python package."""
    return metadata.version(package)


def declare(out: Path, *, dataset: str, script: str, files: Mapping[str, tuple[str, str, str]]) -> None:
    """Replace the entries of one data set in ``manifest.json``.

    Args:
        out: the data folder.
        dataset: name of the set; its former entries are dropped.
        script: file name of the build script.
        files: path below ``out`` -> (what it holds, source with exact versions, licence).
    """
    path = out / "manifest.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["files"] if path.exists() else []
    kept = [entry for entry in kept if entry["set"] != dataset]
    for name, (what, source, licence) in files.items():
        content = (out / name).read_bytes()
        kept.append(
            {
                "path": name,
                "set": dataset,
                "what": what,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                "source": source,
                "licence": licence,
                "script": f"build/{script}",
            }
        )
        print(f"{name}: {len(content):,} bytes")
    kept.sort(key=lambda entry: entry["path"])
    path.write_text(
        json.dumps({"schema": 1, "files": kept}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n"
    )
