"""The control that does nothing: what a run measures when nothing was edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from equipoise.mitigate.embeddings.geometry import as_rows, check_rows
from equipoise.protocols import EmbeddingMitigation


class NoOp(EmbeddingMitigation):
    """Return every vector as it came.

    Parameters
    ----------
    attribute : str or sequence of str
        What it would target; decides only which rows of a ledger count as targeted.
    """

    name = "noop"
    title = "No-op"

    def __init__(self, attribute: str | Sequence[str] = ()) -> None:
        self.attributes = (attribute,) if isinstance(attribute, str) else tuple(attribute)
        self.guarantees = (
            "norm_kept",
            "rotation_commutes",
            "idempotent",
            "homogeneous",
            "non_expansive",
            "linear",
        )
        self.notes: tuple[str, ...] = ()

    @property
    def arm(self) -> str:
        """Name of the arm that an audit runs it as."""
        return self.name

    def fit(self, embeddings: Any) -> NoOp:
        """Learn nothing; return self."""
        return self

    def transform(
        self, x: NDArray[Any], *, modality: str = "text", queries: Sequence[Any] | None = None
    ) -> NDArray[Any]:
        """Return a copy of ``x`` (n, d).

        Raises
        ------
        EmbeddingError
            If a row is NaN, infinite or zero.
        """
        rows = as_rows(x)
        check_rows(rows)
        return rows.copy()

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return the attributes and no arrays."""
        return {"attribute": list(self.attributes)}, {}

    @classmethod
    def from_state(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> NoOp:
        """Rebuild it."""
        return cls(parameters["attribute"])
