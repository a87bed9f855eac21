"""Writing files so that a reader, or a run that is killed, never meets half of one."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write(path: Path, content: str | bytes) -> bool:
    r"""Write a file in one step, through a temporary file beside it; leave it alone when nothing would change.

    Args:
        path: where to; folders are made as needed.
        content: text (written as UTF-8 with ``\n`` line ends) or bytes.

    Returns:
        Whether the file changed.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "a" / "b.txt", "x"), write(Path(folder) / "a" / "b.txt", "x")
    (True, False)
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    path = Path(path)
    try:
        if path.read_bytes() == data:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes files for the owner only; a page is for everybody
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return True
