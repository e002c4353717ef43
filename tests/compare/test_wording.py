from __future__ import annotations

import pytest

from equipoise.compare.wording import descriptor, measure, method_title, metric_title, number, visible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.31, "0.31"), (-0.2, "−0.2"), (0.123456, "0.123"), (0.0, "0"), (-0.0, "0"), (1234567.0, "1,230,000"), (1234.0, "1,230"),
        (0.0000123, "0.0000123"), (1e-9, "1e−09"), (None, ""), (float("nan"), ""), (float("inf"), ""), (100.0, "100"),
    ],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_what_cannot_be_seen_becomes_visible():
    assert visible("a\x1b[31mb\nc\x7f\u202e\ud800") == "a␛[31mb␊c␡\ufffd?"
    assert visible("Zoë 👩🏽‍⚕️ عربى") == "Zoë 👩🏽‍⚕️ عربى"


def test_names():
    assert method_title("wring") == "WRING"
    assert method_title("difference-projection") == "Difference projection"
    assert measure("max_skew@50", "race", "faces") == "largest race skew in the top 50 of searches of 'faces'"
    assert measure("zero_shot_accuracy", "", "age") == "zero-shot accuracy of age"
    assert metric_title("overlap@9") == "share of the top 9 that stays"
    assert metric_title("made_up@9") == "made up in the top 9"


def test_an_unknown_metric_has_no_descriptor():
    assert descriptor("made_up@9") is None
    assert descriptor("skew@9").signed
