"""From scores to preferences between words: which queries stand against each other, evidence, draws and nulls.

Notation: n rows, P pairs (or sets of words), G groups, B draws. ``hits`` (P, n) are 1 where a row is nearer to the
first text of a pair, 1/2 at a tie, else 0; ``nearest`` (P, n, G) shares each row among the texts of a set that it is
nearest to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from equipoise.data.queries import EXPLICIT, Query
from equipoise.metrics.engines.clusters import Dealer
from equipoise.protocols import Pairs, Preferences
from equipoise.stats import permutation_tables, row_weights

MOST_PATTERNS = 4096
AT_ONCE = 1 << 24
"""Random signs that are held at a time."""


@dataclass(frozen=True)
class WordPair:
    """Two queries of one family with one label, which no other query of the family has.

    Attributes
    ----------
    family, label : str
    first, second : int
        Numbers of the queries; the preference for the first is counted.
    """

    family: str
    label: str
    first: int
    second: int


@dataclass(frozen=True)
class WordSet:
    """Queries that name different groups of one attribute and share a label.

    Attributes
    ----------
    attribute, label : str
    groups : tuple of str
    members : tuple of int
        Number of the query of each group.
    """

    attribute: str
    label: str
    groups: tuple[str, ...]
    members: tuple[int, ...]


def word_pairs(queries: Sequence[Query]) -> tuple[WordPair, ...]:
    """Return the pairs among the queries that name no group, in order of appearance."""
    found: dict[tuple[str, str], list[int]] = {}
    for number, query in enumerate(queries):
        if query.label and query.family != EXPLICIT:
            found.setdefault((query.family, query.label), []).append(number)
    return tuple(WordPair(family, label, *numbers) for (family, label), numbers in found.items() if len(numbers) == 2)


def word_sets(queries: Sequence[Query]) -> dict[str, tuple[WordSet, ...]]:
    """Return, by attribute, the sets of words for its groups: those that name the same groups as its first set."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    twice = set()
    for number, query in enumerate(queries):
        attribute, sign, group = query.explicit.partition("=")
        if sign and query.label:
            named = found.setdefault((attribute, query.label), {})
            twice |= {(attribute, query.label)} if group in named else set()
            named[group] = number
    sets: dict[str, tuple[WordSet, ...]] = {}
    for (attribute, label), named in found.items():
        if len(named) < 2 or (attribute, label) in twice:
            continue
        groups = sets[attribute][0].groups if attribute in sets else tuple(named)
        if set(named) == set(groups):
            one = WordSet(attribute, label, groups, tuple(named[group] for group in groups))
            sets[attribute] = (*sets.get(attribute, ()), one)
    return sets


def hits_of(scores: NDArray[np.floating], pairs: Sequence[WordPair]) -> NDArray[np.float32]:
    """Return ``hits`` (P, n) from scores (Q, n)."""
    return preferred(scores[[pair.first for pair in pairs]], scores[[pair.second for pair in pairs]])


