"""Options of M4, checked: each refusal names the value and the remedy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from equipoise.data.groups import Vocabulary
from equipoise.data.layout_of import names_of
from equipoise.data.packing import UNKNOWN
from equipoise.errors import InputError, did_you_mean, listed
from equipoise.mitigate.data.moments import KINDS, check_tolerance
from equipoise.mitigate.data.targets import MASKS, PAIRINGS

AUTO = "auto"
SOLVERS = (AUTO, "cells", "rows", "online")
INFEASIBLE = ("error", "soften", "auto-eta")
UNBALANCEABLE = ("exempt", "error", "drop_rows")
PROTOCOL = "alabdulmohsin-2024"


@dataclass(frozen=True)
class Options:
    """Options of :class:`~.m4.M4`, under its names."""

    attributes: tuple[str, ...]
    labels: tuple[str, ...] = ()
    shares: Mapping[str, Any] | None = None
    proxies: tuple[str, ...] = ()
    tolerance: float = 0.05
    tolerance_first: float | None = None
    tolerance_kind: str = "share"
    preserve: float | None = None
    mask: str = AUTO
    pairings: str = "any"
    keep: float | str = AUTO
    cap: float = 1.0
    price: float = 100.0
    utility: str | None = None
    bins: tuple[float, ...] | None = None
    solver: str = AUTO
    on_infeasible: str = "error"
    unbalanceable: str = "exempt"
    unknown: str = "set_aside"
    min_retention: float = 0.01
    max_cells: int = 4_000_000
    seed: int = 0
    vocabulary: Mapping[str, tuple[str, ...]] | Vocabulary | None = None
    versions: Mapping[str, str] | None = None
    protocol: str = ""
    step: float = 1.0

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if value not in known:
                hint = did_you_mean(str(value), known)
                raise InputError(f"{name} is {value!r}.{hint}", f"It is one of {listed(known)}.", value=value)
        check_tolerance("tolerance", self.tolerance)
        if self.tolerance_first is not None:
            check_tolerance("tolerance_first", self.tolerance_first)
        _positive("cap", self.cap)
        _positive("price", self.price)
        _positive("step", self.step)
        if self.keep == AUTO:
            if self.cap != 1.0 and not self.protocol:
                raise InputError(
                    f"cap={self.cap:g} with keep='auto', which keeps or drops rows.",
                    "Leave cap at 1, or pass keep=1.0 to weight rows.",
                    value=self.cap,
                )
            if self.utility is not None:
                raise InputError(
                    f"utility='{self.utility}' with keep='auto', which knows none.", "Pass keep=0.9 or another share."
                )
        else:
            if isinstance(self.keep, (str, bool)) or not 0 < self.keep <= 1:
                raise InputError(f"keep is {self.keep!r}.", "It is 'auto' or a share in (0, 1].", value=self.keep)
            if self.cap < self.keep:
                raise InputError(
                    f"cap={self.cap:g} is below keep={self.keep:g}: the mean weight cannot exceed the cap.",
                    f"Use cap>={self.keep:g} or a smaller keep.",
                    value=self.cap,
                )
        if not 0 <= self.min_retention < 1:
            raise InputError(f"min_retention is {self.min_retention!r}.", "It lies in [0, 1).")
        if self.preserve is not None and not 0 <= self.preserve <= 1:
            raise InputError(
                f"preserve is {self.preserve!r}.", "It lies in [0, 1]: 0.1 keeps prevalence within a tenth."
            )
        if self.solver == "online" and self.preserve is not None:
            raise InputError("preserve needs the prevalence of every label first.", "Use solver='cells' or 'rows'.")

    @property
    def free_mean(self) -> bool:
        """Whether how much is kept is a result."""
        return self.keep == AUTO

    @property
    def eta(self) -> float:
        """Return the mean weight: 1 in free-mean mode."""
        return 1.0 if isinstance(self.keep, str) else float(self.keep)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values; the vocabulary lives on in the layout."""
        found = asdict(self) | {"vocabulary": None}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in found.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Options:
        """Rebuild from :meth:`to_dict`."""
        keys: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**keys)


_CHOICES = {
    "tolerance_kind": KINDS,
    "mask": MASKS,
    "pairings": PAIRINGS,
    "solver": SOLVERS,
    "on_infeasible": INFEASIBLE,
    "unbalanceable": UNBALANCEABLE,
    "unknown": UNKNOWN,
    "protocol": ("", PROTOCOL),
}


def names(given: str | Sequence[str], what: str) -> tuple[str, ...]:
    """Return names of columns as a tuple."""
    return names_of(given, what)


def shares_by_name(shares: Mapping[str, Any] | float | None, attributes: Sequence[str]) -> Mapping[str, Any] | None:
    """Return wanted shares by attribute; a number alone is meant for every one."""
    if isinstance(shares, (int, float)) and not isinstance(shares, bool):
        return dict.fromkeys(attributes, float(shares))
    return shares  # pyright: ignore[reportReturnType]


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (value > 0 and math.isfinite(value)):
        raise InputError(f"{name} is {value!r}.", "It is a number above 0.", value=value)
