"""Seeded evidence of every kind for contract checks of metrics, and what may be done to it without moving a number.

Each kind has a disparity that can be dialled (0 is none: all groups alike), and most have a quality (1 is good, 0 is
poor), so that a check knows which of two pieces of evidence is the more harmful.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError
from equipoise.metrics.balance_data import GroupSums, WeightSums
from equipoise.metrics.classification import GroupAuc
from equipoise.metrics.retrieval import Ranks
from equipoise.protocols import Counts, Moments, Pairs, Preferences, TopCounts

GROUPS, LABELS, POOL, TOP = 5, 3, 4000, 400
GROUP_FIELDS = {
    Counts: {"counts": -3, "valid": -1},
    TopCounts: {"top": -1, "pool": -1, "valid": -1},
    Moments: {"n": -1, "mean": -1, "var": -1, "norm": -1, "valid": -1},
    Pairs: {"preferred": -1, "n": -1, "valid": -1},
    Preferences: {"counts": -1, "valid": -1},
    GroupAuc: {"auc": -1, "n_pos": -1, "n_neg": -1, "var": -1, "valid": -1},
    GroupSums: {"group": -2, "rows": -2, "wanted": -2, "valid": -1},
}
"""Axis of the groups in each field."""


def make(kind: str, lead: tuple[int, ...] = (), *, disparity: float = 1.0, quality: float = 0.5, seed: int = 0) -> Any:
    """Return evidence of a kind with leading axes ``lead``; with ``disparity`` 0 all groups are exactly alike."""
    rng = np.random.default_rng([seed, len(lead)])
    lean = disparity * np.linspace(-1.0, 1.0, GROUPS)
    jitter = disparity * rng.uniform(-0.3, 0.3, (*lead, GROUPS)) + lean
    valid = np.ones(GROUPS, dtype=bool)
    if kind == "counts":
        return Counts(_counts(jitter, quality), 1, valid)
    if kind == "top":
        pool = np.full(GROUPS, POOL / GROUPS)
        weights = np.exp(0.6 * jitter)
        top = np.floor(TOP * weights / weights.sum(-1, keepdims=True))
        return TopCounts(top, pool, int(top.sum(-1).max()), valid)
    if kind == "moments":
        n = np.full((*lead, GROUPS), 200.0)
        return Moments(n, 0.2 + 0.02 * jitter, np.full(n.shape, 0.03**2), np.full(GROUPS, 0.7), valid)
    if kind == "pairs":
        n = np.full(GROUPS, POOL / GROUPS)
        return Pairs(np.rint(n * (0.5 + 0.25 * jitter)), n, valid)
    if kind == "preferences":
        return Preferences(np.rint(POOL / GROUPS * np.exp(0.6 * jitter)), valid)
    if kind == "auc":
        auc = 0.6 + 0.25 * quality + 0.06 * jitter
        ones = np.ones(auc.shape)
        return GroupAuc(auc, 100 * ones, 150 * ones, valid, auc * (1 - auc) / 100)
    if kind == "paired":
        return np.clip(0.4 + 0.5 * quality + 0.1 * rng.uniform(-1, 1, (*lead, 12)), 0.0, 1.0)
    if kind == "ranks":
        return Ranks(rng.permuted(np.tile(np.arange(60), (*lead, 1)), axis=-1), 5 + int(40 * quality))
    if kind == "cells":
        return _group_sums(jitter, quality, valid)
    if kind == "weights":
        return _weight_sums(700 + 100 * rng.uniform(0, 1, lead), quality)
    raise InputError(
        f"There is no evidence of kind '{kind}'.", "See MetricDescriptor.evidence for the kinds.", value=kind
    )


def _counts(jitter: NDArray[np.float64], quality: float) -> NDArray[np.int64]:
    """Return counts (..., G, L, L), a share right in each label that grows with quality and with a group's lean."""
    rows = np.array([200, 240, 160])
    right = np.clip(0.35 + 0.5 * quality + 0.1 * jitter, 0.02, 0.98)[..., None]
    hits = np.rint(rows * right).astype(np.int64)
    missed = rows - hits
    counts = np.zeros((*jitter.shape, LABELS, LABELS), dtype=np.int64)
    for label in range(LABELS):
        one, two = (label + 1) % LABELS, (label + 2) % LABELS
        counts[..., label, label] = hits[..., label]
        # positives are missed more often than alarms are false: good models select more
        counts[..., label, one] = missed[..., label] if one != 1 else missed[..., label] // 4
        counts[..., label, two] = missed[..., label] - counts[..., label, one]
    return counts


def _group_sums(jitter: NDArray[np.float64], quality: float, valid: NDArray[np.bool_]) -> GroupSums:
    """Return groups of equal size in every label, kept the more the greater the quality and a group's lean."""
    rows = np.tile([200.0, 240.0, 160.0, 1000.0], (GROUPS, 1))
    kept = (0.3 + 0.5 * quality) * (1 + 0.2 * jitter[..., None] * np.array([1.0, 0.5, 2.0, 0.2]))
    group = rows * kept
    return GroupSums(group, group.sum(-2), rows, np.full(rows.shape, 1 / GROUPS), valid)


