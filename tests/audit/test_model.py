"""What an audit says of a model: its card, what it cannot say, what it never says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep
from synthetic import one

from equipoise import audit, read_samples
from equipoise.audit.model import card_warning


def answered(right: int, n: int, labels: int = 2, called: int | None = None, **model: Any) -> Any:
    """Rows of which ``right`` are answered rightly, as if a model had answered them."""
    y = np.arange(n) % labels
    p = np.where(np.arange(n) < right, y, (y + 1) % labels)
    table = {"id": [str(i) for i in range(n)], "y": [f"l{i}" for i in y], "g": ["AB"[i % 3 == 0] for i in range(n)]}
    samples = read_samples(table, id="id", label="y", attributes=["g"])
    place = np.array([int(name) for name in samples.ids])
    extra = samples.table.append_column("prediction", pa.array([f"l{i}" for i in p[place]]))
    extra = extra.append_column("reason", pa.array([""] * n))
    about = {
        "name": "m", "called": [f"l{i}" for i in range(called or labels)], "preprocessing": {"name": "clip"}, "notes": [],
        "card": {}, "score_of": None, **model,
    }  # fmt: skip
    return replace(samples, table=extra, roles={**samples.roles, "prediction": "m"}, model=about)


def warning(right: int, rows: int, **card: float) -> str | None:
    samples = answered(right, rows, card=card)
    return card_warning(audit(samples, by=["g"], bootstrap=0).estimates, samples)


def test_the_card_warns_only_beyond_the_interval_and_the_margin() -> None:
    text = warning(640, 1000, accuracy=0.75)
    assert text is not None
    assert "0.640 [0.610, 0.669] on 1,000 rows, far below the 0.750" in text
    assert "(here: clip)" in text
    assert warning(690, 1000, accuracy=0.75) is None, "the interval reaches the card less 0.05"
    assert warning(64, 100, accuracy=0.75) is None, "too few rows to tell"
    assert warning(900, 1000, accuracy=0.75) is None
    assert warning(640, 1000) is None
    assert warning(640, 1000, n=500) is None, "a card without an accuracy says nothing"


def test_a_card_of_few_rows_is_uncertain_itself() -> None:
    assert warning(670, 1000, accuracy=0.75, n=50_000) is not None
    assert warning(670, 1000, accuracy=0.75, n=200) is None
    for right, n in ((670, 50_000), (670, 2000), (600, 300), (690, 500)):
        low, _ = confint_proportions_2indep(0.75 * n, n, right, 1000, method="newcomb", compare="diff")
        assert (warning(right, 1000, accuracy=0.75, n=n) is not None) == (low > 0.05)


def test_labels_that_the_model_cannot_or_never_says() -> None:
    samples = answered(50, 100, labels=4, called=3)
    mute = samples.table["prediction"].to_pylist()
    said = pa.array(["l0" if text == "l1" else text for text in mute])
    table = samples.table.set_column(samples.table.column_names.index("prediction"), "prediction", said)
    notes = audit(replace(samples, table=table), by=["g"]).document.notes
    assert "1 label the model cannot say, 25 rows: 'l3'. They count as wrong." in notes
    assert "1 label the model never says, 25 rows: 'l1'." in notes
    clean = audit(answered(50, 100), by=["g"]).document.notes
    assert not [note for note in clean if "model" in note]


def test_notes_of_the_model_come_first() -> None:
    found = audit(answered(50, 100, notes=["The weights look untrained: all 3 ..."]), by=["g"])
    assert found.document.notes[0] == "The weights look untrained: all 3 ..."


@pytest.mark.parametrize("labels", [2, 1000])
def test_a_thousand_labels_cost_no_more_than_two(labels: int) -> None:
    from equipoise.audit.predictions import prediction_pool, prediction_side
    from equipoise.metrics.engines.predictions import tables

    samples = answered(7000, 10_000, labels=labels)
    found = audit(samples, by=["g"])
    frame = pd.DataFrame({name: samples.column(name) for name in ("label", "prediction", "g")})
    right = frame["label"] == frame["prediction"]
    for group, value in right.groupby(frame["g"]).mean().items():
        assert one(found.estimates, metric="accuracy", group=group)["value"] == pytest.approx(value)
    means = right.groupby(frame["g"]).mean()
    gap = one(found.estimates, metric="accuracy_gap", attribute="g")["value"]
    assert gap == pytest.approx(means.max() - means.min())
    pool = prediction_pool(found.evidence, samples.vocabulary, ["g"], 30)  # type: ignore[arg-type]
    assert tables(pool, "g", [prediction_side(found.evidence, None)]).shape == (2, 3, 3)  # type: ignore[arg-type]
