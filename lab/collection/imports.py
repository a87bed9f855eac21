"""Making an import cheap that is needed for nothing else."""

from __future__ import annotations

import sys


def skip_iri_grammar() -> None:
    """Keep jsonschema, which nbformat imports, from compiling a grammar of international web addresses.

    It takes more than a second of computing time in every process that touches a notebook, and notebooks are not
    validated for web addresses. jsonschema leaves that one check out when the package is not there.
    """
    if "jsonschema" not in sys.modules:
        sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