def _weight_sums(kept: NDArray[np.float64], quality: float) -> WeightSums:
    """Return weights that are the more uneven, and a third label that is the rarer, the poorer the quality."""
    mean, poor = kept / 1000.0, 1 - quality
    before = np.array([100.0, 200.0, 50.0])
    after = mean[..., None] * before * np.array([1.0, 1.0, 1 - 0.4 * poor])
    return WeightSums(np.asarray(1000.0), kept, kept * mean * (1.1 + poor), mean * (1.5 + poor), before, after)


def permuted(evidence: Any, order: NDArray[np.intp]) -> Any:
    """Return evidence with its groups in another order; evidence without groups comes back as it is."""
    axes = GROUP_FIELDS.get(type(evidence), {})
    parts = {name: getattr(evidence, name) for name in axes}
    return (
        replace(
            evidence, **{name: np.take(part, order, axes[name]) for name, part in parts.items() if part is not None}
        )
        if axes
        else evidence
    )


def with_valid(evidence: Any, valid: NDArray[np.bool_]) -> Any:
    """Return evidence in which only some groups take part."""
    return replace(evidence, valid=valid)


def relabelled(evidence: Counts, order: NDArray[np.intp]) -> Counts:
    """Return counts with their labels in another order, the positive one following."""
    positive = None if evidence.positive is None else int(np.flatnonzero(order == evidence.positive)[0])
    return replace(evidence, counts=evidence.counts[..., order, :][..., order], positive=positive)


def scaled(evidence: Any, factor: int) -> Any:
    """Return evidence of ``factor`` times as many rows in the same proportions, None where that means nothing."""
    if isinstance(evidence, Counts):
        return replace(evidence, counts=evidence.counts * factor)
    if isinstance(evidence, TopCounts):
        return replace(evidence, top=evidence.top * factor, pool=evidence.pool * factor, k=evidence.k * factor)
    if isinstance(evidence, Pairs):
        names = ("preferred", "n")
    elif isinstance(evidence, Preferences):
        names = ("counts",)
    elif isinstance(evidence, GroupSums):
        names = ("group", "inside", "rows")
    elif isinstance(evidence, WeightSums):
        names = ("rows", "kept", "squares", "before", "after")
    else:
        return None
    return replace(evidence, **{name: getattr(evidence, name) * factor for name in names})


def disturbed(evidence: Any, group: int) -> Any:
    """Return evidence in which one group is quite another, shares of a ranking's groups excepted (they sum to 1)."""
    if isinstance(evidence, TopCounts) or type(evidence) not in GROUP_FIELDS:
        return None
    names = {Counts: "counts", Moments: "mean", GroupAuc: "auc", GroupSums: "group"}
    name = (names | {Pairs: "preferred", Preferences: "counts"})[type(evidence)]
    part = np.array(getattr(evidence, name))
    place = [slice(None)] * part.ndim
    place[GROUP_FIELDS[type(evidence)][name]] = slice(group, group + 1)
    cells = part[tuple(place)]
    if isinstance(evidence, Counts):  # every row predicted positive: the extreme of each rate
        part[tuple(place)] = cells.sum(-1, keepdims=True) * (np.arange(LABELS) == 1)
    else:
        part[tuple(place)] = cells / 2
    if isinstance(evidence, GroupSums):
        return replace(evidence, group=part, inside=part.sum(-2))
    return replace(evidence, **{name: part})


def emptied(evidence: Any) -> Any:
    """Return evidence without rows, None where that means nothing."""
    if isinstance(evidence, Counts):
        return replace(evidence, counts=np.zeros_like(evidence.counts))
    if isinstance(evidence, TopCounts):
        return replace(evidence, top=np.zeros_like(evidence.top), pool=np.zeros_like(evidence.pool))
    if isinstance(evidence, Moments):
        return replace(evidence, n=np.zeros_like(evidence.n), mean=np.full_like(evidence.mean, np.nan))
    if isinstance(evidence, Pairs):
        return replace(evidence, preferred=np.zeros_like(evidence.preferred), n=np.zeros_like(evidence.n))
    if isinstance(evidence, Preferences):
        return replace(evidence, counts=np.zeros_like(evidence.counts))
    if isinstance(evidence, GroupAuc):
        nothing = np.zeros_like(evidence.n_pos)
        return replace(evidence, auc=np.full_like(evidence.auc, np.nan), n_pos=nothing, n_neg=nothing, var=None)
    if isinstance(evidence, (GroupSums, WeightSums)):
        return scaled(evidence, 0)
    return None


def at(evidence: Any, place: tuple[int, ...]) -> Any:
    """Return one element of the leading axes."""
    lead = {Counts: ("counts",), TopCounts: ("top",), Moments: ("n", "mean", "var"), Ranks: ("ranks",)}
    lead |= {GroupAuc: ("auc", "n_pos", "n_neg", "var"), Pairs: ("preferred",), Preferences: ("counts",)}
    lead |= {GroupSums: ("group", "inside"), WeightSums: ("kept", "squares", "largest", "after")}
    if not is_dataclass(evidence):
        return evidence[place]
    return replace(evidence, **{name: getattr(evidence, name)[place] for name in lead[type(evidence)]})  # type: ignore[arg-type]


def arrays(evidence: Any) -> list[NDArray[Any]]:
    """Return the arrays of evidence."""
    if isinstance(evidence, np.ndarray):
        return [evidence]
    parts = [getattr(evidence, field.name) for field in fields(evidence)]
    return [part for part in parts if isinstance(part, np.ndarray)]
