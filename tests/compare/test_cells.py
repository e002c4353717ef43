"""The ledger of a balance: the published FairFace figures to their last digit, verdicts by margin, and what moved besides."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from audit.test_cells import FOUR, cells_of, table_of, weights_for
from shared_data import DATA

from equipoise.audit.cells import audit_cells
from equipoise.compare import Comparison, compare
from equipoise.compare.cells import compare_cells, targets_for
from equipoise.data.cell_groups import narrowed
from equipoise.data.cell_others import count_with_others, with_others
from equipoise.data.cell_stream import count_cells, layout_of_files
from equipoise.errors import InputError
from equipoise.gate import gate
from equipoise.mitigate.data.m4 import M4

FACES = DATA / "fairface" / "labels_all_45000.csv"
faces = pytest.mark.skipif(not FACES.is_file(), reason="no FairFace labels")


def value(ledger, metric, side="after", **cells):
    wanted = {"attribute": "", "group": "", "query": "", "arm": "main", "family": "data", **cells}
    rows = ledger.ledger.to_pylist() if isinstance(ledger, Comparison) else ledger
    found = [row for row in rows if row["metric"] == metric and all(row[k] == v for k, v in wanted.items())]
    assert len(found) == 1, (metric, cells, len(found))
    return found[0][side]


@pytest.fixture(scope="module")
def fairface():
    layout = layout_of_files(FACES, ["gender"], ["race"])
    wide = count_with_others(FACES, layout, with_others(FACES, layout, ["age"]))
    return narrowed(wide, layout)[0], wide


@faces
def test_race_only_leaves_age_where_it_was(fairface):
    """Table 8.3 of the specification: races, free mean, default tolerances, and the attribute that nobody balanced."""
    cells, wide = fairface
    ledger = compare_cells(wide, None, M4("gender", ["race"]).fit(cells), by="age")
    found = {
        "ab": (0.066637, 0.014035), "rb": (0.028756, 0.005), "share_error": (0.185236, 0.05),
    }  # fmt: skip
    for metric, (before, after) in found.items():
        assert value(ledger, metric, "before", attribute="gender") == pytest.approx(before, abs=2e-6)
        assert value(ledger, metric, attribute="gender") == pytest.approx(after, abs=2e-6)
        assert value(ledger, metric, "verdict", attribute="gender") == "improved"
    assert value(ledger, "retention") == pytest.approx(0.952009, abs=2e-6)
    assert value(ledger, "ess") == pytest.approx(0.986663, abs=2e-6)
    assert value(ledger, "max_weight") == pytest.approx(1.050410, abs=1e-4)
    assert value(ledger, "prevalence_factor") == pytest.approx(1.361031, abs=2e-6)
    assert value(ledger, "retention", query="race=Middle Eastern") == pytest.approx(0.69948, abs=1e-5)
    pair = {"attribute": "gender:age", "family": "pairs"}
    assert value(ledger, "ab", "before", **pair) == pytest.approx(0.100342, abs=2e-6)
    assert value(ledger, "ab", **pair) == pytest.approx(0.097026, abs=2e-6)
    assert value(ledger, "ab", "verdict", **pair) == "unchanged"
    assert value(ledger, "ab", "targeted", **pair) is False
    assert "association of age with gender (AB) 0.1 before, 0.097 after" in " ".join(ledger.document.sentences)
    reweighed = {"arm": "reweigh", "attribute": "gender"}
    assert value(ledger, "ab", **reweighed) == pytest.approx(0, abs=1e-9)
    assert value(ledger, "ess", arm="reweigh") == pytest.approx(0.982465, abs=2e-6)
    assert value(ledger, "ab", arm="first-order", attribute="gender") == pytest.approx(0.066637, abs=2e-6)
    assert value(ledger, "retention", arm="random-subsample") == pytest.approx(0.952009, abs=2e-6)


@faces
@pytest.mark.parametrize(
    ("labels", "options", "after"),
    [
        (["race"], {"keep": 1.0, "cap": 10.0, "tolerance": 0.0},
         {"ab": 0, "retention": 1, "ess": 0.984471, "max_weight": 1.392089, "prevalence_factor": 1.141084}),
        (["race"], {"tolerance": 0.0},
         {"ab": 0, "retention": 0.936756, "ess": 0.978700, "max_weight": 1.067514, "prevalence_factor": 1.488027}),
        (["race", "age"], {},
         {"ab": 0.066228, "retention": 0.928430, "ess": 0.981473, "max_weight": 1.077087, "prevalence_factor": 1.327321}),
    ],
)  # fmt: skip
def test_the_table_of_the_specification(fairface, labels, options, after):
    wide = fairface[1]
    cells = count_cells(FACES, layout_of_files(FACES, ["gender"], labels)) if "age" in labels else fairface[0]
    seen = cells if "age" in labels else wide
    ledger = compare_cells(seen, None, M4("gender", labels, **options).fit(cells), controls=False)
    for metric, wanted in after.items():
        attribute = "gender" if metric == "ab" else ""
        tolerance = 1e-4 if metric == "max_weight" else 2e-6
        assert value(ledger, metric, attribute=attribute) == pytest.approx(wanted, abs=tolerance), metric
    if options == {"tolerance": 0.0}:
        assert value(ledger, "ab", attribute="gender:age", family="pairs") == pytest.approx(0.095750, abs=2e-6)


@pytest.fixture(scope="module")
def four():
    return cells_of(table_of(FOUR, ("s", "y")), "s", ["y:1"])


@pytest.fixture(scope="module")
def fitted(four):
    return M4("s", ["y:1"], keep=1.0, cap=10.0, tolerance=0.0).fit(four)


def test_four_cells(four, fitted):
    ledger = compare_cells(four, None, fitted)
    assert value(ledger, "ab", "change", attribute="s") == pytest.approx(-0.4, abs=1e-6)
    assert value(ledger, "ess") == pytest.approx(0.833333, abs=1e-5)
    rows = {row["metric"]: row for row in ledger.ledger.to_pylist() if row["attribute"] == "s" and row["gated"]}
    assert set(rows) == {"ab", "share_error"}
    rb = next(row for row in ledger.ledger.to_pylist() if row["metric"] == "rb" and row["arm"] == "main")
    assert (rb["verdict"], rb["gated"]) == ("unchanged", False)
    assert "nothing to improve" in rb["reason"]


def test_verdicts_follow_the_margin(four, fitted):
    wide = compare_cells(four, None, fitted, controls=False, margins={"ab": 0.5, "ess": 0.05})
    assert value(wide, "ab", "verdict", attribute="s") == "unchanged"
    assert value(wide, "ess", "verdict") == "worse"
    assert gate(wide).outcome == "fail"
    for row in wide.ledger.to_pylist():
        beyond = abs(row["change"]) > row["margin"]
        assert row["verdict"] == ("unchanged" if not beyond else "worse" if row["change"] > 0 else "improved")
        assert row["p"] is None
        assert row["change_low"] == row["change_high"] == row["change"]


def test_saved_it_is_read_by_the_gate_and_compared_by_hand(four, fitted, tmp_path):
    ledger = compare_cells(four, None, fitted)
    ledger.save(tmp_path / "ledger")
    again = Comparison.load(tmp_path / "ledger")
    assert again.ledger.equals(ledger.ledger)
    assert gate(tmp_path / "ledger").outcome == gate(ledger).outcome
    targets = targets_for(fitted)
    sides = (
        audit_cells(four, targets=targets),
        audit_cells(
            four, fitted.weights_of_cells(four), targets=targets, mitigation={"method": "m4", "attributes": ["s"]}
        ),
    )
    by_hand = compare(*sides).ledger.to_pylist()
    assert value(by_hand, "ab", attribute="s") == value(ledger, "ab", attribute="s")
    with pytest.raises(InputError, match="Give the baseline first"):
        compare(*sides[::-1])


def test_a_policy_limits_what_data_may_have(four, fitted):
    ledger = compare_cells(four, None, fitted, controls=False)
    limit = {"metric": "ab", "protocol": "clip_the_bias_data", "attribute": "s", "max_bias": 0.05}
    assert gate(ledger, {"limit": [limit]}).outcome == "pass"
    assert (
        gate(
            ledger, {"limit": [{"metric": "ess", "protocol": "weighted_rows", "attribute": "", "max_increase": 0.1}]}
        ).outcome
        == "fail"
    )


def test_other_cells_are_refused(four, fitted):
    other = cells_of(table_of({**FOUR, ("m", "1"): 31}, ("s", "y")), "s", ["y:1"])
    with pytest.raises(InputError, match="101 in 4 cells after"):
        compare(audit_cells(four), audit_cells(other, mitigation={"method": "m4", "attributes": ["s"]}))


def test_weights_of_any_source_are_judged(four, fitted):
    ledger = compare_cells(four, weights_for(four), fitted, controls={"same": fitted})
    assert value(ledger, "ab", attribute="s") == pytest.approx(0, abs=1e-9)
    assert value(ledger, "ab", attribute="s", arm="same") == pytest.approx(0, abs=1e-6)


def test_an_unknown_value_of_what_is_only_looked_at_sets_no_row_aside(tmp_path):
    table = table_of(FOUR, ("s", "y")).append_column("age", pa.array(["old", "young", None, ""] * 25))
    import pyarrow.parquet as pq

    pq.write_table(table, tmp_path / "t.parquet")
    layout = layout_of_files(tmp_path / "t.parquet", ["s"], ["y:1"])
    wide = count_with_others(tmp_path / "t.parquet", layout, with_others(tmp_path / "t.parquet", layout, ["age"]))
    assert (wide.total, wide.set_aside) == (100, {})
    narrow, number = narrowed(wide, layout)
    assert np.array_equal(narrow.counts, count_cells(tmp_path / "t.parquet", layout).counts)
    assert number.max() == len(narrow) - 1
    audit = audit_cells(wide, by=["s", "age"])
    assert audit.document.unknown == {"s": 0, "age": 50}
    assert audit.vocabulary.groups("age") == ("old", "young")
