"""Contract checks of weights for rows, for ours and for plug-ins: what audit, compare and the artefact take for granted.

The rows are made up: an attribute with 2, 3 or 10 groups, a second attribute ``origin``, a label ``job`` that leans to
some groups, and 40 rows or more a group. A method that needs labels takes ``job``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.checks.cases import need, refused, same_bytes
from equipoise.checks.guarantees import GUARANTEES
from equipoise.data.samples import Samples, read_samples
from equipoise.errors import LeakageError
from equipoise.protocols import DataMitigation
from equipoise.schema import plain

Make = Callable[[str], Any]

JOBS = ("baker", "nurse", "pilot")

FRESH = """
import pickle, sys
def refuse(*args, **kwargs):
    raise RuntimeError("something was unpickled")
pickle.load = pickle.loads = pickle.Unpickler = refuse
import numpy as np, pyarrow.parquet as pq
from equipoise.mitigate.artefact import load_mitigation
np.save("w.npy", load_mitigation("m").weights(pq.read_table("rows.parquet")))
"""


def rows(attribute: str, groups: int = 2, *, seed: int = 0, prefix: str = "g", reverse: bool = False) -> pa.Table:
    """Return made-up rows: ``id``, the attribute, ``origin``, ``job``, ``split``."""
    rng = np.random.default_rng(seed)
    n = 120 * groups
    group = rng.choice(groups, n, p=_falling(groups))
    job = (rng.random(n) * 3 + 0.4 * (group % 2) * rng.random(n)).astype(int).clip(0, 2)
    names = [f"{prefix}{groups - 1 - i if reverse else i}" for i in range(groups)]
    return pa.table(
        {
            "id": [f"row{i:05d}" for i in range(n)],
            attribute: [names[code] for code in group],
            "origin": [f"o{code}" for code in rng.integers(0, 2, n)],
            "job": [JOBS[code] for code in job],
            "split": ["train"] * n,
        }
    )


def _falling(groups: int) -> NDArray[np.float64]:
    share = np.linspace(1.5, 1.0, groups)
    return share / share.sum()


def samples_of(table: pa.Table, attribute: str) -> Samples:
    """Return the rows as Samples, in the order of the table."""
    return read_samples(table, id="id", attributes=[attribute, "origin", "job"], split="split")


def fitted(make: Make, attribute: str, table: pa.Table | None = None) -> tuple[Any, pa.Table]:
    """Return a fitted mitigation and its rows."""
    table = rows(attribute) if table is None else table
    method = make(attribute)
    need(method.fit(samples_of(table, attribute)) is method, "fit does not return self")
    return method, table


def sound(method: Any, given: Any, n: int, what: str) -> NDArray[np.float64]:
    """Return weights, which must be n finite float64 of at least 0, not all of them 0."""
    found = method.weights(given)
    need(isinstance(found, np.ndarray) and found.dtype == np.float64, f"{what}: weights are no float64 array")
    need(found.shape == (n,), f"{what}: weights have the shape {found.shape}, not {(n,)}")
    need(np.isfinite(found).all() and (found >= 0).all(), f"{what}: a weight is negative or not finite")
    need(n == 0 or found.any(), f"{what}: every weight is 0")
    return found


def check_description(make: Make, attribute: str) -> None:
    """Require name, version, what it targets, and guarantees that are known."""
    method = make(attribute)
    need(isinstance(method, DataMitigation), f"{type(method).__name__} is no DataMitigation")
    need(method.name and method.version and method.kind == "data", "name, version or kind is missing")
    need(tuple(method.attributes) == (attribute,), f"attributes is {method.attributes!r}, not ({attribute!r},)")
    unknown = [name for name in method.guarantees if name not in GUARANTEES]
    need(not unknown, f"declares {unknown}; known are {list(GUARANTEES)}")


def check_weights(make: Make, attribute: str) -> None:
    """Require sound weights of Samples and of an Arrow table, alike, in new arrays."""
    method, table = fitted(make, attribute)
    samples = samples_of(table, attribute)
    first, second = (sound(method, given, table.num_rows, "rows") for given in (samples, table))
    same_bytes(first, second, "Samples and the table that they were read from")
    wanted = second.copy()
    first[:] = second[:] = -1.0
    same_bytes(method.weights(table), wanted, "after the array that was returned is changed")


def check_repeatable(make: Make, attribute: str) -> None:
    """Require the same bytes from the same rows, fitted and weighted again."""
    (one, table), (two, _) = fitted(make, attribute), fitted(make, attribute)
    same_bytes(one.weights(table), one.weights(table), "weighting again")
    same_bytes(one.weights(table), two.weights(table), "fitting again")


def check_row_order(make: Make, attribute: str) -> None:
    """Require that the order of lines in the table does not matter."""
    method, table = fitted(make, attribute)
    order = np.random.default_rng(2).permutation(table.num_rows)
    shuffled = table.take(pa.array(order))
    same_bytes(method.weights(shuffled), method.weights(table)[order], "another order of the rows to weight")
    other, _ = fitted(make, attribute, shuffled)
    same_bytes(other.weights(table), method.weights(table), "another order of the rows of the fit")


def check_batches(make: Make, attribute: str) -> None:
    """Require that a row has one weight whatever rows are beside it; no rows give no weights."""
    method, table = fitted(make, attribute)
    whole = method.weights(table)
    for size in (1, 7, 100):
        starts = range(0, table.num_rows if size > 1 else 10, size)
        parts = np.concatenate([method.weights(table.slice(start, size)) for start in starts])
        same_bytes(parts, whole[: len(parts)], f"{size} at a time")
    need(method.weights(table.slice(0, 0)).shape == (0,), "no rows do not give no weights")


def check_groups(make: Make, attribute: str) -> None:
    """Require sound weights with 2, 3 and 10 groups, of rows of the fit and of others."""
    for groups in (2, 3, 10):
        method, table = fitted(make, attribute, rows(attribute, groups))
        sound(method, table, table.num_rows, f"{groups} groups")
        other = rows(attribute, groups, seed=1)
        sound(method, other, other.num_rows, f"{groups} groups, other rows")


def check_renaming(make: Make, attribute: str) -> None:
    """Require that what groups are called does not matter: to the last bit, or to 1e-9 where their order changes."""
    plain_method, table = fitted(make, attribute, rows(attribute, 3))
    wanted = plain_method.weights(table)
    renamed = rows(attribute, 3, prefix="h")
    same_bytes(fitted(make, attribute, renamed)[0].weights(renamed), wanted, "another name for the groups")
    turned = rows(attribute, 3, reverse=True)
    found = fitted(make, attribute, turned)[0].weights(turned)
    need(np.abs(found - wanted).max() < 1e-9, "names in another order give other weights")


def check_unknown(make: Make, attribute: str) -> None:
    """Require a weight of at least 0 for rows without a value, in the fit and outside; they change no other weight's type."""
    table = rows(attribute)
    values = table[attribute].to_pylist()
    values[3] = values[8] = None
    place = table.column_names.index(attribute)
    missing = table.set_column(place, attribute, pa.array(values, pa.string()))
    method, _ = fitted(make, attribute, missing)
    sound(method, missing, missing.num_rows, "rows without a value")


