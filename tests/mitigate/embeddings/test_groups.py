"""Group vectors from words and from pictures, against the plain way of forming them."""

from __future__ import annotations

import numpy as np
import pytest
from mitigate.embeddings.spaces import unit

from equipoise.checks.people import QUERIES, people
from equipoise.errors import InputError, MethodRefusal, VocabularyError
from equipoise.mitigate.embeddings.groups import _top
from equipoise.mitigate.embeddings.projection import SpanProjection
from equipoise.mitigate.embeddings.wring import Wring
from equipoise.store.embeddings import EmbeddingSet


def without_prompts(data: EmbeddingSet, names: tuple[str, ...]) -> EmbeddingSet:
    from dataclasses import replace

    from equipoise.data.groups import Vocabulary

    attributes = dict(data.vocabulary.attributes)
    kept = {group: prompts for group, prompts in attributes["gender"].prompts.items() if group not in names}
    attributes["gender"] = replace(attributes["gender"], prompts=kept)
    texts = list(data.texts)
    return EmbeddingSet.from_arrays(
        data.vectors(), data.samples, texts=texts, text=data.text(texts), vocabulary=Vocabulary(attributes)
    )


def local_means(data: EmbeddingSet, x, k: int):
    """Nearest rows by full sort, one query at a time."""
    images, codes = data.vectors().astype(np.float64), data.samples.codes("gender")
    found = []
    for row in x.astype(np.float64):
        means = []
        for group in range(codes.max() + 1):
            own = images[codes == group]
            means.append(own[np.argsort(-(own @ row), kind="stable")[:k]].mean(axis=0))
        found.append(unit(np.array(means)))
    return np.array(found)


def test_text_vectors_are_means_of_all_prompts_in_all_templates():
    data = people(3)
    method = Wring("gender").fit(data)
    by_hand = [
        unit(data.text(data.vocabulary.attributes["gender"].prompt_texts(group)).mean(axis=0))
        for group in data.vocabulary.groups("gender")
    ]
    np.testing.assert_allclose(method.group_vectors_, by_hand, atol=1e-6)
    assert method.fit_rows == ()


def test_templates_in_place_of_the_vocabularys():
    data = people(2)
    method = Wring("gender", templates="a photo of {}").fit(data)
    np.testing.assert_allclose(
        method.group_vectors_, data.text(["a photo of a Alpha person", "a photo of a Beta person"]), atol=1e-6
    )
    with pytest.raises(InputError, match="an Alpha|Alpha"):
        Wring("gender", templates=["a sketch of {}"]).fit(data)
    with pytest.raises(VocabularyError):
        Wring("gender", templates=["a photo"]).fit(data)


def test_global_image_vectors_are_unit_means():
    data = people(3)
    method = Wring("gender", vectors="image", k=None).fit(data)
    codes = data.samples.codes("gender")
    means = np.array([data.vectors()[codes == g].mean(axis=0, dtype=np.float64) for g in range(3)])
    np.testing.assert_allclose(method.group_vectors_, unit(means), atol=1e-9)
    assert method.fit_rows == tuple(data.samples.ids)


@pytest.mark.parametrize("k", [1, 10, 47, 100])
def test_local_image_vectors_are_means_of_the_nearest(k):
    data = people(3)
    x = np.tile(data.text(QUERIES), (4, 1)) * np.linspace(0.5, 3, 48, dtype=np.float32)[:, None]
    method = Wring("gender", vectors="image", k=k).fit(data)
    np.testing.assert_allclose(method.vectors_.at(x), local_means(data, x, k), atol=1e-6)
    alone = np.concatenate([method.vectors_.at(row[None]) for row in x])
    np.testing.assert_array_equal(alone, method.vectors_.at(x))


def test_of_equal_similarities_the_first_rows_count():
    scores = np.array([[1, 2, 2, 2, 0, 3], [5, 5, 5, 5, 5, 5]], dtype=np.float32)
    assert _top(scores, 3).tolist() == [[1, 2, 5], [0, 1, 2]]
    assert _top(scores, 6).tolist() == [[0, 1, 2, 3, 4, 5]] * 2


