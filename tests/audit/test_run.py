"""What an audit may be asked, what it takes from another, and metrics of plug-ins."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from synthetic import K, one, pick, queries, run, space

from equipoise import EmbeddingSet, Query, SpanProjection, audit
from equipoise.errors import InputError, LeakageError, MissingColumnError, UnknownNameError
from equipoise.metrics.retrieval import MaxSkew
from equipoise.protocols import MetricDescriptor


@pytest.fixture(scope="module")
def data() -> EmbeddingSet:
    return space(unknown=25)


@pytest.fixture(scope="module")
def found(data):
    return run(data, by=["gender", "race", "gender:race"])


class Lean(MaxSkew):
    """A plug-in's metric: the spread of skews of the two groups."""

    descriptor: ClassVar[MetricDescriptor] = MetricDescriptor(
        name="lean", protocol="test", evidence="top", role="bias", direction="lower", signed=False, margin=0.1,
        unit="natural log", formula="twice MaxSkew", source="test", at_k=True,
    )  # fmt: skip

    def statistic(self, evidence: Any) -> Any:
        return 2 * super().statistic(evidence)

    def interval(self, evidence: Any, level: float) -> None:
        return None


def test_a_metric_of_a_plug_in(data, found, monkeypatch) -> None:
    from equipoise.registry import METRICS

    monkeypatch.setattr(METRICS, "_plugins", {"lean": f"{__name__}:Lean"})
    monkeypatch.setitem(__import__("sys").modules, __name__, __import__("types").SimpleNamespace(Lean=Lean))
    extra = run(data, metrics=["lean"])
    assert {row["metric"] for row in pick(extra.estimates, attribute="gender", query="", group="")} == {f"lean@{K}"}
    double = one(extra.estimates, attribute="gender", metric=f"lean@{K}", family="jobs", query="")
    simple = one(found.estimates, attribute="gender", metric=f"max_skew@{K}", family="jobs", query="")
    assert double["value"] == pytest.approx(2 * simple["value"])
    assert double["p"] == simple["p"]


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"by": []}, InputError, "No attribute"),
        ({"by": ["gendr"]}, UnknownNameError, "Did you mean 'gender'"),
        ({"by": ["gender:gender"]}, InputError, "twice"),
        ({"level": 95}, InputError, "0.95"),
        ({"bootstrap": 20}, InputError, "100 or more"),
        ({"bootstrap": True}, InputError, "whole number"),
        ({"seed": -1}, InputError, "seed"),
        ({"min_group": 0}, InputError, "min_group"),
        ({"queries": None}, InputError, "No queries"),
        ({"metrics": ["tpr_gap"]}, InputError, "cannot be asked of embeddings"),
        ({"metrics": ["explicit_share"]}, InputError, "measured anyway"),
        ({"metrics": ["max_skw"]}, UnknownNameError, "Did you mean 'max_skew'"),
        ({"mitigation": object()}, InputError, "edits no embeddings"),
    ],
)
def test_wrong_use_is_refused(data, options, error, text) -> None:
    with pytest.raises(error, match=text):
        run(data, **options)


def test_an_attribute_without_a_column_is_refused() -> None:
    data = space()
    object.__setattr__(data.samples, "attributes", ("race",))
    with pytest.raises(MissingColumnError, match="gender"):
        run(data)


def test_by_is_read_from_text_and_each_name_counts_once(data) -> None:
    found = run(data, by="gender, race,gender", bootstrap=0)
    assert found.document.parameters["settings"]["by"] == ["gender", "race"]


def test_like_takes_all_settings_and_refuses_a_difference(data, found) -> None:
    again = audit(data, like=found)
    assert again.estimates.equals(found.estimates)
    assert audit(data, like=found, k=K, seed=0, by=["gender", "race", "gender:race"]).estimates.equals(found.estimates)
    with pytest.raises(InputError, match="'k' is 40 here and 50"):
        audit(data, like=found, k=40)
    with pytest.raises(InputError, match="queries"):
        audit(data, like=found, queries=queries(explicit=False))
    other = [Query(query.text, "other") for query in queries()]
    with pytest.raises(InputError, match="queries"):
        audit(data, like=found, queries=other)


def test_rows_of_the_fit_are_refused(data) -> None:
    fitted = SpanProjection("gender", vectors="image", k=None).fit(data.rows(split="train"))
    known = int((data.rows(split="train").samples.codes("gender") >= 0).sum())
    with pytest.raises(LeakageError, match=f"{known} rows"):
        run(data, mitigation=fitted)
