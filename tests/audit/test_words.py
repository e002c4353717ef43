"""An audit of preferences between words: its rows, its ledger, its gate, and the command line."""

from __future__ import annotations

import numpy as np
import pytest

import equipoise as eq
from equipoise.audit import Audit
from equipoise.audit.embeddings import DEFAULT
from equipoise.errors import InputError
from equipoise.gate.checks import rows_of
from equipoise.metrics.balance import association_bias, representation_bias
from equipoise.models import demo

QUERIES = "association-pairs,representation-prompts"
METRICS = ["association_bias", "representation_bias"]


@pytest.fixture(scope="module")
def faces():
    return eq.embed("demo", demo.samples()).rows(split="measured")


@pytest.fixture(scope="module")
def before(faces):
    return eq.audit(faces, queries=QUERIES, by=["gender", "race"], metrics=METRICS, bootstrap=200)


@pytest.fixture(scope="module")
def after(faces, before):
    wring = eq.Wring(attribute="gender").fit(eq.embed("demo", demo.samples()).rows(split="reference"))
    return eq.audit(faces, mitigation=wring, like=before)


def test_rows_are_those_of_the_functions(faces, before):
    found = association_bias(faces, "gender")
    single = rows_of(before.estimates, metric="association_bias", attribute="gender", arm="main")
    by_query = {row["query"]: row for row in single}
    assert [row["query"] for row in single] == ["", *found.pairs]
    for pair, one in zip(found.pairs, found.bias, strict=True):
        row = by_query[pair]
        assert (row["value"], row["low"], row["high"]) == pytest.approx((one.value, one.low, one.high))
        assert row["null_value"] == pytest.approx(one.null_value, abs=1e-9)
        assert (row["p"], row["n"], row["protocol"]) == (one.p, 1500, "clip-the-bias/ab")
    assert by_query[""]["value"] == pytest.approx(found.mean.value)
    # other pairs of the kind: wider than for these pairs
    assert by_query[""]["high"] - by_query[""]["low"] > found.mean.high - found.mean.low
    (top,) = rows_of(before.estimates, metric="max_association_bias", attribute="gender", arm="main")
    assert (top["value"], top["p"]) == pytest.approx((found.maximum.value, found.maximum.p))
    assert top["reason"] == "in the pair housekeeper/homeowner"
    rates = rows_of(before.estimates, metric="pair_preference", attribute="gender", group="Female")
    assert [row["value"] for row in rates] == pytest.approx([pair[0].value for pair in found.rates])

    shares = representation_bias(faces)
    rows = rows_of(before.estimates, metric="representation_bias", arm="main")
    assert {row["attribute"] for row in rows} == {"gender"}
    assert {row["family"] for row in rows} == {"explicit"}
    for row, name, one in zip(rows[1:], shares.prompts, shares.bias, strict=True):
        assert row["query"] == name
        assert (row["value"], row["low"], row["high"], row["null_value"], row["p"]) == pytest.approx(
            (one.value, one.low, one.high, one.null_value, one.p)
        )
    assert rows[0]["value"] == pytest.approx(shares.mean.value)
    (note,) = [note for note in before.document.notes if "representation bias" in note]
    assert "0.029 (a photo of a man/woman) to 0.492 (man/woman) over 6 sets" in note


def test_the_default_audit_is_what_it_was(faces):
    assert not {"association_bias", "representation_bias"} & set(DEFAULT)
    found = eq.audit(faces, queries=QUERIES, by=["gender"], bootstrap=0)
    assert not {"association_bias", "representation_bias"} & set(found.estimates["metric"].to_pylist())
    assert set(rows_of(found.estimates, family="association-pairs")[0]) == set(found.estimates.column_names)


def test_all_queries_that_lack_are_named_at_once(faces):
    with pytest.raises(InputError, match="'association-pairs'.*'representation-prompts'") as caught:
        eq.audit(faces, queries="occupations", by=["gender"], metrics=METRICS)
    assert "'association_bias' needs" in str(caught.value)
    assert "'representation_bias' needs" in str(caught.value)
    assert caught.value.value == METRICS
    with pytest.raises(InputError) as caught:
        eq.audit(faces, queries="occupations", by=["gender"], metrics=["max_skew", METRICS[1]])
    assert caught.value.value == METRICS[1]


def test_a_ledger_is_paired(before, after):
    ledger = eq.compare(before, after, draws=200).ledger.to_pylist()
    rows = {
        (row["metric"], row["attribute"], row["query"]): row
        for row in ledger
        if row["arm"] == "main" and row["metric"] in METRICS
    }
    assert len(rows) == 2 * 6 + 7
    for row in rows.values():
        assert row["change"] == pytest.approx(row["after"] - row["before"], abs=1e-6)
        assert row["gated"] == (row["query"] == "")
        assert row["targeted"] == (row["attribute"] == "gender")
    job = rows["association_bias", "gender", "housekeeper/homeowner"]
    assert (job["verdict"], job["before"] > 0.4, job["after"] < 0.2) == ("improved", True, True)
    # the words for groups are left alone, so is what pictures prefer
    words = rows["representation_bias", "gender", ""]
    assert (words["change"], words["verdict"]) == (0.0, "unchanged")
    assert {row["metric"] for row in ledger if row["arm"] != "main"} >= set(METRICS)
    assert "max_association_bias" not in {row["metric"] for row in ledger}
    same = eq.compare(before, before, draws=100).ledger.to_pylist()
    assert {row["change"] for row in same if row["metric"] in METRICS} == {0.0}


