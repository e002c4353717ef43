"""The ledger of two audits of embeddings: planted changes are found, nothing is found where nothing changed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from synthetic import Shift, one, pick, queries, space

from equipoise import DifferenceProjection, NoOp, Query, Wring, audit, compare
from equipoise.protocols import EmbeddingMitigation

K = 60


def run(data: Any, **options: Any):
    return audit(
        data, **{"queries": queries(), "by": ["gender", "race", "gender:race"], "k": K, "bootstrap": 100, **options}
    )


@pytest.fixture(scope="module")
def data():
    return space(600, lean=1.5)


@pytest.fixture(scope="module")
def before(data):
    return run(data)


@pytest.fixture(scope="module")
def wring(data, before):
    return run(data, mitigation=Wring("gender").fit(data))


@pytest.fixture(scope="module")
def ledger(before, wring):
    return compare(before, wring, draws=200)


def test_a_planted_edit_is_improved(ledger) -> None:
    for metric in (f"max_skew@{K}", "cosine_bias"):
        row = one(ledger.ledger, attribute="gender", arm="main", metric=metric, family="jobs", query="", group="")
        assert row["verdict"] == "improved"
        assert row["after"] < row["before"]
        assert row["change"] == pytest.approx(row["after"] - row["before"])
        assert row["change_high"] < 0
        assert row["gated"]
        assert row["targeted"]


def test_no_op_changes_nothing_anywhere(data, before) -> None:
    for after in (run(data, mitigation=NoOp("gender").fit(data)), run(data)):
        found = compare(before, after, draws=100)
        for row in found.ledger.to_pylist():
            if row["before"] is None:
                assert row["verdict"] == "insufficient", row
            else:
                assert (row["change"], row["verdict"], row["p"]) == (0.0, "unchanged", 1.0), row
        assert found.document.counts["unchanged"] == found.document.family["gated"]


def test_targeted_is_exactly_what_the_method_names(ledger) -> None:
    assert {row["attribute"] for row in ledger.ledger.to_pylist() if row["targeted"]} == {"gender"}
    assert ledger.document.family["targeted"] == ["gender"]


def test_gated_rows_are_means_and_gaps_of_the_main_arm(ledger) -> None:
    for row in ledger.ledger.to_pylist():
        assert row["gated"] == (row["arm"] == "main" and not row["query"] and not row["group"])
    gated = pick(ledger.ledger, gated=True)
    names = {row["metric"] for row in gated if row["attribute"]}
    assert names == {f"max_skew@{K}", "cosine_bias"}
    assert {row["metric"] for row in gated if not row["attribute"]} == {
        f"explicit_share@{K}", f"overlap@{K}", "query_cosine", "zero_shot_accuracy",
    }  # fmt: skip
    assert {row["family"] for row in gated if row["metric"] == "zero_shot_accuracy"} == {"race"}
    assert ledger.document.family["gated"] == len(gated)
    assert ledger.document.family["tested"] == sum(row["p"] is not None for row in gated)


def test_secondary_metrics_are_there_for_single_queries_only(ledger) -> None:
    for name in (f"min_skew@{K}", f"dp@{K}", "score_gap"):
        rows = pick(ledger.ledger, metric=name)
        assert len(rows) == 3 * 6
        assert all(row["query"] and not row["gated"] for row in rows)


def test_signed_changes_are_of_the_size_of_the_bias(ledger) -> None:
    for row in pick(ledger.ledger, metric=f"min_skew@{K}") + pick(ledger.ledger, metric=f"skew@{K}", family="jobs"):
        assert row["change"] == pytest.approx(abs(row["after"]) - abs(row["before"]))


def test_controls_are_arms(ledger, wring) -> None:
    arms = {row["arm"] for row in ledger.ledger.to_pylist()}
    assert arms == {"main", "span_projection", "difference_projection", "noop"}
    for row in pick(ledger.ledger, arm="noop"):
        assert row["change"] == 0
    assert [control["arm"] for control in ledger.document.controls] == wring.document.arms
    assert not [row for row in ledger.ledger.to_pylist() if row["arm"] != "main" and (row["query"] or row["group"])]


def test_paired_intervals_are_narrower_than_unpaired(data, before) -> None:
    """A weak edit moves both sides alike: the change is known better than either side."""
    after = run(data, mitigation=Wring("gender", strength=0.2).fit(data))
    row = one(
        compare(before, after).ledger, attribute="gender", metric="cosine_bias", family="jobs", query="", arm="main"
    )
    widths = [row[f"{side}_high"] - row[f"{side}_low"] for side in ("before", "after")]
    assert row["change_high"] - row["change_low"] < 0.6 * np.hypot(*widths)


def test_explicit_queries_are_left_alone_and_compared(data, before, ledger) -> None:
    row = one(ledger.ledger, family="explicit", query="", arm="main")
    assert (row["change"], row["verdict"], row["attribute"], row["targeted"]) == (0.0, "unchanged", "", False)
    edited = run(data, mitigation=Wring("gender", leave_explicit=False).fit(data))
    row = one(compare(before, edited, draws=100).ledger, family="explicit", query="", arm="main")
    assert row["after"] < row["before"]
    assert row["change"] == pytest.approx(row["before"] - row["after"])


def test_overlap_and_cosine_start_at_one(ledger) -> None:
    for metric in (f"overlap@{K}", "query_cosine"):
        row = one(ledger.ledger, metric=metric, family="jobs", query="", arm="main")
        assert row["before"] == 1
        assert row["change"] == pytest.approx(1 - row["after"])
        assert row["verdict"] == "worse"
        assert row["after_low"] < row["after"] < row["after_high"]


def test_two_mitigations_are_compared_with_each_other(data, wring) -> None:
    """The cosine to the original is that of either edit, not 1 before."""
    other = run(data, mitigation=DifferenceProjection("gender").fit(data))
    found = compare(wring, other, draws=100)
    row = one(found.ledger, metric="query_cosine", family="jobs", query="", arm="main")
    assert row["before"] < 1
    assert row["change"] == pytest.approx(row["before"] - row["after"])
    assert (
        len({row["verdict"] for row in pick(found.ledger, arm="main", gated=True)} - {"unchanged", "insufficient"}) <= 2
    )


class Flip(EmbeddingMitigation):
    """Mirrors queries at the gender axis: the bias changes sides."""

    name = "flip"
    attributes = ("gender",)

    def fit(self, embeddings: Any) -> Flip:
        female, male = embeddings.group_text_vectors("gender")
        self.axis = (female - male) / np.linalg.norm(female - male)
        return self

    def transform(self, x: Any, *, modality: str = "text", queries: Any = None) -> Any:
        return (x - 2 * np.outer(x @ self.axis, self.axis)).astype(np.float32)

    def state(self) -> Any:
        return {}, {}

    @classmethod
    def from_state(cls, parameters: Any, arrays: Any) -> Flip:
        return cls()


def test_a_bias_that_changed_sides_is_reversed() -> None:
    data = space(800, lean=0.8)
    searches = [Query(query.text, query.text[-6:]) for query in queries(explicit=False)]
    before = run(data, queries=searches, by=["gender"])
    after = run(data, queries=searches, by=["gender"], mitigation=Flip().fit(data))
    found = compare(before, after)
    rows = pick(found.ledger, attribute="gender", metric=f"max_skew@{K}", query="", arm="main")
    strong = [row for row in rows if row["before_low"] > 0 and row["after_low"] > 0]
    assert len(strong) >= 3
    assert all(row["reversed"] for row in strong)
    assert any(row["reversed"] for row in pick(found.ledger, attribute="gender", group="Female"))
    assert not any(row["reversed"] for row in pick(compare(before, before).ledger))


def test_edits_of_pictures_keep_their_own_lengths(data, before) -> None:
    """A scaled-down copy of an edit: the interval of the change of cosine bias is that of the edited pictures."""
    shift = 2.0 * data.vectors().mean(0)
    after = run(data, mitigation=Shift(shift))
    row = one(
        compare(before, after).ledger, attribute="gender", metric="cosine_bias", family="jobs", query="", arm="main"
    )
    assert row["before_low"] <= row["before"] <= row["before_high"]
    assert row["after"] < row["before"]
    ends = (row["before"] - row["after_high"], row["before"] - row["after_low"])
    assert row["change_low"] <= -ends[0] + 1e-9 or row["change_high"] >= -ends[1]
    widths = [row[f"{side}_high"] - row[f"{side}_low"] for side in ("before", "after")]
    assert row["change_high"] - row["change_low"] < sum(widths)


def test_attributes_may_be_named_where_there_is_no_mitigation(data, before) -> None:
    after = run(data)
    for named in ("race", ["race"]):
        found = compare(before, after, attributes=named, draws=100)
        assert {row["attribute"] for row in found.ledger.to_pylist() if row["targeted"]} == {"race"}
        accuracy = pick(found.ledger, metric="zero_shot_accuracy")
        assert {row["family"] for row in accuracy} == {"gender"}


def test_margins_are_set_and_printed(before, wring) -> None:
    found = compare(before, wring, margins={"max_skew": 0.5, "tpr_gap": 0.1}, draws=100)
    assert {row["margin"] for row in pick(found.ledger, metric=f"max_skew@{K}")} == {0.5}
    assert found.document.margins[f"max_skew@{K}"] == 0.5
    assert any("'tpr_gap'" in note for note in found.document.notes)


def test_clusters_widen_the_change() -> None:
    wide, narrow = space(600, clusters=6), space(600, clusters=6)
    object.__setattr__(narrow.samples, "roles", {k: v for k, v in narrow.samples.roles.items() if k != "cluster"})
    widths = []
    for data in (wide, narrow):
        found = compare(run(data), run(data, mitigation=Wring("gender").fit(data)))
        row = one(found.ledger, attribute="gender", metric="cosine_bias", query=queries()[3].text)
        accuracy = one(found.ledger, metric="zero_shot_accuracy", family="race", arm="noop")
        assert accuracy["change"] == 0
        widths.append(row["change_high"] - row["change_low"])
    assert widths[0] > 1.5 * widths[1]


def test_small_groups_are_insufficient_rows(data) -> None:
    before, after = run(data, by=["race"], min_group=250), run(data, by=["race"], min_group=250)
    rows = pick(compare(before, after, draws=100).ledger, attribute="race", gated=True)
    assert len(rows) == 2 * 2
    assert {row["verdict"] for row in rows} == {"insufficient"}
    assert all("fewer than two groups" in row["reason"] for row in rows)
    assert all(row["margin"] > 0 for row in rows)


def test_distributions_hold_every_known_row(data, ledger) -> None:
    table = ledger.distributions.to_pylist()
    for side in ("before", "after"):
        for attribute in ("gender", "race"):
            total = sum(row["count"] for row in table if row["side"] == side and row["attribute"] == attribute)
            assert total == len(data) * 6
    assert {row["attribute"] for row in table} == {"gender", "race"}
