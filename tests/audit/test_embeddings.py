"""The numbers of an embedding audit equal plain loops over rows; what cannot be measured says so."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import GENDERS, RACES, K, Loops, Shift, one, pick, queries, run, space

from equipoise import EmbeddingSet, Wring, audit
from equipoise.errors import InputError


@pytest.fixture(scope="module")
def data() -> EmbeddingSet:
    return space(unknown=25)


@pytest.fixture(scope="module")
def found(data):
    return run(data, by=["gender", "race", "gender:race"])


@pytest.mark.parametrize("key", ["gender", "race", "gender:race"])
def test_estimates_equal_plain_loops(data, found, key) -> None:
    loops, members = Loops(data, key, K), {"jobs": range(4), "trades": range(4, 6)}
    assert len(loops.taking_part) >= 2
    vectors = data.text([query.text for query in queries()])
    values = [loops.of(vector) for vector in vectors]
    for name, called in (
        ("max_skew", f"max_skew@{K}"),
        ("min_skew", f"min_skew@{K}"),
        ("dp", f"dp@{K}"),
        ("score_gap", "score_gap"),
        ("cosine_bias", "cosine_bias"),
    ):
        for family, numbers in members.items():
            for q in numbers:
                row = one(found.estimates, attribute=key, metric=called, query=queries()[q].text)
                assert row["value"] == pytest.approx(values[q][name], abs=2e-5)
                assert row["n"] == sum(len(rows) for rows in loops.members.values())
            row = one(found.estimates, attribute=key, metric=called, family=family, query="")
            assert row["value"] == pytest.approx(np.mean([values[q][name] for q in numbers]), abs=2e-5)
            assert row["low"] <= row["value"] <= row["high"]
    for group in loops.groups:
        row = one(found.estimates, attribute=key, metric=f"skew@{K}", group=group, family="jobs", query="")
        assert row["n"] == len(loops.members[group])
        if group in loops.taking_part:
            assert row["value"] == pytest.approx(np.mean([values[q]["skew"][group] for q in range(4)]), abs=1e-6)
        else:
            assert (row["status"], row["value"]) == ("insufficient", None)
            assert row["reason"] == f"{row['n']} rows, fewer than 30"


def test_explicit_share_and_its_chance(data, found) -> None:
    loops = Loops(data, "gender", K)
    share = loops.of(data.text([queries()[-1].text])[0])["share"]["Female"]
    rows = pick(found.estimates, family="explicit", arm="main")
    assert {row["metric"] for row in rows} == {f"explicit_share@{K}"}
    for row in rows:
        assert row["attribute"] == ""
        assert row["value"] == pytest.approx(share)
        prior = len(loops.members["Female"]) / sum(map(len, loops.members.values()))
        assert row["null_value"] == pytest.approx(prior)


def test_zero_shot_accuracy_overall_and_by_group(data, found) -> None:
    image = data.vectors()
    for name in ("gender", "race"):
        answer = np.argmax(image @ data.group_text_vectors(name).T, 1)
        code = data.samples.codes(name)
        row = one(found.estimates, metric="zero_shot_accuracy", family=name, attribute="")
        assert row["value"] == pytest.approx((answer == code)[code >= 0].mean())
        assert (row["numerator"], row["denominator"]) == ((answer == code).sum(), (code >= 0).sum())
        assert row["null_value"] == pytest.approx(1 / len(data.vocabulary.groups(name)))
        races = data.samples.codes("race")
        for r, race in enumerate(RACES):
            part = (races == r) & (code >= 0)
            row = one(found.estimates, metric="zero_shot_accuracy", family=name, attribute="race", group=race)
            assert row["value"] == pytest.approx((answer == code)[part].mean())


def test_recall_ranks_the_captions_own_row() -> None:
    data = space(captions=True)
    found = run(data, by=["gender"])
    image, text = data.vectors(), data.text([f"caption {i}" for i in range(60)])
    cosine = text @ image.T
    ids = data.samples.ids
    ranks = [(cosine[i] > cosine[i, ids.index(f"r{i:05d}")]).sum() for i in range(60)]
    for k in (1, 5, 10):
        row = one(found.estimates, metric=f"recall@{k}")
        assert row["value"] == pytest.approx(np.mean(np.asarray(ranks) < k))
        assert (row["family"], row["n"]) == ("captions", 60)


def test_unknown_rows_are_counted_and_stay_for_the_others(data, found) -> None:
    assert found.document.unknown == {"gender": 25, "race": 0}
    assert found.document.rows == {"in": 400, "used": 400, "set_aside": 0}
    assert one(found.estimates, attribute="race", metric="cosine_bias", family="jobs", query="")["n"] == 400


def test_small_groups_are_named_and_two_must_be_left() -> None:
    data = space(small=12)
    found = run(data, by=["race", "gender:race"])
    row = one(found.estimates, attribute="race", metric=f"max_skew@{K}", family="jobs", query="")
    assert row["reason"] == "left out, fewer than 30 rows: Gamma"
    assert row["status"] == "ok"
    alone = run(data, by=["race"], min_group=250)
    rows = pick(alone.estimates, attribute="race", group="", arm="main")
    biases = [row for row in rows if row["metric"] != "zero_shot_accuracy"]
    assert len(biases) == 5 * 2
    assert {row["status"] for row in biases} == {"insufficient"}
    assert {row["value"] for row in biases} == {None}
    assert all("fewer than two groups" in row["reason"] for row in biases)


def test_a_skew_below_its_bounds_stays_inside_its_limits() -> None:
    """All groups that take part may be found too seldom, when a small one takes the top: max_skew is then below 0."""
    data = space(small=25)
    towards = data.vectors()[data.samples.codes("race") == 2].mean(0)
    near = EmbeddingSet.from_arrays(
        np.where((data.samples.codes("race") == 2)[:, None], towards, data.vectors()), data.samples, texts=["x"],
        text=towards[None],
    )  # fmt: skip
    found = audit(near, queries=["x"], by=["race"], k=K, bootstrap=100)
    rows = pick(found.estimates, metric=f"max_skew@{K}")
    assert all(row["value"] < 0 and row["low"] <= row["value"] <= row["high"] for row in rows)


def test_k_by_default_is_printed_and_bounded(data) -> None:
    found = run(data, k=None)
    assert found.document.k == 80
    assert "k = 80 of 400 rows (min(200, n // 5))." in found.document.notes
    assert run(data, k=400, by=["race"], bootstrap=0).document.k == 400
    for k in (0, 401, 10.5, True):
        with pytest.raises(InputError, match="400"):
            run(data, k=k)


def test_the_whole_pool_has_no_parity_gap(data) -> None:
    found = run(data, k=400, by=["race"])
    rows = pick(found.estimates, metric="dp@400")
    assert all(row["value"] == 0 for row in rows)


def test_closed_forms_only(data) -> None:
    found = run(data, bootstrap=0)
    names = {row["metric"] for row in pick(found.estimates, attribute="gender", query="", group="")}
    assert names == {f"max_skew@{K}", f"min_skew@{K}", f"dp@{K}", "cosine_bias", "score_gap"}
    for row in found.estimates.to_pylist():
        if row["status"] == "ok" and row["attribute"] and row["metric"] != "query_cosine":
            assert row["low"] <= row["value"] + 1e-9, row
            assert row["value"] <= row["high"] + 1e-9, row


def test_clusters_widen_intervals_and_raise_chance() -> None:
    wide, narrow = space(clusters=8), space(clusters=8)
    object.__setattr__(narrow.samples, "roles", {k: v for k, v in narrow.samples.roles.items() if k != "cluster"})
    results = [run(data, bootstrap=200) for data in (wide, narrow)]
    assert results[0].evidence.clusters is not None
    assert results[1].evidence.clusters is None
    for wanted in (
        {"metric": f"max_skew@{K}", "attribute": "gender", "query": queries()[3].text},
        {"metric": "score_gap", "attribute": "race", "query": queries()[0].text},
        {"metric": f"skew@{K}", "attribute": "gender", "group": "Female", "query": queries()[0].text},
        {"metric": "zero_shot_accuracy", "family": "race", "attribute": ""},
        {"metric": "zero_shot_accuracy", "family": "race", "attribute": "gender", "group": "Male"},
        {"metric": f"explicit_share@{K}", "query": queries()[-1].text},
    ):
        a, b = (one(found.estimates, **wanted) for found in results)
        assert a["value"] == b["value"], wanted
        assert a["high"] - a["low"] > 1.3 * (b["high"] - b["low"]), wanted
        if b["p"] is not None:
            assert a["null_value"] > b["null_value"] or wanted["metric"] == f"skew@{K}"
    with pytest.raises(InputError, match="clusters"):
        run(wide, bootstrap=0)


def test_p_of_clustered_noise_is_uniform() -> None:
    """One person, eight photos, no disparity: shuffling rows would call most of these a bias."""
    rng = np.random.default_rng(5)
    low = trials = 0
    for trial in range(12):
        data = space(160, 8, trial, clusters=8)
        noise = np.repeat(rng.normal(size=(20, 8)), 8, 0) + 0.01 * rng.normal(size=(160, 8)) + 1
        near = EmbeddingSet.from_arrays(
            noise[np.argsort(data.samples.position)], data.samples, texts=["a", "b", "c"], text=rng.normal(size=(3, 8))
        )
        found = audit(near, queries=["a", "b", "c"], by=["gender"], k=32, bootstrap=100, min_group=5)
        for row in pick(found.estimates, attribute="gender", query="", group=""):
            low, trials = low + (row["p"] < 0.1), trials + 1
    assert trials == 12 * 5
    assert low / trials < 0.25


def test_edits_of_pictures_are_measured_on_the_edited_pictures(data) -> None:
    vector = np.random.default_rng(1).normal(size=data.dim) * 0.5
    found = run(data, mitigation=Shift(vector))
    moved = data.vectors() + vector.astype(np.float32)
    texts = data.texts
    twin = EmbeddingSet.from_arrays(
        moved[np.argsort(data.samples.position)], data.samples, texts=texts, text=data.text(texts)
    )
    plain = run(twin)
    for row in pick(plain.estimates, arm="main"):
        if row["metric"] == "query_cosine":
            continue
        wanted = {name: row[name] for name in ("metric", "attribute", "group", "family", "query")}
        other = one(found.estimates, arm="main", **wanted)
        for name in ("value", "low", "high", "null_value"):
            assert other[name] == pytest.approx(row[name], abs=1e-4), wanted
    assert found.document.arms == ["main", "noop", "noop__2"]
    assert found.document.geometry["noop__2"] == {"same_as": "noop"}


def test_controls_are_arms_and_no_op_changes_nothing(data, found) -> None:
    after = audit(data.rows(split="val"), queries=queries(), by=["gender"], k=K, bootstrap=100,
                  mitigation=Wring("gender").fit(data.rows(split="train")))  # fmt: skip
    assert after.document.arms == ["main", "span_projection", "difference_projection", "noop"]
    before = audit(data.rows(split="val"), like=audit(data.rows(split="val"), queries=queries(), by=["gender"], k=K))
    assert np.array_equal(after.evidence.scores["noop"], before.evidence.scores["main"])
    assert {row["split"] for row in after.estimates.to_pylist()} == {"val"}
    named = {row["metric"] for row in pick(after.estimates, protocol="diagnostic")}
    assert {"subspace_share", "rotation_angle", "side_effect_bound", "span_amplification"} <= named
    assert {row["status"] for row in pick(after.estimates, protocol="diagnostic")} == {"exact"}
    assert after.document.mitigation["attributes"] == ["gender"]


def test_text_only_queries_make_no_bias_rows(data) -> None:
    found = run(data, queries=[queries()[-1]])
    assert not pick(found.estimates, metric=f"max_skew@{K}")
    assert pick(found.estimates, metric=f"explicit_share@{K}")


def test_an_explicit_query_of_an_attribute_without_a_column() -> None:
    data = space()
    samples = data.samples
    object.__setattr__(samples, "attributes", ("race",))
    found = run(EmbeddingSet.from_arrays(
        data.vectors()[np.argsort(samples.position)], samples, texts=data.texts, text=data.text(data.texts)
    ), by=["race"])  # fmt: skip
    row = one(found.estimates, metric=f"explicit_share@{K}")
    assert row["status"] == "not_estimable"
    assert "names no group of the audited attributes" in row["reason"]


def test_explicit_matches_are_listed(data) -> None:
    found = audit(data, queries=[query.text for query in queries()], by=["gender"], k=K, bootstrap=0)
    assert any("a photo of a female doctor" in note for note in found.document.notes)


def test_genders_and_groups_are_those_declared(found) -> None:
    groups = {row["group"] for row in pick(found.estimates, attribute="gender")}
    assert groups == {"", *GENDERS}
