"""Output folders: claimed by one run under a lock, resumed by the same run, refused to another."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from equipoise.data.checksums import sha256_of
from equipoise.errors import LockedError, OutputExistsError, SchemaError
from equipoise.schema import Document, plain
from equipoise.store.atomic import (
    atomic_write,
    check_sha256,
    make_folder,
    read_arrays,
    read_metadata,
    read_table,
    remove_leftovers,
    unwritable,
    write_arrays,
    write_table,
)

__all__ = [
    "Output",
    "atomic_write",
    "check_sha256",
    "differences",
    "lock",
    "make_folder",
    "read_arrays",
    "read_metadata",
    "read_table",
    "remove_leftovers",
    "sha256_of",
    "unwritable",
    "write_arrays",
    "write_table",
]

LOCK = ".lock"
RUN = ".run.json"


class Run(Document):
    """``.run.json``: what decides an output, written before anything else: a killed run can be told from another."""

    KIND = "run"
    fingerprint: dict[str, Any]


@contextmanager
def lock(folder: str | Path) -> Iterator[None]:
    """Hold a folder for this process; LockedError at once if another process holds it.

    The lock is the operating system's: it ends with the process, and a file left behind by a killed one is harmless.
    """
    from filelock import FileLock, Timeout

    held = FileLock(Path(folder) / LOCK)
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise LockedError(
            f"Another process works on '{folder}'.", "Wait for it, or choose another output.", value=str(folder)
        ) from error
    except OSError as error:
        raise unwritable(Path(folder), error) from error
    try:
        yield
    finally:
        held.release()


class Output:
    """An output folder, claimed for one run while the ``with`` block lasts.

    Parameters
    ----------
    folder : path
        Created if absent.
    final : str
        The file that is written last, as ``"manifest.json"``: with it the output is complete.
    fingerprint : mapping
        JSON values that decide the output: parameters and checksums of inputs. An equal one is the same run.
    overwrite : bool
        Whether an output of another run may be replaced.
    owned : sequence of str
        Further files and folders of the output. With ``final`` they are all that is ever removed.
    kept : sequence of str
        Those of them that stay when another run is replaced: the caller looks through them itself.

    Attributes
    ----------
    finished : bool
        Whether the same run is already complete; nothing is left to do.
    resumed : bool
        Whether the same run began before and is not complete.

    Raises
    ------
    LockedError, OutputExistsError, InputError
        On entry: another process holds the folder, another run's output is in it, it cannot be written.
    """

    def __init__(
        self,
        folder: str | Path,
        final: str,
        fingerprint: Mapping[str, Any],
        *,
        overwrite: bool = False,
        owned: Sequence[str] = (),
        kept: Sequence[str] = (),
    ) -> None:
        self.folder = Path(folder)
        self.fingerprint: dict[str, Any] = plain(fingerprint)
        self.overwrite = overwrite
        self.final = final
        self.owned = tuple(owned)
        self.kept = tuple(kept)
        self.finished = False
        self.resumed = False
        self._held = ExitStack()

    def __enter__(self) -> Output:
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputExistsError(f"'{self.folder}' is a file.", "Choose another output.", value=str(self.folder))
        make_folder(self.folder)
        self._held.enter_context(lock(self.folder))
        try:
            self._claim()
        except BaseException:
            self._held.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def path(self, name: str) -> Path:
        """Return the path of a file of this output."""
        return self.folder / name

    def _claim(self) -> None:
        remove_leftovers(self.folder)
        before = self._recorded()
        if before == self.fingerprint and not self.overwrite:
            self.finished = self.path(self.final).is_file()
            self.resumed = not self.finished
            return
        there = sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))
        ours = before is not None or self.path(self.final).is_file()
        foreign = [] if ours else [name for name in self.owned if self.path(name).exists()]
        if self.overwrite and foreign:
            raise OutputExistsError(
                f"'{self.folder}' holds '{foreign[0]}', which no run of ours wrote; it would be removed.",
                "Choose another output; --overwrite replaces only what a run of ours wrote.",
                value=str(self.folder),
            )
        if not self.overwrite and (before is not None or there):
            what = "the output of another run" if before is not None else f"other files ({', '.join(there[:3])})"
            # what is short says most: a batch size before a checksum
            found = differences(before, self.fingerprint) if before is not None else []
            changed = "; ".join(sorted(found, key=lambda text: "..." in text)[:8])
            raise OutputExistsError(
                f"'{self.folder}' holds {what}{f': {changed}' if changed else ''}.",
                "Choose another output, or pass --overwrite to replace it.",
                value=str(self.folder),
            )
        self._clear()
        atomic_write(self.path(RUN), Run(fingerprint=self.fingerprint).to_json())

    def _recorded(self) -> dict[str, Any] | None:
        path = self.path(RUN)
        if not path.is_file():
            return None
        try:
            return Run.from_json(path.read_text(encoding="utf-8"), f"'{path}'").fingerprint
        except (SchemaError, UnicodeDecodeError):
            return {"record": "unreadable"}

    def _clear(self) -> None:
        """Remove the final file first: an output that is being replaced never looks complete."""
        try:
            for name in (self.final, *(name for name in self.owned if name not in self.kept)):
                path = self.path(name)
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Return what changed between two JSON values, as ``"k: 200 -> 100"``."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        out = []
        for key in sorted({*before, *after}):
            out += differences(before.get(key), after.get(key), f"{where}.{key}" if where else str(key))
        return out
    return [] if before == after else [f"{where}: {_short(before)} -> {_short(after)}"]


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    if len(text) == 64 and set(text) <= set("0123456789abcdef"):
        return f"{text[:12]}..."
    return text if len(text) <= 60 else text[:57] + "..."
