"""The estimates of an audit of data: every key under every arm, from sums over cells that are formed slab by slab."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from equipoise.data.cell_groups import FLAG_GROUPS, Grouped, group_names, grouped, label_bits, parts_of, slabs
from equipoise.data.groups import SEPARATOR
from equipoise.metrics.balance_data import GROUP_METRICS, WEIGHT_METRICS, GroupSums, WeightSums
from equipoise.metrics.engines.rows import EstimateRows
from equipoise.store.cell_evidence import CellEvidence

DATA, PROXIES, PAIRS, EXEMPT = "data", "proxies", "pairs", "exempt"
"""Families of rows: labels, proxies of labels, pairs of attributes, and what was left out of a balance."""


ROUNDING = 1e-12
"""Smaller numbers are 0: sums of float64 leave no less."""


class Wanted(Protocol):
    """What is balanced: as :class:`equipoise.mitigate.data.targets.Targets`."""

    keys: tuple[str, ...]
    columns: tuple[str, ...]
    attributes: tuple[str, ...]
    values: tuple[str, ...]
    shares: tuple[float, ...]
    labels: tuple[str, ...]
    proxies: tuple[bool, ...]
    label_shares: dict[tuple[str, str], float]
    groups: dict[str, tuple[str, ...]]
    pairings: str
    mask: str


class CellMeasures:
    """Measures all keys under all arms, slab by slab."""

    def __init__(
        self,
        evidence: CellEvidence,
        keys: tuple[str, ...],
        labels: tuple[str, ...],
        proxy: Mapping[str, bool],
        targets: Wanted | None,
        seed: int,
        exempt: Collection[tuple[str, str]] = (),
    ) -> None:
        self.cells, self.layout = evidence.cells, evidence.cells.layout
        self.bits = self.cells.bits()
        self.counts = self.cells.counts.astype(np.float64)
        self.arms = list(evidence.weights)
        self.mass = np.stack([self.counts, *(self.counts * w for w in evidence.weights.values())])
        self.keys, self.labels, self.proxy, self.targets = keys, labels, proxy, targets
        self.exempt = frozenset(exempt)
        self.modalities = ("", "")
        if targets is not None and targets.pairings != "any":
            self.modalities = tuple(targets.pairings.split("-"))
        self.names = {key: self._names(key) for key in keys}
        self.weights = evidence.weights
        self.sums: dict[str, GroupSums] = {}
        self.rows = EstimateRows(seed=seed, status="exact")

    # ---------------------------------------------------------------------------------------------------- measuring

    def measure(self) -> None:
        """Fill the table."""
        for key in self.keys:
            own = [label for label in self.labels if self._is_label_of(key, label)]
            sums = self.sums[key] = self._group_sums(key, own)
            self._key(key, sums, own)
        single = [key for key in self.keys if len(parts_of(self.layout, key)) == 1]
        of_labels = {label.partition("=")[0] for label in self.labels}
        for one, two in combinations(single, 2):
            if two not in of_labels and one not in of_labels:
                self._pair(one, two)
        self._everybody()

    def _is_label_of(self, key: str, label: str) -> bool:
        """Return whether a label can depend on a key: it is not one of its own values, unless that was asked for."""
        wanted = self.targets is not None and key in self.targets.keys
        return wanted or label.partition("=")[0] not in parts_of(self.layout, key)

    def _key(self, key: str, sums: GroupSums, labels: Sequence[str]) -> None:
        n = round(float(sums.rows[:, -1].sum()))
        common = {"attribute": key, "n": n}
        every = len(labels)
        self._arms("rb", sums, **common, family=self._family(key, ""))
        for family, chosen in self._families(labels, key):
            part = _labels(sums, [*chosen, every])
            self._arms("ab", part, **common, family=family)
            self._arms("share_error", part, **common, family=family)
        for metric in ("share", "share_deviation", "retention"):
            self._groups(metric, key, sums, every, "", DATA)
        targeted = self.targets is not None and key in self.targets.keys
        for column, label in enumerate(labels):
            family = self._family(key, label)
            self._main("ab", sums.only(column), **common, family=family, query=label)
            if targeted:
                for metric in ("share", "share_deviation", "retention"):
                    self._groups(metric, key, sums, column, label, family)

    def labels_of(self, key: str, family: str) -> list[str]:
        """Return the labels whose dependence on a key one family of rows is about."""
        own = [label for label in self.labels if self._is_label_of(key, label)]
        return [own[place] for name, chosen in self._families(own, key) if name == family for place in chosen]

    def _family(self, key: str, label: str) -> str:
        """Return the family of a label's rows under a key (no key: whatever was balanced)."""
        return EXEMPT if (key, label) in self.exempt else PROXIES if label in self.proxy else DATA

    def _families(self, labels: Sequence[str], key: str = "") -> Iterable[tuple[str, list[int]]]:
        of = [self._family(key, label) for label in labels]
        for family in (DATA, PROXIES, EXEMPT):
            if chosen := [i for i, own in enumerate(of) if own == family]:
                yield family, chosen

    def _pair(self, one: str, two: str) -> None:
        """Measure how much the groups of one attribute depend on those of another."""
        names = self.names[two]
        other = self._grouped(two, slice(None))
        sums = self._sums(one, other.member.astype(bool), len(names))
        common = {"attribute": f"{one}:{two}", "n": round(float(sums.rows[:, -1].sum())), "family": PAIRS}
        self._arms("ab", sums, **common)
        for column, name in enumerate(names):
            self._main("ab", sums.only(column), **common, query=f"{two}={name}")

    def _everybody(self) -> None:
        by_label = np.zeros((len(self.mass), len(self.labels)))
        for rows in slabs(len(self.cells)):
            by_label += self.mass[:, rows] @ self._label_matrix(self.labels, rows)
        before, after = by_label[0], by_label[1:]
        total, kept = self.mass[0].sum(), self.mass[1:].sum(1)
        squares = np.array([mass @ w for mass, w in zip(self.mass[1:], self.weights.values(), strict=True)])
        top = np.array([w.max() for w in self.weights.values()])
        sums = WeightSums(total, kept, squares, top, before, after)
        n = self.cells.total
        everyone = GroupSums(
            np.concatenate([after, kept[:, None]], 1)[:, None], np.concatenate([after, kept[:, None]], 1),
            np.append(before, total)[None], np.full((1, before.size + 1), np.nan), np.ones(1, bool),
        )  # fmt: skip
        self._arms("retention", everyone.only(-1), family=DATA, n=n)
        for metric in ("ess", "max_weight"):
            self._arms(metric, sums, family=DATA, n=n)
        for family, chosen in self._families(self.labels):
            part = WeightSums(total, kept, squares, top, before[chosen], after[:, chosen])
            self._arms("prevalence_factor", part, family=family, n=n)
            for column in chosen:
                cells = {"family": family, "query": self.labels[column]}
                rows = round(float(before[column]))
                self._main("retention", everyone.only(column), **cells, n=rows)
                self._main("prevalence", sums.only(column), **cells, n=n)
                self._main("prevalence_factor", sums.only(column), **cells, n=rows)

    # ------------------------------------------------------------------------------------------------------- sums

    def _group_sums(self, key: str, labels: Sequence[str]) -> GroupSums:
        return self._sums(key, None, len(labels), labels)

    def _sums(self, key: str, given: NDArray[np.bool_] | None, size: int, labels: Sequence[str] = ()) -> GroupSums:
        """Sum counts and weights by group and label; labels are columns of the layout, or given as (C, L)."""
        names = self.names[key]
        group = np.zeros((len(self.mass), len(names), size + 1))
        inside = np.zeros((len(self.mass), size + 1))
        for rows in slabs(len(self.cells)):
            own = self._grouped(key, rows)
            y = self._label_matrix(labels, rows) if given is None else given[rows].astype(np.float64)
            y = np.hstack([y, np.ones((len(y), 1))])
            for arm, mass in enumerate(self.mass):
                group[arm] += (own.member * mass[rows, None]).T @ y
                inside[arm] += (own.inside * mass[rows]) @ y
        wanted = self._wanted(key, names, labels if given is None else ("",) * size)
        return GroupSums(group[1:], inside[1:], group[0], wanted, np.ones(len(names), bool))

    def _grouped(self, key: str, rows: slice) -> Grouped:
        masked = self.targets is None or key not in self.targets.keys or self.targets.mask == "auto"
        return grouped(self.bits[rows], self.layout, key, self.names[key], self.modalities[0], masked=masked)

    def _label_matrix(self, labels: Sequence[str], rows: slice) -> NDArray[np.float64]:
        bits = self.bits[rows]
        columns = [label_bits(bits, self.layout, label, self.modalities[1]) for label in labels]
        return np.column_stack(columns).astype(np.float64) if columns else np.zeros((len(bits), 0))

    def _names(self, key: str) -> tuple[str, ...]:
        if self.targets is not None and key in self.targets.groups:
            own = self.targets.groups[key]
            return FLAG_GROUPS if own == ("",) else own
        parts = parts_of(self.layout, key)
        if len(parts) > 1:  # of an attribute that is balanced the same groups take part here
            return tuple(SEPARATOR.join(names) for names in product(*map(self._names, parts)))
        return group_names(self.layout, key)

    def _wanted(self, key: str, names: tuple[str, ...], labels: Sequence[str]) -> NDArray[np.float64]:
        """Return (G, R) wanted shares: those of the targets, else equal ones."""
        found = np.full((len(names), len(labels) + 1), 1 / len(names))
        targets = self.targets
        if targets is None or key not in targets.keys:
            return found
        named = []
        for column, attribute, value, share in zip(
            targets.columns, targets.attributes, targets.values, targets.shares, strict=True
        ):
            if attribute != key:
                continue
            place = names.index(value or FLAG_GROUPS[0])
            found[place] = share
            named.append(place)
            for (name, label), inside in targets.label_shares.items():
                if name == column and label in labels:
                    found[place, list(labels).index(label)] = inside
        if len(names) == 2 and len(named) == 1:
            found[1 - named[0]] = 1 - found[named[0]]
        return found

    # ------------------------------------------------------------------------------------------------------- rows

    def _arms(self, metric: str, sums: GroupSums | WeightSums, **cells: Any) -> None:
        values = np.asarray(_metric(metric).statistic(sums)).reshape(len(self.arms), -1)[:, 0]
        self._add(metric, values, arm=self.arms, **cells)

    def _main(self, metric: str, sums: GroupSums | WeightSums, **cells: Any) -> None:
        self._add(metric, np.asarray(_metric(metric).statistic(sums)).reshape(len(self.arms), -1)[0, 0], **cells)

    def _groups(self, metric: str, key: str, sums: GroupSums, column: int, query: str, family: str) -> None:
        part = sums.only(column)
        found, counted = _metric(metric), _metric(metric).counted(part)
        top, bottom = (np.nan, np.nan) if counted is None else (counted[0][0], counted[1][0])
        self._add(
            metric, found.statistic(part)[0], attribute=key, group=list(self.names[key]), query=query, family=family,
            n=np.rint(part.rows[:, 0]).astype(np.int64), numerator=top, denominator=bottom,
            null_value=part.wanted[:, 0] if metric == "share" else np.nan,
        )  # fmt: skip

    def _add(self, metric: str, value: Any, **cells: Any) -> None:
        descriptor = _metric(metric).descriptor
        value = np.where(np.abs(value) < ROUNDING, 0.0, value)
        missing = "" if np.isfinite(value).all() else np.where(np.isfinite(value), "", "no row to measure it on")
        self.rows.add(
            metric=metric, protocol=descriptor.protocol, value=value, low=value, high=value, reason=missing, **cells
        )

    # --------------------------------------------------------------------------------------------------- document

    def wanted_shares(self) -> dict[str, dict[str, float]]:
        """Return the wanted share of each group, and of those labels that have their own."""
        found: dict[str, dict[str, float]] = {}
        for key in self.keys:
            own = self._wanted(key, self.names[key], self.labels)
            found[key] = dict(zip(self.names[key], own[:, -1].tolist(), strict=True))
            for column, label in enumerate(self.labels):
                if (own[:, column] != own[:, -1]).any():
                    found[f"{key} | {label}"] = dict(zip(self.names[key], own[:, column].tolist(), strict=True))
        return found

    def outside(self) -> dict[str, int]:
        """Return by key how many rows have none of its groups."""
        return {key: self.cells.total - round(float(sums.rows[:, -1].sum())) for key, sums in self.sums.items()}


def _metric(name: str) -> Any:
    return GROUP_METRICS.get(name) or WEIGHT_METRICS[name]


def _labels(sums: GroupSums, columns: Sequence[int]) -> GroupSums:
    chosen = list(columns)
    return GroupSums(
        sums.group[..., chosen], sums.inside[..., chosen], sums.rows[:, chosen], sums.wanted[:, chosen], sums.valid
    )
