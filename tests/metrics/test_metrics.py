"""Names, descriptors and margins of all metrics."""

from __future__ import annotations

import pytest

from equipoise.errors import InputError, UnknownNameError
from equipoise.metrics import all_metrics, load_metric
from equipoise.registry import METRICS, Registry

MARGINS = {
    "accuracy": 0.01, "accuracy_gap": 0.02, "tpr": 0.02, "tpr_gap": 0.02, "fpr": 0.02, "fpr_gap": 0.02,
    "selection_rate": 0.02, "selection_rate_gap": 0.02, "impact_ratio": 0.02, "auc": 0.01, "auc_gap": 0.01,
    "skew": 0.10, "max_skew": 0.10, "min_skew": 0.10, "dp": 0.02, "explicit_share": 0.02, "recall": 0.01,
    "overlap": 0.10, "query_cosine": 0.10, "zero_shot_accuracy": 0.01, "cosine_bias": 0.01, "score_gap": 0.10,
    "representation_bias": 0.02, "association_bias": 0.02, "max_association_bias": 0.02,
}  # fmt: skip


def test_names_and_margins_are_those_of_the_contract():
    found = {name: metric.descriptor for name, metric in all_metrics().items()}
    assert {name: descriptor.margin for name, descriptor in found.items() if name in MARGINS} == MARGINS
    assert all(name == descriptor.name for name, descriptor in found.items())


def test_conventions_are_named():
    wanted = {
        "tpr_gap": "equal_opportunity", "fpr_gap": "predictive_equality", "selection_rate_gap": "demographic_parity",
        "impact_ratio": "four_fifths", "dp": "retrieval_parity", "max_skew": "pool_prior", "representation_bias": "clip-the-bias/rb", "association_bias": "clip-the-bias/ab",
    }  # fmt: skip
    assert {name: load_metric(name).descriptor.protocol for name in wanted} == wanted


def test_a_name_may_carry_its_k():
    assert load_metric("max_skew@200").descriptor.called(200) == "max_skew@200"
    assert load_metric("tpr_gap").descriptor.called(200) == "tpr_gap"


def test_a_misspelt_metric_gets_a_proposal():
    with pytest.raises(UnknownNameError, match="Did you mean 'max_skew'"):
        load_metric("max_skw@200")


def test_a_plugin_that_is_no_metric_is_refused(monkeypatch):
    monkeypatch.setattr("equipoise.metrics.METRICS", Registry("metric", "none", {"odd": "builtins:dict"}))
    with pytest.raises(InputError, match="is a dict"):
        load_metric("odd")
    assert "odd" not in METRICS
