"""A policy names metric and protocol, and refuses whatever it cannot mean."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from equipoise.errors import InputError, MissingFileError, SchemaError, UnknownNameError
from equipoise.gate.example import example_policy
from equipoise.gate.policy import best_value, largest, read_policy, unknown_attributes
from equipoise.registry import METRICS

LIMIT: dict[str, Any] = {"metric": "tpr_gap", "protocol": "equal_opportunity", "attribute": "*", "max_bias": 0.05}
WAIVER: dict[str, Any] = {"metric": "tpr_gap", "reason": "known", "until": "2030-01-31"}


def policy(*, limit: dict[str, Any] | None = None, waiver: dict[str, Any] | None = None, **top: Any) -> dict[str, Any]:
    data: dict[str, Any] = {"limit": [{**LIMIT, **(limit or {})}], **top}
    if waiver is not None:
        data["waiver"] = [{**WAIVER, **waiver}]
    return data


def test_the_example_is_a_valid_policy_and_round_trips_through_a_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(example_policy(), "utf-8")
    found = read_policy(path)
    assert found == read_policy(tomllib.loads(example_policy())) == read_policy(found)
    assert [limit.metric for limit in found.limit] == ["max_skew", "cosine_bias", "zero_shot_accuracy"]
    assert found.insufficient == "exit3"
    assert found.waiver[0].reason


def test_a_metric_without_k_covers_any_k() -> None:
    row = {"metric": "max_skew@200", "protocol": "pool_prior", "attribute": "gender", "family": "traits"}
    limits = [
        read_policy({"limit": [{"metric": name, "protocol": "pool_prior", "max_increase": 0.1, **more}]}).limit[0]
        for name, more in [
            ("max_skew", {}), ("max_skew@200", {}), ("max_skew@20", {}), ("max_skew", {"attribute": "race"}),
            ("max_skew", {"family": "occupations"}), ("max_skew", {"attribute": "gender", "family": "traits"}),
        ]
    ]  # fmt: skip
    assert [limit.covers(row) for limit in limits] == [True, True, False, False, False, True]


@pytest.mark.parametrize(
    ("data", "kind", "said"),
    [
        (policy(limit={"max_bais": 0.1}), UnknownNameError, "limit 1 (tpr_gap): unknown key 'max_bais'. Did you mean 'max_bias'?"),
        (policy(insuficient="fail"), UnknownNameError, "unknown key 'insuficient'. Did you mean 'insufficient'?"),
        (policy(waiver={"untill": "2030-01-01"}), UnknownNameError, "waiver 1 (tpr_gap): unknown key 'untill'. Did you mean 'until'?"),
        (policy(limit={"metric": "tpr_gapp"}), UnknownNameError, "no metric 'tpr_gapp'. Did you mean 'tpr_gap'?"),
        (policy(limit={"protocol": "equal_oportunity"}), UnknownNameError, "Did you mean 'equal_opportunity'?"),
        (policy(limit={"protocol": "demographic_parity"}), UnknownNameError, "Its protocol is 'equal_opportunity'"),
        (policy(limit={"max_bias": 5}), InputError, "max_bias = 5 lies outside [0, 1]"),
        (policy(limit={"max_bias": 5}), InputError, "Did you mean 0.05?"),
        (policy(limit={"max_bias": -0.1}), InputError, "'max_bias' is -0.1"),
        (policy(limit={"max_bias": "0.1"}), InputError, "is not a number"),
        (policy(limit={"max_bias": True}), InputError, "is not a number"),
        (policy(limit={"max_bias": float("nan")}), InputError, "'max_bias' is nan"),
        (policy(limit={"max_bias": None}), InputError, "limits nothing"),
        (policy(limit={"min_group_n": 0}), InputError, "'min_group_n' is 0"),
        (policy(limit={"min_group_n": 2.5}), InputError, "'min_group_n' is 2.5"),
        (policy(limit={"metric": "tpr_gap@200"}), InputError, "takes no @k"),
        (policy(limit={"metric": "dp@many", "protocol": "retrieval_parity"}), InputError, "whole number after @"),
        (policy(limit={"metric": "accuracy", "protocol": "zero_one"}), InputError, "is a utility, not a bias"),
        (policy(limit={"metric": "tpr", "protocol": "one_vs_rest"}), InputError, "has a value for each group"),
        (policy(limit={"metric": "max_skew", "protocol": "pool_prior", "max_bias": 5}), InputError, "outside [0, 4.61]"),
        (policy(limit={"metric": "score_gap", "protocol": "pooled_sd", "max_bias": 5}), InputError, "outside [0, 3]"),
        (policy(insufficient="pass"), InputError, "'insufficient' is 'pass'"),
        (policy(waiver={"reason": " "}), InputError, "'reason' is ' '"),
        (policy(waiver={"until": "soon"}), InputError, "'until' is 'soon'"),
        (policy(waiver={"metric": "tprgap"}), UnknownNameError, "waiver 1 (tprgap): there is no metric 'tprgap'"),
        (policy(waiver={"protocol": "equal_odds"}), UnknownNameError, "no protocol 'equal_odds'"),
        ({"limit": []}, InputError, "'limit' is []"),
        ({}, InputError, "has no [[limit]]"),
        ({"limit": [{"protocol": "x", "max_bias": 0.1}]}, InputError, "limit 1: 'metric' is missing"),
        ({"limit": ["x"]}, InputError, "limit 1"),
        (policy(schema="equipoise.policy/2"), SchemaError, "this version reads 'equipoise.policy/1'"),
    ],
)  # fmt: skip
def test_a_broken_policy_is_refused_by_name_and_with_exit_code_2(data: dict[str, Any], kind: type, said: str) -> None:
    with pytest.raises(kind) as caught:
        read_policy(data)
    assert said in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("key", ["metric", "protocol", "reason", "until"])
def test_what_must_be_there_is_asked_for(key: str) -> None:
    data = policy(waiver={})
    entry = data["waiver"][0] if key in ("reason", "until") else data["limit"][0]
    del entry[key]
    with pytest.raises(InputError, match=f"'{key}' is missing"):
        read_policy(data)


def test_files_that_are_missing_folders_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no policy at"):
        read_policy(tmp_path / "none.toml")
    with pytest.raises(MissingFileError, match="cannot be read"):
        read_policy(tmp_path)
    for content in (b"limit = [", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(InputError, match="is not TOML"):
            read_policy(tmp_path / "bad.toml")


def test_a_limit_at_the_end_of_the_range_is_allowed() -> None:
    assert read_policy(policy(limit={"max_bias": 1.0})).limit[0].max_bias == 1.0
    assert read_policy(policy(limit={"max_bias": 0})).limit[0].max_bias == 0.0


def test_every_metric_has_a_range_and_a_best_value() -> None:
    for name in METRICS:
        descriptor = METRICS.load(name).descriptor
        factor = descriptor.name in ("max_weight", "prevalence_factor")
        assert 0 < largest(descriptor) <= (100 if factor else 5), name
        assert best_value(descriptor) in (0.0, 1.0), name
    assert best_value(METRICS.load("impact_ratio").descriptor) == 1.0
    assert best_value(METRICS.load("min_skew").descriptor) == 0.0


def test_attributes_that_nobody_declared() -> None:
    found = read_policy({"limit": [{**LIMIT, "attribute": "gender:rase"}, {**LIMIT, "attribute": "race"}, LIMIT]})
    assert unknown_attributes(found, ["gender", "race"]) == ["gender:rase"]
