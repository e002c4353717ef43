"""What a metric promises, and what its statistic is computed from.

Notation: Q queries, G groups of an attribute, L labels; ``...`` stands for leading axes that a statistic carries along
(bootstrap draws, permutations, queries).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]


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
