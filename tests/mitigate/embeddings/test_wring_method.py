"""The class Wring: its options, several attributes, fallbacks, the published form, controls."""

from __future__ import annotations

import numpy as np
import pytest
from mitigate.embeddings.spaces import published, spread, unit

from equipoise.checks.people import QUERIES, people
from equipoise.errors import InputError, MethodRefusal, UnknownNameError
from equipoise.mitigate.embeddings.geometry import span
from equipoise.mitigate.embeddings.projection import project_differences
from equipoise.mitigate.embeddings.wring import Wring, wring
from equipoise.store.embeddings import EmbeddingSet

BOTH = ["gender", "origin"]


def centred() -> tuple[EmbeddingSet, np.ndarray]:
    """Embeddings of which the two image means are opposite, and queries."""
    data = people(2)
    means = unit(data.group_means("gender")[0])
    images = np.repeat([means[0] - means[1], means[1] - means[0]], [48, 48], axis=0)
    texts = list(data.texts)
    return EmbeddingSet.from_arrays(images, data.samples, texts=texts, text=data.text(texts)), data.text(QUERIES)


@pytest.mark.parametrize("options", [{}, {"vectors": "image", "k": None}, {"vectors": "image", "k": 20}])
def test_it_is_the_pure_function_on_its_group_vectors(options):
    data = people(3)
    x = data.text(QUERIES)
    method = Wring("gender", **options).fit(data)
    out = method.transform(x, queries=QUERIES)
    vectors = np.broadcast_to(method.group_vectors_, (len(x), 3, 32))
    for row, edited, groups in zip(x, out, vectors, strict=True):
        np.testing.assert_allclose(edited[None], wring(row[None], groups), atol=1e-6)
        np.testing.assert_allclose(edited[None], published(row[None], groups), atol=1e-6)


def test_shares_by_group_name():
    data = people(3)
    method = Wring("gender", shares={"Gamma": 1.1, "Alpha": 1.0, "Beta": 0.9}).fit(data)
    dots = method.transform(data.text(QUERIES)) @ data.group_text_vectors("gender").T
    np.testing.assert_allclose(dots / dots[:, :1], np.tile([1.0, 0.9, 1.1], (12, 1)), rtol=1e-5)
    assert "equal_cosine" not in method.guarantees
    with pytest.raises(UnknownNameError, match="Did you mean 'Gamma'"):
        Wring("gender", shares={"Gama": 1.0}).fit(data)
    with pytest.raises(InputError, match="3 positive numbers"):
        Wring("gender", shares={"Gamma": 1.0}).fit(data)
    with pytest.raises(InputError, match="not told apart"):
        Wring(BOTH, shares={"Gamma": 1.0})
    with pytest.raises(UnknownNameError, match="which is not edited"):
        Wring(BOTH, shares={"age": {"old": 1.0}})


@pytest.mark.parametrize(
    "options", [{"vectors": "text"}, {"vectors": "image", "k": 20}, {"vectors": "image", "k": None}]
)
def test_several_attributes_jointly(options):
    data = people(2)
    x = data.text(QUERIES)
    method = Wring(BOTH, **options, min_group=10).fit(data)
    out = method.transform(x, queries=QUERIES)
    vectors = np.broadcast_to(method.group_vectors_, (len(x), 5, 32))
    for row, groups in zip(out, vectors, strict=True):
        assert spread(row[None], groups[:2]).max() < 2e-6
        assert spread(row[None], groups[2:]).max() < 2e-6
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(method.transform(x, queries=QUERIES), out, atol=0)


def test_joint_form_moves_less_than_one_common_value_and_is_the_nearest():
    data = people(3)
    x = data.text(QUERIES).astype(np.float64)
    method = Wring(BOTH).fit(data)
    out = method.transform(x)
    vectors = method.group_vectors_
    common = wring(x, vectors)
    assert (np.linalg.norm(out - x, axis=1) <= np.linalg.norm(common - x, axis=1) + 1e-12).all()
    assert np.linalg.norm(out - x, axis=1).mean() < 0.99 * np.linalg.norm(common - x, axis=1).mean()
    # The nearest vector of equal length with the same part outside the span, by projecting on the solutions of
    # A^T w = B s, found here from the null space of the differences within each attribute.
    basis = span(vectors).basis
    a = np.concatenate([vectors[1:3] - vectors[0], vectors[4:] - vectors[3]]) @ basis
    null = np.linalg.svd(a)[2][len(a) :]
    inside = x @ basis
    best = inside @ null.T @ null
    best *= (np.linalg.norm(inside, axis=1) / np.linalg.norm(best, axis=1))[:, None]
    np.testing.assert_allclose(out, x + (best - inside) @ basis.T, atol=1e-9)


