"""What rooms promise one another: encoders, classifiers, five kinds of mitigation, metrics.

``audit``, ``compare``, ``gate`` and ``report`` know these types and no concrete method. A plug-in implements one of them.

Notation: n rows, d dimensions, Q queries, G groups of an attribute, L labels; ``...`` stands for leading axes that a
statistic carries along (bootstrap draws, permutations, queries).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Floats = NDArray[Any]


@runtime_checkable
class Encoder(Protocol):
    """Turns pictures and words into vectors of one space.

    ``fingerprint`` holds whatever decides the numbers (weights, preprocessing, dtype, versions); two encoders with equal
    fingerprints give equal vectors.
    """

    name: str
    dim: int
    fingerprint: dict[str, Any]

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32 vectors, one per text; they need not be normalised."""
        ...

    def encode_image(self, images: Sequence[Any]) -> NDArray[np.float32]:
        """Return (n, d) float32 vectors, one per picture; they need not be normalised."""
        ...


@runtime_checkable
class Classifier(Protocol):
    """Anything that scores pictures: (n, 3, h, w) pixels in [0, 1] to (n, L) logits.

    ``preprocessing`` (an ``equipoise.models.preprocessing.Preprocessing``) says which geometry the pixels have; its
    normalisation happens inside ``scores``, so that whoever changes pixels changes what a person would see.

    A classifier may also have ``card``, as ``{"accuracy": 0.751, "n": 50000}``: what its makers say of it; ``notes``: what
    a person must know of it, as that its weights look untrained; and ``with_preprocessing(preprocessing)``, which
    returns the same model behind another preprocessing.
    """

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the scores, in their order, no two alike."""
        ...

    @property
    def preprocessing(self) -> Any:
        """How a picture becomes its input."""
        ...

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Whatever decides the scores (weights, preprocessing, dtype, versions), as JSON values."""
        ...

    def scores(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, L) float32 logits."""
        ...


# ---------------------------------------------------------------------------------------------------------- metrics


@dataclass(frozen=True, slots=True)
class MetricDescriptor:
    """A metric's manners: all that audit, compare, gate and report need to know of it.

    Attributes
    ----------
    name : str
        Snake case; ``max_skew`` appears in tables as ``max_skew@200``.
    protocol : str
        Whose convention the formula is, in one word or phrase that a policy can name.
    evidence : str
        What the statistic is computed from: ``counts`` (group x label x prediction), ``top`` (groups among the top k),
        ``moments`` (mean and variance of scores by group), ``auc`` (scores ranked by group), ``paired`` (before and
        after of the same rows or queries: overlap, cosine), ``ranks`` (rank of the right row), ``pairs`` (which of two
        texts rows are nearer to, by group), ``preferences`` (which group's text rows are nearest to), ``cells`` (weight of
        the rows of each group inside each label), ``weights`` (sums over weighted rows).
    role : str
        ``bias`` (a row per attribute), ``utility`` (attribute empty, never targeted) or ``diagnostic`` (never in a ledger).
    direction : str
        ``lower`` when smaller is better, ``higher`` when greater is better.
    signed : bool
        Whether zero is best and both sides are harm.
    margin : float
        Changes of less than this are called the same, in the unit of the metric.
    unit : str
        Unit or range for people, as ``"share in [0, 1]"`` or ``"natural log"``.
    formula : str
        The formula in one line of plain text.
    source : str
        Whose formula it is.
    at_k : bool
        Whether the name carries ``@k``.
    per_group : bool
        Whether there is a value per group (True) or one over all groups (False).
    title : str
        What a person calls it: ``"largest skew in the top k"``.
    sides : str
        Name of the per-group metric whose signs tell whether a bias between two groups changed sides; empty if none.
    secondary : bool
        Whether it says again what another metric says, on another scale: a ledger then shows single queries
        (exploratory) and no row of the family that would be tested, gated and paid for in the correction.
    """

    name: str
    protocol: str
    evidence: Literal["counts", "top", "moments", "auc", "paired", "ranks", "pairs", "preferences", "cells", "weights"]
    role: Literal["bias", "utility", "diagnostic"]
    direction: Literal["lower", "higher"]
    signed: bool
    margin: float
    unit: str
    formula: str
    source: str
    at_k: bool = False
    per_group: bool = False
    title: str = ""
    sides: str = ""
    secondary: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """Range of the metric, to which limits are clipped."""
        if self.signed:
            return (-math.inf, math.inf)
        return (0.0, 1.0 if self.unit.endswith("[0, 1]") or "ratio" in self.unit else math.inf)

    def harm(self, before: Floats | float, after: Floats | float) -> Any:
        """Return the growth of harm from before to after; negative is better.

        ``|after| - |before|`` for signed biases, ``after - before`` where lower is better, ``before - after`` where higher is.
        """
        if self.signed:
            return np.abs(after) - np.abs(before)
        return np.subtract(after, before) if self.direction == "lower" else np.subtract(before, after)

    def called(self, k: int | None) -> str:
        """Return the name as tables show it."""
        return f"{self.name}@{k}" if self.at_k else self.name


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts by group, label and prediction.

    Attributes
    ----------
    counts : ndarray (..., G, L, L), int64 or float64
        ``counts[g, y, p]`` rows of group g with label y and prediction p.
    positive : int or None
        Index of the positive label; None when none was named.
    valid : ndarray (G,), bool
        Groups with enough rows to take part in a gap.
    """

    counts: NDArray[Any]
    positive: int | None
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TopCounts:
    """Groups among the k rows with the highest score.

    Attributes
    ----------
    top : ndarray (..., G), float64
        Rows (or bootstrap weight) of each group among the top k. Rows of unknown group are in the ranking, not here.
    pool : ndarray (..., G), float64
        Rows of each group in the searched pool; broadcasts against ``top``.
    k : int
    valid : ndarray (G,), bool
    """

    top: Floats
    pool: Floats
    k: int
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and variance of a query's scores by group.

    Attributes
    ----------
    n, mean, var : ndarray (..., G), float64
        Rows (or weight), mean and population variance of the cosines.
    norm : ndarray (G,), float64
        Length of the mean of the group's unit image embeddings; NaN when not known.
    valid : ndarray (G,), bool
    """

    n: Floats
    mean: Floats
    var: Floats
    norm: Floats
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which of two texts the rows of each group are nearer to.

    Attributes
    ----------
    preferred : ndarray (..., G), float64
        Rows (or weight) of each group that are nearer to the first text; a tie counts 1/2.
    n : ndarray (..., G), float64
        Rows (or weight) of each group; broadcasts against ``preferred``.
    valid : ndarray (G,), bool
    """

    preferred: Floats
    n: Floats
    valid: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Preferences:
    """Which group's text the rows are nearest to, whoever or whatever they show.

    Attributes
    ----------
    counts : ndarray (..., G), float64
        Rows (or weight) that are nearest to the text of each group; a tie is shared out equally.
    valid : ndarray (G,), bool
        Groups whose text takes part.
    """

    counts: Floats
    valid: NDArray[np.bool_]


