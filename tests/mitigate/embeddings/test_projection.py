"""Span and difference projection: theorems on the pure functions, and what the classes add."""

from __future__ import annotations

import numpy as np
import pytest
from mitigate.embeddings.spaces import groups_around, projector, spread, unit

from equipoise.checks.people import QUERIES, people
from equipoise.errors import EmbeddingError
from equipoise.mitigate.embeddings.noop import NoOp
from equipoise.mitigate.embeddings.projection import (
    DifferenceProjection,
    SpanProjection,
    difference_basis,
    project_differences,
    project_span,
)


def make(m: int = 3, d: int = 48, cosine: float = 0.6):
    rng = np.random.default_rng(m)
    groups, shared = groups_around(rng, m, d, cosine)
    return unit(0.6 * shared + rng.standard_normal((30, d)) / 7), groups, rng


@pytest.mark.parametrize("m", [2, 3, 7])
def test_span_projection_is_its_formula(m):
    v, groups, _ = make(m)
    expected = v - v @ projector(groups)
    np.testing.assert_allclose(project_span(v, groups, renormalise=False), expected, atol=1e-12)
    np.testing.assert_allclose(
        project_span(v, groups), expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-12
    )


@pytest.mark.parametrize("m", [2, 3, 7])
def test_difference_projection_is_the_nearest_vector_with_equal_dot_products(m):
    v, groups, _ = make(m)
    a = groups[1:] - groups[0]
    expected = v - v @ np.linalg.pinv(a) @ a
    np.testing.assert_allclose(project_differences(v, groups, renormalise=False), expected, atol=1e-12)


def test_difference_projection_is_bends_second_step_solved_by_an_optimiser():
    from scipy.optimize import minimize

    v, groups, _ = make(3, d=12)
    start = v[0]
    rules = [{"type": "eq", "fun": lambda e: e @ e - 1}]
    rules += [{"type": "eq", "fun": lambda e, c=c: e @ (c - groups[0])} for c in groups[1:]]
    found = minimize(
        lambda e: -e @ start, start, method="SLSQP", constraints=rules, options={"ftol": 1e-15, "maxiter": 500}
    )
    np.testing.assert_allclose(project_differences(v[:1], groups)[0], found.x, atol=1e-5)


def test_one_common_length_of_the_result_does_not_change_a_cosine():
    v, groups, rng = make()
    d = rng.standard_normal(48)
    for project in (project_span, project_differences):
        one, two = project(v, groups), project(v, groups, renormalise=False)
        np.testing.assert_allclose(unit(one) @ d, unit(two) @ d, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(project(5 * v, groups), axis=1), 5, rtol=1e-12)


def test_dependent_groups_are_cut_by_singular_values():
    v, groups, _ = make()
    more = np.concatenate([groups, groups[:1], unit(groups[:1] + 0.3 * groups[1:2])])
    np.testing.assert_allclose(project_span(v, more), project_span(v, groups), atol=1e-9)
    np.testing.assert_allclose(project_differences(v, groups[[0, 1, 2, 2]]), project_differences(v, groups), atol=1e-9)
    noisy = np.concatenate([groups, groups + 1e-8])
    np.testing.assert_allclose(project_span(v, noisy), project_span(v, groups), atol=1e-6)


def test_centred_groups_are_no_trouble_for_projections():
    v, groups, _ = make(2)
    centred = groups - groups.mean(axis=0)
    np.testing.assert_allclose(project_span(v, centred), project_differences(v, groups), atol=1e-9)


def test_of_a_row_in_the_span_nothing_is_left():
    v, groups, _ = make()
    v[4] = groups[0] - 2 * groups[2]
    out = project_span(v.astype(np.float32), groups.astype(np.float32))
    assert np.flatnonzero(~out.any(axis=1)).tolist() == [4]
    assert np.abs(project_differences(v, groups)[4]).max() > 0.01


def test_differences_are_taken_within_each_attribute():
    rng = np.random.default_rng(4)
    one, two = groups_around(rng, 2, 20, 0.5)[0], groups_around(rng, 3, 20, 0.5)[0]
    basis = difference_basis(np.concatenate([one, two]), (2, 3))
    assert basis.shape == (20, 3)
    v = unit(rng.standard_normal((5, 20)))
    left = v - v @ basis @ basis.T
    assert spread(left, one).max() < 1e-12
    assert spread(left, two).max() < 1e-12
    assert np.abs((unit(left) @ one.T).mean(axis=1) - (unit(left) @ two.T).mean(axis=1)).min() > 1e-3


def test_refusals():
    v, groups, _ = make()
    v[3] = np.nan
    with pytest.raises(EmbeddingError, match="Row 3 of the queries has NaN"):
        project_span(v, groups)
    with pytest.raises(EmbeddingError, match="do not share a space"):
        project_differences(v[:, :5], groups)


def test_the_classes_do_what_the_functions_do():
    data = people(3)
    x = data.text(QUERIES)
    for kind, function in ((SpanProjection, project_span), (DifferenceProjection, project_differences)):
        method = kind("gender").fit(data)
        np.testing.assert_allclose(method.transform(x), function(x, data.group_text_vectors("gender")), atol=1e-6)


def test_each_has_the_other_and_the_no_op_as_controls():
    data = people(2)
    for kind, other in ((SpanProjection, DifferenceProjection), (DifferenceProjection, SpanProjection)):
        method = kind("gender", vectors="image", k=None, renormalise=False).fit(data)
        first, last = method.controls()
        assert isinstance(first, other)
        assert isinstance(last, NoOp)
        assert first.vectors_ is method.vectors_
        assert (first.renormalise, first.arm) == (False, other.name.replace("-", "_"))


def test_a_query_of_which_nothing_is_left_is_noted():
    data = people(2)
    method = SpanProjection("gender", leave_explicit=False, templates=["a photo of {}"]).fit(data)
    text = ["a photo of a Alpha person", QUERIES[0]]
    out = method.transform(data.text(text), queries=text)
    assert not out[0].any()
    assert out[1].any()
    assert method.notes == (
        "Span projection left nothing of 1 of 2 queries: they lie in the span it removes and are zero now.",
    )


def test_several_attributes_at_once():
    data = people(3)
    x = data.text(QUERIES)
    both = DifferenceProjection(["gender", "origin"]).fit(data)
    out = both.transform(x)
    for name in ("gender", "origin"):
        assert spread(out, data.group_text_vectors(name)).max() < 2e-6
    zero = SpanProjection(["gender", "origin"]).fit(data).transform(x)
    assert (
        np.abs(zero @ np.concatenate([data.group_text_vectors(name) for name in ("gender", "origin")]).T).max() < 1e-6
    )
