"""How often does the gate fail where there is nothing to find?

Null data: groups, labels and predictions are drawn independently of one another's groups, and a second model has the same
error rates as the first, so that no group is treated differently and nothing changed. The rate of ``fail`` is a false alarm
of (a) the default gate on the ledger of the two models, with no attribute targeted, (b) a policy that limits every gap of the
first model to ``max_bias``, on its audit, and (c) the same policy on the ledger.

    python benchmarks/gate_false_alarms.py --draws 500
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from equipoise.audit import audit
from equipoise.compare import compare
from equipoise.data.samples import Samples, read_samples
from equipoise.gate import gate
from equipoise.gate.example import protocol_of

GAPS = ("accuracy_gap", "tpr_gap", "fpr_gap", "selection_rate_gap")
MAX_BIAS = 0.02
BOUND = 0.06


class Alarms(NamedTuple):
    """Share of null data sets on which a gate fails, in [0, 1], and how many there were."""

    default_gate: float
    policy_on_audit: float
    policy_on_ledger: float
    draws: int

    @property
    def worst(self) -> float:
        """The largest of the three rates."""
        return max(self.default_gate, self.policy_on_audit, self.policy_on_ledger)


def null_models(groups: int, n: int, seed: int) -> tuple[Samples, Samples]:
    """Return two tables of predictions over the same n rows, with equal error rates and no effect of the group.

    A label is positive with probability .5, a prediction right with probability .8; the second model decides anew on a
    fifth of the rows.
    """
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n)
    first = np.where(rng.random(n) < 0.8, label, 1 - label)
    fresh = np.where(rng.random(n) < 0.8, label, 1 - label)
    second = np.where(rng.random(n) < 0.2, fresh, first)
    group = rng.permutation(np.arange(n) % groups)
    return _samples(group, label, first), _samples(group, label, second)


def _samples(group: np.ndarray, label: np.ndarray, prediction: np.ndarray) -> Samples:
    columns = {
        "id": [f"{i:06d}" for i in range(group.size)],
        "group": [f"g{code:02d}" for code in group],
        "label": label.astype(str).tolist(),
        "prediction": prediction.astype(str).tolist(),
    }
    return read_samples(pa.table(columns), id="id", label="label", prediction="prediction", attributes=["group"])


def policy(max_bias: float = MAX_BIAS) -> dict[str, object]:
    """Return a policy that limits every gap to the same bias."""
    limits = [{"metric": name, "protocol": protocol_of(name), "attribute": "*", "max_bias": max_bias} for name in GAPS]
    return {"limit": limits}


def false_alarm_rate(groups: int, n: int, draws: int, seed: int = 0, *, bootstrap: int = 200) -> Alarms:
    """Return how often each gate fails on ``draws`` null data sets of ``n`` rows in ``groups`` groups of equal size.

    Parameters
    ----------
    groups : int
        2 to 64.
    n : int
        Rows; every group should hold the minimum of 30.
    draws : int
        Null data sets.
    seed : int
    bootstrap : int
        Bootstrap draws of each audit and comparison.
    """
    limits = policy()
    failed = np.zeros(3, np.int64)
    for number in range(draws):
        first, second = null_models(groups, n, seed * 1_000_003 + number)
        before = audit(first, by=["group"], positive="1", bootstrap=bootstrap, seed=number)
        after = audit(second, by=["group"], positive="1", bootstrap=bootstrap, seed=number)
        ledger = compare(before, after, draws=bootstrap, seed=number)
        outcomes = (gate(ledger), gate(before, limits), gate(ledger, limits))
        failed += [found.outcome == "fail" for found in outcomes]
    default_gate, on_audit, on_ledger = (failed / draws).tolist()
    return Alarms(default_gate, on_audit, on_ledger, draws)


def main() -> None:
    """Print a table of rates; exit 1 when one of them is above the bound."""
    parser = argparse.ArgumentParser(description="False alarms of the gate on null data")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", type=int, nargs="+", default=[2, 4, 8, 16, 32, 64])
    parser.add_argument("--rows-per-group", type=int, nargs="+", default=[40, 200])
    chosen = parser.parse_args()
    print("groups  rows  default gate  policy on audit  policy on ledger")
    worst = 0.0
    for groups in chosen.groups:
        for per_group in chosen.rows_per_group:
            found = false_alarm_rate(groups, groups * per_group, chosen.draws, chosen.seed)
            worst = max(worst, found.worst)
            rates = f"{found.default_gate:12.3f}  {found.policy_on_audit:15.3f}  {found.policy_on_ledger:16.3f}"
            print(f"{groups:6d} {groups * per_group:5d}  {rates}", flush=True)
    print(f"largest rate {worst:.3f}, bound {BOUND}")
    raise SystemExit(worst > BOUND)


if __name__ == "__main__":
    main()
