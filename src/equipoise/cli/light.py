"""Verbs that need no data frames should not pay for pandas, where it happens to be installed.

pyarrow imports pandas, if it can, when it first makes an array of Python values, to know a pandas object when it sees one.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

VERBS = frozenset({"compare", "gate", "ls", "doctor"})


class _NoPandas:
    """An import finder that knows no pandas."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> None:
        """Refuse pandas, leave everything else to the others."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def spare_pandas() -> None:
    """Let pyarrow look for pandas in vain, once; any later import of pandas works.

    For a process that reads no pandas frame: pyarrow would no longer see its missing values.
    """
    import pyarrow as pa

    finder = _NoPandas()
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(finder)  # type: ignore[arg-type]
