"""The ledger of two audits of predictions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as oracle
from synthetic import answers, one, pick

from equipoise import audit, compare, read_samples
from equipoise.compare.utility import mcnemar, paired_rates


def run(samples, **options):
    return audit(samples, **{"by": ["group"], "bootstrap": 100, **options})


def test_mcnemar_is_exact() -> None:
    for a, b in ((0, 0), (3, 9), (9, 3), (50, 51), (1, 0), (20, 0)):
        wanted = oracle([[10, a], [b, 10]], exact=True).pvalue if a + b else 1.0
        assert mcnemar(a, b) == pytest.approx(wanted)
        assert mcnemar(a, b) == pytest.approx(min(1.0, binomtest(a, a + b).pvalue) if a + b else 1.0)


def test_overall_accuracy_is_a_paired_utility() -> None:
    before, after = run(answers(quality=0.9)), run(answers(quality=0.9, fresh=0.5))
    row = one(compare(before, after).ledger, metric="accuracy", attribute="")
    right = [
        np.asarray(found.evidence.rows["label"]) == np.asarray(found.evidence.rows["prediction"])
        for found in (before, after)
    ]
    lost, won = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    assert row["p"] == pytest.approx(binomtest(lost, lost + won).pvalue)
    assert row["change"] == pytest.approx(right[0].mean() - right[1].mean())
    assert (row["before"], row["after"]) == (pytest.approx(right[0].mean()), pytest.approx(right[1].mean()))
    assert (row["gated"], row["targeted"], row["family"]) == (True, False, "")
    assert row["change_low"] < row["eq_low"] < row["change"] < row["eq_high"] < row["change_high"]


def test_paired_rates_with_clusters() -> None:
    rng = np.random.default_rng(0)
    one_, two = np.repeat(rng.random(60) < 0.8, 5), np.repeat(rng.random(60) < 0.7, 5)
    clusters = np.repeat(np.arange(60), 5).astype(np.int32)
    wide, narrow = paired_rates(one_, two, clusters, 300, 0), paired_rates(one_, two, None, 300, 0)
    assert wide["change"] == pytest.approx(narrow["change"])
    assert wide["change_high"] - wide["change_low"] > 1.7 * (narrow["change_high"] - narrow["change_low"])
    kept = np.arange(300) % 7 > 0
    assert paired_rates(one_[kept], two[kept], clusters[kept], 300, 0)["mde"] > 0


def test_no_change_is_exactly_none() -> None:
    before = run(answers())
    found = compare(before, run(answers()), draws=100)
    for row in found.ledger.to_pylist():
        assert (row["change"], row["verdict"]) == (0.0, "unchanged")
    assert not found.document.controls
    assert found.distributions.num_rows == 0


def test_a_planted_gap_is_worse_and_its_removal_improves() -> None:
    names = ["accuracy_gap", "tpr_gap"]
    good, bad = (run(answers(2400, gap=gap, groups=2), metrics=names) for gap in (0.0, 0.25))
    for first, second, word in ((good, bad, "worse"), (bad, good, "improved")):
        for name in names:
            row = one(compare(first, second, draws=200).ledger, metric=name)
            assert row["verdict"] == word
            assert row["change"] == pytest.approx(row["after"] - row["before"])


def test_signs_of_change() -> None:
    found = compare(run(answers(gap=0.3)), run(answers(fresh=0.4)), draws=100).ledger
    for row in found.to_pylist():
        if row["change"] is None:
            continue
        higher = row["metric"] in {"accuracy", "auc", "tpr", "selection_rate", "impact_ratio"}
        wanted = row["before"] - row["after"] if higher else row["after"] - row["before"]
        assert row["change"] == pytest.approx(wanted), row["metric"]


def test_a_gap_that_changed_sides_is_reversed() -> None:
    before, after = answers(1200, groups=2, gap=0.4), answers(1200, groups=2, gap=0.4, names=["g01", "g00"])
    table = {name: before.column(name) for name in ("label", "group")} | {"id": before.ids}
    swapped = read_samples(
        pa.table({**table, "prediction": [
            a if g == "g00" else b for a, b, g in zip(table["label"], before.column("prediction"), table["group"], strict=True)
        ]}), id="id", label="label", prediction="prediction", attributes=["group"], vocabulary=before.vocabulary,
    )  # fmt: skip
    assert after.vocabulary.groups("group") == ("g01", "g00")
    found = compare(
        run(before, metrics=["accuracy", "accuracy_gap"]), run(swapped, metrics=["accuracy", "accuracy_gap"])
    )
    row = one(found.ledger, metric="accuracy_gap")
    assert row["before"] > 0.2
    assert row["reversed"]


def test_one_side_without_scores_is_said_and_not_dropped() -> None:
    scored, bare = run(answers()), run(answers(scores=False), metrics=None)
    rows = pick(compare(scored, bare, draws=100).ledger, metric="auc_gap")
    assert [(row["verdict"], row["reason"]) for row in rows] == [
        ("insufficient", "no scores of a positive label after")
    ]
    assert one(compare(scored, bare, draws=100).ledger, metric="auc", attribute="")["verdict"] == "insufficient"
    assert not pick(compare(bare, bare, draws=100).ledger, metric="auc_gap")


def test_without_a_positive_label_rows_say_so() -> None:
    before, after = run(answers(labels=3)), run(answers(labels=3))
    row = one(compare(before, after, draws=100).ledger, metric="tpr_gap")
    assert (row["verdict"], row["reason"]) == ("insufficient", "no positive label: name one")


def test_paired_intervals_are_narrower_than_unpaired() -> None:
    row = one(compare(run(answers()), run(answers(fresh=0.05))).ledger, metric="tpr", group="g00")
    widths = [row[f"{side}_high"] - row[f"{side}_low"] for side in ("before", "after")]
    assert row["change_high"] - row["change_low"] < 0.6 * np.hypot(*widths)


def test_the_interval_of_a_change_covers() -> None:
    """Two models of the same rows, the second decides a third anew: the true change of the rate is 0 in every group."""
    inside = total = 0
    for seed in range(60):
        first, second = (
            run(answers(300, 2, seed, fresh=fresh), metrics=["tpr", "fpr", "accuracy"]) for fresh in (0, 0.33)
        )
        for row in compare(first, second, draws=150, seed=seed).ledger.to_pylist():
            inside, total = inside + (row["change_low"] <= 0 <= row["change_high"]), total + 1
    assert total == 60 * 7
    assert 0.91 <= inside / total <= 0.985


@pytest.mark.parametrize(("groups", "trials"), [(2, 40), (8, 30), (64, 10)])
def test_false_alarms_of_a_whole_ledger(groups, trials) -> None:
    """Nothing changed but chance: any gated verdict of a change is a false alarm."""
    alarms = 0
    for seed in range(trials):
        first, second = (
            run(answers(groups * 40, groups, seed, fresh=fresh, scores=False)) for fresh in (0.0, 0.2)
        )  # fmt: skip
        found = compare(first, second, draws=120, seed=seed)
        alarms += found.document.counts["worse"] + found.document.counts["improved"] > 0
    assert alarms / trials <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / trials)
