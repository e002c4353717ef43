"""One method on one table, in an interpreter of its own: what ``m4_peers.py`` starts.

    python m4_methods.py METHOD TABLE.npz WEIGHTS.npy

The table has attributes ``s`` (n, m) and labels ``y`` (n, c) of true and false, wanted shares ``pi`` (m,), and ``mask``
(n, m): the rows on which an attribute is balanced, the others keeping their weight free. All methods are given the same
arrays; making its own input of them is timed apart from solving. A small problem of the same kind is solved first, so that
imports and caches are warm. Prints one JSON object. Nothing of equipoise is imported for another method.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CAP = 10.0
Table = dict[str, Any]
Method = tuple[str, Callable[[Table], Any], Callable[[Any], Any]]


def centred(table: Table) -> np.ndarray:
    """Return (n, m (c + 1)) float64: (s - pi) mask, and its products with every label."""
    s = (table["s"] - table["pi"]) * table["mask"]
    y = table["y"].astype(np.float64)
    return np.concatenate([s, *(s[:, k, None] * y for k in range(s.shape[1]))], axis=1)


def crossed(table: Table) -> tuple[dict[str, np.ndarray], dict[str, dict[str, float]]]:
    """Return the numbers of 4 (masked: 6) levels for each attribute and label, and the wanted share of each level.

    Labels keep their prevalence, inside and outside the mask.
    """
    columns, targets = {}, {}
    for k in range(table["s"].shape[1]):
        s, inside, share = table["s"][:, k], table["mask"][:, k].astype(bool), table["pi"][k]
        for r in range(table["y"].shape[1]):
            y = table["y"][:, r]
            level = np.where(inside, s.astype(int), 2) * 2 + y
            wanted = {}
            for group, part in ((0, 1 - share), (1, share)):
                for value in (0, 1):
                    wanted[f"l{2 * group + value}"] = float(part * np.mean(inside & (y == value)))
            for value in (0, 1):
                wanted[f"l{4 + value}"] = float(np.mean(~inside & (y == value)))
            columns[f"s{k}_y{r}"] = level.astype(np.int8)
            targets[f"s{k}_y{r}"] = {name: value for name, value in wanted.items() if value > 0}
    return columns, targets


def flags(table: Table) -> Any:
    """Return an Arrow table of true and false; under a mask of one attribute, groups as text."""
    import pyarrow as pa

    labels = {f"y{r}": table["y"][:, r] for r in range(table["y"].shape[1])}
    if table["mask"].all():
        return pa.table({f"s{k}": table["s"][:, k] for k in range(table["s"].shape[1])} | labels), table["pi"]
    number = np.where(table["mask"][:, 0], table["s"][:, 0].astype(np.int8), 2).astype(np.int8)
    text = pa.DictionaryArray.from_arrays(pa.array(number), pa.array(["woman", "man", "none"]))
    return pa.table({"gender": text} | labels), table["pi"]


def ours(make: Callable[[Any, list[str], list[str], Any], Any]) -> Callable[[Any], Any]:
    """Return a solver of :func:`flags` by a mitigation."""

    def solve(given: Any) -> Any:
        rows, pi = given
        names = rows.column_names
        attributes = [name for name in names if not name.startswith("y")]
        shares = {"gender": {"woman": 1 - pi[0], "man": pi[0]}} if "gender" in names else dict(zip(attributes, map(float, pi), strict=True))  # fmt: skip
        fitted = make(rows, attributes, [name for name in names if name.startswith("y")], shares)
        return fitted.weights(rows), solver_says(fitted)

    return solve


def solver_says(fitted: Any) -> str:
    """Return the cells and the status of a fitted mitigation."""
    cells, report = getattr(fitted, "cells_", None), getattr(fitted, "report_", None)
    parts = [] if cells is None else [f"{len(cells)} cells"]
    return ", ".join([*parts, *([report.status] if report is not None else [])])


def m4(solver: str = "auto") -> Method:
    """M4 with no tolerance, mean weight 1 and a cap of 10."""

    def make(rows: Any, attributes: list[str], labels: list[str], shares: Any) -> Any:
        from equipoise.mitigate.data.m4 import M4

        return M4(
            attributes, labels, shares=shares, tolerance=0.0, tolerance_kind="absolute", keep=1.0, cap=CAP, solver=solver,
            mask="auto" if "gender" in attributes else "none", price=1000.0,
        ).fit(rows)  # fmt: skip

    return "equipoise", flags, ours(make)


def baseline(name: str) -> Method:
    """Reweighing or raking of ours."""

    def make(rows: Any, attributes: list[str], labels: list[str], shares: Any) -> Any:
        if name == "reweigh":
            from equipoise.mitigate.data.reweigh import Reweigh

            return Reweigh(attributes, labels, shares=shares).fit(rows)
        from equipoise.mitigate.data.raking import Rake

        return Rake(attributes, labels, shares=shares).fit(rows)

    return "equipoise", flags, ours(make)


def calibration(objective: str) -> Method:
    """empirical_calibration: the same moments, the same cap."""

    def solve(given: np.ndarray) -> Any:
        import empirical_calibration as ec

        weights, success = ec.calibrate(
            covariates=given, target_covariates=np.zeros((1, given.shape[1])),
            objective=getattr(ec.Objective, objective), max_weight=CAP / len(given),
        )  # fmt: skip
        return weights * len(given), "" if success else "no convergence"

    return "empirical_calibration", centred, solve


def convex(solver: str) -> Method:
    """The same program on rows, by cvxpy."""

    def solve(given: np.ndarray) -> Any:
        import cvxpy as cp
        import scipy.sparse as sparse

        q = cp.Variable(len(given))
        moments = sparse.csr_array(given.T)
        within = [moments @ q == 0, cp.sum(q) == len(given), q >= 0, q <= CAP]
        problem = cp.Problem(cp.Minimize(cp.sum_squares(q - 1)), within)
        problem.solve(solver=solver)
        return q.value, str(problem.status)

    return "cvxpy", centred, solve


def rim() -> Method:
    """Weightipy: raking to the crossed margins."""

    def prepare(table: Table) -> Any:
        import pandas as pd

        levels, targets = crossed(table)
        columns = {
            name: pd.Categorical.from_codes(number, [f"l{i}" for i in range(number.max() + 1)])
            for name, number in levels.items()
        }
        return pd.DataFrame(columns), {
            name: {level: 100 * share for level, share in wanted.items()} for name, wanted in targets.items()
        }

    def solve(given: Any) -> Any:
        import weightipy

        frame, targets = given
        scheme = weightipy.scheme_from_dict(targets, rim_params={"max_iterations": 1000, "convcrit": 1e-6})
        return weightipy.weight_dataframe(frame, scheme)["weights"].to_numpy(), ""

    return "weightipy", prepare, solve


def balance(kind: str) -> Method:
    """Balance (Meta): raking to crossed or single margins; CBPS towards a sample that has them is out of its reach here."""

    def prepare(table: Table) -> Any:
        import pandas as pd

        if kind == "crossed":
            levels, targets = crossed(table)
            texts = np.array([f"l{i}" for i in range(6)], object)
            return pd.DataFrame({name: texts[number] for name, number in levels.items()}), targets
        s, y = table["s"], table["y"]
        columns = {f"s{k}": np.where(s[:, k], "a", "b").astype(object) for k in range(s.shape[1])}
        columns |= {f"y{r}": np.where(y[:, r], "a", "b").astype(object) for r in range(y.shape[1])}
        shares = [*table["pi"], *y.mean(0)]
        targets = {name: {"a": float(p), "b": float(1 - p)} for name, p in zip(columns, shares, strict=True)}
        return pd.DataFrame(columns), targets

    def solve(given: Any) -> Any:
        import pandas as pd
        from balance.weighting_methods.rake import rake

        frame, targets = given
        found = rake(
            frame, pd.Series(np.ones(len(frame))), None, None, variables=list(frame.columns), transformations=None,
            target_margins=targets,
        )  # fmt: skip
        return found["weight"].to_numpy(), ""

    return "balance", prepare, solve


def aif360() -> Method:
    """AIF360 Reweighing, which takes one attribute and one label."""

    def prepare(table: Table) -> Any:
        import pandas as pd
        from aif360.datasets import BinaryLabelDataset

        frame = pd.DataFrame({"s": table["s"][:, 0].astype(float), "y": table["y"][:, 0].astype(float)})
        return BinaryLabelDataset(df=frame, label_names=["y"], protected_attribute_names=["s"])

    def solve(given: Any) -> Any:
        from aif360.algorithms.preprocessing import Reweighing

        method = Reweighing(unprivileged_groups=[{"s": 0}], privileged_groups=[{"s": 1}])
        return method.fit_transform(given).instance_weights, "one pair"

    return "aif360", prepare, solve


METHODS: dict[str, Method] = {
    "equipoise M4, exact": m4(),
    "equipoise M4, online, one pass": m4("online"),
    "equipoise Reweigh": baseline("reweigh"),
    "equipoise Rake": baseline("rake"),
    "empirical_calibration quadratic": calibration("QUADRATIC"),
    "empirical_calibration entropy": calibration("ENTROPY"),
    "cvxpy Clarabel": convex("CLARABEL"),
    "weightipy RIM": rim(),
    "balance rake, crossed": balance("crossed"),
    "balance rake, one-way": balance("single"),
    "AIF360 Reweighing": aif360(),
}
"""Method -> (module it needs, from arrays to its input, from its input to weights)."""


def small(table: Table, rows: int = 4000) -> Table:
    """Return the first rows."""
    return {name: value if name == "pi" else value[:rows] for name, value in table.items()}


def peak_mb() -> float:
    """Return the peak resident memory of this process alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def main() -> None:
    """Run one method."""
    import contextlib
    import logging
    import os
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    name, source, target = sys.argv[1:]
    module, prepare, solve = METHODS[name]
    with np.load(source) as file:
        table = dict(file)
    loaded = peak_mb()
    started = time.process_time()
    with contextlib.redirect_stdout(open(os.devnull, "w")):
        with contextlib.suppress(Exception):
            solve(prepare(small(table)))
        warm = time.process_time() - started
        before = time.process_time()
        given = prepare(table)
        ready = time.process_time()
        weights, said = solve(given)
        done = time.process_time()
    weights = np.asarray(weights, np.float64)
    np.save(target, weights)
    from importlib.metadata import PackageNotFoundError, version

    try:
        made_by = version(module)
    except PackageNotFoundError:
        made_by = ""
    facts = {
        "prepare_cpu_s": ready - before, "solve_cpu_s": done - ready, "warm_up_cpu_s": warm, "said": said,
        "peak_mb": peak_mb(), "loaded_mb": loaded, "version": made_by,
    }  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