class Metric(ABC):
    """A metric is a descriptor and a statistic; audit and compare do the rest (intervals, nulls, pairing).

    ``statistic`` is pure and vectorised over leading axes, so that one formula serves the estimate, its bootstrap and
    its permutation null. It returns NaN where a value cannot be formed.
    """

    descriptor: ClassVar[MetricDescriptor]
    null_within_label: ClassVar[bool] = False
    """Whether "no disparity" means: group and prediction are independent *given the label* (counts metrics)."""

    @abstractmethod
    def statistic(self, evidence: Any) -> Floats:
        """Return (...) float64, or (..., G) when ``descriptor.per_group``."""

    def interval(self, evidence: Any, level: float) -> tuple[Floats, Floats] | None:
        """Return closed-form limits of the shape of :meth:`statistic`, or None where there is no closed form."""
        return None

    def counted(self, evidence: Any) -> tuple[Floats, Floats] | None:
        """Return numerator and denominator of a rate, of the shape of :meth:`statistic`, or None."""
        return None

    def behind(self, evidence: Any) -> Floats | None:
        """Return (..., G) rows that a group's value rests on, None where that is all of the group's rows.

        A true positive rate rests on positives: a group with too few of them takes part in no gap.
        """
        counted = self.counted(evidence)
        return None if counted is None else counted[1]


# ------------------------------------------------------------------------------------------------------ mitigations


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
