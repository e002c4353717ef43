"""The numbers of a prediction audit equal those of fairlearn, scikit-learn and scipy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score, roc_auc_score
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint
from synthetic import answers, one, pick

from equipoise import audit, compare, read_samples
from equipoise.errors import InputError, UnknownNameError

ORACLES = {
    "accuracy": accuracy_score,
    "tpr": true_positive_rate,
    "fpr": false_positive_rate,
    "selection_rate": selection_rate,
}


def frame(samples: Any) -> pd.DataFrame:
    found = pd.DataFrame({name: samples.column(name) for name in ("label", "prediction", "score", "group")})
    found["y"], found["p"] = (found["label"] == "1").astype(int), (found["prediction"] == "1").astype(int)
    return found


@pytest.fixture(scope="module")
def samples():
    return answers(gap=0.15)


@pytest.fixture(scope="module")
def found(samples):
    return audit(samples, by=["group"])


def test_rates_by_group_and_gaps_are_fairlearns(samples, found) -> None:
    rows = frame(samples)
    oracle = MetricFrame(metrics=ORACLES, y_true=rows["y"], y_pred=rows["p"], sensitive_features=rows["group"])
    for name in ORACLES:
        for group, value in oracle.by_group[name].items():
            row = one(found.estimates, metric=name, attribute="group", group=group)
            assert row["value"] == pytest.approx(value)
            assert row["numerator"] / row["denominator"] == pytest.approx(value)
            low, high = proportion_confint(row["numerator"], row["denominator"], method="wilson")
            assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
        gap = one(found.estimates, metric=f"{name}_gap", attribute="group", group="")
        assert gap["value"] == pytest.approx(oracle.difference(method="between_groups")[name])
    assert one(found.estimates, metric="accuracy", attribute="")["value"] == pytest.approx(oracle.overall["accuracy"])
    groups = {"y_true": rows["y"], "y_pred": rows["p"], "sensitive_features": rows["group"]}
    ratio = one(found.estimates, metric="impact_ratio")
    assert ratio["value"] == pytest.approx(demographic_parity_ratio(**groups))
    parity = one(found.estimates, metric="selection_rate_gap")
    assert parity["value"] == pytest.approx(demographic_parity_difference(**groups))
    assert found.document.positive == "1"
    assert any("positive label is '1'" in note for note in found.document.notes)


def test_auc_is_sklearns(samples, found) -> None:
    rows = frame(samples)
    areas = {g: roc_auc_score(part["y"], part["score"]) for g, part in rows.groupby("group")}
    for group, area in areas.items():
        assert one(found.estimates, metric="auc", group=group)["value"] == pytest.approx(area)
    assert one(found.estimates, metric="auc", attribute="")["value"] == pytest.approx(
        roc_auc_score(rows["y"], rows["score"])
    )
    gap = one(found.estimates, metric="auc_gap")
    assert gap["value"] == pytest.approx(max(areas.values()) - min(areas.values()))
    assert 0 < gap["p"] <= 1


def test_newcombe_limits_of_two_groups() -> None:
    samples = answers(groups=2, gap=0.2, seed=3)
    rows, found = frame(samples), audit(samples, by=["group"])
    right = rows.groupby("group").apply(lambda part: (part["y"] == part["p"]).sum(), include_groups=False)
    n = rows.groupby("group").size()
    low, high = confint_proportions_2indep(
        right["g01"], n["g01"], right["g00"], n["g00"], method="newcomb", compare="diff"
    )
    row = one(found.estimates, metric="accuracy_gap")
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))


def test_many_labels_are_one_against_the_rest() -> None:
    samples = answers(labels=4, scores=False)
    label, prediction = np.asarray(samples.column("label")), np.asarray(samples.column("prediction"))
    group = np.asarray(samples.column("group"))
    found = audit(samples, by=["group"], positive="2")
    for name, oracle in ORACLES.items():
        for g in ("g00", "g01", "g02"):
            part = group == g
            y, p = label[part], prediction[part]
            wanted = (
                accuracy_score(y, p) if name == "accuracy" else oracle((y == "2").astype(int), (p == "2").astype(int))
            )
            assert one(found.estimates, metric=name, group=g)["value"] == pytest.approx(wanted)


def test_without_a_positive_label_only_accuracy_is_estimable() -> None:
    found = audit(answers(labels=3), by=["group"])
    assert found.document.positive is None
    assert any("No positive label" in note for note in found.document.notes)
    assert one(found.estimates, metric="accuracy_gap")["status"] == "ok"
    for name in ("tpr_gap", "fpr_gap", "selection_rate_gap", "impact_ratio", "auc_gap"):
        row = one(found.estimates, metric=name)
        assert (row["status"], row["value"], row["reason"]) == ("not_estimable", None, "no positive label: name one")
    assert one(found.estimates, metric="tpr", group="g00")["reason"] == "no positive label: name one"


def test_without_scores_there_is_no_auc_unless_it_is_asked_for() -> None:
    samples = answers(scores=False)
    assert not pick(audit(samples, by=["group"]).estimates, metric="auc")
    row = one(audit(samples, by=["group"], metrics=["auc_gap"]).estimates, metric="auc_gap")
    assert (row["status"], row["reason"]) == ("not_estimable", "no scores")


def test_rows_that_cannot_be_used_are_set_aside_and_counted() -> None:
    table = {
        "id": [f"{i:03d}" for i in range(100)], "y": ["1", "0"] * 50, "p": ["1", "1"] * 50,
        "s": [0.5] * 100, "g": ["a"] * 50 + ["b"] * 48 + ["", ""],
    }  # fmt: skip
    table["y"][0], table["p"][1], table["p"][2], table["s"][3] = "", "", "", float("nan")
    samples = read_samples(table, id="id", label="y", prediction="p", score="s", attributes=["g"])
    found = audit(samples, by=["g"])
    assert found.document.rows == {"in": 100, "used": 96, "set_aside": 4}
    assert "3 rows set aside: no label or no prediction." in found.document.notes
    assert "1 rows set aside: no finite score." in found.document.notes
    assert found.document.unknown == {"g": 2}
    assert len(found.evidence.ids) == 96
    assert one(found.estimates, metric="accuracy", attribute="")["n"] == 96
    assert one(found.estimates, metric="accuracy_gap")["n"] == 94


def test_small_groups_take_no_part() -> None:
    samples = answers(130, groups=3)
    small = audit(samples, by=["group"], min_group=44)
    assert one(small.estimates, metric="accuracy_gap")["status"] == "insufficient"
    row = one(small.estimates, metric="accuracy", group="g01")
    assert (row["status"], row["value"], row["reason"]) == ("insufficient", None, "43 rows, fewer than 44")
    some = one(audit(samples, by=["group"], min_group=43).estimates, metric="tpr", group="g00")
    assert (some["status"], some["reason"]) == ("weak", f"only {int(some['denominator'])} rows behind it")


def test_all_right_all_wrong_and_no_positives() -> None:
    table = {"y": ["1", "0"] * 60 + ["0"] * 60, "p": ["1", "0"] * 30 + ["0", "1"] * 30 + ["0"] * 60}
    table |= {"g": ["a"] * 60 + ["b"] * 60 + ["c"] * 60, "id": [f"{i:03d}" for i in range(180)]}
    found = audit(read_samples(table, id="id", label="y", prediction="p", attributes=["g"]), by=["g"]).estimates
    assert [one(found, metric="accuracy", group=g)["value"] for g in "abc"] == [1.0, 0.0, 1.0]
    assert one(found, metric="tpr", group="c")["status"] == "not_estimable"
    assert one(found, metric="tpr_gap")["value"] == 1.0
    assert one(found, metric="impact_ratio")["value"] == 0.0


def test_clusters_widen_intervals_and_raise_chance() -> None:
    wide, narrow = answers(800, groups=3, clusters=8), answers(800, groups=3, clusters=8)
    object.__setattr__(narrow, "roles", {k: v for k, v in narrow.roles.items() if k != "cluster"})
    a, b = (audit(samples, by=["group"]).estimates for samples in (wide, narrow))
    for wanted in (
        {"metric": "accuracy", "attribute": ""},
        {"metric": "tpr", "group": "g00"},
        {"metric": "accuracy_gap"},
        {"metric": "fpr_gap"},
        {"metric": "auc", "group": "g01"},
        {"metric": "auc_gap"},
    ):
        one_, two = one(a, **wanted), one(b, **wanted)
        assert one_["value"] == pytest.approx(two["value"])
        assert one_["high"] - one_["low"] > 1.5 * (two["high"] - two["low"]), wanted
        if wanted["metric"].endswith("gap"):
            assert one_["null_value"] > 1.5 * two["null_value"]
            assert one_["p"] > two["p"] or two["p"] > 0.5
    with pytest.raises(InputError, match="clusters"):
        audit(wide, by=["group"], bootstrap=0)


@pytest.mark.parametrize(("groups", "clusters"), [(2, 0), (5, 0), (3, 5)])
def test_p_is_uniform_when_there_is_no_disparity(groups, clusters) -> None:
    names = ("accuracy_gap", "tpr_gap", "selection_rate_gap", "auc_gap")
    found = [
        audit(answers(500, groups, seed, clusters=clusters), by=["group"], bootstrap=100, metrics=names).estimates
        for seed in range(40)
    ]
    for name in names:
        p = np.asarray([one(table, metric=name)["p"] for table in found])
        assert (p < 0.1).mean() <= 0.1 + 2.5 * np.sqrt(0.1 * 0.9 / 40), name
        assert (p > 0.5).mean() > 0.25, name


def test_p_of_a_planted_gap_is_small_and_chance_is_not_zero(found) -> None:
    for name in ("accuracy_gap", "tpr_gap"):
        row = one(found.estimates, metric=name)
        assert row["p"] < 0.02
        assert 0.01 < row["null_value"] < row["value"]
        assert row["low"] > 0


def test_where_chance_explains_a_gap_its_interval_reaches_zero() -> None:
    for seed in range(6):
        row = one(audit(answers(400, 8, seed), by=["group"], bootstrap=200).estimates, metric="accuracy_gap")
        assert (row["low"] == 0) == (row["p"] > 0.025) or row["low"] == 0


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"positive": "yes"}, InputError, "'yes' occurs neither"),
        ({"metrics": ["max_skew"]}, InputError, "from predictions"),
        ({"metrics": ["tpr_gp"]}, UnknownNameError, "Did you mean 'tpr_gap'"),
        ({"queries": ["x"]}, InputError, "belong to audits of embeddings"),
        ({"by": ["grop"]}, UnknownNameError, "Did you mean 'group'"),
    ],
)
def test_wrong_use_is_refused(samples, options, error, text) -> None:
    with pytest.raises(error, match=text):
        audit(samples, **{"by": ["group"], **options})


def test_roles_are_needed() -> None:
    table = {"id": ["a", "b"], "y": ["1", "0"], "g": ["a", "b"], "w": [1.0, 2.0], "p": ["1", "1"]}
    with pytest.raises(InputError, match="no prediction"):
        audit(read_samples(table, id="id", label="y", attributes=["g"]), by=["g"])
    with pytest.raises(InputError, match="weigh"):
        audit(read_samples(table, id="id", label="y", prediction="p", weight="w", attributes=["g"]), by=["g"])


def test_a_whole_number_is_taken_for_a_label(samples, found) -> None:
    assert audit(samples, by=["group"], positive=1).document.positive == "1"  # type: ignore[arg-type]


def test_like_needs_an_audit_of_the_same_kind(samples, found) -> None:
    from synthetic import queries, space

    other = audit(space(), queries=queries(), by=["gender"], bootstrap=0)
    with pytest.raises(InputError, match="like is of embeddings"):
        audit(samples, by=["group"], like=other)
    assert audit(samples, like=found).estimates.equals(found.estimates)


def test_a_group_with_few_positives_takes_part_in_no_gap_of_true_positive_rates() -> None:
    rng = np.random.default_rng(3)
    sizes = {"A": (200, 100), "B": (200, 90), "C": (200, 3), "D": (60, 0)}
    rows = [
        (group, "1" if i < positives else "0", str(int(rng.random() < 0.5)))
        for group, (n, positives) in sizes.items()
        for i in range(n)
    ]
    table = pd.DataFrame({"group": [r[0] for r in rows], "y": [r[1] for r in rows], "p": [r[2] for r in rows]})
    samples = read_samples(table, label="y", prediction="p", attributes=["group"])
    found = audit(samples, by=["group"], bootstrap=100).estimates
    gap = one(found, metric="tpr_gap")
    rates = {row["group"]: row["value"] for row in pick(found, metric="tpr") if row["value"] is not None}
    assert gap["value"] == pytest.approx(abs(rates["A"] - rates["B"]))
    assert gap["reason"] == "left out, fewer than 30 rows behind it: C, D"
    assert one(found, metric="accuracy_gap")["reason"] == ""


def test_an_attribute_that_is_the_label_has_no_gap_of_selection() -> None:
    rng = np.random.default_rng(4)
    label = rng.integers(0, 2, 300)
    said = np.where(rng.random(300) < 0.8, label, 1 - label)
    table = pd.DataFrame({"group": np.where(label, "A", "B"), "y": label.astype(str), "p": said.astype(str)})
    samples = read_samples(table, label="y", prediction="p", attributes=["group"])
    found = audit(samples, by=["group"], bootstrap=100)
    for name in ("selection_rate_gap", "impact_ratio"):
        row = one(found.estimates, metric=name)
        assert (row["value"], row["status"]) == (None, "not_estimable")
        assert "the task itself" in row["reason"]
    assert one(found.estimates, metric="accuracy_gap")["value"] is not None
    assert "the task itself" in one(compare(found, found, draws=100).ledger, metric="impact_ratio")["reason"]
