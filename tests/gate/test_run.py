"""The gate: exactly the rules that are written, and never a pass on too little evidence."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from equipoise.errors import GateFailed, GateInsufficient, InputError, MissingFileError, UnknownNameError
from equipoise.gate import GateResult, gate
from equipoise.schema import ESTIMATES, LEDGER, table

TODAY = date(2026, 6, 1)


def row(
    verdict: str, *, targeted: bool = False, low: float | None = -0.01, high: float | None = 0.01, **more: Any
) -> dict[str, Any]:
    middle = None if low is None or high is None else (low + high) / 2
    base = {
        "attribute": "gender" if targeted else "race", "targeted": targeted, "arm": "main", "family": "occupations",
        "metric": "max_skew@200", "protocol": "pool_prior", "n": 1000, "n_min": 100, "before": 0.3, "after": 0.2,
        "after_low": 0.15, "after_high": 0.25, "null_after": 0.05, "change": middle, "change_low": low, "change_high": high,
        "margin": 0.1, "verdict": verdict, "gated": True,
    }  # fmt: skip
    return {**base, **more}


def ledger(*rows: dict[str, Any]) -> Any:
    document = SimpleNamespace(after={"vocabulary": {"gender": {}, "race": {}, "age": {}}}, before={})
    return SimpleNamespace(ledger=table(LEDGER, rows), document=document)


IMPROVED = row("improved", targeted=True, low=-0.2, high=-0.1)


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        ([IMPROVED, row("unchanged")], "pass"),
        ([IMPROVED, row("insufficient", low=-0.3, high=0.09)], "pass"),
        ([IMPROVED, row("worse", low=0.02, high=0.09)], "pass"),
        ([IMPROVED, row("worse", low=0.11, high=0.3)], "fail"),
        ([IMPROVED, row("worse", low=0.05, high=0.3)], "insufficient"),
        ([IMPROVED, row("worse", low=0.1, high=0.3)], "insufficient"),
        ([IMPROVED, row("insufficient", low=0.11, high=0.3)], "insufficient"),
        ([IMPROVED, row("insufficient", low=-0.3, high=0.3)], "insufficient"),
        ([IMPROVED, row("insufficient", low=-0.3, high=0.1)], "insufficient"),
        ([IMPROVED, row("insufficient", low=None, high=None)], "insufficient"),
        ([row("unchanged", targeted=True), row("unchanged")], "fail"),
        ([row("worse", targeted=True, low=0.01, high=0.02), row("unchanged")], "fail"),
        ([row("insufficient", targeted=True), row("unchanged")], "insufficient"),
        ([row("insufficient", targeted=True), row("worse", low=0.2, high=0.3)], "fail"),
        ([row("unchanged"), row("improved")], "pass"),
        ([], "insufficient"),
        ([row("worse", low=0.2, high=0.3, gated=False), row("worse", targeted=True, gated=False)], "insufficient"),
        ([IMPROVED, row("worse", low=0.2, high=0.3, gated=False)], "pass"),
    ],
)
def test_the_gate_without_a_policy(rows: list[dict[str, Any]], outcome: str) -> None:
    found = gate(ledger(*rows))
    assert found.outcome == outcome
    assert found.exit_code == {"pass": 0, "fail": 1, "insufficient": 3}[outcome]
    assert len(found.checks) == sum(r["gated"] for r in rows)
    assert found.sentence


def test_nothing_targeted_is_said() -> None:
    assert "No gated row is of a targeted attribute" in gate(ledger(row("unchanged"))).notes[0]
    assert gate(ledger(IMPROVED)).notes == ()


def test_status_raises() -> None:
    gate(ledger(IMPROVED)).raise_for_status()
    with pytest.raises(GateFailed, match="1 of 2 checks do not hold") as failed:
        gate(ledger(IMPROVED, row("worse", low=0.2, high=0.3))).raise_for_status()
    assert failed.value.exit_code == 1
    with pytest.raises(GateInsufficient) as open_:
        gate(ledger()).raise_for_status()
    assert open_.value.exit_code == 3


def test_the_sentence_names_the_row_and_its_numbers() -> None:
    sentence = gate(ledger(row("worse", low=0.2, high=0.3))).sentence
    assert (
        "max_skew@200 of race (occupations), change 0.25 [0.2, 0.3] against 0.1 (worse by more than the margin)"
        in sentence
    )


# ---------------------------------------------------------------------------------------- a policy on a ledger

INCREASE = {"metric": "max_skew", "protocol": "pool_prior", "attribute": "*", "max_increase": 0.1}


def judged(subject: Any, *limits: dict[str, Any], today: date = TODAY, **top: Any) -> GateResult:
    return gate(subject, {"limit": list(limits), **top}, today=today)


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (row("worse", low=0.11, high=0.2), "fail"),
        (row("insufficient", low=0.11, high=0.2), "insufficient"),
        (row("worse", low=0.05, high=0.2), "insufficient"),
        (row("worse", low=0.05, high=0.09), "pass"),
        (row("unchanged"), "pass"),
        (row("insufficient", low=None, high=None, reason="one group"), "insufficient"),
    ],
)
def test_max_increase(one: dict[str, Any], outcome: str) -> None:
    found = judged(ledger(one), INCREASE)
    assert (found.outcome, found.checks[0].rule) == (outcome, "max_increase")


def test_a_reason_of_the_ledger_is_passed_on() -> None:
    assert (
        judged(ledger(row("insufficient", low=None, high=None, reason="one group")), INCREASE).checks[0].reason
        == "one group"
    )


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [(0.3, "pass"), (0.26, "pass"), (0.25, "insufficient"), (0.12, "insufficient"), (0.09, "fail")],
)
def test_max_bias_of_a_ledger_takes_off_what_chance_gives(limit: float, outcome: str) -> None:
    """The interval is 0.15 to 0.25 and chance gives 0.05: above 0.09 it fails, above 0.12 chance may explain it."""
    found = judged(ledger(row("unchanged")), {**INCREASE, "max_increase": None, "max_bias": limit})
    assert (found.outcome, found.checks[0].value) == (outcome, 0.2)


def test_a_ratio_is_judged_by_its_distance_from_one_and_a_negative_skew_by_its_size() -> None:
    ratio = row(
        "unchanged",
        metric="impact_ratio",
        protocol="four_fifths",
        after=0.7,
        after_low=0.6,
        after_high=0.75,
        null_after=0.95,
    )
    check = judged(ledger(ratio), {"metric": "impact_ratio", "protocol": "four_fifths", "max_bias": 0.19}).checks[0]
    assert (check.outcome, check.value, check.low, check.high) == (
        "fail",
        pytest.approx(0.3),
        pytest.approx(0.25),
        pytest.approx(0.4),
    )
    skew = row("unchanged", metric="min_skew@9", after=-0.5, after_low=-0.6, after_high=-0.4, null_after=-0.1)
    check = judged(ledger(skew), {"metric": "min_skew", "protocol": "pool_prior", "max_bias": 0.2}).checks[0]
    assert (check.outcome, check.low, check.high) == ("fail", pytest.approx(0.4), pytest.approx(0.6))


def test_min_group_n_is_evidence_not_failure() -> None:
    limit = {**INCREASE, "max_increase": None, "min_group_n": 101}
    assert judged(ledger(row("unchanged")), limit).outcome == "insufficient"
    assert judged(ledger(row("unchanged", n_min=101)), limit).outcome == "pass"
    assert judged(ledger(row("unchanged", n_min=None)), limit).outcome == "insufficient"


def test_each_limit_gives_a_check_for_each_row_it_covers() -> None:
    found = judged(
        ledger(row("unchanged"), IMPROVED), {**INCREASE, "min_group_n": 30}, {**INCREASE, "attribute": "race"}
    )
    assert [(check.rule, check.attribute) for check in found.checks] == [
        ("max_increase", "race"), ("max_increase", "gender"), ("min_group_n", "race"), ("min_group_n", "gender"),
        ("max_increase", "race"),
    ]  # fmt: skip
    assert found.outcome == "pass"


def test_a_limit_that_covers_nothing_is_insufficient_never_a_pass() -> None:
    found = judged(
        ledger(row("unchanged")), INCREASE, {"metric": "tpr_gap", "protocol": "equal_opportunity", "max_bias": 0.1}
    )
    assert found.outcome == "insufficient"
    assert found.checks[1].reason == "nothing of this kind was measured"
    assert judged(ledger(row("unchanged")), {**INCREASE, "attribute": "age"}).exit_code == 3
    assert judged(ledger(), INCREASE).exit_code == 3


def test_a_metric_that_a_ledger_never_gates_is_said_to_be_so() -> None:
    found = judged(ledger(row("unchanged")), {"metric": "dp", "protocol": "retrieval_parity", "max_increase": 0.1})
    assert (found.outcome, found.checks[0].reason[:23]) == ("insufficient", "a ledger gates no famil")
    assert "limit its max_bias and gate the audit" in found.sentence


def test_an_attribute_that_nobody_declared_is_a_slip_of_the_pen() -> None:
    with pytest.raises(UnknownNameError, match="'gendr', which was not declared. Did you mean 'gender'"):
        judged(ledger(row("unchanged")), {**INCREASE, "attribute": "gendr"})


def test_insufficient_evidence_may_be_made_a_failure() -> None:
    found = judged(ledger(row("insufficient", low=-0.3, high=0.3)), INCREASE, insufficient="fail")
    assert (found.outcome, found.exit_code) == ("fail", 1)
    assert "too little evidence" in found.sentence


BROKEN = row("worse", low=0.2, high=0.3)
WAIVER = {"metric": "max_skew", "attribute": "race", "reason": "under review", "until": "2026-06-01"}


def test_a_waiver_holds_through_its_last_day() -> None:
    found = judged(ledger(BROKEN, IMPROVED), INCREASE, waiver=[WAIVER])
    assert (found.outcome, len(found.checks), len(found.waived)) == ("pass", 1, 1)
    assert "waived until 2026-06-01: under review" in found.waived[0].reason
    assert "1 waived" in found.sentence
    late = judged(ledger(BROKEN, IMPROVED), INCREASE, waiver=[WAIVER], today=date(2026, 6, 2))
    assert (late.outcome, late.waived) == ("fail", ())
    assert "ended on 2026-06-01 and was not applied: under review" in late.notes[0]


@pytest.mark.parametrize(
    "more", [{"attribute": "gender"}, {"metric": "max_skew@10"}, {"family": "traits"}, {"metric": "min_skew"}]
)
def test_a_waiver_of_something_else_changes_nothing(more: dict[str, Any]) -> None:
    assert judged(ledger(BROKEN), INCREASE, waiver=[{**WAIVER, **more}]).outcome == "fail"


def test_waivers_cannot_turn_no_evidence_into_a_pass() -> None:
    nothing = ledger(row("insufficient", low=None, high=None))
    assert judged(nothing, INCREASE, waiver=[WAIVER]).exit_code == 3
    assert judged(nothing, INCREASE, waiver=[WAIVER], insufficient="fail").exit_code == 1
    both = judged(
        ledger(row("insufficient", low=None, high=None), IMPROVED), INCREASE, waiver=[WAIVER], insufficient="fail"
    )
    assert (both.outcome, len(both.waived)) == ("pass", 1)


# ------------------------------------------------------------------------------------------- a policy on an audit


def estimate(
    value: float | None = 0.2, low: float | None = 0.15, high: float | None = 0.25, p: float | None = 0.001, **more: Any
) -> dict[str, Any]:
    base = {
        "metric": "tpr_gap", "protocol": "equal_opportunity", "attribute": "gender", "arm": "main", "seed": 0, "value": value,
        "low": low, "high": high, "level": 0.95, "n": 1000, "null_value": 0.03, "p": p, "status": "ok",
    }  # fmt: skip
    return {**base, **more}


def audit(*rows: dict[str, Any]) -> Any:
    document = SimpleNamespace(vocabulary={"gender": {}, "race": {}})
    return SimpleNamespace(estimates=table(ESTIMATES, rows), document=document)


BIAS = {"metric": "tpr_gap", "protocol": "equal_opportunity", "attribute": "*", "max_bias": 0.1}


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (estimate(), "fail"),
        (estimate(p=0.2), "insufficient"),
        (estimate(p=None), "fail"),
        (estimate(low=0.05), "insufficient"),
        (estimate(value=0.05, low=0.01, high=0.09), "pass"),
        (estimate(value=0.05, low=0.01, high=0.1), "insufficient"),
        (estimate(low=None, high=None), "insufficient"),
        (
            estimate(value=None, low=None, high=None, p=None, status="insufficient", reason="fewer than two groups"),
            "insufficient",
        ),
    ],
)
def test_max_bias_of_an_audit(one: dict[str, Any], outcome: str) -> None:
    found = judged(audit(one), BIAS)
    assert (found.outcome, len(found.checks)) == (outcome, 1)


def test_the_p_values_of_a_policy_are_one_holm_family() -> None:
    """p .03 alone is shown; among three it is .09 and is not."""
    assert judged(audit(estimate(p=0.03)), BIAS).outcome == "fail"
    rows = [estimate(p=0.03, attribute=name) for name in ("gender", "race", "gender:race")]
    found = judged(audit(*rows), BIAS)
    assert found.outcome == "insufficient"
    assert "p 0.09 after correction" in found.checks[0].reason


def test_two_limits_on_one_row_do_not_count_its_p_twice() -> None:
    assert judged(audit(estimate(p=0.03)), BIAS, {**BIAS, "max_bias": 0.12}).outcome == "fail"


def test_only_the_means_and_gaps_of_the_main_arm_are_judged() -> None:
    others = [estimate(group="Female"), estimate(query="a photo of a nurse"), estimate(arm="noop")]
    assert judged(audit(*others), BIAS).checks[0].reason == "nothing of this kind was measured"


def test_an_audit_has_no_before() -> None:
    found = judged(audit(estimate()), {**BIAS, "max_bias": None, "max_increase": 0.1})
    assert found.exit_code == 3
    assert "an audit has no before" in found.checks[0].reason


def test_the_smallest_group_of_an_audit_is_read_from_its_groups() -> None:
    groups = [estimate(metric="tpr", group=name, n=n) for name, n in (("Female", 40), ("Male", 90))]
    groups += [estimate(metric="accuracy", group=name, n=n) for name, n in (("Female", 80), ("Male", 180))]
    limit = {**BIAS, "max_bias": None, "min_group_n": 80}
    found = judged(audit(estimate(), *groups), limit)
    assert (found.outcome, found.checks[0].value) == ("pass", 80)
    assert judged(audit(estimate(), *groups), {**limit, "min_group_n": 81}).outcome == "insufficient"
    assert judged(audit(estimate()), limit).outcome == "insufficient"


def test_an_audit_alone_needs_a_policy() -> None:
    with pytest.raises(InputError, match="Give a policy"):
        gate(audit(estimate()))


def test_paths(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="does not exist"):
        gate(tmp_path / "none")
    (tmp_path / "file").write_text("x")
    with pytest.raises(MissingFileError, match="is a file"):
        gate(tmp_path / "file")
    with pytest.raises(InputError, match="neither a ledger nor an audit"):
        gate(tmp_path)
    (tmp_path / "mitigation.json").write_text("{}")
    with pytest.raises(InputError, match="is a mitigation"):
        gate(str(tmp_path))
