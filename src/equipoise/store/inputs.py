"""What is read is never written over, whether or not outputs may be replaced."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from equipoise.errors import InputError


def refuse_inputs(out: str | Path, inputs: Iterable[str | os.PathLike[str] | None], flag: str = "") -> None:
    """Refuse an output that is one of the inputs, lies in a folder that is one, or is a folder that holds one.

    Parameters
    ----------
    out : path
    inputs : iterable of path or None
        Those that are None were not given.
    flag : str
        What the output was named by, as ``"--out"``; the message says it.

    Raises
    ------
    InputError
        Also where one file has two names (a link, or another case on a file system that makes no difference).
    """
    out = Path(out)
    at = out.resolve()
    for path in map(Path, (item for item in inputs if item is not None)):
        there = path.resolve()
        if there == at or _same(path, out):
            what = "is read: it would be written over"
        elif there in at.parents and path.is_dir():
            what = f"lies in '{path}', which is read"
        elif at in there.parents:
            what = f"holds '{path}', which is read"
        else:
            continue
        name = f"{flag} '{out}'" if flag else f"'{out}'"
        raise InputError(f"{name} {what}.", "Name another output; --overwrite does not allow it.", value=str(out))


def _same(one: Path, two: Path) -> bool:
    try:
        return one.samefile(two)
    except OSError:
        return False
