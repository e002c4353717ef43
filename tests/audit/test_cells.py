"""Audits of data on cells, against counts of a data frame and the hand-made four cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from equipoise.audit import Audit
from equipoise.audit.cells import audit_cells
from equipoise.data.cell_table import CellTable
from equipoise.data.layout_of import layout_of
from equipoise.errors import ChecksumError, InputError, UnknownNameError
from equipoise.mitigate.data.targets import targets_of

FOUR = {("m", "1"): 30, ("m", "0"): 20, ("w", "1"): 10, ("w", "0"): 40}
"""The oracle of the method: RB 0, AB 0.4, effective sample size .833333 of its optimal weights .6, 1.6, 1.8, .8."""

WEIGHTS = {("m", "1"): 0.6, ("m", "0"): 1.6, ("w", "1"): 1.8, ("w", "0"): 0.8}


def table_of(counts, names):
    rows = [key for key, count in counts.items() for _ in range(count)]
    return pa.table({name: [row[i] for row in rows] for i, name in enumerate(names)})


def cells_of(table, attribute, labels=(), **options):
    return CellTable.from_batches([table], layout_of(table, attribute, labels, **options))


def number(audit, metric, **cells):
    wanted = {"attribute": "", "group": "", "query": "", "arm": "main", "family": "data", **cells}
    found = [
        row for row in audit.estimates.to_pylist()
        if row["metric"] == metric and all(row[name] == value for name, value in wanted.items())
    ]  # fmt: skip
    assert len(found) == 1, (metric, cells, found)
    return found[0]


@pytest.fixture(scope="module")
def four():
    return cells_of(table_of(FOUR, ("s", "y")), "s", ["y:1"])


def weights_for(cells):
    bits = {bit.name: cells.bits()[:, bit.bit] for bit in cells.layout.names}
    return np.array([
        WEIGHTS["m" if man else "w", "1" if y else "0"] for man, y in zip(bits["s=m"], bits["y=1"], strict=True)
    ])  # fmt: skip


def test_four_cells_before_and_after(four):
    before, after = audit_cells(four), audit_cells(four, weights_for(four))
    for audit, ab, ess, prevalence in ((before, 0.4, 1.0, 0.4), (after, 0.0, 0.833333, 0.36)):
        assert number(audit, "rb", attribute="s")["value"] == pytest.approx(0, abs=1e-12)
        assert number(audit, "ab", attribute="s")["value"] == pytest.approx(ab, abs=1e-9)
        assert number(audit, "ess")["value"] == pytest.approx(ess, abs=1e-6)
        assert number(audit, "prevalence", query="y=1")["value"] == pytest.approx(prevalence)
    assert number(after, "prevalence_factor")["value"] == pytest.approx(0.4 / 0.36)
    assert number(after, "max_weight")["value"] == pytest.approx(1.8)
    assert number(before, "share_error", attribute="s")["value"] == pytest.approx(0.25)


def test_every_number_is_exact_and_says_of_how_many_rows(four):
    rows = audit_cells(four).estimates.to_pylist()
    assert {row["status"] for row in rows} == {"exact"}
    assert all(row["low"] == row["high"] == row["value"] for row in rows)
    found = audit_cells(four, targets=targets_of(four.layout, ["s"], ["y:1"]))
    share = number(found, "share", attribute="s", group="m", query="y=1")
    assert (share["n"], share["numerator"], share["denominator"], share["value"]) == (30, 30, 40, 0.75)
    assert share["null_value"] == 0.5


def random_table(rng, n=3000):
    gender = rng.choice(["w", "m", "x"], n, p=[0.4, 0.5, 0.1])
    race = rng.choice(["A", "B", "C"], n)
    job = np.where(rng.random(n) < np.where(gender == "w", 0.5, 0.2), "nurse", rng.choice(["chef", "judge"], n))
    return pa.table({"gender": gender, "race": race, "job": job})


def test_shares_rates_and_retention_are_those_of_pandas():
    rng = np.random.default_rng(3)
    table = random_table(rng)
    cells = cells_of(table, ["gender", "race"], ["job"])
    weights = rng.uniform(0, 1, len(cells))
    audit = audit_cells(cells, weights, by=["gender", "race", "gender:race"])

    frame = table.to_pandas()
    frame["w"] = rows_of(cells, table, weights)
    total = frame.w.sum()
    for group, part in frame.groupby("gender"):
        rest = frame[frame.gender != group]
        assert number(audit, "share", attribute="gender", group=group)["value"] == pytest.approx(part.w.sum() / total)
        assert number(audit, "retention", attribute="gender", group=group)["value"] == pytest.approx(part.w.mean())
        for job in ("nurse", "chef"):
            gap = (part.w * (part.job == job)).sum() / part.w.sum() - (rest.w * (rest.job == job)).sum() / rest.w.sum()
            assert abs(gap) <= number(audit, "ab", attribute="gender", query=f"job={job}")["value"] + 1e-12
    gaps = [
        abs(pd.crosstab(frame.gender == g, frame.job == j, frame.w, aggfunc="sum", normalize="index")[True].diff().iloc[1])
        for g in ("w", "m", "x") for j in ("nurse", "chef", "judge")
    ]  # fmt: skip
    assert number(audit, "ab", attribute="gender")["value"] == pytest.approx(max(gaps))
    joint = frame.groupby(["gender", "race"]).w.sum() / total
    assert number(audit, "rb", attribute="gender:race")["value"] == pytest.approx(abs(joint - 1 / 9).max())
    pair = [
        abs(pd.crosstab(frame.gender == g, frame.race == r, frame.w, aggfunc="sum", normalize="index")[True].diff().iloc[1])
        for g in ("w", "m", "x") for r in "ABC"
    ]  # fmt: skip
    assert number(audit, "ab", attribute="gender:race", family="pairs")["value"] == pytest.approx(max(pair))


def rows_of(cells, table, values):
    from equipoise.data.packing import pack

    keys, _ = pack(table, cells.layout)
    return values[np.searchsorted(cells.keys, keys)]


def test_arms_are_measured_beside_the_main_one(four):
    weights = weights_for(four)
    audit = audit_cells(four, weights, arms={"noop-data": np.ones(4)}, mitigation={"method": "m4", "attributes": ["s"]})
    assert audit.document.arms == ["main", "noop-data"]
    assert number(audit, "ab", attribute="s", arm="noop-data")["value"] == pytest.approx(0.4)
    groups = [row["arm"] for row in audit.estimates.to_pylist() if row["group"]]
    assert set(groups) == {"main"}


def test_wanted_shares_of_labels_and_masks():
    counts = {("w", "y"): 30, ("m", "y"): 60, ("x", "y"): 10, ("w", "n"): 50, ("m", "n"): 50, ("x", "n"): 500}
    cells = cells_of(table_of(counts, ("s", "y")), "s", ["y:y"])
    shares = {"s": {"w": 0.5, "m": 0.5}, "s | y=y": {"w": 0.4, "m": 0.6}}
    targets = targets_of(cells.layout, ["s"], ["y:y"], shares=shares)
    audit = audit_cells(cells, targets=targets)
    assert number(audit, "share", attribute="s", group="w", query="y=y")["value"] == pytest.approx(30 / 90)
    assert number(audit, "share_error", attribute="s")["value"] == pytest.approx(abs(30 / 90 - 0.4))
    assert number(audit, "rb", attribute="s")["value"] == pytest.approx(abs(80 / 190 - 0.5))
    assert audit.document.unknown == {"s": 510}
    assert audit.document.parameters["wanted"]["s | y=y"] == {"w": 0.4, "m": 0.6}


def test_proxies_stand_apart():
    rng = np.random.default_rng(0)
    table = random_table(rng).append_column("tool", pa.array(rng.integers(0, 2, 3000).astype(bool)))
    cells = cells_of(table, "gender", ["job"], proxies=["tool"])
    audit = audit_cells(cells)
    both = (
        number(audit, "ab", attribute="gender")["value"],
        number(audit, "ab", attribute="gender", family="proxies")["value"],
    )
    assert both[0] > 0.2 > both[1]


def test_saved_and_read_again(four, tmp_path):
    audit = audit_cells(four, weights_for(four), inputs={"t.csv": "ab" * 32})
    audit.save(tmp_path / "a")
    again = Audit.load(tmp_path / "a")
    assert again.estimates.equals(audit.estimates)
    assert again.evidence.digest() == audit.evidence.digest()
    assert again.document.source == "data"
    path = tmp_path / "a" / "evidence" / "cells.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ChecksumError):
        Audit.load(tmp_path / "a")


def test_a_label_that_is_gone_is_not_estimable(four):
    y = four.bits()[:, next(bit.bit for bit in four.layout.names if bit.name == "y=1")]
    found = number(audit_cells(four, np.where(y, 0.0, 1.0)), "prevalence_factor")
    assert (found["value"], found["status"]) == (None, "not_estimable")


@pytest.mark.parametrize(
    ("weights", "by", "error"),
    [([1.0], None, InputError), ([1, 1, 1, -1], None, InputError), ([1, 1, 1, np.nan], None, InputError),
     (None, "ag", UnknownNameError)],
)  # fmt: skip
def test_refusals(four, weights, by, error):
    with pytest.raises(error):
        audit_cells(four, weights, by=by)


def test_no_row_is_refused(four):
    with pytest.raises(InputError, match="no row"):
        audit_cells(CellTable(four.keys[:0], four.counts[:0], four.layout))
