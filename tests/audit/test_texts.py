"""Texts of an audit: asked of a live encoder, missing by name, cut in the open."""

from __future__ import annotations

import numpy as np
import pytest
from patches import Patches, write_images, write_table
from synthetic import queries, space, vocabulary

from equipoise import EmbeddingSet, audit
from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.samples import read_samples
from equipoise.embed import embed
from equipoise.errors import FingerprintError, MissingTextError

LONG = "a photo of " + "somebody with a very long description " * 3


def without(data: EmbeddingSet, *gone: str) -> EmbeddingSet:
    """Return the set with some texts' vectors removed."""
    kept = [text for text in data.texts if text not in gone]
    return EmbeddingSet.from_arrays(data.vectors(), data.samples, texts=kept, text=data.text(kept))


def prompts(name: str) -> list[str]:
    attribute = vocabulary().attributes[name]
    return [text for group in attribute.values for text in attribute.prompt_texts(group)]


def run(data, **options):
    return audit(data, **{"queries": queries(), "by": ["gender"], "bootstrap": 0, **options})


def test_a_query_without_a_vector_is_named():
    gone = [queries()[1].text, queries()[3].text]
    with pytest.raises(MissingTextError) as caught:
        run(without(space(), *gone))
    assert caught.value.value == gone
    assert all(repr(text) in str(caught.value) for text in gone)


def test_some_prompts_of_an_attribute_that_is_asked_for():
    data = without(space(), prompts("gender")[0])
    with pytest.raises(MissingTextError) as caught:
        run(data)
    assert caught.value.value == [prompts("gender")[0]]
    notes = run(data, by=["race"]).document.notes
    assert any("accuracy of 'gender' was not measured" in note and repr(prompts("gender")[0]) in note for note in notes)


def test_an_attribute_in_a_pair_is_asked_for():
    with pytest.raises(MissingTextError):
        run(without(space(), prompts("race")[-1]), by=["gender:race"])


def test_embeddings_made_without_prompts_are_audited_and_the_prompts_are_listed():
    found = run(without(space(), *prompts("gender")))
    (note,) = [note for note in found.document.notes if "'gender' was not measured" in note]
    assert all(repr(text) in note for text in prompts("gender"))
    names = set(
        found.estimates.filter(np.array(found.estimates["metric"]) == "zero_shot_accuracy")["family"].to_pylist()
    )
    assert names == {"race"}


def test_an_attribute_without_prompts_says_so():
    data = space()
    words = Vocabulary({name: Attribute(name, each.values) for name, each in data.vocabulary.attributes.items()})
    bare = EmbeddingSet.from_arrays(
        data.vectors(), data.samples, texts=list(data.texts), text=data.text(data.texts), vocabulary=words
    )
    notes = run(bare).document.notes
    assert "Zero-shot accuracy of 'gender' was not measured: it has no prompts." in notes


# --------------------------------------------------------------------------------------------------------- live encoders

VOCABULARY = (
    '[group]\nvalues = ["A", "B"]\ntemplates = ["a photo of {}"]\n[group.prompts]\nA = ["an a {x}"]\nB = ["a b 👩🏽"]\n'
)


@pytest.fixture
def samples(tmp_path):
    names = write_images(tmp_path / "pictures", 70)
    (tmp_path / "groups.toml").write_text(VOCABULARY)
    table = write_table(tmp_path / "pictures" / "table.csv", names)
    return read_samples(table, image="image", attributes=["group"], vocabulary=tmp_path / "groups.toml")


def ask(data, texts):
    return audit(data, queries=texts, by=["group"], bootstrap=0)


def test_missing_texts_are_embedded_once_and_the_store_keeps_them(samples, tmp_path):
    encoder = Patches()
    store = tmp_path / "store"
    embed(encoder, samples, store=store)
    encoder.texts.clear()
    first = ask(EmbeddingSet.load(store, encoder=encoder), ["a red thing", "a blue thing"])
    assert encoder.texts == ["a red thing", "a blue thing"]
    second = ask(EmbeddingSet.load(store), ["a red thing", "a blue thing"])
    assert len(encoder.texts) == 2
    assert first.estimates.equals(second.estimates)
    assert any(row["metric"] == "zero_shot_accuracy" for row in first.estimates.to_pylist())


def test_a_store_is_not_audited_with_the_words_of_another_encoder(samples, tmp_path):
    embed(Patches(), samples, store=tmp_path / "store")
    with pytest.raises(FingerprintError, match="weights: a+"):
        EmbeddingSet.load(tmp_path / "store", encoder=Patches(weights="b"))


def test_a_store_whose_encoder_is_not_at_hand_lists_what_it_lacks(samples, tmp_path):
    embed(Patches(), samples, store=tmp_path / "store")
    with pytest.raises(MissingTextError, match="'a red thing', 'a blue thing'"):
        ask(EmbeddingSet.load(tmp_path / "store"), ["a red thing", "a blue thing"])


def test_texts_that_were_cut_are_said_at_every_audit(samples, tmp_path):
    store = tmp_path / "store"
    embed(Patches(), samples, store=store)
    for encoder in (Patches(), None):
        found = ask(EmbeddingSet.load(store, encoder=encoder), ["short", LONG])
        (note,) = [note for note in found.document.notes if "longer than the encoder reads" in note]
        assert repr(LONG) in note
        assert "'short'" not in note
    assert not any("longer" in note for note in ask(EmbeddingSet.load(store), ["short"]).document.notes)


def test_notes_of_the_encoder_reach_the_audit_from_memory_and_from_a_store(samples, tmp_path):
    encoder = Patches(notes=("The weights look untrained: its normalisation layer has weight 1 and bias 0 exactly.",))
    live = embed(encoder, samples, store=tmp_path / "store")
    live.text(["x"])
    assert live.rows(group="A").notes == list(encoder.notes)
    for data in (live, EmbeddingSet.load(tmp_path / "store")):
        assert [note for note in ask(data, ["x"]).document.notes if "untrained" in note] == list(encoder.notes)


def test_strange_words_survive(samples):
    texts = ["امرأة طبيبة", "👩🏽‍⚕️", "cafe\u0301", "caf\u00e9", "a {} {brace}", "%s"]
    found = ask(embed(Patches(), samples), texts)
    assert [query["text"] for query in found.document.queries] == texts
    assert set(found.estimates["query"].to_pylist()) >= set(texts)


def test_duplicate_captions_and_empty_ones(tmp_path):
    names = write_images(tmp_path, 70)
    lines = [f"{name},{'AB'[i % 2]},{['one', ' ', '', 'two'][i % 4]}" for i, name in enumerate(names)]
    (tmp_path / "t.csv").write_text("\n".join(["image,group,caption", *lines, ""]))
    encoder = Patches()
    data = embed(encoder, read_samples(tmp_path / "t.csv", image="image", attributes=["group"], caption="caption"))
    found = ask(data, ["a query"])
    assert sorted(encoder.texts) == ["a query", "one", "two"]
    recall = [row for row in found.estimates.to_pylist() if row["metric"].startswith("recall")]
    assert recall