def check_one_group(make: Make, attribute: str) -> None:
    """Require that an attribute of one group is refused by name."""
    table = rows(attribute, 1)
    refused(lambda: make(attribute).fit(samples_of(table, attribute)), (attribute,), "an attribute of one group")


def check_columns(make: Make, attribute: str) -> None:
    """Require that rows without the column are refused by its name, in the fit and after it."""
    method, table = fitted(make, attribute)
    lacking = table.drop_columns([attribute])
    refused(lambda: method.weights(lacking), (attribute,), "rows without the column")
    refused(lambda: make(attribute).fit(lacking), (attribute,), "a fit without the column")


def check_held_out(make: Make, attribute: str) -> None:
    """Require that rows marked ``test`` are refused by the fit."""
    table = rows(attribute)
    marks = ["test" if i % 3 == 0 else "train" for i in range(table.num_rows)]
    marked = table.set_column(table.column_names.index("split"), "split", pa.array(marks))
    try:
        make(attribute).fit(samples_of(marked, attribute))
    except LeakageError:
        pass
    else:
        need(False, "rows marked 'test' are not refused")
    make(attribute).fit(samples_of(marked, attribute).rows(split="train"))


def check_fit_rows(make: Make, attribute: str) -> None:
    """Require ids of the rows it was fitted on."""
    method, table = fitted(make, attribute)
    strange = set(method.fit_rows) - set(table["id"].to_pylist())
    need(not strange, f"fit_rows names {sorted(strange)[:3]}, which were not given")


