"""What the five kinds of mitigation promise; n rows, d dimensions, Q queries, L labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


class Mitigation(ABC):
    """What every kind of mitigation records.

    Attributes
    ----------
    name : str
        Registry name, as ``"wring"``; ``version`` counts changes of the numbers.
    attributes : tuple of str
        The attributes it targets; all others are side effects to ``compare``.
    guarantees : tuple of str
        Properties it declares, which ``equipoise.testing`` then tests (those and no others).
    fit_rows : tuple of str
        Ids of the rows it was fitted on; empty for methods that used none.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    kind: ClassVar[str]
    guarantees: tuple[str, ...] = ()
    attributes: tuple[str, ...]
    fit_rows: tuple[str, ...] = ()

    def controls(self) -> Sequence[Mitigation]:
        """Return fitted mitigations that ``audit`` runs beside this one, as arms."""
        return []


class EmbeddingMitigation(Mitigation):
    """Edits vectors of an embedding space; ``edits`` says of which modality."""

    kind = "embedding"
    edits: frozenset[str] = frozenset({"text"})

    @abstractmethod
    def fit(self, embeddings: Any) -> EmbeddingMitigation:
        """Learn from an EmbeddingSet (vocabulary, prompts, reference rows); return self."""

    @abstractmethod
    def transform(
        self, x: NDArray[Any], *, modality: str = "text", queries: Sequence[Any] | None = None
    ) -> NDArray[Any]:
        """Return (n, d) edited vectors of the dtype of ``x``.

        ``queries`` are the texts behind the rows of ``x`` (str, or Query with ``text`` and ``explicit``): an edit may
        leave alone those that name a group.
        """

    @abstractmethod
    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return (parameters as JSON values, arrays): all that ``from_state`` needs."""

    @classmethod
    @abstractmethod
    def from_state(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> EmbeddingMitigation:
        """Rebuild a fitted mitigation; its transform is bit-identical."""

    def controls(self) -> Sequence[EmbeddingMitigation]:
        """Return fitted embedding mitigations that ``audit`` runs beside this one, as arms."""
        return []

    def diagnostics(self, x: NDArray[Any], queries: Sequence[Any]) -> pa.Table | None:
        """Return a table of one row a query that says what the edit does to it, or None."""
        return None


class DataMitigation(Mitigation):
    """Weights rows of a data set."""

    kind = "data"

    @abstractmethod
    def fit(self, samples: Any) -> DataMitigation:
        """Learn from Samples or a cell table; return self."""

    @abstractmethod
    def weights(self, samples: Any) -> NDArray[np.float64]:
        """Return (n,) float64 weights, at least 0."""


class WeightMitigation(Mitigation):
    """Changes some weights of a model; the result is ``model_``."""

    kind = "weights"

    @abstractmethod
    def fit(self, model: Any, samples: Any) -> WeightMitigation:
        """Fine-tune; return self."""


class TrainingMitigation(Mitigation):
    """Trains a model; the result is ``model_``."""

    kind = "training"

    @abstractmethod
    def fit(self, model: Any, samples: Any) -> TrainingMitigation:
        """Train; return self."""


class OutputMitigation(Mitigation):
    """Changes scores, rankings or decisions of a finished model."""

    kind = "output"

    @abstractmethod
    def fit(self, scores: NDArray[Any], samples: Any) -> OutputMitigation:
        """Learn from scores (n, L) or (Q, n); return self."""

    @abstractmethod
    def apply(self, scores: NDArray[Any], samples: Any) -> NDArray[Any]:
        """Return edited scores, a ranking or decisions (NaN where it abstains)."""
