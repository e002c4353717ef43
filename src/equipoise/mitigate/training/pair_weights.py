"""Weights of training pairs, from a file, an array, a fitted mitigation of data, or the rows themselves."""

# pyarrow makes its compute functions at import.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.data.columns import Column
from equipoise.data.packing import text_of
from equipoise.data.samples import Samples
from equipoise.data.tables import open_table
from equipoise.errors import InputError
from equipoise.mitigate.data.selection import checked_weights
from equipoise.mitigate.data.weights_file import fit_of, inputs_of
from equipoise.protocols import DataMitigation

WEIGHT, STATUS = "m4_weight", "m4_status"
NO_WEIGHT = "no weight"

Given = str | Path | NDArray[Any] | DataMitigation | None


@dataclass(frozen=True)
class PairWeights:
    """Weights of rows.

    Attributes
    ----------
    weights : ndarray (n,), float64
        At least 0; how often a row is drawn, relative to the others.
    reasons : list of str
        Why a row has no weight and is set aside; ``""``: it has one.
    source : str
        Where they came from, in words.
    inputs : dict of str to str
        File name to SHA-256.
    fit_rows : tuple of str
        Ids of the rows that the mitigation behind them was fitted on, where that is known.
    """

    weights: NDArray[np.float64]
    reasons: list[str]
    source: str
    inputs: dict[str, str]
    fit_rows: tuple[str, ...] = ()
    fit_position: NDArray[np.int64] | None = None
    """Where the file has no ids: the places, in the table, of the rows that they were fitted on."""
    rows: int = 0
    """Rows of that table."""

    def fitted_on(self, samples: Samples) -> int:
        """Return how many of these rows the weights are known to be fitted on."""
        if self.fit_position is not None and samples.rows_read == self.rows:
            return int(np.isin(samples.position, self.fit_position).sum())
        return len(set(self.fit_rows).intersection(samples.ids))


def weights_of(given: Given, samples: Samples) -> PairWeights:
    """Return the weight of each row.

    Parameters
    ----------
    given : path, array, DataMitigation, optional
        A table with the column ``m4_weight`` (a row without one is set aside), joined by the id of the rows where it has
        their column, else row by row where it records the SHA-256 of this table; an array (n,) in the order of ``samples``;
        a fitted mitigation of data; None: the role ``weight`` of the rows, or one weight for all.
    samples : Samples

    Raises
    ------
    InputError
        If weights are negative, NaN, all 0, or do not belong to the rows.
    """
    fit_rows: tuple[str, ...] = ()
    reasons = [""] * len(samples)
    if given is None:
        own = "weight" in samples.roles
        weights = np.asarray(samples.column("weight"), np.float64) if own else np.ones(len(samples))
        source = f"column '{samples.roles['weight']}'" if own else "none: all pairs alike"
    elif isinstance(given, DataMitigation):
        weights = np.asarray(given.weights(samples), np.float64)
        status: Any = getattr(given, "status", None)
        reasons = [str(reason) for reason in status(samples)] if status is not None else reasons
        source, fit_rows = f"'{given.name}'", tuple(given.fit_rows)
    elif isinstance(given, (str, Path)):
        return _from_file(Path(given), samples)
    else:
        weights, source = np.asarray(given, np.float64), "an array"
    return PairWeights(_checked(weights, reasons, len(samples)), reasons, source, {}, fit_rows)


def described(source: str, weights: NDArray[np.float64]) -> dict[str, Any]:
    """Return what a record says of the weights of the pairs that are trained on."""
    total = float(weights.sum())
    return {
        "source": source, "rows": len(weights), "mean": total / len(weights), "largest": float(weights.max()),
        "effective_sample_size": total**2 / float((weights**2).sum()) / len(weights),
    }  # fmt: skip


def note_on_controls(weights: Given) -> str:
    """Return what a claim on the effect of weights needs beside this run, empty where none were used."""
    if not isinstance(weights, (DataMitigation, str, Path, np.ndarray)):
        return ""
    return (
        "A change is the effect of fine-tuning and of the weights together: fine-tune once more without weights, or on a "
        "random sub-sample of equal size, to tell them apart."
    )


def note_on_fit(weights: Given) -> str:
    """Return what is to be said of weights in a file that does not tell which rows they were fitted on."""
    if not isinstance(weights, (str, Path)) or fit_of(weights) is not None:
        return ""
    return (
        f"'{Path(weights).name}' does not say on which rows its weights were fitted: that no row of the audit is among them "
        "was not checked. `equipoise balance` says it, unless the duals were fitted elsewhere (--apply)."
    )


