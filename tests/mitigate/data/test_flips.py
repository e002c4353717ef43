"""What exchanged groups leave of a bias, against the expectation by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.cell_table import CellTable
from equipoise.data.layout_of import layout_of
from equipoise.errors import InputError
from equipoise.mitigate.data.flips import sensitivity
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.reweigh import Reweigh


def rows(n: int = 20_000, **more: object) -> pa.Table:
    """Half of the rows are w; y holds for 0.7 of w and 0.3 of m, exactly."""
    group = np.repeat(["w", "m"], n // 2)
    label = np.concatenate([np.arange(n // 2) < 0.7 * n / 2, np.arange(n // 2) < 0.3 * n / 2])
    return pa.table({"g": group, "y": label, **more})


def left(flip: float) -> float:
    """Return the gap that reweighing on flipped groups leaves: both groups one half, y one half."""
    one, other = (1 - flip) * 0.7 + flip * 0.3, (1 - flip) * 0.3 + flip * 0.7
    # weight of a row by the group that is seen and y: P(y) / P(y | group seen)
    with_y = 0.7 * ((1 - flip) * 0.5 / one + flip * 0.5 / other)
    without = 0.3 * ((1 - flip) * 0.5 / (1 - one) + flip * 0.5 / (1 - other))
    return 2 * with_y / (with_y + without) - 1


@pytest.mark.parametrize("flip", [0.1, 0.2, 0.5])
def test_reweighing_leaves_what_the_expectation_says(flip: float) -> None:
    found = sensitivity(Reweigh("g", ["y"]), rows(), flip=flip, draws=20, seed=1)
    assert found.before["ab"] == pytest.approx(0.4)
    assert found.after["ab"] == pytest.approx(0, abs=1e-12)
    assert found.residual["ab"].value == pytest.approx(left(flip), abs=0.006)
    assert found.residual["ab"].low <= left(flip) <= found.residual["ab"].high
    assert (found.draws, found.refused) == (20, 0)


def test_m4_leaves_a_part_too_and_stays_as_it_was() -> None:
    method = M4("g", ["y"], tolerance=0.001)
    found = sensitivity(method, rows(), flip=0.2, draws=4)
    assert 0.2 < found.residual["ab"].value < 0.3
    assert found.after["ab"] < 0.01
    assert not hasattr(method, "report_")
    again = sensitivity(method, rows(), flip=0.2, draws=4)
    assert again == found
    assert sensitivity(method, rows(), flip=0.2, draws=4, seed=1) != found
    assert "20% of the groups exchanged" in found.lines()[0]


def test_groups_beyond_two_and_masked_rows() -> None:
    n = 9000
    rng = np.random.default_rng(0)
    group = rng.choice(["a", "b", "c"], n)
    label = rng.random(n) < np.where(group == "a", 0.8, 0.2)
    table = pa.table({"g": group, "y": label, "flag": rng.random(n) < 0.5})
    found = sensitivity(Reweigh(["g", "flag"], ["y"]), table, flip=0.3, draws=5)
    assert found.before["ab"] > 0.5
    assert 0.05 < found.residual["ab"].value < found.before["ab"]
    cells = CellTable.from_batches([table], layout_of(table, ["g", "flag"], ["y"]))
    assert sensitivity(Reweigh(["g", "flag"], ["y"]), cells, flip=0.3, draws=5) == found


def test_what_cannot_be_exchanged_is_refused() -> None:
    with pytest.raises(InputError, match="share to exchange is 1"):
        sensitivity(Reweigh("g", ["y"]), rows(), flip=1)
    with pytest.raises(InputError, match="draws are too few"):
        sensitivity(Reweigh("g", ["y"]), rows(), draws=1)
    scores = pa.table({"g": np.linspace(0, 1, 100), "y": np.arange(100) % 2 == 0})
    with pytest.raises(InputError, match="in no cells"):
        sensitivity(M4("g", ["y"], shares={"g": 0.5}), scores, draws=2)
