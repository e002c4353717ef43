"""``audit --encoder``: texts that a store lacks, from the encoder that made it; missing texts are exit 2 and listed."""

from __future__ import annotations

import pytest
from patches import Patches, write_images, write_table

from equipoise.data.samples import read_samples
from equipoise.embed import embed
from equipoise.store.embeddings import EmbeddingSet

UNTRAINED = "The weights look untrained: its normalisation layer has weight 1 and bias 0 exactly."
LONG = "a photo of " + "somebody with a very long description " * 3


@pytest.fixture
def store(tmp_path):
    names = write_images(tmp_path / "pictures", 70)
    table = write_table(tmp_path / "pictures" / "table.csv", names)
    encoder = Patches(notes=(UNTRAINED,))
    encoder.ref = "py:patches:patches"
    embed(encoder, read_samples(table, image="image", attributes=["group"]), store=tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "mine.txt").write_text(f"a red thing\na blue thing\n{LONG}\n")
    return tmp_path / "mine.txt"


def audit(run, store, asked, *more):
    return run("audit", store, "--queries", asked, "--by", "group", "--bootstrap", 0, "--json", *more)


def test_the_users_code_runs_only_if_it_is_named(run, store, asked):
    found = audit(run, store, asked)
    assert found.code == 2
    assert found.json["error"]["type"] == "MissingTextError"
    assert all(text in found.json["error"]["message"] for text in ("'a red thing'", "'a blue thing'", repr(LONG)))
    assert "--encoder py:patches:patches" in found.json["error"]["remedy"]


def test_a_named_encoder_embeds_what_is_missing_and_later_audits_need_none(run, store, asked, tmp_path):
    loaded = run("embed", tmp_path / "pictures" / "table.csv", "--image", "image", "--attributes", "group",
                 "--encoder", "py:patches:patches", "--store", tmp_path / "named", "--json")  # fmt: skip
    assert loaded.code == 0
    named = tmp_path / "named"
    assert audit(run, named, asked).code == 2
    first = audit(run, named, asked, "--encoder", "py:patches:patches", "--out", tmp_path / "a")
    assert first.code == 0
    second = audit(run, named, asked, "--out", tmp_path / "b")
    assert second.code == 0
    for file in ("estimates.parquet", "audit.json", "evidence/scores.safetensors"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    for ran in (first, second):
        assert [warning["code"] for warning in ran.json["warnings"]].count("truncated") == 1


def test_another_encoder_is_refused_with_the_difference(run, store, asked):
    found = audit(run, store, asked, "--encoder", "py:patches:patches")  # the store was made by the object itself
    assert (found.code, found.json["error"]["type"]) == (2, "FingerprintError")
    assert "kind: patches -> py" in found.json["error"]["message"]


def test_untrained_weights_are_a_warning_with_a_code_and_stand_in_the_report(run, store, asked, tmp_path):
    EmbeddingSet.load(store, encoder=Patches(notes=(UNTRAINED,))).text(["a red thing", "a blue thing", LONG])
    found = audit(run, store, asked, "--out", tmp_path / "audit")
    assert found.code == 0
    assert [w["message"] for w in found.json["warnings"] if w["code"] == "untrained"] == [UNTRAINED]
    assert run("report", tmp_path / "audit", "--out", tmp_path / "r.html").code == 0
    page = (tmp_path / "r.html").read_text()
    section = page[page.index("What was not measured</h") :]
    assert UNTRAINED in section[: section.index("</section>")]
    loud = run("audit", store, "--queries", asked, "--by", "group", "--bootstrap", 0)
    assert f"warning: {UNTRAINED}" in " ".join(loud.err.split())


def test_it_does_not_apply_to_tables(run, tiny_precomputed):
    found = run("audit", tiny_precomputed.table, "--label", "label", "--prediction", "prediction", "--by", "gender",
                "--encoder", "demo", "--json")  # fmt: skip
    assert found.code == 2
    assert "--encoder does not apply" in found.json["error"]["message"]


def test_missing_texts_of_precomputed_embeddings_are_listed(run, new_tiny, tmp_path):
    tiny = new_tiny()
    assert run("embed", tiny.table, "--attributes", "gender,race", "--encoder", tiny.reference, "--id", "id",
               "--vocabulary", tiny.vocabulary, "--store", tmp_path / "s").code == 0  # fmt: skip
    (tmp_path / "q.txt").write_text("a photo of a nurse\na photo of a sailor\na photo of a cook\n")
    found = run("audit", tmp_path / "s", "--queries", tmp_path / "q.txt", "--by", "gender", "--json")
    assert found.code == 2
    assert "'a photo of a sailor', 'a photo of a cook'" in found.json["error"]["message"]
    assert "nurse'" not in found.json["error"]["message"].partition("Did you mean")[0]
    named = run("audit", tmp_path / "s", "--queries", tmp_path / "q.txt", "--by", "gender", "--json",
                "--encoder", "py:patches:patches")  # fmt: skip
    assert named.code == 2
    assert "16 columns, the texts of 'patches' 32" in named.json["error"]["message"]