def preferred(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return 1 where the first score is the higher, 1/2 at a tie, else 0."""
    return ((first > second) + 0.5 * (first == second)).astype(np.float32)


def nearest_of(scores: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return ``nearest`` (..., n, G) from scores (..., G, n)."""
    best = np.swapaxes(scores == scores.max(-2, keepdims=True), -1, -2).astype(np.float32)
    return best / best.sum(-1, keepdims=True)


def pairs_of(hits: NDArray[np.float32], code: NDArray[np.integer], valid: NDArray[np.bool_]) -> Pairs:
    """Return the evidence of all rows, (P, G); rows of unknown group (-1) are left out."""
    member = _member(code, valid.size)
    return Pairs(hits.astype(np.float64) @ member, member.sum(0), valid)


def pair_draws(
    hits: NDArray[np.float32], code: NDArray[np.integer], valid: NDArray[np.bool_], draws: int, seed: int,
    clusters: NDArray[np.integer] | None,
) -> Pairs:  # fmt: skip
    """Return bootstrap draws (B, P, G); draw b resamples the same rows whatever the hits are, so arms are paired."""
    member, exact = _member(code, valid.size), hits.astype(np.float64)
    found, n = np.empty((draws, hits.shape[0], valid.size)), np.empty((draws, 1, valid.size))
    for b in range(draws):
        weights = member * row_weights(member.shape[0], b, seed, clusters)[:, None]
        found[b], n[b, 0] = exact @ weights, weights.sum(0)
    return Pairs(found, n, valid)


def pair_null(
    hits: NDArray[np.float32], code: NDArray[np.integer], valid: NDArray[np.bool_], draws: int, seed: int,
    clusters: NDArray[np.integer] | None = None,
) -> Pairs:  # fmt: skip
    """Return (B, P, G) with the group labels of the known rows shuffled over them, in whole clusters where there are.

    Without clusters the rows are exchangeable within a pattern of preferences, so the table of groups by patterns is
    drawn (exact: multivariate hypergeometric); with very many patterns, or clusters, labels are shuffled.
    """
    known = code >= 0
    own, exact = code[known].astype(np.int64), hits[:, known].astype(np.float64)
    n = np.bincount(own, minlength=valid.size).astype(np.float64)
    patterns, pattern = np.unique(exact.T, axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    if clusters is None and patterns.shape[0] <= MOST_PATTERNS:
        table = np.bincount(own * patterns.shape[0] + pattern, minlength=valid.size * patterns.shape[0])
        drawn = permutation_tables(table.reshape(valid.size, -1), draws, np.random.default_rng([seed, 18]))
        return Pairs(np.swapaxes(drawn @ patterns, 1, 2), n, valid)
    rng = np.random.default_rng([seed, 18])
    dealer = None if clusters is None else Dealer(clusters[known], own)
    found = np.empty((draws, hits.shape[0], valid.size))
    for b in range(draws):
        found[b] = exact @ _member(rng.permutation(own) if dealer is None else dealer.deal(rng), valid.size)
    return Pairs(found, n, valid)


def preferences_of(nearest: NDArray[np.float32]) -> Preferences:
    """Return the evidence of all rows, (P, G)."""
    return Preferences(nearest.sum(1, dtype=np.float64), np.ones(nearest.shape[-1], bool))


def preference_draws(
    nearest: NDArray[np.float32], draws: int, seed: int, clusters: NDArray[np.integer] | None
) -> Preferences:
    """Return bootstrap draws (B, P, G), of the same rows as :func:`pair_draws`."""
    p, n, groups = nearest.shape
    flat = np.swapaxes(nearest, 0, 1).reshape(n, -1).astype(np.float64)
    found = np.stack([row_weights(n, b, seed, clusters) @ flat for b in range(draws)])
    return Preferences(found.reshape(draws, p, groups), np.ones(groups, bool))


def preference_null(
    nearest: NDArray[np.float32], draws: int, seed: int, clusters: NDArray[np.integer] | None = None
) -> Preferences:
    """Return (B, P, G) with the words exchanged at random on each row (or cluster), in all sets of words alike.

    That is "no preference" between words that are strangers to the picture; sets stay as dependent as they are.
    """
    p, n, groups = nearest.shape
    rng = np.random.default_rng([seed, 19])
    if clusters is not None:
        units = int(clusters.max()) + 1
        summed = np.zeros((units, p, groups))
        np.add.at(summed, np.asarray(clusters, np.intp), np.swapaxes(nearest, 0, 1))
        summed = np.swapaxes(summed, 0, 1)
    else:
        units, summed = n, nearest.astype(np.float64)
    found = np.empty((draws, p, groups))
    if groups == 2:
        lean = (summed[..., 0] - summed[..., 1]) / 2
        for start in range(0, draws, step := max(1, AT_ONCE // max(units, 1))):
            here = slice(start, min(start + step, draws))
            signs = rng.integers(0, 2, (here.stop - here.start, units), dtype=np.int8) * 2.0 - 1.0
            found[here, :, 0] = n / 2 + signs @ lean.T
        found[..., 1] = n - found[..., 0]
    else:
        for b in range(draws):
            order = rng.random((units, groups)).argsort(-1)
            found[b] = np.take_along_axis(summed, order[None], -1).sum(1)
    return Preferences(found, np.ones(groups, bool))


def _member(code: NDArray[np.integer], groups: int) -> NDArray[np.float64]:
    """Return the 0/1 matrix (n, G) of the rows' groups; a row of unknown group belongs to none."""
    return (np.asarray(code)[:, None] == np.arange(groups)).astype(np.float64)
