"""The theorems about WRING, on the pure function."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitigate.embeddings.spaces import groups_around, projector, published, spread, unit

from equipoise.errors import EmbeddingError, InputError, MethodRefusal
from equipoise.mitigate.embeddings.projection import project_differences, project_span
from equipoise.mitigate.embeddings.wring import rotation_target, wring

SETTINGS = [(2, 0.2), (2, 0.8), (2, 0.95), (3, 0.6), (7, 0.5), (7, 0.95), (10, 0.9)]


def make(m: int, cosine: float, n: int = 40, d: int = 64, seed: int = 0):
    rng = np.random.default_rng([seed, m])
    groups, shared = groups_around(rng, m, d, cosine)
    return unit(0.6 * shared + 0.3 * groups[0] + rng.standard_normal((n, d)) / np.sqrt(d)), groups, rng


@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_it_is_the_published_formula(m, cosine):
    v, groups, _ = make(m, cosine)
    np.testing.assert_allclose(wring(v, groups), published(v, groups), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_length_is_kept_and_cosines_with_the_groups_are_equal(m, cosine, dtype):
    v, groups, _ = make(m, cosine)
    out = wring((3 * v).astype(dtype), groups.astype(dtype))
    tolerance = 1e-6 if dtype == np.float32 else 1e-12
    assert out.dtype == dtype
    assert spread(v, groups).mean() > 0.01
    assert spread(out, groups).max() <= tolerance
    np.testing.assert_allclose(np.linalg.norm(out.astype(float), axis=1), 3, rtol=tolerance)


@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_the_common_cosine_is_that_of_the_closed_form(m, cosine):
    v, groups, _ = make(m, cosine)
    ones, gram = np.ones(m), groups @ groups.T
    p = np.linalg.norm(v @ projector(groups), axis=1)
    expected = p / np.sqrt(ones @ np.linalg.solve(gram, ones))
    np.testing.assert_allclose(wring(v, groups) @ groups.T, np.repeat(expected[:, None], m, axis=1), atol=1e-12)


@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_directions_orthogonal_to_the_groups_are_untouched(m, cosine):
    v, groups, rng = make(m, cosine)
    directions = rng.standard_normal((100, 64))
    directions -= directions @ projector(groups)
    np.testing.assert_allclose(wring(v, groups) @ directions.T, v @ directions.T, atol=1e-12)
    untouched = unit(directions)
    np.testing.assert_allclose(wring(untouched, groups), untouched, atol=1e-12)


@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_idempotent_homogeneous_and_blind_to_order_and_length_of_the_groups(m, cosine):
    v, groups, rng = make(m, cosine)
    out = wring(v, groups)
    np.testing.assert_allclose(wring(out, groups), out, atol=1e-12)
    np.testing.assert_allclose(wring(3 * v, groups), 3 * out, atol=1e-12)
    np.testing.assert_allclose(wring(v, groups[rng.permutation(m)]), out, atol=1e-12)
    np.testing.assert_allclose(wring(v, groups * rng.uniform(0.2, 5, (m, 1))), out, atol=1e-12)


def test_it_is_not_linear():
    v, groups, _ = make(2, 0.5)
    assert np.abs(wring(v + v[::-1], groups) - wring(v, groups) - wring(v[::-1], groups)).max() > 1e-3


def test_two_groups_turn_to_the_bisector():
    _, groups, _ = make(2, 0.3)
    np.testing.assert_allclose(rotation_target(groups), unit(groups.sum(axis=0)), atol=1e-12)


def test_it_never_moves_rows_apart():
    _, groups, rng = make(3, 0.4)
    x, y = rng.standard_normal((2, 2000, 64))
    before, after = np.linalg.norm(x - y, axis=1), np.linalg.norm(wring(x, groups) - wring(y, groups), axis=1)
    assert (after <= before * (1 + 1e-12)).all()
    np.testing.assert_allclose(after.max() / before.max(), 1, atol=0.05)


def test_it_is_a_rotation_in_the_plane_of_pv_and_w():
    v, groups, _ = make(3, 0.4, n=1)
    a, w = unit(v @ projector(groups))[0], rotation_target(groups)
    b = unit(w - (a @ w) * a)
    cos, sin = a @ w, np.sqrt(1 - (a @ w) ** 2)
    r = np.eye(64) + (cos - 1) * (np.outer(a, a) + np.outer(b, b)) + sin * (np.outer(b, a) - np.outer(a, b))
    np.testing.assert_allclose(r @ v[0], wring(v, groups)[0], atol=1e-12)


@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_it_is_difference_projection_with_the_lost_length_put_back_inside(m, cosine):
    v, groups, _ = make(m, cosine)
    w, inside = rotation_target(groups), v @ projector(groups)
    refilled = project_differences(v, groups, renormalise=False)
    refilled += (np.linalg.norm(inside, axis=1) - inside @ w)[:, None] * w
    np.testing.assert_allclose(wring(v, groups), refilled, atol=1e-12)


@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_amplification_of_orthogonal_directions_is_what_theory_says(m, cosine):
    v, groups, rng = make(m, cosine)
    d = rng.standard_normal(64)
    d -= d @ projector(groups)
    inside = v @ projector(groups)
    p = np.linalg.norm(inside, axis=1)
    cos_theta = inside @ rotation_target(groups) / p
    before = unit(v) @ d
    np.testing.assert_allclose(unit(project_span(v, groups)) @ d / before, 1 / np.sqrt(1 - p**2), rtol=1e-9)
    expected = 1 / np.sqrt(1 - p**2 * (1 - cos_theta**2))
    for renormalise in (True, False):
        found = unit(project_differences(v, groups, renormalise=renormalise)) @ d / before
        np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(unit(wring(v, groups)) @ d / before, 1, rtol=1e-9)


@pytest.mark.parametrize(("m", "cosine"), SETTINGS)
def test_the_side_effect_bound_holds_and_is_not_idle(m, cosine):
    v, groups, rng = make(m, cosine)
    one, two = unit(rng.standard_normal((2, 500, 64)) + 2 * groups[rng.integers(0, m, (2, 500))])
    p_matrix, out = projector(groups), wring(v, groups)
    inside = v @ p_matrix
    p = np.linalg.norm(inside, axis=1)
    half = np.arccos(np.clip(inside @ rotation_target(groups) / p, -1, 1)) / 2
    change = np.abs((out - v) @ (one - two).T)
    tight = 2 * (np.sin(half) * p)[:, None] * np.linalg.norm((one - two) @ p_matrix, axis=1)
    assert (change <= tight + 1e-12).all()
    assert (tight <= 4 * (np.sin(half) * p)[:, None] + 1e-12).all()
    assert (change / tight).max() > 0.5


@pytest.mark.parametrize(("m", "cosine"), [(2, 0.90), (2, 0.97), (7, 0.95), (7, 0.99), (7, 0.999)])
def test_float32_groups_that_nearly_coincide(m, cosine):
    v, groups, _ = make(m, cosine, d=512)
    groups = groups.astype(np.float32)
    condition = np.linalg.cond(groups.astype(np.float64) @ groups.T.astype(np.float64))
    np.testing.assert_allclose(condition, (1 + (m - 1) * cosine) / (1 - cosine), rtol=1e-2)
    out = wring(v.astype(np.float32), groups)
    dots = out.astype(np.float64) @ unit(groups.astype(np.float64)).T
    assert np.ptp(dots, axis=1).max() <= 3e-7


def test_repeated_and_dependent_groups_are_no_trouble():
    v, groups, _ = make(3, 0.5)
    once = wring(v, groups)
    np.testing.assert_allclose(wring(v, groups[[0, 1, 2, 1]]), once, atol=1e-9)
    between = unit(groups[:1] + groups[1:2])
    with pytest.raises(MethodRefusal):
        wring(v, np.concatenate([groups, between]))


def test_more_groups_than_dimensions():
    rng = np.random.default_rng(0)
    ring = rng.uniform(0, 2 * np.pi, 6)
    groups = np.column_stack([np.full(6, 0.8), 0.6 * np.cos(ring), 0.6 * np.sin(ring)])
    out = wring(unit(rng.standard_normal((20, 3))), groups)
    np.testing.assert_allclose(np.abs(out), np.tile([1.0, 0, 0], (20, 1)), atol=1e-9)


# ------------------------------------------------------------------------------------------------- sign, strength, shares


def test_sign_nearest_turns_to_the_opposite_where_that_is_nearer():
    v, groups, _ = make(2, 0.5)
    w = rotation_target(groups)
    away = v - 2 * (v @ w)[:, None] * w
    np.testing.assert_allclose(wring(v, groups, sign="nearest"), wring(v, groups), atol=1e-12)
    positive, nearest = wring(away, groups), wring(away, groups, sign="nearest")
    assert (positive @ w > 0).all()
    assert (nearest @ w < 0).all()
    assert (np.linalg.norm(nearest - away, axis=1) < np.linalg.norm(positive - away, axis=1)).all()
    assert spread(nearest, groups).max() < 1e-12


@pytest.mark.parametrize("strength", [0.25, 0.5, 0.9])
def test_strength_is_a_share_of_the_angle(strength):
    v, groups, _ = make(3, 0.4)
    p_matrix, w = projector(groups), rotation_target(groups)
    out = wring(v, groups, strength=strength)
    before, after = unit(v @ p_matrix), unit(out @ p_matrix)
    theta = np.arccos(before @ w)
    np.testing.assert_allclose(np.arccos(np.einsum("nd,nd->n", before, after)), strength * theta, atol=1e-7)
    np.testing.assert_allclose(np.arccos(after @ w), (1 - strength) * theta, atol=1e-7)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), np.linalg.norm(v, axis=1), atol=1e-12)


def test_spread_falls_with_strength_and_strength_zero_is_the_identity():
    v, groups, _ = make(2, 0.8)
    found = [spread(wring(v, groups, strength=s), groups).mean() for s in (0, 0.5, 1)]
    assert found[0] > 1.9 * found[1] > 0
    assert found[2] < 1e-12
    assert wring(v, groups, strength=0).tobytes() == v.tobytes()


def test_shares_set_the_ratio_of_similarities():
    v, groups, _ = make(3, 0.6)
    dots = wring(v, groups, shares=[1.02, 1.0, 0.5]) @ groups.T
    np.testing.assert_allclose(dots / dots[:, 1:2], np.tile([1.02, 1.0, 0.5], (40, 1)), rtol=1e-9)
    np.testing.assert_allclose(wring(v, groups, shares=[4, 4, 4]), wring(v, groups), atol=1e-12)


def test_group_vectors_of_other_lengths_break_equal_cosines_unless_normalised():
    v, groups, _ = make(2, 0.8)
    longer = groups * np.array([[1.0], [1.6]])
    assert spread(wring(v, longer, normalise=False), groups).min() > 0.02
    assert spread(wring(v, longer), groups).max() < 1e-12


# -------------------------------------------------------------------------------------------------------------- refusals


def test_centred_binary_groups_are_refused():
    v, groups, _ = make(2, 0.8)
    centred = groups - groups.mean(axis=0)
    with pytest.raises(MethodRefusal, match=r"No direction has the same similarity to every group.*0\.0000 long"):
        wring(v, centred)
    with pytest.raises(MethodRefusal, match=r"their mean is 0\.0003 long"):
        wring(v, np.eye(64)[:1] * [[1.0], [-1.0]] + 3e-4 * np.eye(64)[1])
    weights = np.array([0.5, 0.3, 0.2])
    three = make(3, 0.5)[1]
    with pytest.raises(MethodRefusal, match="a weighted mean of them is"):
        wring(v, three - weights @ three)


@pytest.mark.parametrize(
    ("groups", "options", "error", "said"),
    [
        (np.eye(64)[:1], {}, InputError, "two or more groups; there is 1"),
        (np.eye(65)[:2], {}, EmbeddingError, "have 64 columns, group vectors 65: they do not share a space"),
        (np.zeros((2, 64)), {}, EmbeddingError, "Rows 0 and 1 of the group vectors have zero length"),
        (np.eye(64)[:2], {"strength": 1.5}, InputError, "strength is 1.5"),
        (np.eye(64)[:2], {"sign": "postive"}, InputError, "Did you mean 'positive'"),
        (np.eye(64)[:2], {"shares": [1, -1]}, InputError, "2 positive numbers"),
        (np.eye(64)[:2], {"shares": [1, 1, 1]}, InputError, "2 positive numbers"),
    ],
)
def test_refusals_name_the_value(groups, options, error, said):
    v = make(2, 0.5)[0]
    with pytest.raises(error, match=said):
        wring(v, groups, **options)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_bad_rows_are_named(strength):
    v, groups, _ = make(2, 0.5)
    v[[12, 33]] = 0
    with pytest.raises(EmbeddingError, match="Rows 12 and 33 of the queries have zero length"):
        wring(v, groups, strength=strength)
    v[33, 5] = np.nan
    with pytest.raises(EmbeddingError, match="Row 33 of the queries has NaN or infinite values"):
        wring(v, groups, strength=strength)


def test_bad_values_where_the_groups_are_zero_are_found():
    v = np.ones((3, 8), np.float32)
    v[1, 7] = np.inf
    with pytest.raises(EmbeddingError, match="Row 1"):
        wring(v, np.eye(8, dtype=np.float32)[:2])


# ----------------------------------------------------------------------------------------------------------- numerics


def test_tiny_and_huge_rows_are_scaled_copies():
    v, groups, _ = make(3, 0.7)
    v, out = v.astype(np.float32), wring(v.astype(np.float32), groups)
    for scale in (1e-30, 1e-20, 1e20, 1e37):
        np.testing.assert_allclose(wring(v * np.float32(scale), groups) / scale, out, atol=1e-6)


def test_float16_is_computed_in_float32():
    v, groups, _ = make(7, 0.99)
    half = v.astype(np.float16)
    out = wring(half, groups)
    assert out.dtype == np.float16
    np.testing.assert_array_equal(out, wring(half.astype(np.float32), groups).astype(np.float16))


def test_blocks_change_nothing():
    rng = np.random.default_rng(1)
    groups, _ = groups_around(rng, 3, 16, 0.6)
    v = rng.standard_normal((2500, 16)).astype(np.float32)
    rows = np.concatenate([wring(v[i : i + 1], groups) for i in range(0, 2500, 49)])
    np.testing.assert_allclose(wring(v, groups)[::49], rows, atol=2e-6)
    assert wring(v[:0], groups).shape == (0, 16)


def test_a_row_without_a_part_in_the_span_does_not_disturb_the_others():
    groups = np.eye(6)[:2] + np.eye(6)[2]
    v = np.vstack([np.eye(6)[5], np.ones(6)])
    out = wring(v, groups)
    np.testing.assert_allclose(out, np.vstack([v[0], published(v[1:], groups)[0]]), atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(2, 40), st.integers(0, 10_000))
def test_any_raw_groups(m, d, seed):
    rng = np.random.default_rng(seed)
    groups = unit(rng.standard_normal((m, d)) * 0.5 + rng.standard_normal(d) * 2)
    v = rng.standard_normal((4, d))
    try:
        out = wring(v, groups)
    except MethodRefusal:
        assert m > d or np.linalg.matrix_rank(groups, tol=1e-6) < m or m == d
        return
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), np.linalg.norm(v, axis=1), rtol=1e-9)
    assert spread(out, groups).max() < 1e-5
