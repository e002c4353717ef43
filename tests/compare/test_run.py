"""What cannot be compared is refused, with the counts."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest
from synthetic import answers, queries, space

from equipoise import audit, compare
from equipoise.errors import InputError, UnknownNameError, VocabularyError

K = 40


def run(data, **options):
    return audit(data, **{"queries": queries(), "by": ["gender"], "k": K, "bootstrap": 0, **options})


@pytest.fixture(scope="module")
def before():
    return run(space())


def test_other_rows(before) -> None:
    with pytest.raises(InputError, match="200 only before, 0 only after, 200 in both"):
        compare(before, run(space().rows(split="val")))


def test_other_vocabularies(before) -> None:
    with pytest.raises(VocabularyError, match=r"differ in gender.*'Woman'"):
        compare(before, run(space(genders=("Woman", "Male")), queries=queries(explicit=False)))


def test_other_groups_of_the_same_rows(before) -> None:
    moved = before.evidence.rows["gender"].to_pylist()
    moved[3], moved[5] = ("Male" if moved[3] == "Female" else "Female"), ""
    place = before.evidence.rows.column_names.index("gender")
    rows = before.evidence.rows.set_column(place, "gender", pa.array(moved, pa.string()))
    with pytest.raises(InputError, match="2 rows have another 'gender'"):
        compare(before, replace(before, evidence=replace(before.evidence, rows=rows)))


def test_other_clusters() -> None:
    with pytest.raises(InputError, match="rows have another 'cluster'"):
        compare(run(space(clusters=2), bootstrap=100), run(space(clusters=4), bootstrap=100))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"by": ["gender", "race"]}, r"'by' is \['gender'\] before and \['gender', 'race'\] after"),
        ({"k": 30}, "k is 40 before and 30 after"),
        ({"metrics": ["max_skew"]}, "'metrics' is None before"),
        ({"min_group": 20}, "'min_group' is 30 before and 20 after"),
        ({"queries": queries()[:-1]}, "7 before, 6 after, 6 in both"),
        (
            {"queries": [query if query.explicit else replace(query, family="x") for query in queries()]},
            "7 before, 7 after, 1 in both",
        ),
    ],
)
def test_other_settings(before, options, text) -> None:
    with pytest.raises(InputError, match=text):
        compare(before, run(space(), **options))


def test_other_kinds_labels_and_positives(before) -> None:
    first = audit(answers(), by=["group"], bootstrap=100)
    with pytest.raises(InputError, match="embeddings, the other of predictions"):
        compare(before, first)
    with pytest.raises(InputError, match="positive label is '1' before and '0' after"):
        compare(first, audit(answers(), by=["group"], bootstrap=100, positive="0"))
    relabelled = first.evidence.rows["label"].to_pylist()
    relabelled[0] = "0" if relabelled[0] == "1" else "1"
    place = first.evidence.rows.column_names.index("label")
    rows = first.evidence.rows.set_column(place, "label", pa.array(relabelled, pa.string()))
    other = replace(first, evidence=replace(first.evidence, rows=rows))
    with pytest.raises(InputError, match="1 rows have other labels"):
        compare(first, other)


def test_arguments(before) -> None:
    with pytest.raises(InputError, match="too few"):
        compare(before, before, draws=50)
    with pytest.raises(InputError, match="seed"):
        compare(before, before, seed=-1)
    with pytest.raises(UnknownNameError, match="Did you mean 'gender'"):
        compare(before, before, attributes="gendr")


def test_a_targeted_attribute_that_was_not_audited_is_noted(before) -> None:
    found = compare(before, before, attributes=["race"], draws=100)
    assert found.document.notes == ["'race' was targeted but not audited: its rows are missing."]
    assert not any(row["targeted"] for row in found.ledger.to_pylist())


def test_a_column_that_only_one_audit_has_does_not_matter(before) -> None:
    data = space()
    object.__setattr__(data.samples, "attributes", ("gender",))
    found = compare(before, run(data), draws=100)
    assert {row["verdict"] for row in found.ledger.to_pylist()} == {"unchanged"}
