"""Rates, gaps and AUC against fairlearn and scikit-learn, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn import metrics as fl
from sklearn import metrics as sk

from equipoise.data.cells import count_codes
from equipoise.metrics import classification as c
from equipoise.protocols import Counts
from equipoise.stats.delong import delong_groups
from equipoise.stats.intervals import newcombe, ratio_interval, wilson

GROUPS = 6


def rows(seed, labels=2, n=3000):
    rng = np.random.default_rng(seed)
    group = rng.choice(GROUPS, n, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01])
    label = rng.integers(0, labels, n)
    wrong = rng.random(n) < 0.1 + 0.05 * group
    return group, label, np.where(wrong, rng.integers(0, labels, n), label)


def evidence(group, label, prediction, labels=2, positive: int | None = 1, valid=None):
    counts = count_codes(group, label, prediction, shape=(GROUPS, labels, labels))
    return Counts(counts, positive, np.ones(GROUPS, dtype=bool) if valid is None else valid)


@pytest.mark.parametrize("seed", range(5))
def test_rates_and_gaps_equal_fairlearn(seed):
    group, label, prediction = rows(seed)
    frame = fl.MetricFrame(
        metrics={
            "accuracy": sk.accuracy_score,
            "tpr": fl.true_positive_rate,
            "fpr": fl.false_positive_rate,
            "selection_rate": fl.selection_rate,
        },
        y_true=label, y_pred=prediction, sensitive_features=group,
    )  # fmt: skip
    ours = evidence(group, label, prediction)
    for rate, gap in (
        (c.Accuracy, c.AccuracyGap),
        (c.TruePositiveRate, c.TruePositiveRateGap),
        (c.FalsePositiveRate, c.FalsePositiveRateGap),
        (c.SelectionRate, c.SelectionRateGap),
    ):
        name = rate.descriptor.name
        np.testing.assert_allclose(rate().statistic(ours), frame.by_group[name].to_numpy(), rtol=0, atol=1e-12)
        np.testing.assert_allclose(gap().statistic(ours), frame.difference()[name], rtol=0, atol=1e-12)
    kept = {"y_true": label, "y_pred": prediction, "sensitive_features": group}
    parts = [float(gap().statistic(ours)) for gap in (c.TruePositiveRateGap, c.FalsePositiveRateGap)]
    assert max(parts) == pytest.approx(fl.equalized_odds_difference(**kept), abs=1e-12)
    assert c.SelectionRateGap().statistic(ours) == pytest.approx(fl.demographic_parity_difference(**kept), abs=1e-12)
    assert c.ImpactRatio().statistic(ours) == pytest.approx(fl.demographic_parity_ratio(**kept), abs=1e-12)


def test_groups_that_take_no_part_are_left_out_of_gaps_and_not_of_rates():
    group, label, prediction = rows(0)
    few = np.array([True, True, True, False, False, False])
    left, kept = evidence(group, label, prediction, valid=few), group < 3
    frame = fl.MetricFrame(
        metrics=fl.selection_rate, y_true=label[kept], y_pred=prediction[kept], sensitive_features=group[kept]
    )
    assert c.SelectionRateGap().statistic(left) == pytest.approx(frame.difference(), abs=1e-12)
    assert np.isfinite(c.SelectionRate().statistic(left)).all()


@pytest.mark.parametrize("positive", [0, 1, 2])
def test_many_labels_are_positive_against_the_rest(positive):
    group, label, prediction = rows(3, labels=3)
    ours = evidence(group, label, prediction, labels=3, positive=positive)
    binary = evidence(group, (label == positive).astype(int), (prediction == positive).astype(int))
    for metric in (
        c.TruePositiveRate(),
        c.FalsePositiveRate(),
        c.SelectionRate(),
        c.SelectionRateGap(),
        c.ImpactRatio(),
    ):
        np.testing.assert_allclose(metric.statistic(ours), metric.statistic(binary), atol=1e-15)
    right = [sk.accuracy_score(label[group == g], prediction[group == g]) for g in range(GROUPS)]
    np.testing.assert_allclose(c.Accuracy().statistic(ours), right, atol=1e-15)


def test_without_a_positive_label_only_accuracy_has_a_value():
    ours = evidence(*rows(1, labels=3), labels=3, positive=None)
    assert np.isfinite(c.AccuracyGap().statistic(ours))
    needs = (
        c.TruePositiveRate,
        c.FalsePositiveRate,
        c.SelectionRate,
        c.TruePositiveRateGap,
        c.SelectionRateGap,
        c.ImpactRatio,
    )
    for metric in needs:
        assert np.isnan(metric().statistic(ours)).all()
        assert np.isnan(metric().interval(ours, 0.95)).all()


def two_groups(hits, totals):
    """Selected of all, every label negative: a selection rate per group."""
    counts = np.zeros((2, 2, 2), dtype=np.int64)
    counts[:, 0, 1], counts[:, 0, 0] = hits, np.subtract(totals, hits)
    return Counts(counts, 1, np.ones(2, dtype=bool))


def test_a_rate_without_rows_is_nan_and_its_gap_too():
    ours = two_groups([5, 3], [10, 10])
    assert np.isnan(c.TruePositiveRate().statistic(ours)).all()
    assert np.isnan(c.TruePositiveRateGap().statistic(ours))
    assert np.isnan(c.TruePositiveRateGap().interval(ours, 0.95)).all()


def test_four_fifths_by_hand():
    # the example of 29 CFR 1607: 48 of 80 whites and 12 of 40 blacks hired: 60 % and 30 %, an impact ratio of .50
    ours = two_groups([48, 12], [80, 40])
    assert c.ImpactRatio().statistic(ours) == 0.5
    low, high = ratio_interval(12, 40, 48, 80)
    np.testing.assert_allclose(c.ImpactRatio().interval(ours, 0.95), (low, high))
    np.testing.assert_allclose(c.ImpactRatio().interval(two_groups([12, 48], [40, 80]), 0.95), (low, high))


def test_impact_ratio_at_the_ends():
    assert np.isnan(c.ImpactRatio().statistic(two_groups([0, 0], [50, 50])))
    assert np.isnan(c.ImpactRatio().interval(two_groups([0, 0], [50, 50]), 0.95)).all()
    none = two_groups([0, 20], [50, 50])
    assert c.ImpactRatio().statistic(none) == 0.0
    low, high = c.ImpactRatio().interval(none, 0.95)
    assert low == 0.0
    assert 0.0 < high < 0.3
    low, high = c.ImpactRatio().interval(two_groups([30, 30], [50, 50]), 0.95)
    assert high == 1.0
    assert 0.5 < low < 0.9
    alike = np.zeros((3, 2, 2))
    alike[:, 0, 1] = alike[:, 0, 0] = 30
    assert c.ImpactRatio().interval(Counts(alike, 1, np.ones(3, dtype=bool)), 0.95)[1] == 1.0


@pytest.mark.parametrize("rates", [(0.4, 0.4), (0.6, 0.3), (0.2, 0.4, 0.5)])
def test_impact_ratio_intervals_cover(rates):
    rng = np.random.default_rng(5)
    n = np.array([120, 200, 90][: len(rates)])
    counts = np.zeros((3000, len(rates), 2, 2))
    counts[..., 0, 1] = rng.binomial(n, rates, (3000, len(rates)))
    counts[..., 0, 0] = n - counts[..., 0, 1]
    low, high = c.ImpactRatio().interval(Counts(counts, 1, np.ones(len(rates), dtype=bool)), 0.9)
    truth = min(rates) / max(rates)
    assert ((low <= truth) & (truth <= high)).mean() > 0.89


def test_rate_intervals_are_wilson_and_gap_intervals_newcombe():
    ours = two_groups([30, 10], [100, 80])
    np.testing.assert_allclose(c.SelectionRate().interval(ours, 0.9), wilson([30, 10], [100, 80], 0.9))
    np.testing.assert_allclose(c.SelectionRateGap().interval(ours, 0.9), newcombe(30, 100, 10, 80, 0.9))
    found, of = c.SelectionRate().counted(ours)
    assert (found.tolist(), of.tolist()) == ([30.0, 10.0], [100.0, 80.0])


def test_auc_equals_sklearn_and_its_gap_skips_groups_of_one_class():
    group, label, _ = rows(2)
    score = np.round(np.random.default_rng(2).normal(label * (0.3 + 0.2 * group), 1.0), 1)  # ties
    label = np.where(group == 5, 1, label)
    auc, var, n_pos, n_neg = delong_groups(score[None], label, group, GROUPS)
    ours = c.GroupAuc(auc[:, 0], n_pos, n_neg, np.ones(GROUPS, dtype=bool), var[:, 0, 0])
    wanted = [sk.roc_auc_score(label[group == g], score[group == g]) for g in range(5)]
    np.testing.assert_allclose(c.Auc().statistic(ours)[:5], wanted, atol=1e-12)
    assert np.isnan(c.Auc().statistic(ours)[5])
    assert c.AucGap().statistic(ours) == pytest.approx(max(wanted) - min(wanted), abs=1e-12)
    low, high = c.AucGap().interval(ours, 0.95)
    assert low < c.AucGap().statistic(ours) < high
    low, high = c.Auc().interval(ours, 0.95)
    assert ((low < auc[:, 0]) & (auc[:, 0] < high))[:5].all()


def test_auc_without_variances_has_no_interval():
    ours = c.GroupAuc(np.array([0.7, 0.6]), np.array([9, 9]), np.array([9, 9]), np.ones(2, dtype=bool))
    assert c.Auc().interval(ours, 0.95) is None
    assert c.AucGap().interval(ours, 0.95) is None


def test_auc_gap_of_two_groups_is_near_the_normal_interval_of_the_difference():
    auc, var = np.array([0.8, 0.7]), np.array([0.0004, 0.0005])
    ours = c.GroupAuc(auc, np.array([400, 400]), np.array([400, 400]), np.ones(2, dtype=bool), var)
    low, high = c.AucGap().interval(ours, 0.95)
    half = 1.959964 * np.sqrt(var.sum())
    assert low == pytest.approx(0.1 - half, abs=0.004)
    assert high == pytest.approx(0.1 + half, abs=0.004)


def test_weighted_counts_give_weighted_rates():
    group, label, prediction = rows(4)
    weight = np.random.default_rng(4).random(group.size)
    counts = count_codes(group, label, prediction, shape=(GROUPS, 2, 2), weights=weight)
    frame = fl.MetricFrame(
        metrics={"accuracy": sk.accuracy_score, "selection_rate": fl.selection_rate},
        y_true=label, y_pred=prediction, sensitive_features=group,
        sample_params={"accuracy": {"sample_weight": weight}, "selection_rate": {"sample_weight": weight}},
    )  # fmt: skip
    ours = Counts(counts, 1, np.ones(GROUPS, dtype=bool))
    np.testing.assert_allclose(c.Accuracy().statistic(ours), frame.by_group["accuracy"].to_numpy(), atol=1e-12)
    np.testing.assert_allclose(
        c.SelectionRate().statistic(ours), frame.by_group["selection_rate"].to_numpy(), atol=1e-12
    )


def test_impact_ratio_of_three_groups_by_hand():
    counts = np.zeros((4, 2, 2))
    counts[:, 0, 1], counts[:, 0, 0] = [60, 30, 45, 0], [40, 70, 55, 0]  # the fourth has no rows
    low, high = wilson([60, 30, 45], 100, 1 - 0.05 / 4)
    ours = c.ImpactRatio().interval(Counts(counts, 1, np.ones(4, dtype=bool)), 0.95)
    np.testing.assert_allclose(ours, (low.min() / high.max(), high.min() / low.max()), atol=1e-12)
    assert c.ImpactRatio().statistic(Counts(counts, 1, np.ones(4, dtype=bool))) == 0.5


def test_rates_given_the_label_say_so():
    given = {m.__name__ for m in vars(c).values() if isinstance(m, type) and getattr(m, "null_within_label", False)}
    assert given == {"TruePositiveRate", "FalsePositiveRate", "TruePositiveRateGap", "FalsePositiveRateGap"}
