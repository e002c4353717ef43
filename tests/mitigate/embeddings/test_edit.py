"""What all edits share: explicit queries, checks of rows, modalities, diagnostics, notes."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.checks.people import QUERIES, explicit_query, people
from equipoise.data.queries import Query
from equipoise.errors import EmbeddingError, InputError
from equipoise.mitigate.embeddings.projection import DifferenceProjection, SpanProjection
from equipoise.mitigate.embeddings.wring import Wring

METHODS = [Wring, SpanProjection, DifferenceProjection]
NAMED = explicit_query("Alpha")


@pytest.fixture(scope="module")
def data():
    return people(2)


@pytest.mark.parametrize("kind", METHODS)
def test_queries_that_name_a_group_stay(data, kind):
    texts = [QUERIES[0], NAMED, QUERIES[1]]
    x = data.text(texts)
    out = kind("gender").fit(data).transform(x, queries=texts)
    np.testing.assert_array_equal(out[1], x[1])
    np.testing.assert_allclose(out[[0, 2]], kind("gender").fit(data).transform(x[[0, 2]]), atol=1e-6)
    edited = kind("gender", leave_explicit=False).fit(data).transform(x, queries=texts)
    assert np.abs(edited[1] - x[1]).max() > 0.01


def test_a_query_that_names_a_group_of_another_attribute_is_edited(data):
    x = data.text(QUERIES[:1])
    method = Wring("gender").fit(data)
    np.testing.assert_array_equal(method.transform(x, queries=["a photo of North nurse"]), method.transform(x))
    both = Wring(["gender", "origin"]).fit(data)
    np.testing.assert_array_equal(both.transform(x, queries=["a photo of North nurse"]), x)
    crossed = Wring("gender:origin", vectors="image", k=None, min_group=1).fit(data)
    np.testing.assert_array_equal(crossed.transform(x, queries=["a photo of North nurse"]), x)


def test_the_column_explicit_of_a_query_counts_before_its_words(data):
    def query(text: str, explicit: str) -> Query:
        return Query(text=text, family="jobs", label="", explicit=explicit)

    x = data.text([*QUERIES[:2], NAMED])
    asked = [query(QUERIES[0], "gender=Beta"), query(QUERIES[1], "origin=North"), query(NAMED, "")]
    method = Wring("gender").fit(data)
    out = method.transform(x, queries=asked)
    changed = np.abs(out - x).max(axis=1) > 0.001
    assert changed.tolist() == [False, True, True]
    assert method.diagnostics(x, asked)["explicit"].to_pylist() == ["gender=Beta", "", ""]


def test_an_edit_of_nothing_is_noted_with_the_family(data):
    method = Wring("gender").fit(data)
    x = data.text([NAMED])
    method.transform(x, queries=[Query(text=NAMED, family="explicit", label="", explicit="gender=Alpha")])
    assert method.notes == (
        "All queries of 'explicit' name a group of gender and were left alone; nothing was edited. "
        "Pass leave_explicit=False to edit them.",
    )
    assert Wring("gender").fit(data).notes == ()


def test_prompts_that_are_left_alone_beside_edited_queries_are_no_news(data):
    method = Wring("gender").fit(data)
    method.transform(data.text([NAMED]), queries=[NAMED])
    assert method.notes[0].startswith("All queries name a group of gender")
    method.transform(data.text(QUERIES), queries=QUERIES)
    method.transform(data.text([NAMED]), queries=[NAMED])
    assert method.notes == ()
    method.diagnostics(data.text([NAMED]), [NAMED])
    assert method.notes[0].startswith("All queries name a group of gender")


def test_what_is_remembered_is_a_copy(data):
    method = Wring("gender").fit(data)
    x = data.text(QUERIES)
    method.transform(x, queries=QUERIES)
    before = method.diagnostics_
    x[:] = 1
    assert method.diagnostics_.equals(before)


@pytest.mark.parametrize("kind", METHODS)
def test_images_are_not_edited(data, kind):
    images = data.vectors()[:4]
    out = kind("gender").fit(data).transform(images, modality="image")
    np.testing.assert_array_equal(out, images)
    assert out is not images
    with pytest.raises(InputError, match="Did you mean 'image'"):
        kind("gender").fit(data).transform(images, modality="images")


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("options", [{}, {"vectors": "image", "k": 20}])
def test_bad_rows_are_named_by_their_place_in_the_whole(data, kind, options):
    x = np.tile(data.text(QUERIES), (5, 1))
    x[[12, 40]] = 0
    method = kind("gender", **options).fit(data)
    with pytest.raises(EmbeddingError, match=r"^Rows 12 and 40 of the queries have zero length\."):
        method.transform(x)
    x[[12, 40]] = np.nan
    with pytest.raises(EmbeddingError, match="Rows 12 and 40 of the queries have NaN or infinite values"):
        method.transform(x, queries=[NAMED] * 60)


def test_widths_that_differ(data):
    x = np.ones((2, 48), np.float32)
    with pytest.raises(EmbeddingError, match="Queries have 48 columns, image embeddings 32: they do not share a space"):
        Wring("gender", vectors="image").fit(data).transform(x)
    with pytest.raises(EmbeddingError, match="Queries have 48 columns, group vectors of 'gender' 32"):
        Wring("gender").fit(data).transform(x)


def test_misuse_is_named(data):
    x = data.text(QUERIES)
    with pytest.raises(InputError, match=r"WRING has not been fitted\. Call fit"):
        Wring("gender").transform(x)
    method = Wring("gender").fit(data)
    with pytest.raises(InputError, match="There are 1 query texts for 12 vectors"):
        method.transform(x, queries=QUERIES[0])
    with pytest.raises(InputError, match="There are 2 query texts for 12 vectors"):
        method.transform(x, queries=QUERIES[:2])
    with pytest.raises(InputError, match="have the shape"):
        method.transform(x[0])
    with pytest.raises(InputError, match="int64"):
        method.transform(np.ones((2, 32), np.int64))


def test_diagnostics_are_the_geometry(data):
    texts = [*QUERIES[:3], NAMED]
    x = 2 * data.text(texts).astype(np.float64)
    groups = data.group_text_vectors("gender").astype(np.float64)
    method = Wring("gender").fit(data)
    method.transform(x, queries=texts)
    table = method.diagnostics_
    unit = x / 2
    p_matrix = np.linalg.pinv(groups) @ groups
    inside = unit @ p_matrix
    p = np.linalg.norm(inside, axis=1)
    w = groups.sum(axis=0) / np.linalg.norm(groups.sum(axis=0))
    theta = np.arccos(inside @ w / p)
    found = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    assert found["query"].tolist() == texts
    assert found["explicit"].tolist() == ["", "", "", "gender=Alpha"]
    assert found["edited"].tolist() == [True, True, True, False]
    np.testing.assert_allclose(found["subspace_share"], p, atol=1e-6)
    np.testing.assert_allclose(found["rotation_angle"], [*np.degrees(theta[:3]), 0], atol=1e-4)
    np.testing.assert_allclose(found["spread_before"], np.abs(unit @ (groups[0] - groups[1])), atol=1e-6)
    np.testing.assert_allclose(found["spread_after"], [0, 0, 0, found["spread_before"][3]], atol=1e-6)
    np.testing.assert_allclose(found["side_effect_bound"], [*(4 * np.sin(theta / 2) * p)[:3], 0], atol=1e-6)
    np.testing.assert_allclose(found["span_amplification"], 1 / np.sqrt(1 - p**2), atol=1e-6)
    np.testing.assert_allclose(found["amplification"], 1, atol=1e-6)
    np.testing.assert_allclose(found["condition"], np.linalg.cond(groups), rtol=1e-5)


def test_diagnostics_of_projections(data):
    x = data.text(QUERIES)
    base = Wring("gender").fit(data)
    wrung = base.diagnostics(x, QUERIES)
    span, difference, _ = base.controls()
    removed = span.diagnostics(x, QUERIES)
    np.testing.assert_allclose(removed["amplification"], wrung["span_amplification"], rtol=1e-5)
    assert removed["rotation_angle"].null_count == 12
    kept = difference.diagnostics(x, QUERIES)
    p, theta = (np.array(wrung[name]) for name in ("subspace_share", "rotation_angle"))
    np.testing.assert_allclose(kept["amplification"], 1 / np.sqrt(1 - (p * np.sin(np.radians(theta))) ** 2), rtol=1e-5)
    np.testing.assert_allclose(kept["rotation_angle"], theta, atol=1e-2)


def test_group_vectors_that_depend_on_the_query(data):
    method = Wring("gender", vectors="image", k=20).fit(data)
    assert method.group_vectors_ is None
    assert method.diagnostics_ is None
    method.transform(data.text(QUERIES), queries=QUERIES)
    assert method.group_vectors_.shape == (12, 2, 32)
    assert method.diagnostics_.num_rows == 12
