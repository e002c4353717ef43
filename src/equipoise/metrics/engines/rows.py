"""Rows of the estimates table, built by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from equipoise.estimate import STATUSES
from equipoise.schema import ESTIMATES, conform

_TEXT = {f.name for f in ESTIMATES if f.type == pa.string()}
_WHOLE = {"seed", "n"}


class EstimateRows:
    """Collects estimates; each call of :meth:`add` gives columns as scalars or arrays of one length.

    Where ``value`` is not finite the row gets the status that was given (or ``not_estimable``) and no number.
    """

    def __init__(self, **defaults: Any) -> None:
        self.defaults = {"arm": "main", "level": 0.95, "seed": 0, "n": 0, "status": "ok", **defaults}
        self._parts: list[dict[str, Any]] = []

    def add(self, **columns: Any) -> None:
        """Append rows."""
        given = {**self.defaults, **columns}
        length = max(np.size(value) for value in given.values())
        part: dict[str, Any] = {}
        for field in ESTIMATES:
            value = given.pop(field.name, "" if field.name in _TEXT else 0 if field.name in _WHOLE else np.nan)
            kind = object if field.name in _TEXT else np.int64 if field.name in _WHOLE else np.float64
            part[field.name] = np.broadcast_to(np.asarray(value, kind).ravel(), (length,))
        if given:
            raise TypeError(f"unknown columns {sorted(given)}")
        missing = ~np.isfinite(part["value"])
        if missing.any():
            status = part["status"].copy()
            status[missing & np.isin(status, ("ok", "exact", "weak"))] = "not_estimable"
            part["status"] = status
        with_value = np.isin(part["status"].astype(str), ("ok", "exact", "weak"))
        for name in ("value", "low", "high"):
            part[name] = np.where(with_value, part[name], np.nan)
        self._parts.append(part)

    def table(self) -> pa.Table:
        """Return all rows as a table of the estimates schema."""
        if not self._parts:
            return ESTIMATES.empty_table()
        arrays = []
        for field in ESTIMATES:
            column = np.concatenate([part[field.name] for part in self._parts])
            if field.name in _TEXT:
                arrays.append(pa.array(column, pa.string()))
            elif field.name in _WHOLE:
                arrays.append(pa.array(column, pa.int64()))
            else:
                arrays.append(pa.array(column, pa.float64(), mask=~np.isfinite(column)))
        found = pa.Table.from_arrays(arrays, schema=ESTIMATES)
        strange = set(found["status"].unique().to_pylist()) - set(STATUSES)
        if strange:
            raise ValueError(f"unknown statuses {sorted(strange)}")
        return conform(found, ESTIMATES, "estimates")
