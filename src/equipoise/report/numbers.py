"""Numbers as the report and the terminal print them: ``0.12 [0.08, 0.17], chance 0.05``."""

from __future__ import annotations

import math

from equipoise.compare.wording import number, whole

__all__ = ["interval", "number", "p_value", "sha", "whole", "with_interval"]


def interval(low: float | None, high: float | None) -> str:
    """Return ``[0.08, 0.17]``; ``""`` unless both limits are there.

    A limit that is near zero beside the other one gets no more decimals than that one and one more.
    """
    if not number(low) or not number(high) or low is None or high is None:
        return ""
    widest = max(abs(low), abs(high))
    decimals = 3 - math.floor(math.log10(widest)) if widest > 0 else 0
    lower, upper = (number(round(limit, decimals)) for limit in (low, high))
    return f"[{lower}, {upper}]"


def with_interval(
    value: float | None, low: float | None = None, high: float | None = None, chance: float | None = None
) -> str:
    """Return a number with its interval and what chance alone gives; a dash where there is no number."""
    text = number(value)
    if not text:
        return "\N{EN DASH}"
    limits = interval(low, high)
    expected = number(chance)
    return text + (f" {limits}" if limits else "") + (f", chance {expected}" if expected else "")


def p_value(p: float | None) -> str:
    """Return a p-value for people: ``< 0.001`` below that."""
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else number(p)


def sha(digest: str) -> str:
    """Return the first twelve digits of a checksum."""
    return digest[:12]
