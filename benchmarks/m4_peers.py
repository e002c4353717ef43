"""M4 beside other libraries that weight rows, on the same tables, in one run.

    python benchmarks/m4_peers.py                                   # sets S and A, and what is installed here
    python benchmarks/m4_peers.py --sets S A B C web --python ENV1/bin/python --python ENV2/bin/python --record

No one environment holds all peers: ``--python`` (or ``EQUIPOISE_PEERS``, paths joined by the separator of PATH) names
further interpreters, and each peer runs in the first that has it, in a process of its own. A peer that no interpreter has,
fails or passes the time limit is listed as such. All are asked for the same: mean weight 1, cap 10 where there is one, wanted
shares, no dependence of labels on attributes. Raking keeps the prevalence of labels too. Sets A, B and C are dense, with 2
or 5 attributes and 8 or 35 labels; S is a small one; ``web`` has 1,000,000 pairs, 12 % of them with a person, and 38 labels.

    empirical_calibration weightipy cvxpy clarabel aif360 pandas         # one environment
    balance                                                              # another: it wants older numpy and scikit-learn
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from m4_methods import METHODS
from m4_tables import SETS, SHARES, dense, web

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "docs" / "_data" / "m4_peers.json"
TABLES = ROOT / "docs" / "_tables" / "peers"
ENVIRONMENT = {
    **os.environ,
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "PYTHONPATH": str(ROOT / "src"),
    "PYTHONWARNINGS": "ignore",
}
OURS, PEER, CONVEX = "equipoise M4, exact", "empirical_calibration quadratic", "cvxpy Clarabel"
SIZES = ("S", "A", "B", "C", "web")
FASTER = 10.0
MEMORY = 12 << 30
"""Bytes that a method may take: one that asks for a table of all combinations fails by itself, and nobody else does."""

CLOSE = 1e-5


def table_of(name: str) -> dict[str, np.ndarray]:
    """Return attributes, labels, wanted shares and masks of a set."""
    if name == "web":
        gender, y = next(web(1, 1_000_000, 38))
        return {"s": (gender == 1)[:, None], "y": y, "pi": np.array([0.5]), "mask": (gender < 2)[:, None]}
    s, y = dense(name) if name in SETS else dense("A", seed=1)
    if name == "S":
        s, y = s[:3000], y[:3000, 2:6]
    return {"s": s, "y": y, "pi": np.array(SHARES[: s.shape[1]]), "mask": np.ones_like(s)}


def bias_of(table: dict[str, np.ndarray], weights: np.ndarray) -> dict[str, float]:
    """Return what weights, scaled to mean 1, leave: with plain sums over rows, for all methods alike."""
    q = weights / weights.mean()
    y = table["y"].astype(np.float64)
    rb = ab = share = 0.0
    for k, pi in enumerate(table["pi"]):
        inside, s = table["mask"][:, k].astype(bool), table["s"][:, k].astype(bool)
        one, zero = q * (inside & s), q * (inside & ~s)
        rb = max(rb, abs(one.sum() / (one.sum() + zero.sum()) - pi))
        by_one, by_zero = one @ y, zero @ y
        ab = max(ab, float(np.abs(by_one / one.sum() - by_zero / zero.sum()).max()))
        with np.errstate(invalid="ignore"):
            share = max(share, float(np.nanmax(np.abs(by_one / (by_one + by_zero) - pi))))
    ratio = (q @ y / len(q)) / y.mean(0)
    return {
        "rb": float(rb), "ab": ab, "share_error": share, "prevalence": float(np.maximum(ratio, 1 / ratio).max()),
        "ess": float(q.sum() ** 2 / (len(q) * (q @ q))), "max_weight": float(q.max()),
    }  # fmt: skip


def interpreter_of(module: str, pythons: list[str]) -> str | None:
    """Return the first interpreter that has a module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    for python in pythons:
        if subprocess.run([python, "-c", code], env=ENVIRONMENT, capture_output=True, check=False).returncode == 0:
            return python
    return None


