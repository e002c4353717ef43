from __future__ import annotations

from equipoise.report.numbers import interval, p_value, with_interval


def test_the_form_of_a_number():
    assert with_interval(0.12, 0.08, 0.17, 0.05) == "0.12 [0.08, 0.17], chance 0.05"
    assert with_interval(-0.12) == "−0.12"
    assert with_interval(None, 0.1, 0.2) == "–"


def test_a_limit_near_zero_keeps_its_sign_and_gets_few_decimals():
    assert interval(-0.0000695, 0.11) == "[−0.0001, 0.11]"
    assert interval(0.0, 0.0) == "[0, 0]"
    assert interval(None, 0.1) == ""


def test_p():
    assert p_value(0.00004) == "< 0.001"
    assert p_value(0.0432) == "0.0432"
    assert p_value(None) == ""
