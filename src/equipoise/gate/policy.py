"""The policy of a gate: which limits hold for which metric, under whose convention, and what was waived until when.

A policy is a TOML file. It names a metric *and* its protocol, because fields disagree on what a name such as
"demographic parity" means. Every number is checked against the range of the metric, so that 5 is never taken for 5 %.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from equipoise.errors import InputError, MissingFileError, SchemaError, UnknownNameError, did_you_mean, listed
from equipoise.protocols import MetricDescriptor
from equipoise.registry import METRICS

SCHEMA = "equipoise.policy/1"
_LARGEST = {"natural log": math.log(100), "standard deviations?": 3.0, "factor": 100.0, "times the mean": 100.0}


def _no_numbers_in_disguise(value: Any) -> Any:
    if isinstance(value, (bool, str)):
        raise ValueError(f"{value!r} is not a number")
    return value


Number = Annotated[float, BeforeValidator(_no_numbers_in_disguise), Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]


class Limit(BaseModel):
    """One ``[[limit]]``: what must hold for the rows it names.

    Attributes
    ----------
    metric : str
        ``max_skew@200``, or ``max_skew`` for any k.
    protocol : str
        Whose convention, as ``ls metrics`` prints it.
    attribute : str
        An attribute, an intersection such as ``gender:race``, or ``*`` for all; utilities have none, ``""`` or ``*``.
    family : str
        A family of queries, or ``*``.
    max_bias : float, optional
        Largest bias allowed, in the unit of the metric; for signed biases its size, for ratios the distance from 1.
    max_increase : float, optional
        Largest growth of harm allowed from before to after; needs a ledger.
    min_group_n : int, optional
        The smallest group must have this many rows, else the evidence is insufficient.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: Name
    protocol: Name
    attribute: str = "*"
    family: Name = "*"
    max_bias: Number | None = None
    max_increase: Number | None = None
    min_group_n: Annotated[int, Field(ge=1, strict=True)] | None = None

    def covers(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row of a ledger or of estimates is one this limit speaks of."""
        return (
            _same_metric(self.metric, row["metric"])
            and self.protocol == row["protocol"]
            and self.attribute in ("*", row["attribute"])
            and self.family in ("*", row["family"])
        )


class Waiver(BaseModel):
    """One ``[[waiver]]``: a broken limit that is accepted, for a reason, until a day (included)."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    metric: Name
    protocol: Name = "*"
    attribute: str = "*"
    family: Name = "*"
    reason: Annotated[str, Field(min_length=1, pattern=r"\S")]
    until: date

    def covers(self, row: Mapping[str, Any]) -> bool:
        """Return whether it speaks of a check (by metric, protocol, attribute and family)."""
        return (
            _same_metric(self.metric, row["metric"])
            and self.protocol in ("*", row["protocol"])
            and self.attribute in ("*", row["attribute"])
            and self.family in ("*", row["family"])
        )


class Policy(BaseModel):
    """A whole policy file."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    schema_: Literal["equipoise.policy/1"] = Field(alias="schema", default=SCHEMA)
    insufficient: Literal["fail", "exit3"] = "exit3"
    limit: tuple[Limit, ...] = Field(min_length=1)
    waiver: tuple[Waiver, ...] = ()


def _same_metric(wanted: str, found: str) -> bool:
    return wanted == found or ("@" not in wanted and wanted == found.partition("@")[0])


def read_policy(source: str | Path | Mapping[str, Any] | Policy) -> Policy:
    """Return a checked policy from a TOML file or a dict of the same form.

    Raises
    ------
    InputError
        An unknown key, metric or protocol, a limit outside the metric's range, a waiver without reason or end date: the
        message names the entry and proposes what was probably meant.
    """
    if isinstance(source, Policy):
        policy, where = source, "The policy"
    else:
        data, where = _load(source)
        if str(data.get("schema", SCHEMA)) != SCHEMA:
            raise SchemaError(
                f"{where} says schema '{data['schema']}', this version reads '{SCHEMA}'.", value=data["schema"]
            )
        try:
            policy = Policy.model_validate(dict(data))
        except ValidationError as error:
            raise _explained(error, data, where) from error
    for number, limit in enumerate(policy.limit, 1):
        _check_limit(limit, f"{where}: limit {number} ({limit.metric})")
    for number, waiver in enumerate(policy.waiver, 1):
        place = f"{where}: waiver {number} ({waiver.metric})"
        descriptor = _descriptor(waiver.metric, place)
        if waiver.protocol != "*":
            _check_protocol(waiver.protocol, descriptor, place)
    return policy


def _load(source: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    if isinstance(source, Mapping):
        return source, "The policy"
    path = Path(source)
    try:
        return tomllib.loads(path.read_text("utf-8")), f"The policy {path}"
    except FileNotFoundError as error:
        raise MissingFileError(
            f"There is no policy at {path}.", "`equipoise ls policy` prints an example.", value=path
        ) from error
    except OSError as error:
        raise MissingFileError(
            f"The policy {path} cannot be read: {error.strerror}.", "Name a TOML file.", value=path
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"The policy {path} is not TOML: {error}.", "`equipoise ls policy` prints an example.", value=path
        ) from error


def _explained(error: ValidationError, data: Mapping[str, Any], where: str) -> InputError:
    """Return the first fault of a policy in the words of a person."""
    first = error.errors()[0]
    spot = [part for part in first["loc"] if part != "schema_"]
    place = where
    kind: type[BaseModel] = Policy
    if len(spot) > 1 and spot[0] in ("limit", "waiver") and isinstance(spot[1], int):
        kind = Limit if spot[0] == "limit" else Waiver
        entry = data[str(spot[0])][spot[1]]
        name = entry.get("metric") if isinstance(entry, Mapping) else None
        place = f"{where}: {spot[0]} {spot[1] + 1}" + (f" ({name})" if isinstance(name, str) else "")
        spot = spot[2:]
    key = ".".join(str(part) for part in spot) or "the file"
    keys = [field.alias or name for name, field in kind.model_fields.items()]
    if first["type"] == "extra_forbidden":
        return UnknownNameError(
            f"{place}: unknown key '{key}'.{did_you_mean(key, keys)}", f"Known: {listed(keys)}.", value=key
        )
    if first["type"] == "missing":
        if key == "limit":
            return InputError(
                f"{place} has no [[limit]], so it would pass anything.",
                "Add one; `equipoise ls policy` prints an example.",
            )
        return InputError(f"{place}: '{key}' is missing.", f"Add it; the keys are {listed(keys)}.", value=key)
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    return InputError(f"{place}: '{key}' is {first['input']!r}: {message}.", "Mend the policy.", value=first["input"])


def _descriptor(metric: str, place: str) -> MetricDescriptor:
    name, at, k = metric.partition("@")
    if name not in METRICS:
        raise UnknownNameError(
            f"{place}: there is no metric '{name}'.{did_you_mean(name, METRICS)}",
            f"Known: {listed(METRICS, 30)}.",
            value=metric,
        )
    descriptor: MetricDescriptor = METRICS.load(name).descriptor
    if at and not (descriptor.at_k and k.isdigit() and int(k) > 0):
        what = "needs a whole number after @" if descriptor.at_k else "takes no @k"
        raise InputError(
            f"{place}: '{metric}' {what}.",
            f"Write '{name}@200' or '{name}'." if descriptor.at_k else f"Write '{name}'.",
        )
    return descriptor


def _check_protocol(protocol: str, descriptor: MetricDescriptor, place: str) -> None:
    if protocol != descriptor.protocol:
        raise UnknownNameError(
            f"{place}: '{descriptor.name}' has no protocol '{protocol}'.{did_you_mean(protocol, [descriptor.protocol])}",
            f"Its protocol is '{descriptor.protocol}'.",
            value=protocol,
        )


def _check_limit(limit: Limit, place: str) -> None:
    descriptor = _descriptor(limit.metric, place)
    _check_protocol(limit.protocol, descriptor, place)
    if limit.max_bias is None and limit.max_increase is None and limit.min_group_n is None:
        raise InputError(f"{place} limits nothing.", "Give max_bias, max_increase or min_group_n.")
    if descriptor.role == "diagnostic":
        raise InputError(
            f"{place}: '{descriptor.name}' is a diagnostic and is never gated.", "Name a bias or a utility."
        )
    if descriptor.per_group and descriptor.role == "bias":
        raise InputError(
            f"{place}: '{descriptor.name}' has a value for each group; only gaps and means over queries are gated.",
            f"Name a gap, as {listed(name for name in METRICS if name.endswith(('_gap', '_skew')))}.",
        )
    if limit.max_bias is not None and limit.max_bias >= 0.5 and "ratio" in descriptor.unit:
        raise InputError(
            f"{place}: max_bias is {limit.max_bias:g} for '{descriptor.name}', where it is the distance from 1.",
            "For four fifths give 0.2.",
            value=limit.max_bias,
        )
    if limit.max_bias is not None and descriptor.role == "utility":
        raise InputError(
            f"{place}: '{descriptor.name}' is a utility, not a bias, so max_bias says nothing.",
            "Use max_increase: how much of it may be lost.",
        )
    top = largest(descriptor)
    for key in ("max_bias", "max_increase"):
        value = getattr(limit, key)
        if value is not None and value > top:
            meant = f" Did you mean {value / 100:g}?" if value / 100 <= top else ""
            raise InputError(
                f"{place}: {key} = {value:g} lies outside [0, {top:.3g}], the range of '{descriptor.name}' ({descriptor.unit}).{meant}",
                "Give shares as fractions: 0.05 for 5 %.",
                value=value,
            )


_RANGE = re.compile(r"\[\s*([+\-\u2212]?[\d.]+)\s*,\s*([+\-\u2212]?[\d.]+)\s*\]")


def _range(descriptor: MetricDescriptor) -> tuple[float, float] | None:
    """Return the ends of ``[a, b]`` in the unit of a metric, or None."""
    found = _RANGE.search(descriptor.unit)
    return None if found is None else (_end(found[1]), _end(found[2]))


def _end(text: str) -> float:
    return float(text.replace("\u2212", "-"))


def best_value(descriptor: MetricDescriptor) -> float:
    """Return the value at which a bias is none: the top of the range of a ratio (more is better), else 0."""
    ends = _range(descriptor)
    return ends[1] if descriptor.direction == "higher" and not descriptor.signed and ends else 0.0


def largest(descriptor: MetricDescriptor) -> float:
    """Return the largest size that a limit of this metric can have, from its unit.

    ``[a, b]`` in the unit gives max(|a|, |b|); natural logs end at ln 100 (a share a hundred times what it should be),
    standardised gaps at 3 sd. Any other unit has no top.
    """
    if ends := _range(descriptor):
        return max(abs(ends[0]), abs(ends[1]))
    for word, top in _LARGEST.items():
        if re.search(rf"\b{word}\b", descriptor.unit):
            return top
    return math.inf


def unknown_attributes(policy: Policy, known: Iterable[str]) -> list[str]:
    """Return attributes that limits or waivers name and whose parts are not all in ``known``."""
    known = set(known)
    named = [entry.attribute for entry in (*policy.limit, *policy.waiver)]
    return sorted({name for name in named if name not in ("*", "") and not set(name.split(":")) <= known})