def test_one_attribute_in_a_list_is_that_attribute():
    data = people(3)
    x = data.text(QUERIES)
    np.testing.assert_array_equal(Wring(["gender"]).fit(data).transform(x), Wring("gender").fit(data).transform(x))


def test_taking_turns_interferes_once_and_converges():
    data = people(3)
    x = data.text(QUERIES).astype(np.float64)
    gender, origin = (data.group_text_vectors(name) for name in BOTH)
    once = wring(wring(x, gender), origin)
    assert spread(once, gender).max() > 1e-4
    method = Wring(BOTH, joint=False).fit(data)
    out = method.transform(x, queries=QUERIES)
    assert spread(out, gender).max() < 1e-6
    assert spread(out, origin).max() < 1e-6
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, atol=1e-9)
    assert "equal_cosine" not in method.guarantees
    assert max(method.diagnostics_["spread_after"].to_pylist()) < 1e-6


def test_group_vectors_of_an_intersection():
    data = people(2)
    method = Wring("gender:origin", vectors="image", k=None, min_group=5).fit(data)
    assert method.vectors_.concepts["gender:origin"] == (
        "Alpha:South", "Alpha:East", "Beta:North", "Beta:South", "Beta:East",
    )  # fmt: skip
    assert "No rows of Alpha:North" in method.notes[0]
    assert spread(method.transform(data.text(QUERIES)), method.group_vectors_).max() < 2e-6


# --------------------------------------------------------------------------------------------------------- no solution


def test_centred_groups_are_refused_by_name():
    data, _ = centred()
    with pytest.raises(MethodRefusal) as caught:
        Wring("gender", vectors="image", k=None).fit(data)
    assert str(caught.value) == (
        "No direction has the same similarity to every group of 'gender': the group vectors are centred (their mean is "
        "0.0000 long). Pass raw embeddings, or on_infeasible='difference'."
    )
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("k", [None, 10])
def test_fallbacks(k):
    data, x = centred()
    options = {"vectors": "image", "k": k}
    method = Wring("gender", on_infeasible="difference", **options).fit(data)
    vectors = unit(data.group_means("gender")[0])
    np.testing.assert_allclose(method.transform(x, queries=QUERIES), project_differences(x, vectors), atol=1e-6)
    assert set(method.diagnostics_["fallback"].to_pylist()) == {"difference"}
    skipped = Wring("gender", on_infeasible="skip", **options).fit(data)
    np.testing.assert_array_equal(skipped.transform(x, queries=QUERIES), x)
    assert set(skipped.diagnostics_["fallback"].to_pylist()) == {"skip"}
    assert "equal_cosine" not in skipped.guarantees
    assert "non_expansive" not in method.guarantees
    if k is None:
        assert method.notes[0].endswith("the differences of the groups are removed.")
        assert skipped.notes[0].endswith("nothing is edited.")
    else:
        with pytest.raises(MethodRefusal, match=r"of 'gender' \(for rows 0, 1, 2"):
            Wring("gender", **options).fit(data).transform(x)


