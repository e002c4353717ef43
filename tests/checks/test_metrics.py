"""Every metric of ours keeps its contract, and the checks see each way of breaking it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from equipoise.checks import CheckFailed
from equipoise.checks.metrics import CHECKS, check_metric
from equipoise.metrics import all_metrics
from equipoise.metrics.classification import Accuracy, SelectionRate, SelectionRateGap
from equipoise.metrics.retrieval import MaxSkew, MinSkew
from equipoise.protocols import Metric


@pytest.mark.parametrize("name", all_metrics())
def test_our_metrics_keep_their_contract(name):
    assert check_metric(all_metrics()[name]) == tuple(CHECKS)


def test_a_class_will_do():
    assert check_metric(SelectionRateGap) == tuple(CHECKS)


class LastQuery(SelectionRateGap):
    """Takes the last of the leading axis, as a list filled outside its loop does."""

    def statistic(self, evidence):
        return np.broadcast_to(np.ravel(super().statistic(evidence))[-1], evidence.counts.shape[:-3]).copy()


class FirstGroup(SelectionRateGap):
    def statistic(self, evidence):
        rates = SelectionRate().statistic(evidence)
        return np.abs(rates[..., 0] - rates[..., 1])


class CountsAll(SelectionRateGap):
    """Forgets which groups take part."""

    def statistic(self, evidence):
        return super().statistic(replace(evidence, valid=np.ones_like(evidence.valid)))


class ZeroForNothing(SelectionRateGap):
    def statistic(self, evidence):
        return np.nan_to_num(super().statistic(evidence))


class FirstLabel(Accuracy):
    @staticmethod
    def cells(evidence):
        counts = np.asarray(evidence.counts, dtype=float)
        return counts[..., 0, 0], counts.sum((-2, -1))


class NarrowInterval(SelectionRateGap):
    def interval(self, evidence, level):
        value = self.statistic(evidence)
        return value + 0.01, value + 0.02


class OneLevel(SelectionRateGap):
    def interval(self, evidence, level):
        low, high = super().interval(evidence, 0.9)
        return low + 0.001 * level, high - 0.001 * level


class WrongCounted(SelectionRate):
    def counted(self, evidence):
        hits, of = super().counted(evidence)
        return hits + 1, of


class Rows(SelectionRate):
    def statistic(self, evidence):
        return super().statistic(evidence) + 1 / evidence.counts.sum((-3, -2, -1))[..., None]


class Upside(SelectionRateGap):
    descriptor = replace(SelectionRateGap.descriptor, direction="higher")


class Unsigned(MinSkew):
    descriptor = replace(MinSkew.descriptor, direction="lower", signed=False)


class Vandal(SelectionRateGap):
    def statistic(self, evidence):
        value = super().statistic(evidence)
        evidence.counts[...] = 0
        return value


class Moody(SelectionRateGap):
    calls = 0

    def statistic(self, evidence):
        self.calls += 1
        return super().statistic(evidence) + 1e-6 * self.calls


class Shouting(MaxSkew):
    descriptor = replace(MaxSkew.descriptor, name="MaxSkew@200", title=" ", margin=0.0)


class NoPositive(SelectionRateGap):
    def statistic(self, evidence):
        rates = evidence.counts[..., :, evidence.positive].sum(-1) / evidence.counts.sum((-2, -1))
        return np.where(evidence.valid.sum() > 1, np.ptp(rates, axis=-1), np.nan)


@pytest.mark.parametrize(
    ("metric", "check"),
    [
        (LastQuery, "vectorised"),
        (FirstGroup, "permutation"),
        (CountsAll, "too_few_groups"),
        (CountsAll, "left_out"),
        (ZeroForNothing, "too_few_groups"),
        (ZeroForNothing, "empty"),
        (FirstLabel, "relabelling"),
        (NarrowInterval, "interval"),
        (OneLevel, "interval"),
        (WrongCounted, "counted"),
        (Rows, "scale"),
        (Upside, "harm"),
        (Unsigned, "harm"),
        (Vandal, "pure"),
        (Moody, "pure"),
        (Shouting, "descriptor"),
        (NoPositive, "empty"),
    ],
)
def test_a_broken_metric_is_caught(metric: type[Metric], check: str):
    with pytest.raises(CheckFailed, match=rf"\n  {check}: "):
        check_metric(metric)


def test_expected_failures_are_strict():
    passed = check_metric(Rows, {"scale": "counts rows on purpose", "counted": "follows from it", "empty": "ditto"})
    assert "scale" not in passed
    with pytest.raises(CheckFailed, match="harm: passes, though a failure was expected"):
        check_metric(SelectionRate, {"harm": "none"})
    with pytest.raises(CheckFailed, match="there is no such check"):
        check_metric(SelectionRate, {"harmony": "none"})