def test_notes_say_what_is_kept_and_what_was_averaged():
    method = Wring("gender", vectors="image").fit(people(2))
    assert method.notes == (
        "Fewer than k = 100 rows of Alpha (48), Beta (48) of 'gender': all of them are averaged.",
        "96 reference rows are kept with the edit (0.0 MB).",
    )


def test_unknown_rows_are_not_used():
    from equipoise.data.samples import read_samples

    data = people(2)
    table = data.samples.table.set_column(
        data.samples.table.schema.get_field_index("gender"), "gender",
        [["" if i % 7 == 0 else value for i, value in enumerate(data.samples.column("gender"))]],
    )  # fmt: skip
    samples = read_samples(table, id="row_id", attributes=["gender", "origin"], vocabulary=data.vocabulary)
    some = EmbeddingSet.from_arrays(data.vectors(), samples, vocabulary=data.vocabulary)
    known = samples.codes("gender") >= 0
    assert 0 < known.sum() < len(known)
    for k in (None, 10):
        method = Wring("gender", vectors="image", k=k).fit(some)
        assert method.fit_rows == tuple(np.array(samples.ids)[known])
    assert method.vectors_.reference.shape == (known.sum(), 32)


def test_missing_prompts_are_named():
    with pytest.raises(VocabularyError) as caught:
        Wring("gender").fit(without_prompts(people(2), ("Beta",)))
    assert str(caught.value) == (
        "'gender' has no prompts for Beta. Text-side WRING needs words: add [gender.prompts] to groups.toml, or use "
        "vectors='image'."
    )
    assert caught.value.exit_code == 2
    with pytest.raises(VocabularyError, match="Text-side Span projection needs words"):
        SpanProjection("gender").fit(without_prompts(people(2), ("Alpha", "Beta")))


def test_an_intersection_has_no_words():
    with pytest.raises(VocabularyError, match=r"vectors='image', or attribute=\['gender', 'origin'\]"):
        Wring("gender:origin").fit(people(2))


@pytest.mark.parametrize(("options", "where"), [({}, "in the vocabulary"), ({"vectors": "image"}, "in these rows")])
def test_one_group_is_refused(options, where):
    with pytest.raises(InputError, match=rf"WRING needs two or more groups; 'gender' has one \(Alpha\) {where}\."):
        Wring("gender", **options).fit(people(1))


def test_rows_of_one_group_only_are_refused_for_image_vectors():
    data = people(1, declared=3)
    with pytest.raises(InputError, match=r"'gender' has one \(Alpha\) in these rows"):
        Wring("gender", vectors="image").fit(data)
    assert Wring("gender").fit(data).transform(data.text(QUERIES)).shape == (12, 32)


def test_small_groups_are_refused_and_empty_ones_left_out():
    data = people(2, declared=3, per_group=29)
    with pytest.raises(MethodRefusal, match=r"'gender' has fewer than 30 rows of Alpha \(29\), Beta \(29\)"):
        Wring("gender", vectors="image").fit(data)
    method = Wring("gender", vectors="image", k=None, min_group=29).fit(data)
    assert method.notes == ("No rows of Gamma of 'gender': left out of the edit.",)
    assert method.vectors_.blocks == (2,)


def test_a_mean_without_length_is_refused():
    data = people(2)
    images = np.tile([[1.0], [-1.0]], (48, 1)) * data.vectors()[:1]
    opposite = EmbeddingSet.from_arrays(images, data.samples)
    with pytest.raises(MethodRefusal, match="The mean embedding of Alpha of 'gender', Beta of 'gender' has no length"):
        Wring("gender", vectors="image", k=None).fit(opposite)


def test_an_attribute_that_is_not_declared_is_named():
    with pytest.raises(InputError, match="Did you mean 'gender'"):
        Wring("gende").fit(people(2))