def test_only_the_rows_without_a_solution_fall_back():
    """Half of each group lies at one place of its own, the other half at places that are opposite between the groups."""
    axis = np.linalg.qr(np.random.default_rng(0).standard_normal((32, 4)))[0].T
    images = np.empty((80, 32))
    images[:40:2], images[1:40:2] = axis[0], axis[2] + 1e-5 * axis[3]
    images[40::2], images[41::2] = 0.8 * axis[0] + 0.6 * axis[1], -axis[2] + 1e-5 * axis[3]
    data = EmbeddingSet.from_arrays(images, people(2, per_group=40).samples)
    x = np.stack([axis[0] + 0.1 * axis[1], axis[3], axis[0]])
    method = Wring("gender", vectors="image", k=20, on_infeasible="skip").fit(data)
    out = method.transform(x, queries=["near", "where they are opposite", "near too"])
    assert method.diagnostics_["fallback"].to_pylist() == ["", "skip", ""]
    np.testing.assert_array_equal(out[1], x[1])
    assert np.abs(out[[0, 2]] - x[[0, 2]]).max(axis=1).min() > 0.01


# -------------------------------------------------------------------------------------------------- form, notes, controls


def test_the_published_form():
    data = people(3)
    method = Wring.faithful("gender", template="a photo of {}")
    assert (method.leave_explicit, method.templates, method.normalise) == (False, ("a photo of {}",), False)
    method.fit(data)
    prompts = [
        data.vocabulary.attributes["gender"].prompt_texts(group)[0] for group in data.vocabulary.groups("gender")
    ]
    np.testing.assert_allclose(
        method.transform(data.text(QUERIES)), published(data.text(QUERIES), data.text(prompts)), atol=1e-6
    )


@pytest.mark.parametrize("normalise", [False, True])
def test_the_published_form_with_local_means_of_any_length(normalise):
    data = people(2)
    x = data.text(QUERIES)
    method = Wring.faithful("gender", "image", 10, normalise=normalise).fit(data)
    images, codes = data.vectors().astype(np.float64), data.samples.codes("gender")
    for row, out in zip(x, method.transform(x), strict=True):
        means = []
        for group in range(2):
            own = images[codes == group]
            means.append(own[np.argsort(-(own @ row))[:10]].mean(axis=0))
        means = np.array(means)
        if normalise:
            np.testing.assert_allclose(out, published(row[None], means)[0], atol=1e-6)
        else:
            assert np.ptp(means @ out) < 1e-6
            assert spread(out[None], means)[0] > 1e-6
    assert ("equal_cosine" in method.guarantees) is normalise


def test_a_wide_turn_is_noted():
    data = people(2)
    method = Wring("gender").fit(data)
    x = data.text(QUERIES)
    method.transform(x)
    assert method.notes == ()
    method.transform(-x)
    assert "degrees; beyond 60 the edit moves a vector further" in method.notes[0]
    nearest = Wring("gender", sign="nearest").fit(data)
    np.testing.assert_allclose(nearest.transform(-x), -nearest.transform(x), atol=1e-6)
    assert nearest.notes == ()


def test_controls_share_the_group_vectors():
    data = people(3)
    method = Wring("gender", vectors="image", k=20, strength=0.5).fit(data)
    controls = method.controls()
    assert [control.arm for control in controls] == ["span_projection", "difference_projection", "noop"]
    assert controls[0].vectors_ is controls[1].vectors_ is method.vectors_
    assert all(control.attributes == ("gender",) for control in controls)
    x = data.text(QUERIES)
    span_out, difference_out, same = (control.transform(x, queries=QUERIES) for control in controls)
    vectors = method.vectors_.at(x)
    np.testing.assert_allclose(np.einsum("nd,nmd->nm", span_out, vectors), 0, atol=1e-6)
    assert max(spread(row[None], own)[0] for row, own in zip(difference_out, vectors, strict=True)) < 2e-6
    np.testing.assert_array_equal(same, x)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"attribute": []}, "Name one attribute"),
        ({"attribute": ["a", "a"]}, "several different ones"),
        ({"attribute": "a", "vectors": "images"}, "Did you mean 'image'"),
        ({"attribute": "a", "k": 0}, "k is 0"),
        ({"attribute": "a", "k": 2.5}, "k is 2.5"),
        ({"attribute": "a", "strength": -0.1}, "strength is -0.1"),
        ({"attribute": "a", "on_infeasible": "refuse"}, "one of error, difference, skip"),
        ({"attribute": "a", "shares": [1, 2]}, "Pass a mapping"),
    ],
)
def test_options_out_of_range_are_named(options, said):
    with pytest.raises(InputError, match=said):
        Wring(**options)
