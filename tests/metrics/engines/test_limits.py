"""Limits of the mean and the largest of several sizes: hand-derived numbers, and coverage of planted associations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from equipoise.metrics import gaps
from equipoise.metrics.balance import association_bias, label_association, representation_bias
from equipoise.metrics.engines.limits import drawn_limits, largest_limits, mean_limits, reaching_parity
from equipoise.metrics.preference import AssociationBias, RepresentationBias
from equipoise.protocols import Pairs, Preferences
from equipoise.stats import newcombe

PAIRS, ROWS = 5, 400


def planted(shifts, seed, rows=ROWS):
    """Groups and images whose first word of pair i is nearer to group 1 by shifts[i] sd; with the vectors of the words."""
    rng = np.random.default_rng(seed)
    code = rng.integers(0, 2, rows)
    images = rng.normal(size=(rows, 2 * len(shifts)))
    images[:, ::2] += np.outer(code, shifts)
    return images, code, np.eye(2 * len(shifts)).reshape(len(shifts), 2, -1)


def true_gaps(shifts):
    return stats.norm.cdf(np.asarray(shifts) / np.sqrt(2)) - 0.5


@pytest.mark.parametrize(
    "shifts", [(0.5, 0.3, 0.1, 0, 0), (0.2, 0.2, 0.2, 0.1, 0), (0.6, 0.6, 0.5, 0.5, 0.5), (0.3,) * 5]
)
def test_intervals_cover_the_association_that_was_planted(shifts, monkeypatch):
    monkeypatch.setattr("equipoise.metrics.association_bias.NULL_DRAWS", 200)
    true, repeats = true_gaps(shifts), 100
    covered = np.zeros(2)
    for seed in range(repeats):
        found = association_bias(*planted(shifts, seed), draws=150, seed=seed)
        ends = [(found.mean, true.mean()), (found.maximum, true.max())]
        covered += [one.low <= value <= one.high for one, value in ends]
    noise = 2 * np.sqrt(0.05 * 0.95 / repeats)
    assert covered[0] / repeats >= 0.93 - noise
    assert covered[1] / repeats >= 0.95 - noise


def test_maximum_goes_from_the_largest_joint_lower_limit_to_the_largest_upper_limit():
    images, code, text = planted((0.9, 0.5, 0.1), 4)
    found = association_bias(images, code, text)
    n = np.bincount(code)
    hits = np.asarray([[(images[code == g] @ a > images[code == g] @ b).sum() for g in (0, 1)] for a, b in text])
    joint = gaps.folded(*newcombe(hits[:, 0], n[0], hits[:, 1], n[1], 1 - 0.05 / 3))
    alone = gaps.folded(*newcombe(hits[:, 0], n[0], hits[:, 1], n[1], 0.95))
    assert found.maximum.p < 0.05
    assert found.maximum.low == pytest.approx(joint[0].max())
    assert found.maximum.high == pytest.approx(alone[1].max())


def test_mean_takes_the_bias_off_the_lower_limit_alone():
    along = np.linspace(-0.5, 1.5, 1001)
    drawn, value = np.abs(along), 0.5
    low, high = mean_limits(value, drawn, along, 0.9, (-2.0, 2.0))
    # E|x| - E x of a uniform x on [-1/2, 3/2] is (1/8 + 9/8) / 2 - 1/2
    assert low == pytest.approx(-0.4 - 2 / 8, abs=1e-3)
    assert high == pytest.approx(1.4)
    assert mean_limits(value, drawn, along, 0.9, (0.0, 1.0)) == (0.0, 1.0)
    assert np.isnan(mean_limits(np.nan, drawn, along, 0.9, (0.0, 1.0))).all()


def test_interval_and_test_use_one_level():
    assert reaching_parity([0.1, 0.1, 0.1], [0.04, 0.06, np.nan], 0.95).tolist() == [0.1, 0.0, 0.1]
    assert reaching_parity(1.2, 0.2, 0.9, 1.0) == 1.0
    seen = set()
    for seed in range(60):
        images, code, text = planted((0.28,), seed)
        for one in (association_bias(images, code, text, draws=100).bias[0],
                    label_association(images, code, text[0], scale=5.0).bias[0]):  # fmt: skip
            seen.add((one.p > 0.025, one.p > 0.05))
            assert one.low == 0 or one.p <= 0.05
            if 0.025 < one.p <= 0.04:
                assert one.low > 0
    assert len(seen) == 3


def test_signs_are_held_while_rows_are_drawn():
    evidence = Pairs(np.array([[6.0, 9.0, 3.0]]), np.array([10.0, 10.0, 10.0]), np.array([True, True, False]))
    drawn = Pairs(np.array([[[8.0, 7.0, 1.0]], [[2.0, 7.0, 1.0]]]), evidence.n, evidence.valid)
    np.testing.assert_allclose(AssociationBias().along(evidence, drawn), [[-0.1], [0.5]])
    equal = Pairs(np.array([[5.0, 5.0]]), np.array([10.0, 10.0]), np.array([True, True]))
    again = Pairs(np.array([[[7.0, 4.0]]]), equal.n, equal.valid)
    assert abs(AssociationBias().along(equal, again)) == pytest.approx(0.3)
    words = Preferences(np.array([[70.0, 30.0]]), np.ones(2, bool))
    moved = Preferences(np.array([[[60.0, 40.0]], [[45.0, 55.0]]]), np.ones(2, bool))
    np.testing.assert_allclose(RepresentationBias().along(words, moved), [[0.1], [-0.05]])


def test_limits_from_draws_of_clusters():
    rng = np.random.default_rng(0)
    along = rng.normal([0.3, 0.02], [0.05, 0.04], (20_000, 2))
    limits = drawn_limits(np.array([0.3, 0.02]), along, (0.0, 1.0))
    low, high = largest_limits(limits, 2, 0.95)
    assert low == pytest.approx(0.3 - stats.norm.ppf(1 - 0.0125) * 0.05, abs=2e-3)
    assert high == pytest.approx(0.3 + 1.96 * 0.05, abs=2e-3)
    images, code, text = planted((0.5, 0.3, 0.0), 1)
    found = association_bias(
        np.repeat(images, 3, 0), np.repeat(code, 3), text, clusters=np.repeat(np.arange(ROWS), 3), draws=200
    )
    alone = association_bias(images, code, text, draws=200)
    assert found.maximum.high == pytest.approx(alone.maximum.high, abs=0.03)
    assert found.mean.high == pytest.approx(alone.mean.high, abs=0.03)


def test_mean_representation_bias_covers_an_equal_preference():
    text = np.eye(12).reshape(6, 2, 12)
    covered = [
        representation_bias(np.random.default_rng(seed).normal(size=(200, 12)), text, draws=100, seed=seed).mean.low
        == 0
        for seed in range(40)
    ]
    assert np.mean(covered) >= 0.85


@pytest.mark.parametrize("groups", [2, 3])
def test_equal_rows_have_no_association(groups):
    rng = np.random.default_rng(0)
    images = np.repeat(rng.normal(size=(1, 8)), 80, axis=0)
    found = label_association(images, np.arange(80) % groups, rng.normal(size=(5, 8)), scale=3.3, min_group=20)
    for one in (*found.bias, found.maximum):
        assert (one.status, one.p) == ("ok", 1.0)
        assert (one.value, one.low, one.high) == pytest.approx((0, 0, 0), abs=1e-6)
