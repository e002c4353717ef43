from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest

from equipoise.estimate import STATUSES, WITH_VALUE, Estimate


def test_text_shows_value_limits_and_chance() -> None:
    assert str(Estimate(0.1234, 0.1, 0.2, null_value=0.05)) == "0.123 [0.1, 0.2], chance 0.05"
    assert str(Estimate(-1.5)) == "−1.5"
    assert str(Estimate(0.5, 0.5, 0.5, status="exact")) == "0.5"
    assert str(Estimate.without("insufficient", "12 rows")) == "insufficient: 12 rows"
    assert str(Estimate.without("invalid", "")) == "invalid"


@pytest.mark.parametrize("status", STATUSES)
def test_a_value_is_there_exactly_where_the_status_says(status) -> None:
    if status in WITH_VALUE:
        assert Estimate(1.0, status=status).has_value
        with pytest.raises(ValueError, match="needs a finite value"):
            Estimate(math.nan, status=status)
    else:
        found = Estimate.without(status, "why", n=3, level=0.9)
        assert (found.has_value, found.n, found.level) == (False, 3, 0.9)
        assert math.isnan(found.value)
        with pytest.raises(ValueError, match="has no value"):
            Estimate(1.0, status=status)


def test_what_cannot_be() -> None:
    for options, text in (
        ({"status": "fine"}, "one of"),
        ({"level": 95}, "level"),
        ({"low": 2, "high": 1}, "above high"),
    ):
        with pytest.raises(ValueError, match=text):
            Estimate(1.0, **options)
    with pytest.raises(FrozenInstanceError):
        Estimate(1.0).value = 2.0  # type: ignore[misc]


def test_fields_stand_in_the_order_of_the_table() -> None:
    from equipoise.schema import ESTIMATES

    names = list(Estimate(1.0).as_dict())
    assert names == [name for name in ESTIMATES.names if name in names]
