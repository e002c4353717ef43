"""Spans, lengths and the naming of rows."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.errors import EmbeddingError
from equipoise.mitigate.embeddings.geometry import check_rows, combined, coordinates, lengths, named_rows, span, unit


@pytest.mark.parametrize(("m", "d"), [(2, 10), (7, 10), (4, 3), (1, 5), (3, 1)])
def test_a_span_is_its_vectors_decomposed(m, d):
    vectors = np.random.default_rng(m).standard_normal((m, d))
    found = span(vectors)
    np.testing.assert_allclose(found.basis @ np.diag(found.singular) @ found.right, vectors.T, atol=1e-12)
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(min(m, d)), atol=1e-12)
    np.testing.assert_allclose(found.condition, np.linalg.cond(vectors), rtol=1e-9)


def test_many_spans_at_once_are_each_of_them_with_zeros_for_what_is_cut():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5, 3, 8))
    vectors[2, 2] = vectors[2, 0] - 2 * vectors[2, 1]
    vectors[4] = 0
    found = span(vectors)
    for i, own in enumerate(vectors):
        alone = span(own)
        np.testing.assert_allclose(found.basis[i] @ found.basis[i].T, alone.basis @ alone.basis.T, atol=1e-12)
    assert [(np.linalg.norm(basis, axis=0) > 0.5).sum() for basis in found.basis] == [3, 3, 2, 3, 0]
    assert np.isinf(found.singular[2, 2])
    assert np.isinf(found.condition[4])


def test_coordinates_by_one_basis_or_one_a_row():
    rng = np.random.default_rng(0)
    x, basis = rng.standard_normal((4, 6)), rng.standard_normal((6, 3))
    many = np.broadcast_to(basis, (4, 6, 3))
    np.testing.assert_allclose(coordinates(x, many), x @ basis)
    np.testing.assert_allclose(combined(x @ basis, many), x @ basis @ basis.T)
    np.testing.assert_allclose(combined(x @ basis, basis), x @ basis @ basis.T)


def test_lengths_neither_overflow_nor_underflow():
    x = np.array([[3e200, 4e200], [3e-200, 4e-200], [0, 0], [3, 4]])
    np.testing.assert_allclose(lengths(x)[:, 0], [5e200, 5e-200, 0, 5])
    np.testing.assert_allclose(unit(x), [[0.6, 0.8], [0.6, 0.8], [0, 0], [0.6, 0.8]])
    assert lengths(np.zeros((2, 0))).tolist() == [[0], [0]]


def test_rows_are_named_and_not_all_of_them():
    assert named_rows([3]) == "Row 3"
    assert named_rows([3, 9]) == "Rows 3 and 9"
    assert named_rows(list(range(12))) == "Rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"


def test_check_rows_passes_what_is_merely_extreme():
    check_rows(np.array([[1e-30, 0], [1e30, 1]], dtype=np.float32))
    check_rows(np.array([[6e-8], [6e4]], dtype=np.float16))
    check_rows(np.empty((0, 3)))
    with pytest.raises(EmbeddingError, match="Row 1 of the images has NaN"):
        check_rows(np.array([[1.0], [np.inf]]), "the images")
