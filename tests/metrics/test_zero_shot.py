"""Zero-shot predictions and per-class gaps, by hand and against fairlearn."""

from __future__ import annotations

import numpy as np
import pytest
from fairlearn import metrics as fl
from sklearn.metrics import accuracy_score

from equipoise.data.cells import count_codes
from equipoise.errors import EmbeddingError
from equipoise.metrics import zero_shot as z
from equipoise.protocols import Counts


def rows(n=4000):
    rng = np.random.default_rng(7)
    group, label = rng.integers(0, 3, n), rng.integers(0, 4, n)
    prediction = np.where(rng.random(n) < 0.15 + 0.1 * group, rng.integers(0, 4, n), label)
    return group, label, prediction


@pytest.fixture
def ours():
    return Counts(count_codes(*rows(), shape=(3, 4, 4)), None, np.ones(3, dtype=bool))


def test_predictions_are_the_nearest_class_by_cosine_in_blocks():
    rng = np.random.default_rng(0)
    images, classes = rng.normal(size=(100, 8)).astype(np.float32), rng.normal(size=(5, 8)) * np.arange(1, 6)[:, None]
    blocks = [(start, images[start : start + 33]) for start in range(0, 100, 33)]
    found = z.zero_shot_predictions(blocks, classes)
    cosines = images @ (classes / np.linalg.norm(classes, axis=1, keepdims=True)).T
    assert found.dtype == np.int32
    assert np.array_equal(found, cosines.argmax(1))
    assert np.array_equal(z.zero_shot_predictions(blocks, 0.01 * classes), found)
    assert z.zero_shot_predictions([], classes).shape == (0,)


def test_of_equal_classes_the_first_wins():
    blocks = [(0, np.array([[1.0, 0.0]], dtype=np.float32))]
    assert z.zero_shot_predictions(blocks, np.array([[0.0, 1.0], [2.0, 0.0], [1.0, 0.0]])).tolist() == [1]


@pytest.mark.parametrize(
    ("classes", "words"),
    [(np.zeros((2, 4)), "zero"), (np.full((2, 4), np.nan), "finite"), (np.ones((2, 3)), "columns")],
)
def test_unusable_class_vectors_are_refused(classes, words):
    with pytest.raises(EmbeddingError, match=words):
        z.zero_shot_predictions([(0, np.ones((1, 4), dtype=np.float32))], classes)


def test_accuracy_is_over_all_rows_also_of_groups_that_take_no_part(ours):
    _, label, prediction = rows()
    wanted = accuracy_score(label, prediction)
    assert z.ZeroShotAccuracy().statistic(ours) == pytest.approx(wanted, abs=1e-12)
    alone = Counts(ours.counts, None, np.array([True, False, False]))
    assert z.ZeroShotAccuracy().statistic(alone) == pytest.approx(wanted, abs=1e-12)
    right, of = z.ZeroShotAccuracy().counted(ours)
    assert (int(right), int(of)) == ((label == prediction).sum(), 4000)


def test_class_gaps_equal_fairlearn_one_class_at_a_time(ours):
    group, label, prediction = rows()
    parity, opportunity = z.class_parity_gaps(ours), z.class_opportunity_gaps(ours)
    for y in range(4):
        kept = {"y_true": label == y, "y_pred": prediction == y, "sensitive_features": group}
        assert parity[y] == pytest.approx(fl.demographic_parity_difference(**kept), abs=1e-12)
        frame = fl.MetricFrame(metrics=fl.true_positive_rate, **kept)
        assert opportunity[y] == pytest.approx(frame.difference(), abs=1e-12)
    # what some published code calls demographic parity is the other one
    assert not np.allclose(parity, opportunity, atol=0.01)


def test_worst_group_and_both_gaps(ours):
    group, label, prediction = rows()
    cells = np.array(
        [[(prediction[m] == y).mean() for y in range(4) if (m := (group == g) & (label == y)).any()] for g in range(3)]
    )
    average = (label == prediction).mean()
    assert z.worst_group_accuracy(ours) == pytest.approx(cells.min())
    assert z.average_minus_worst(ours) == pytest.approx(average - cells.min())
    assert z.best_minus_worst(ours) == pytest.approx(cells.max() - cells.min())
    assert z.average_minus_worst(ours) != pytest.approx(z.best_minus_worst(ours), abs=0.01)


def test_the_average_can_be_reweighted_as_waterbirds_is():
    counts = np.array([[[90, 10], [5, 5]], [[4, 6], [80, 20]]])
    ours = Counts(counts, None, np.ones(2, dtype=bool))
    training = np.array([[3498, 184], [56, 1057]])
    wanted = (3498 * 0.9 + 184 * 0.5 + 56 * 0.4 + 1057 * 0.2) / (3498 + 184 + 56 + 1057)
    assert z.average_accuracy(ours, training) == pytest.approx(wanted)
    assert z.average_accuracy(ours, training / training.sum()) == pytest.approx(wanted)
    assert z.average_accuracy(ours) == pytest.approx((90 + 5 + 4 + 20) / 220)
    assert z.average_minus_worst(ours, training) == pytest.approx(wanted - 0.2)


def test_small_cells_and_empty_cells():
    counts = np.array([[[90, 10], [2, 1]], [[60, 40], [0, 0]]])
    ours = Counts(np.stack([counts, np.zeros_like(counts)]), None, np.ones(2, dtype=bool))
    np.testing.assert_allclose(z.worst_group_accuracy(ours), [1 / 3, np.nan])
    np.testing.assert_allclose(z.worst_group_accuracy(ours, min_cell=10), [0.6, np.nan])
    np.testing.assert_allclose(z.best_minus_worst(ours, min_cell=10), [0.3, np.nan])
    assert np.isnan(z.class_opportunity_gaps(ours)[0, 1])


def test_a_cell_of_one_row_takes_part_unless_asked_otherwise():
    ours = Counts(np.array([[[9, 1], [1, 0]], [[8, 2], [0, 10]]]), None, np.ones(2, dtype=bool))
    assert z.worst_group_accuracy(ours) == 0.0
    assert z.worst_group_accuracy(ours, min_cell=0) == 0.0
    assert z.best_minus_worst(ours) == 1.0
    assert z.average_minus_worst(ours) == pytest.approx(27 / 31)
    assert z.average_minus_worst(ours, min_cell=2) == pytest.approx(27 / 31 - 0.8)
