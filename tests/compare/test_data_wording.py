"""Sentences of a balance: which figure leads, who pays, and what weights above 1 are called."""

from __future__ import annotations

import pytest
from audit.test_cells import cells_of, table_of

from equipoise.compare.cells import compare_cells
from equipoise.compare.data_wording import are_chances, paid, worst_group, worst_label
from equipoise.compare.headline import main_row
from equipoise.mitigate.data.m4 import M4

MANY = {("man", "chef"): 800, ("woman", "chef"): 500, ("man", "tiny"): 4, ("woman", "tiny"): 1}


def ledger_of(counts, margins=None, **options):
    cells = cells_of(table_of(counts, ("s", "y")), "s", ["y"])
    return compare_cells(cells, None, M4("s", ["y"], **options).fit(cells), controls=False, margins=margins)


def test_what_moved_most_in_units_of_its_margin_leads():
    rows = ledger_of(MANY).ledger.to_pylist()
    targeted = [row for row in rows if row["targeted"] and not row["query"] and not row["group"]]
    most = max(abs(row["change"]) / row["margin"] for row in targeted)
    assert abs(main_row(rows)["change"]) / main_row(rows)["margin"] == pytest.approx(most)
    ledger = ledger_of(MANY, margins={"share_error": 1.0, "ab": 1.0})
    assert main_row(ledger.ledger.to_pylist())["metric"] == "rb"
    assert "(RB)" in ledger.headline
    assert ledger.document.sentences[0].startswith("Kept: ")
    assert ", of s=man " in ledger.document.sentences[0]


def test_labels_of_few_rows_are_named_only_where_there_is_no_other():
    rows = ledger_of(MANY).ledger.to_pylist()
    kept = {row["query"]: row["after"] for row in rows if row["metric"] == "retention" and not row["attribute"]}
    assert kept["y=tiny"] < kept["y=chef"]
    assert worst_label(rows)["query"] == "y=chef"
    assert worst_group(rows)["n"] >= 30
    few = ledger_of({("man", "a"): 4, ("woman", "a"): 2, ("man", "b"): 1})
    assert worst_label(few.ledger.to_pylist())["query"]
    assert worst_label(few.ledger.to_pylist())["n"] < 30


def test_one_row_is_one_row():
    row = {"arm": "main", "metric": "retention", "attribute": "", "group": "", "targeted": False}
    rows = [{**row, "query": "", "n": 2, "after": 0.8}, {**row, "query": "y=police", "n": 1, "after": 0.625}]
    assert paid(rows)[1] == "Least is kept of y=police: 62.5 % of 1 row."


def test_who_pays_stands_beside_the_statement_on_utility():
    counts = {("man", "hat"): 240, ("woman", "hat"): 160, ("man", "none"): 3000, ("woman", "none"): 3080}
    ledger = ledger_of(counts)
    said = " ".join(ledger.document.sentences)
    row = worst_group(ledger.ledger.to_pylist())
    assert (row["group"], row["query"]) == ("man", "y=hat")
    assert row["after"] < 0.9
    who = f"of s=man in y=hat {100 * row['after']:.3g} % is kept"
    assert f"No measure of utility over all rows fell by more than its margin, but {who}." in said
    assert "No measure of utility fell by more than its margin." not in said


def test_weights_above_one_are_not_called_kept():
    ledger = ledger_of(MANY, keep=1.0, cap=10.0)
    assert not are_chances(ledger.ledger.to_pylist())
    assert are_chances(ledger_of(MANY).ledger.to_pylist())
    said = " ".join(ledger.document.sentences)
    assert "The mean weight of y=chef (1,300 rows) is " in said
    assert "Kept" not in said
    assert "is kept" not in said