def check_unfitted(make: Make, attribute: str) -> None:
    """Require that a method refuses to weight rows before it is fitted."""
    refused(lambda: make(attribute).weights(rows(attribute)), (), "weights before fit")


def check_state(make: Make, attribute: str) -> None:
    """Require that JSON values and arrays rebuild it bit for bit."""
    from safetensors.numpy import load, save

    method, table = fitted(make, attribute)
    parameters, arrays = method.state()
    text = json.dumps(plain(parameters), allow_nan=False)
    again = type(method).from_state(json.loads(text), load(save(arrays)))
    same_bytes(again.weights(table), method.weights(table), "rebuilt from its state")
    need(json.dumps(plain(again.state()[0])) == text, "its state rebuilt is another state")


def check_saved(make: Make, attribute: str) -> None:
    """Require that it loads in a fresh process, without pickle, bit for bit; and that saving again gives the same bytes."""
    import pyarrow.parquet as pq

    from equipoise.mitigate.artefact import save_mitigation

    method, table = fitted(make, attribute)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        first = save_mitigation(method, folder / "m")
        need(first == save_mitigation(method, folder / "n"), "saving again gives another artefact")
        pq.write_table(table, folder / "rows.parquet")
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
        done = subprocess.run(  # noqa: S603 - our own code, and no shell
            [sys.executable, "-c", FRESH], cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
        need(done.returncode == 0, f"a fresh process cannot load it: {done.stderr.strip()[-300:]}")
        same_bytes(np.load(folder / "w.npy"), method.weights(table), "loaded in a fresh process")


def check_controls(make: Make, attribute: str) -> None:
    """Require that its controls are fitted, have names of their own and weight soundly."""
    method, table = fitted(make, attribute)
    controls = list(method.controls())
    names = [control.name for control in controls]
    need(len({*names, method.name}) == len(names) + 1, f"controls share a name: {names}")
    for control in controls:
        need(isinstance(control, DataMitigation), f"control '{control.name}' weights no rows")
        need(tuple(control.attributes) == tuple(method.attributes), f"'{control.name}' has another target")
        need(set(control.fit_rows) <= set(method.fit_rows), f"'{control.name}' was fitted on other rows")
        sound(control, table, table.num_rows, f"control '{control.name}'")


CHECKS: dict[str, Callable[[Make, str], None]] = {
    "description": check_description,
    "weights": check_weights,
    "repeatable": check_repeatable,
    "row_order": check_row_order,
    "batches": check_batches,
    "groups": check_groups,
    "renaming": check_renaming,
    "unknown": check_unknown,
    "one_group": check_one_group,
    "columns": check_columns,
    "held_out": check_held_out,
    "fit_rows": check_fit_rows,
    "unfitted": check_unfitted,
    "state": check_state,
    "saved": check_saved,
    "controls": check_controls,
}
"""Every check of weights by name, in the order in which they run."""
