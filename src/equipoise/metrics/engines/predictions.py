"""From labels, predictions and scores by row to what classification metrics read, with draws and nulls.

Labels are reduced to three codes that keep every metric: y is 1 for the positive label, else 0; p is 1 for the positive
label, 0 for a right answer among the rest, 2 for a wrong one. So accuracy is the diagonal, and rates of the positive label
are those against the rest, however many labels there are.

Notation: n rows, G groups of a key, B draws, s sides (one audit, or before and after).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cells import count_codes
from equipoise.errors import InputError, listed
from equipoise.metrics.classification import GroupAuc
from equipoise.metrics.engines.ranking import Pool
from equipoise.protocols import Counts, Metric
from equipoise.stats import delong_groups, multinomial_tables, permutation_tables, row_weights
from equipoise.stats.delong import sorted_ties

CODES = 3
TRUE_FALSE = ({"0", "1"}, {"0.0", "1.0"}, {"false", "true"}, {"no", "yes"})


def positive_label(labels: Sequence[str], predictions: Sequence[str], given: str | None) -> str | None:
    """Return the positive label: the given one, or 1, true or yes where labels are such pairs, else None."""
    values = {*labels, *predictions}
    if given is not None:
        if given not in values:
            raise InputError(
                f"The positive label '{given}' occurs neither among labels nor predictions.",
                f"Labels are: {listed(sorted(values))}.",
                value=given,
            )
        return given
    for pair in TRUE_FALSE:
        if {value.lower() for value in values} <= pair:
            return next((value for value in sorted(values) if value.lower() == max(pair, key=_truth)), None)
    return None


def _truth(value: str) -> bool:
    return value in {"1", "1.0", "true", "yes"}


@dataclass(frozen=True)
class Side:
    """One set of answers for the rows of a pool.

    Attributes
    ----------
    y, p : ndarray (n,) int8
        Codes as above.
    score : ndarray (n,) float64 or None
        Larger means more positive; None where there are no scores or no positive label.
    positive : bool
        Whether a positive label is named.
    """

    y: NDArray[np.int8]
    p: NDArray[np.int8]
    score: NDArray[np.float64] | None
    positive: bool

    @classmethod
    def of(
        cls, labels: Sequence[str], predictions: Sequence[str], score: NDArray[np.float64] | None, positive: str | None
    ) -> Side:
        """Reduce texts to codes."""
        y_text, p_text = np.asarray(labels, object), np.asarray(predictions, object)
        y = (y_text == positive).astype(np.int8) if positive is not None else np.zeros(y_text.size, np.int8)
        p = np.where(p_text == y_text, 0, 2).astype(np.int8)
        if positive is not None:
            p[(y == 1) & (p == 2)] = 0
            p[p_text == positive] = 1
        return cls(y, p, score if positive is not None else None, positive is not None)


def tables(pool: Pool, key: str, sides: Sequence[Side]) -> NDArray[np.int64]:
    """Return counts (G, 3, 3 [, 3]): group, label, prediction of each side in turn."""
    codes = [pool.codes[key], sides[0].y, *(side.p for side in sides)]
    return count_codes(*codes, shape=(pool.sizes[key], *(CODES,) * (len(sides) + 1)))


def draw_tables(pool: Pool, key: str, sides: Sequence[Side], draws: int, seed: int) -> NDArray[np.int64]:
    """Return bootstrap draws (B, G, 3, 3 [, 3]): tables are drawn, or whole clusters of rows where there are any."""
    whole = tables(pool, key, sides)
    if pool.clusters is None:
        return multinomial_tables(whole, draws, seed)
    cell = pool.codes[key].astype(np.int64)
    for part in (sides[0].y, *(side.p for side in sides)):
        cell = np.where(cell < 0, -1, cell * CODES + part)
    known = cell >= 0
    out = np.empty((draws, whole.size))
    for b in range(draws):
        weights = row_weights(pool.n, b, seed, pool.clusters)
        out[b] = np.bincount(cell[known], weights[known], whole.size)
    return out.astype(np.int64).reshape((draws, *whole.shape))


def counts_of(table: NDArray[Any], side: Side, valid: NDArray[np.bool_]) -> Counts:
    """Return tables as evidence."""
    return Counts(table, 1 if side.positive else None, valid)


def taking_part(metric: Metric, evidence: Any, minimum: int) -> NDArray[np.bool_]:
    """Return (G,) which groups have enough rows behind the value itself, as positives behind a true positive rate."""
    behind = metric.behind(evidence)
    valid = np.asarray(evidence.valid, bool)
    return valid if behind is None else valid & (np.asarray(behind) >= minimum)


SAME = "every group has one label: a difference in selection is the task itself"


def is_the_task(metric: Metric, table: NDArray[Any], valid: NDArray[np.bool_]) -> bool:
    """Return whether the groups of an attribute determine the label, so that equal selection would mean to be wrong.

    ``table`` is (G, 3, ...), counts by group and label. Only gaps of the selection rate are concerned.
    """
    if metric.descriptor.sides != "selection_rate" or not valid.any():
        return False
    labels = table.reshape(table.shape[0], table.shape[1], -1).sum(-1)[valid] > 0
    return bool((labels.sum(1) == 1).all() and labels.any(0).sum() > 1)


def left_out(groups: Sequence[str], valid: NDArray[np.bool_], minimum: int) -> str:
    """Return the reason that names the groups that take part in no gap, empty where all do."""
    small = [group for group, enough in zip(groups, valid, strict=True) if not enough]
    return f"left out, fewer than {minimum} rows behind it: {listed(small, 5)}" if small else ""


def null_counts(table: NDArray[np.int64], metric: Metric, draws: int, seed: int) -> NDArray[np.int64]:
    """Return tables (draws, G, 3, 3) with group labels shuffled: within each label where the metric conditions on it."""
    groups = table.shape[0]
    if metric.null_within_label:
        drawn = permutation_tables(np.swapaxes(table, 0, 1), draws, seed)
        return np.swapaxes(drawn, 1, 2)
    drawn = permutation_tables(table.reshape(groups, -1), draws, seed)
    return drawn.reshape((draws, *table.shape))


def aucs(pool: Pool, key: str, sides: Sequence[Side]) -> tuple[list[GroupAuc], NDArray[np.float64]]:
    """Return each side's areas by group, and their covariances (G, s, s) by DeLong (1988)."""
    known = pool.codes[key] >= 0
    scores = np.stack([side.score for side in sides if side.score is not None])[:, known]
    label = sides[0].y[known] == 1
    area, cov, positives, negatives = delong_groups(scores, label, pool.codes[key][known], pool.sizes[key])
    valid = pool.valid[key]
    found = [GroupAuc(area[:, i], positives, negatives, valid, cov[:, i, i]) for i in range(len(sides))]
    return found, cov