def test_a_policy_may_limit_them(before, tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text(
        'schema = "equipoise.policy/1"\n'
        '[[limit]]\nmetric = "association_bias"\nprotocol = "clip-the-bias/ab"\nattribute = "gender"\nmax_bias = 0.01\n'
        '[[limit]]\nmetric = "representation_bias"\nprotocol = "clip-the-bias/rb"\nattribute = "*"\nmax_bias = 0.4\n'
    )
    found = eq.gate(before, policy)
    assert [check.outcome for check in found.checks] == ["fail", "pass"]


def test_pictures_of_no_groups(tmp_path, run):
    samples = eq.read_samples(demo.folder() / "rows.parquet", id="id")
    pictures = eq.embed("demo", samples, store=tmp_path / "store")
    found = eq.audit(pictures, queries="representation-prompts", metrics=["representation_bias"], bootstrap=100)
    rows = rows_of(found.estimates, metric="representation_bias")
    assert len(rows) == 7
    assert {row["n"] for row in rows} == {3000}
    found.save(tmp_path / "audit")
    again = Audit.load(tmp_path / "audit")
    assert again.estimates.equals(found.estimates)
    ledger = eq.compare(found, again, draws=100)
    assert set(ledger.ledger["verdict"].to_pylist()) == {"unchanged"}
    eq.report(ledger, tmp_path / "report.html")
    ran = run(
        "audit", tmp_path / "store", "--queries", "representation-prompts", "--metrics", "representation_bias",
        "--bootstrap", 0, "--out", tmp_path / "other", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (mean,) = [row for row in ran.json["result"]["means"] if row["metric"] == "representation_bias"]
    assert mean["value"] == pytest.approx(rows[0]["value"])
    with pytest.raises(InputError, match="No attribute"):
        eq.audit(pictures, queries="representation-prompts")


def test_what_is_missing_is_said(faces):
    for metric, needed in zip(METRICS, ("association-pairs", "representation-prompts"), strict=True):
        with pytest.raises(InputError, match=f"'{metric}' needs queries") as error:
            eq.audit(faces, queries="occupations", by=["gender"], metrics=[metric])
        assert needed in error.value.remedy
    with pytest.raises(InputError, match="'max_association_bias' cannot be asked"):
        eq.audit(faces, queries="association-pairs", by=["gender"], metrics=["max_association_bias"])


def test_small_groups_and_clusters(tiny_precomputed, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text(
        "query,family,label\na photo of a nurse,pairs,nurse/doctor\na photo of a doctor,pairs,nurse/doctor\n"
        "a photo of a teacher,pairs,other\n"
    )
    table = eq.read_samples(
        tiny_precomputed.table, id="id", attributes=["gender"], cluster="race", vocabulary=tiny_precomputed.vocabulary
    )
    data = eq.embed(tiny_precomputed.reference, table)
    found = eq.audit(data, queries=pairs, by=["gender"], metrics=["association_bias"], k=20, bootstrap=100)
    mean, single = rows_of(found.estimates, metric="association_bias")
    assert mean["value"] == single["value"]
    plain = eq.read_samples(
        tiny_precomputed.table, id="id", attributes=["gender"], vocabulary=tiny_precomputed.vocabulary
    )
    data = eq.embed(tiny_precomputed.reference, plain)
    few = eq.audit(data, queries=pairs, by=["gender"], metrics=["association_bias"], k=20, min_group=200)
    (row,) = rows_of(few.estimates, metric="association_bias")
    assert (row["status"], row["value"]) == ("insufficient", None)
    (ledger,) = [r for r in eq.compare(few, few, draws=100).ledger.to_pylist() if r["metric"] == "association_bias"]
    assert ledger["verdict"] == "insufficient"


def test_prompts_follow_the_vocabulary(tmp_path):
    from equipoise.data.groups import Attribute, Vocabulary
    from equipoise.data.queries import read_queries

    other = Vocabulary({"gender": Attribute("gender", ("woman", "man"))})
    assert {query.explicit for query in read_queries("representation-prompts", other)} == {"gender=woman", "gender=man"}
    unrelated = Vocabulary({"kind": Attribute("kind", ("cat", "dog"))})
    found = read_queries("representation-prompts", unrelated)
    assert len(found) == 12
    assert read_queries(list(found), unrelated) == found
    assert {query.explicit for query in found} == {"gender=Female", "gender=Male"}
    assert np.unique([query.label for query in found]).size == 6
