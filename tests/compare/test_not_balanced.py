"""Labels that no weights can balance do not count in what was targeted; nor does AB where labels are to depend on a group."""

from __future__ import annotations

import pytest
from audit.test_cells import cells_of, table_of
from compare.test_cells import value

from equipoise.compare.cells import compare_cells, targets_for
from equipoise.compare.not_balanced import not_balanced
from equipoise.errors import InputError
from equipoise.gate import gate
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.reweigh import Reweigh

CAPTIONS = {
    ("man", "judge"): 300, ("woman", "judge"): 100, ("man", "nurse"): 100, ("woman", "nurse"): 300, ("man", "priest"): 5,
    ("man", "chef"): 590, ("woman", "chef"): 605,
}  # fmt: skip
WIDE = {"retention": 0.9, "ess": 0.9, "prevalence_factor": 1.0, "max_weight": 1.0}
"""Margins under which what is kept does not decide the gate."""


def ledger_of(counts, *, method=M4, margins=WIDE, **options):
    cells = cells_of(table_of(counts, ("s", "y")), "s", ["y"])
    return compare_cells(cells, None, method("s", ["y"], **options).fit(cells), controls=False, margins=margins)


def rows_of(ledger, **cells):
    return [row for row in ledger.ledger.to_pylist() if all(row[name] == wanted for name, wanted in cells.items())]


@pytest.mark.parametrize("method", [M4, Reweigh])
def test_labels_of_one_group_are_apart_and_the_gate_passes(method):
    ledger = ledger_of(CAPTIONS, method=method)
    assert value(ledger, "share_error", "before", attribute="s") == pytest.approx(0.25)
    assert value(ledger, "share_error", attribute="s") <= 0.05 + 1e-9
    assert value(ledger, "share_error", "verdict", attribute="s") == "improved"
    (apart,) = rows_of(ledger, metric="share_error", family="exempt")
    assert (apart["before"], apart["after"], apart["targeted"]) == (0.5, 0.5, False)
    assert "exempt" in apart["reason"]
    assert {row["query"] for row in rows_of(ledger, family="exempt")} == {"", "y=priest"}
    assert not any(row["targeted"] for row in rows_of(ledger, query="y=priest", attribute="s"))
    assert {check.outcome for check in gate(ledger).checks if check.attribute} == {"pass"}
    main = next(control for control in ledger.document.controls if control["arm"] == "main")
    assert main["share_error"] <= 0.05 + 1e-9


def test_where_nothing_is_left_nothing_targeted_is_judged():
    ledger = ledger_of({("man", "judge"): 50, ("woman", "nurse"): 50})
    assert not [row for row in rows_of(ledger, targeted=True, gated=True) if row["metric"] in ("ab", "share_error")]
    assert all(check.rule == "untargeted" for check in gate(ledger).checks)


def test_duals_balance_what_they_were_fitted_on():
    """A label of one group at first and of both later has no dual: its share is not held against the balance."""
    few = cells_of(table_of(CAPTIONS, ("s", "y")), "s", ["y"])
    m4 = M4("s", ["y"]).fit(few)
    later = cells_of(table_of({**CAPTIONS, ("woman", "priest"): 1, ("woman", "judge"): 90}, ("s", "y")), "s", ["y"])
    assert not_balanced(m4, targets_for(m4), later) == (("s", "y=priest"),)
    ledger = compare_cells(later, None, m4, controls=False, report=False)
    assert rows_of(ledger, family="exempt", query="y=priest")


def test_shares_of_labels_are_not_held_against_equality():
    """Wished-for shares make labels depend on the group, so that AB grows; that is no failure."""
    even = {("man", "nurse"): 200, ("woman", "nurse"): 200, ("man", "chef"): 900, ("woman", "chef"): 760}
    shares = {"s": {"woman": 0.5, "man": 0.5}, "s | y=nurse": {"woman": 0.8, "man": 0.2}}
    ledger = ledger_of(even, shares=shares)
    (ab,) = rows_of(ledger, metric="ab", attribute="s", query="")
    assert ab["change"] > ab["margin"]
    assert (ab["targeted"], ab["gated"]) == (False, False)
    assert "other shares are wanted inside some labels" in ab["reason"]
    assert ledger.headline.startswith("M4 lowered the largest error of s shares inside a label from 0.3 to")
    said = " ".join(ledger.document.sentences)
    assert "Association of labels with s (AB) " in said
    assert "Worse by more than its margin" not in said
    assert "(RB) 0.034 to 0.00173 (improved)" in said
    assert {check.metric for check in gate(ledger).checks if check.rule == "targeted"} == {"rb", "share_error"}
    assert gate(ledger).outcome == "pass"


def test_audits_with_other_exemptions_are_not_compared():
    from equipoise.audit.cells import audit_cells
    from equipoise.compare import compare

    cells = cells_of(table_of(CAPTIONS, ("s", "y")), "s", ["y"])
    targets = targets_for(M4("s", ["y"]).fit(cells))
    one, two = (audit_cells(cells, targets=targets, exempt=exempt) for exempt in ((), [("s", "y=priest")]))
    with pytest.raises(InputError, match="'exempt' differ"):
        compare(one, two)