def draw_aucs(pool: Pool, key: str, sides: Sequence[Side], draws: int, seed: int) -> list[GroupAuc]:
    """Return draws (B, G) of each side's areas: normal draws from DeLong's covariance, or resampled clusters."""
    found, cov = aucs(pool, key, sides)
    if pool.clusters is not None:
        return [
            GroupAuc(_clustered(pool, key, side, draws, seed), one.n_pos, one.n_neg, one.valid)
            for side, one in zip(sides, found, strict=True)
        ]
    rng = np.random.default_rng([seed, 31])
    noise = rng.standard_normal((draws, cov.shape[0], len(sides)))
    values, vectors = np.linalg.eigh(np.nan_to_num(cov))
    root = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    moved = np.einsum("gij,bgj->bgi", root, noise)
    return [
        GroupAuc(np.clip(one.auc + moved[:, :, i], 0.0, 1.0), one.n_pos, one.n_neg, one.valid)
        for i, one in enumerate(found)
    ]


def _clustered(pool: Pool, key: str, side: Side, draws: int, seed: int) -> NDArray[np.float64]:
    """Areas (B, G) when clusters are resampled whole; ties count half."""
    assert side.score is not None
    order, ties = sorted_ties(side.score)
    groups, code, label = pool.sizes[key], pool.codes[key][order], side.y[order] == 1
    members = [np.flatnonzero(code == g) for g in range(groups)]
    out = np.full((draws, groups), np.nan)
    for b in range(draws):
        weights = row_weights(pool.n, b, seed, pool.clusters)[order].astype(np.float64)
        for g, rows in enumerate(members):
            if rows.size == 0:
                continue
            block = np.unique(ties[rows], return_inverse=True)[1]
            pos = np.bincount(block, weights[rows] * label[rows])
            neg = np.bincount(block, weights[rows] * ~label[rows])
            whole = pos.sum() * neg.sum()
            if whole > 0:
                out[b, g] = (pos * (np.cumsum(neg) - neg / 2)).sum() / whole
    return out
