"""The order of lines, the names of groups and repeated runs change nothing that they should not."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import answers, queries, space

from equipoise import Wring, audit, compare

SEEN = {"queries": queries(), "by": ["gender", "race", "gender:race"], "k": 60, "bootstrap": 100}


def loop(data, **options):
    before = audit(data, **SEEN, **options)
    after = audit(data, like=before, mitigation=Wring("gender").fit(data))
    return before, after, compare(before, after, draws=100)


@pytest.fixture(scope="module")
def found():
    return loop(space())


def test_the_order_of_lines_is_irrelevant(found) -> None:
    order = np.random.default_rng(0).permutation(400)
    other = loop(space(order=order))
    for one, two in zip(found[:2], other[:2], strict=True):
        assert one.estimates.equals(two.estimates)
        assert one.evidence.digest() == two.evidence.digest()
    assert found[2].ledger.equals(other[2].ledger)
    first, second = (
        audit(answers(order=o), by=["group"], bootstrap=100).estimates for o in (None, np.arange(600)[::-1])
    )
    assert first.equals(second)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(found) -> None:
    again = loop(space())
    assert again[0].estimates.equals(found[0].estimates)
    assert again[2].document.to_json() == found[2].document.to_json()
    other = audit(space(), **SEEN, seed=1)
    assert not other.estimates.equals(found[0].estimates)
    assert other.estimates["value"].equals(found[0].estimates["value"])


SWAP = {"Female": "Male", "Male": "Female"}


def swapped(name: str) -> str:
    return ":".join(SWAP.get(part, part) for part in name.split(":"))


def test_swapping_two_names_changes_exactly_those_names(found) -> None:
    """The groups keep their places and change their names: every number stays where it was."""
    other = loop(space(genders=("Male", "Female")))
    for one, two in ((found[0].estimates, other[0].estimates), (found[2].ledger, other[2].ledger)):
        plain_one = one.filter([not row["family"] == "explicit" for row in one.to_pylist()])
        plain_two = two.filter([not row["family"] == "explicit" for row in two.to_pylist()])
        rows = [
            {**row, "group": swapped(row["group"]), "reason": swapped(row["reason"])} for row in plain_one.to_pylist()
        ]
        ours = [{k: v for k, v in row.items() if k != "p_adj"} for row in rows]
        theirs = [{k: v for k, v in row.items() if k != "p_adj"} for row in plain_two.to_pylist()]
        assert ours == theirs


def test_new_names_change_names_only() -> None:
    fresh = ("Zed", "Alef", "Mem")
    one = audit(answers(gap=0.1), by=["group"], bootstrap=100).estimates.to_pylist()
    two = audit(answers(gap=0.1, names=fresh), by=["group"], bootstrap=100).estimates.to_pylist()
    names = {f"g{i:02d}": name for i, name in enumerate(fresh)} | {"": ""}
    assert [{**row, "group": names[row["group"]]} for row in one] == two


def test_more_attributes_leave_the_others_alone(found) -> None:
    """Values and bootstrap limits of an attribute do not depend on what else is audited."""
    alone = audit(space(), **{**SEEN, "by": ["race"]}).estimates.to_pylist()
    whole = [row for row in found[0].estimates.to_pylist() if row["attribute"] == "race"]
    alone = [row for row in alone if row["attribute"] == "race"]
    names = ("metric", "group", "family", "query", "value", "n")
    assert [[row[name] for name in names] for row in alone] == [[row[name] for name in names] for row in whole]
