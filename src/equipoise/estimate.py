"""Estimate: a number, its interval, its evidence, its status."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Status = Literal["ok", "exact", "weak", "insufficient", "not_estimable", "extrapolated", "invalid"]
STATUSES: tuple[str, ...] = get_args(Status)
WITH_VALUE = frozenset({"ok", "exact", "weak"})


@dataclass(frozen=True, slots=True)
class Estimate:
    """One measured number.

    Attributes
    ----------
    value : float
        The point estimate; NaN unless ``status`` is ``ok``, ``exact`` or ``weak``.
    low, high : float
        Limits of the interval at ``level``; NaN where there is none (``exact`` numbers have ``low = high = value``).
    level : float
        Confidence level in (0, 1).
    n : int
        Rows behind the number.
    numerator, denominator : float
        Of a rate; NaN for other numbers.
    null_value : float
        The value expected when there is no disparity (what chance alone gives); NaN where none is defined.
    p : float
        Two-sided or permutation p-value against "no disparity"; NaN where none is defined.
    status : str
        ``ok`` | ``exact`` | ``weak`` | ``insufficient`` | ``not_estimable`` | ``extrapolated`` | ``invalid``.
    reason : str
        Why the status is not ``ok``, or what was left out; empty otherwise.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    level: float = 0.95
    n: int = 0
    numerator: float = math.nan
    denominator: float = math.nan
    null_value: float = math.nan
    p: float = math.nan
    status: Status = "ok"
    reason: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status is {self.status!r}; it is one of {', '.join(STATUSES)}")
        if self.has_value and not math.isfinite(self.value):
            raise ValueError(f"an estimate with status {self.status!r} needs a finite value, not {self.value!r}")
        if not self.has_value and not math.isnan(self.value):
            raise ValueError(f"an estimate with status {self.status!r} has no value, but {self.value!r} was given")
        if not 0 < self.level < 1:
            raise ValueError(f"level is {self.level!r}; it lies between 0 and 1")
        if self.low > self.high:
            raise ValueError(f"low {self.low!r} lies above high {self.high!r}")

    @property
    def has_value(self) -> bool:
        """Whether there is a number at all."""
        return self.status in WITH_VALUE

    @classmethod
    def without(cls, status: Status, reason: str, *, n: int = 0, level: float = 0.95) -> Estimate:
        """Return an estimate that says why there is no number."""
        return cls(math.nan, level=level, n=n, status=status, reason=reason)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in the order of the estimates table."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __str__(self) -> str:
        if not self.has_value:
            return f"{self.status}: {self.reason}" if self.reason else self.status
        text = f"{self.value:.3g}"
        if math.isfinite(self.low) and self.status != "exact":
            text += f" [{self.low:.3g}, {self.high:.3g}]"
        if math.isfinite(self.null_value):
            text += f", chance {self.null_value:.3g}"
        return text.replace("-", "\N{MINUS SIGN}")