def run(method: str, python: str | None, folder: Path, table: dict[str, np.ndarray], limit: float) -> dict[str, Any]:
    """Run a method in its interpreter; return what it took and what it leaves."""
    if python is None:
        return {"failed": "absent"}
    out = folder / "weights.npy"
    command = [python, str(ROOT / "benchmarks" / "m4_methods.py"), method, str(folder / "table.npz"), str(out)]
    try:
        found = subprocess.run(
            command, env=ENVIRONMENT, capture_output=True, text=True, timeout=limit, check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {limit:g} s"}
    if found.returncode:
        return {"failed": reason((found.stderr.strip().splitlines() or [f"ended with {found.returncode}"])[-1])}
    facts = json.loads(found.stdout.strip().splitlines()[-1])
    weights = np.load(out)
    if weights.shape != (len(table["s"]),) or not np.isfinite(weights).all():
        return {**facts, "failed": f"weights are no finite numbers ({facts['said']})"}
    np.save(folder / f"{method}.npy", weights / weights.mean())
    return {**facts, **bias_of(table, weights)}


def reason(said: str) -> str:
    """Return the last line of a failure in short."""
    asked = re.search(r"Unable to allocate ([\d.]+) (\w+) for an array with shape", said)
    return (
        f"fails: asks for one array of {float(asked[1]):g} {asked[2]}"
        if asked
        else f"fails: {said.split(': {')[0][:100]}"
    )


HEAD = "| method | RB | AB | share error | prevalence | ESS | largest weight | s CPU | MB |\n" + "|---" * 9 + "|"


def shown(name: str, found: dict[str, Any]) -> str:
    """Return a line of the table."""
    if "rb" not in found:
        return f"| {name} | {found['failed']} | | | | | | | |"
    numbers = [f"{found[key]:.4f}" for key in ("rb", "ab", "share_error")]
    many = found["prevalence"] >= 1000
    numbers += [f"{found['prevalence']:.0e}" if many else f"{found['prevalence']:.2f}"]
    numbers += [f"{found['ess']:.3f}", f"{found['max_weight']:.1f}"]
    cpu = found["prepare_cpu_s"] + found["solve_cpu_s"]
    note = f" ({found['said']})" if found.get("said") in ("no convergence", "one pair") else ""
    return f"| {name}{note} | {' | '.join(numbers)} | {cpu:.2f} | {found['peak_mb']:.0f} |"


def write_tables(record: dict[str, Any]) -> None:
    """Write the tables of the docs from a record."""
    for name in dict.fromkeys(run["set"] for run in record["runs"]):
        lines = [shown(run["method"], run) for run in record["runs"] if run["set"] == name]
        (TABLES / f"m4_peers_{name.lower()}.md").write_text("\n".join([HEAD, *lines, ""]))


def measured(sets: list[str], pythons: list[str], methods: list[str], limit: float) -> list[dict[str, Any]]:
    """Run all methods on all sets; print a table of each."""
    where = {module: interpreter_of(module, pythons) for module in {METHODS[method][0] for method in methods}}
    runs = []
    for name in sets:
        table = table_of(name)
        n, m = table["s"].shape
        print(f"\nset {name}: {n} rows, {m} attributes, {table['y'].shape[1]} labels; before: ", end="")
        before = bias_of(table, np.ones(n))
        print(f"RB {before['rb']:.4f} AB {before['ab']:.4f} share error {before['share_error']:.4f}")
        print(HEAD)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            np.savez(folder / "table.npz", allow_pickle=False, **table)
            for method in methods:
                if method == CONVEX and n > 200_000:
                    found: dict[str, Any] = {"failed": "not run: variables grow with the rows"}
                else:
                    found = run(method, where[METHODS[method][0]], folder, table, limit)
                runs.append({"set": name, "rows": n, "method": method, **found})
                print(shown(method, found), flush=True)
            for other in (PEER, CONVEX):
                if (folder / f"{OURS}.npy").exists() and (folder / f"{other}.npy").exists():
                    apart = np.abs(np.load(folder / f"{OURS}.npy") - np.load(folder / f"{other}.npy")).max()
                    runs[-len(methods) + methods.index(other)]["largest_difference"] = float(apart)
                    print(f"set {name}: largest difference of weights to {other}: {apart:.2e}")
    return runs


def judged(runs: list[dict[str, Any]]) -> int:
    """Print the two figures with a target; return how many were missed."""
    of = {(run["set"], run["method"]): run for run in runs}
    missed = 0
    for name in dict.fromkeys(run["set"] for run in runs):
        mine, theirs, exact = (of.get((name, method), {}) for method in (OURS, PEER, CONVEX))
        if "rb" in mine and "rb" in theirs:
            ratio = (theirs["prepare_cpu_s"] + theirs["solve_cpu_s"]) / (mine["prepare_cpu_s"] + mine["solve_cpu_s"])
            alone = theirs["solve_cpu_s"] / mine["solve_cpu_s"]
            print(
                f"set {name}: empirical_calibration / equipoise: {ratio:.2f} of CPU seconds, {alone:.2f} of solving alone"
            )
            missed += name == "C" and ratio < FASTER
        if "largest_difference" in exact:
            missed += name in ("S", "A") and exact["largest_difference"] > CLOSE
    return missed


def main() -> int:
    """Measure, print, record; exit 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SIZES, default=["S", "A"])
    parser.add_argument("--python", action="append", default=[], help="an interpreter with some of the peers")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--limit", type=float, default=300.0, help="seconds that a method may take on a set")
    parser.add_argument("--record", action="store_true", help="write the JSON and the tables of the docs")
    parser.add_argument("--tables", action="store_true", help="write the tables of the recorded JSON and stop")
    options = parser.parse_args()
    if options.tables:
        write_tables(json.loads(DATA.read_text()))
        return 0
    given = [part for part in os.environ.get("EQUIPOISE_PEERS", "").split(os.pathsep) if part]
    pythons = [sys.executable, *options.python, *given]
    runs = measured(options.sets, pythons, options.methods, options.limit)
    missed = judged(runs)
    if options.record:
        record = {"cap": 10, "runs": runs}
        DATA.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        write_tables(record)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
