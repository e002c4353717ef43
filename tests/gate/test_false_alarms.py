"""The gate does not cry wolf: on null data it fails at most 6 % of the time (the large grid is in ``benchmarks/``)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import binom

from equipoise.audit import audit
from equipoise.compare import compare
from equipoise.gate import gate

FILE = Path(__file__).parents[2] / "benchmarks" / "gate_false_alarms.py"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gate_false_alarms", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("groups", "per_group", "draws"), [(2, 100, 40), (8, 50, 25), (64, 30, 6)])
def test_false_alarms_on_null_data(simulation: ModuleType, groups: int, per_group: int, draws: int) -> None:
    found = simulation.false_alarm_rate(groups, groups * per_group, draws, seed=1, bootstrap=100)
    allowed = binom.ppf(0.999, draws, simulation.BOUND)
    assert found.worst * draws <= allowed


@pytest.mark.slow
@pytest.mark.parametrize("groups", [2, 4, 16, 64])
def test_false_alarms_on_null_data_at_length(simulation: ModuleType, groups: int) -> None:
    found = simulation.false_alarm_rate(groups, groups * 60, 300, seed=2)
    assert found.worst * 300 <= binom.ppf(0.99, 300, simulation.BOUND)


def test_the_same_gates_do_fail_where_there_is_something_to_find(simulation: ModuleType) -> None:
    """Half of one group's right answers turned into wrong ones: both gates see it."""
    first, _ = simulation.null_models(4, 2000, 3)
    hurt = simulation.null_models(4, 2000, 3)[0]
    flip = [group == "g00" and int(row) % 2 == 0 for group, row in zip(hurt.column("group"), hurt.ids, strict=True)]
    answers = [
        ("1" if value == "0" else "0") if bad else value
        for value, bad in zip(hurt.column("prediction"), flip, strict=True)
    ]
    worse = simulation.read_samples(
        {"id": hurt.ids, "group": list(hurt.column("group")), "label": list(hurt.column("label")), "prediction": answers},
        id="id", label="label", prediction="prediction", attributes=["group"],
    )  # fmt: skip
    before, after = (audit(one, by=["group"], positive="1", bootstrap=200) for one in (first, worse))
    ledger = compare(before, after, draws=200)
    assert gate(ledger).outcome == "fail"
    assert gate(after, simulation.policy()).outcome == "fail"
    assert gate(ledger, simulation.policy()).outcome == "fail"
