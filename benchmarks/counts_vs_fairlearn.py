"""Counts and four metrics by group, beside fairlearn's MetricFrame: times, ratio and largest difference in one run.

    OMP_NUM_THREADS=1 python benchmarks/counts_vs_fairlearn.py

Three things are timed, each the best of several rounds on one core, on data in memory:

1. 1,000,000 rows, 64 groups: from codes to counts to accuracy, true and false positive rate, selection rate and their
   gaps.
2. 50,000 rows, 8 groups, the same four metrics by group and their gaps, beside ``fairlearn.metrics.MetricFrame``
   (``by_group`` and ``difference()``), both from integer codes.
3. The same, both from a column of group names (strings): ours encodes it with pyarrow first.

Needs fairlearn, pyarrow, pandas and scikit-learn (the extra ``dev``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from equipoise.data.cells import count_codes
from equipoise.metrics import load_metric
from equipoise.protocols import Counts, Metric

RATES = ("accuracy", "tpr", "fpr", "selection_rate")
METRICS: list[Metric] = [load_metric(name) for rate in RATES for name in (rate, f"{rate}_gap")]


def timed(call: Callable[[], Any], rounds: int) -> tuple[float, float, Any]:
    """Return (best seconds, median seconds, the last result)."""
    times, result = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), float(np.median(times)), result


def data(n: int, groups: int, dtype: type = np.int32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes of group, label and prediction, with more errors in later groups."""
    rng = np.random.default_rng(0)
    group, label = rng.integers(0, groups, n), rng.integers(0, 2, n)
    wrong = rng.random(n) < 0.05 + 0.2 * group / groups
    return group.astype(dtype), label.astype(dtype), np.where(wrong, 1 - label, label).astype(dtype)


def ours(group: np.ndarray, label: np.ndarray, prediction: np.ndarray, groups: int) -> list[Any]:
    """Return the four rates by group and their gaps from codes."""
    counts = count_codes(group, label, prediction, shape=(groups, 2, 2))
    evidence = Counts(counts, 1, counts.sum((1, 2)) >= 30)
    return [metric.statistic(evidence) for metric in METRICS]


def ours_from_names(names: Any, label: np.ndarray, prediction: np.ndarray) -> tuple[list[str], list[Any]]:
    """Return the group names in sorted order and the same numbers from an Arrow column of names."""
    encoded = names.dictionary_encode()
    found = encoded.dictionary.to_pylist()
    order = np.argsort(found)
    values = ours(encoded.indices.to_numpy(), label, prediction, len(found))
    return [found[i] for i in order], [value[order] if np.ndim(value) else value for value in values]


def theirs(group: Any, label: np.ndarray, prediction: np.ndarray) -> tuple[list[Any], list[Any]]:
    """Return fairlearn's group names and the same numbers in the same order."""
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    functions = dict(zip(RATES, (accuracy_score, true_positive_rate, false_positive_rate, selection_rate), strict=True))
    frame = MetricFrame(metrics=functions, y_true=label, y_pred=prediction, sensitive_features=group)
    by_group, gap = frame.by_group, frame.difference()
    return list(by_group.index), [part for rate in RATES for part in (by_group[rate].to_numpy(), gap[rate])]


def largest_difference(one: list[Any], other: list[Any]) -> float:
    """Return the largest absolute difference between two lists of numbers."""
    return max(
        float(np.abs(np.asarray(a, float) - np.asarray(b, float)).max()) for a, b in zip(one, other, strict=True)
    )


def main() -> int:
    """Run the three comparisons and print them; exit 1 if any number differs by more than 1e-12."""
    import pyarrow as pa

    print("1. 1,000,000 rows, 64 groups, four metrics by group and four gaps, from codes")
    for dtype in (np.uint8, np.int32, np.int64):
        columns = data(1_000_000, 64, dtype)
        best, middle, _ = timed(lambda columns=columns: ours(*columns, 64), 15)
        print(f"   {np.dtype(dtype).name:<6} best {best * 1e3:6.2f} ms   median {middle * 1e3:6.2f} ms")

    group, label, prediction = data(50_000, 8)
    theirs(group, label, prediction)  # imports and first call
    fair_best, fair_middle, (_, fair) = timed(lambda: theirs(group, label, prediction), 7)
    best, middle, mine = timed(lambda: ours(group, label, prediction, 8), 200)
    worst = largest_difference(mine, fair)
    print("2. 50,000 rows, 8 groups, the same numbers, both from codes")
    print(f"   equipoise best {best * 1e3:8.3f} ms   median {middle * 1e3:8.3f} ms")
    print(f"   fairlearn best {fair_best * 1e3:8.1f} ms   median {fair_middle * 1e3:8.1f} ms")
    print(
        f"   ratio {fair_best / best:.0f} (best), {fair_middle / middle:.0f} (median); largest difference {worst:.1e}"
    )

    names = np.array([f"group {letter}" for letter in "abcdefgh"])[group]
    column, series = pa.array(names), names.astype(object)
    best, middle, (order, mine) = timed(lambda: ours_from_names(column, label, prediction), 50)
    fair_best, fair_middle, (index, fair) = timed(lambda: theirs(series, label, prediction), 5)
    differs = order != index
    worst = max(worst, largest_difference(mine, fair))
    print("3. the same from a column of names (ours: Arrow strings; fairlearn: an object array)")
    print(f"   equipoise best {best * 1e3:8.3f} ms   median {middle * 1e3:8.3f} ms")
    print(f"   fairlearn best {fair_best * 1e3:8.1f} ms   median {fair_middle * 1e3:8.1f} ms")
    print(
        f"   ratio {fair_best / best:.0f} (best), {fair_middle / middle:.0f} (median); largest difference {worst:.1e}"
    )
    return int(worst > 1e-12 or differs)


if __name__ == "__main__":
    sys.exit(main())