def _from_file(path: Path, samples: Samples) -> PairWeights:
    table = open_table(path)
    if WEIGHT not in table.names:
        near = [name for name in table.names if "weight" in name.casefold()]
        hint = f" It has '{near[0]}'." if near else ""
        raise InputError(
            f"'{path}' has no column '{WEIGHT}'.{hint}",
            "Give the file that `equipoise balance` wrote, or rename the column.",
            value=WEIGHT,
        )
    key = samples.roles.get(samples.id_from, "")
    key = key if key in table.names else "row_id" if "row_id" in table.names else ""
    fit = fit_of(path)
    where = {} if fit is None else fit["rows"]
    wanted = [WEIGHT, *([STATUS] if STATUS in table.names else []), *([key] if key else []), *where]
    read, lines = table.read(list(dict.fromkeys(wanted))), table.lines()
    numbers = Column(read[WEIGHT], WEIGHT, lines, table.unit).numbers(least=0.0)
    status = read[STATUS].cast(pa.string()).to_pylist() if STATUS in table.names else [""] * table.rows
    used = _fitted_rows(read, where, status) if fit is not None else np.zeros(0, np.int64)
    fit_rows: tuple[str, ...] = ()
    if key:
        names = Column(read[key], key, lines, table.unit).ids().to_pylist()
        place = {name: row for row, name in enumerate(names)}
        fit_rows = tuple(names[row] for row in used)
        rows = np.asarray([place.get(name, -1) for name in samples.ids], np.int64)
        if (rows < 0).all():
            raise InputError(
                f"No row of the table is in '{path}': they are joined by '{key}'.", "Use the weights of this table."
            )
    elif table.rows == samples.rows_read:
        _check_same_table(path, samples)
        rows = samples.position
    else:
        raise InputError(
            f"'{path}' has {table.rows} rows, the table {samples.rows_read}, and no column of ids that would join them.",
            "Use the weights of this table, or name the column of ids that both have (--id).",
            value=table.rows,
        )
    found = np.where(rows >= 0, np.append(numbers, np.nan)[rows], np.nan)
    reasons = [
        "" if np.isfinite(weight) else (status[row] if row >= 0 else "") or NO_WEIGHT
        for weight, row in zip(found, rows, strict=True)
    ]
    return PairWeights(
        _checked(found, reasons, len(samples)), reasons, f"'{path.name}'", {path.name: sha256_of(path)}, fit_rows,
        None if key else used, table.rows,
    )  # fmt: skip


def _check_same_table(path: Path, samples: Samples) -> None:
    """Refuse to pair rows by their number but with those of the very table that the weights are of."""
    known, own = set(samples.inputs.values()), inputs_of(path)
    if sha256_of(path) in known or (own and known.issuperset(own)):
        return
    why = "is of a table with another SHA-256" if own else "does not say of which table it is"
    raise InputError(
        f"'{path}' {why}, and has no column of ids: rows of equal number may be different ones.",
        "Name the column of ids that both have (--id), or weigh this very table with `equipoise balance`.",
        value=str(path),
    )  # fmt: skip


def _chunks(column: Any) -> Iterator[tuple[int, pa.Array]]:
    """Yield the arrays of a column with the place of the first row of each."""
    first = 0
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        yield first, chunk
        first += len(chunk)


def _fitted_rows(read: pa.Table, where: Mapping[str, str], status: Sequence[str | None]) -> NDArray[np.int64]:
    """Return the places of the rows that a balance used: those that it was to read, less those that it set aside."""
    used = np.asarray([not reason for reason in status], bool)
    for column, value in where.items():
        for first, chunk in _chunks(read[column]):
            same = pc.fill_null(pc.equal(text_of(chunk, column), value), False)
            used[first : first + len(chunk)] &= same.to_numpy(zero_copy_only=False)
    return np.flatnonzero(used)


def _checked(weights: NDArray[np.float64], reasons: Sequence[str], n: int) -> NDArray[np.float64]:
    if weights.shape != (n,):
        raise InputError(
            f"The weights have shape {weights.shape}, and there are {n} rows.",
            "Give one weight a row.",
            value=weights.shape,
        )
    if len(reasons) != n:
        raise InputError(f"There are {len(reasons)} statuses and {n} rows.", "Give one a row.", value=len(reasons))
    kept = np.asarray([not reason for reason in reasons], bool)
    bad = kept & ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        raise InputError(
            f"{int(bad.sum())} weights are negative or no number, the first of them in row {int(np.flatnonzero(bad)[0]) + 1}.",
            "A row that is to be set aside has no weight (null) in the file.",
            value=float(weights[bad][0]),
        )
    weights = checked_weights(np.where(kept, weights, 0.0))
    if not (weights > 0).any():
        raise InputError("No row has a weight above zero.", "Give some rows a weight above zero.")
    return weights
