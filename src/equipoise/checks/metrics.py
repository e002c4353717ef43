"""Contract checks of a metric, for ours and for plug-ins: what audit, compare and gate take for granted.

A metric that passes keeps its manners; whether its formula is the right one, its own tests must show.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

import numpy as np

from equipoise.checks import CheckFailed
from equipoise.checks import evidence as made
from equipoise.protocols import Metric, MetricDescriptor

LEADS: tuple[tuple[int, ...], ...] = ((), (3,), (2, 3))


def check_metric(metric: Metric | type[Metric], expected_failures: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Run every contract check on a metric.

    Parameters
    ----------
    metric : Metric or its class
    expected_failures : mapping of str to str, optional
        Name of a check to the reason why this metric need not pass it. A check that is expected to fail and passes is a
        failure too, so that the list stays true.

    Returns
    -------
    tuple of str
        The checks that passed.

    Raises
    ------
    CheckFailed
        With one line for each check that failed: its name and what was seen.
    """
    metric = metric() if isinstance(metric, type) else metric
    expected = dict(expected_failures or {})
    problems = [f"{name}: there is no such check" for name in expected if name not in CHECKS]
    passed = []
    for name, check in CHECKS.items():
        try:
            # division by zero and the like are warnings that a metric must deal with itself
            with np.errstate(all="raise", under="ignore"):
                check(metric)
        except Exception as error:
            if name not in expected:
                problems.append(f"{name}: {error if isinstance(error, CheckFailed) else repr(error)}")
        else:
            passed.append(name)
            if name in expected:
                problems.append(f"{name}: passes, though a failure was expected ({expected[name]})")
    if problems:
        called = getattr(getattr(metric, "descriptor", None), "name", type(metric).__name__)
        raise CheckFailed("\n  ".join([f"metric '{called}' breaks its contract:", *problems]))
    return tuple(passed)


def _need(condition: Any, message: str) -> None:
    if not condition:
        raise CheckFailed(message)


def _same(found: Any, wanted: Any, message: str) -> None:
    if not np.allclose(found, wanted, rtol=1e-9, atol=1e-12, equal_nan=True):
        raise CheckFailed(f"{message}: {np.asarray(found).tolist()} is not {np.asarray(wanted).tolist()}")


def _compares_groups(metric: Metric) -> bool:
    return not metric.descriptor.per_group and metric.descriptor.role == "bias"


def check_descriptor(metric: Metric) -> None:
    """Require a complete descriptor: snake-case name and protocol (or ``paper/part``), known kinds, texts, a margin."""
    descriptor = metric.descriptor
    _need(isinstance(descriptor, MetricDescriptor), f"descriptor is a {type(descriptor).__name__}")
    snake, paper = r"[a-z][a-z0-9]*(_[a-z0-9]+)*", r"[a-z0-9]+(-[a-z0-9]+)*/[a-z0-9]+(-[a-z0-9]+)*"
    for field, pattern in (("name", snake), ("protocol", f"{snake}|{paper}")):
        value = getattr(descriptor, field)
        _need(re.fullmatch(pattern, value), f"{field} {value!r} is not snake_case")
    for field in ("evidence", "role", "direction"):
        known = get_args(get_type_hints(MetricDescriptor)[field])
        _need(getattr(descriptor, field) in known, f"{field} {getattr(descriptor, field)!r} is none of {known}")
    for field in ("unit", "formula", "source", "title"):
        _need(getattr(descriptor, field).strip(), f"{field} is empty")
    _need(np.isfinite(descriptor.margin) and descriptor.margin > 0, f"margin is {descriptor.margin!r}")
    _need(
        not descriptor.at_k or descriptor.evidence in ("top", "ranks", "paired"),
        f"a metric of {descriptor.evidence} has no k",
    )


def check_shape(metric: Metric) -> None:
    """Require a float64 statistic of shape (...) or (..., G), for any number of leading axes."""
    for lead in LEADS:
        found = metric.statistic(made.make(metric.descriptor.evidence, lead))
        wanted = (*lead, made.GROUPS) if metric.descriptor.per_group else lead
        _need(np.shape(found) == wanted, f"the statistic has shape {np.shape(found)}, not {wanted}")
        _need(np.asarray(found).dtype == np.float64, f"the statistic is {np.asarray(found).dtype}, not float64")
        _need(np.isfinite(found).all(), "the statistic of complete evidence is not finite")


def check_vectorised(metric: Metric) -> None:
    """Require that the statistic over leading axes is the statistic of each element."""
    for lead in LEADS[1:]:
        evidence = made.make(metric.descriptor.evidence, lead)
        found = np.asarray(metric.statistic(evidence))
        for place in np.ndindex(*lead):
            _same(
                found[place],
                metric.statistic(made.at(evidence, place)),
                f"element {place} differs when it stands alone",
            )


def check_permutation(metric: Metric) -> None:
    """Require that another order of groups permutes values of groups and leaves values over groups."""
    order = np.array([3, 0, 4, 1, 2])
    for lead in LEADS:
        evidence = made.make(metric.descriptor.evidence, lead)
        before, after = metric.statistic(evidence), metric.statistic(made.permuted(evidence, order))
        wanted = np.take(before, order, -1) if metric.descriptor.per_group else before
        _same(after, wanted, "the order of groups matters")


def check_relabelling(metric: Metric) -> None:
    """Require that another order of labels, the positive one following, changes nothing."""
    if metric.descriptor.evidence == "counts":
        evidence = made.make("counts", (3,))
        found = metric.statistic(made.relabelled(evidence, np.array([2, 0, 1])))
        _same(found, metric.statistic(evidence), "the order of labels matters")


def check_too_few_groups(metric: Metric) -> None:
    """Require NaN for a value over groups with fewer than two groups that take part."""
    if not _compares_groups(metric):
        return
    for alone in (0, 1):
        valid = np.arange(made.GROUPS) < alone
        evidence = made.with_valid(made.make(metric.descriptor.evidence, (3,)), valid)
        _need(np.isnan(metric.statistic(evidence)).all(), f"there is a value with {alone} groups that take part")
        limits = metric.interval(evidence, 0.95)
        _need(limits is None or np.isnan(limits).all(), f"there is an interval with {alone} groups that take part")


def check_left_out(metric: Metric) -> None:
    """Require that a group that takes no part does not move a value over groups."""
    if not _compares_groups(metric):
        return
    valid = np.arange(made.GROUPS) != 2
    evidence = made.with_valid(made.make(metric.descriptor.evidence, (3,)), valid)
    other = made.disturbed(evidence, 2)
    if other is not None:
        _same(metric.statistic(other), metric.statistic(evidence), "a group that takes no part moves the value")


def check_empty(metric: Metric) -> None:
    """Require NaN, never 0, where there are no rows."""
    empty = made.emptied(made.make(metric.descriptor.evidence, (3,)))
    if empty is not None:
        _need(np.isnan(metric.statistic(empty)).all(), "there is a value without rows")


def check_interval(metric: Metric) -> None:
    """Require of a closed-form interval its statistic's shape, to enclose it, and more width at a higher level."""
    for lead in LEADS:
        for taking_part in (made.GROUPS, 2):
            evidence = made.make(metric.descriptor.evidence, lead)
            if hasattr(evidence, "valid"):
                evidence = made.with_valid(evidence, np.arange(made.GROUPS) < taking_part)
            value, inner, outer = (
                metric.statistic(evidence),
                metric.interval(evidence, 0.8),
                metric.interval(evidence, 0.99),
            )
            if inner is None or outer is None:
                _need(inner is None and outer is None, "there is an interval at one level only")
                continue
            (low, high), (lower, higher) = inner, outer
            _need(np.shape(low) == np.shape(high) == np.shape(value), "limits have another shape than the statistic")
            _need(
                ((low <= value + 1e-12) & (value <= high + 1e-12)).all(), "the interval does not enclose the statistic"
            )
            _need(((lower <= low + 1e-12) & (high <= higher + 1e-12)).all(), "a higher level gives a narrower interval")


def check_counted(metric: Metric) -> None:
    """Require that numerator over denominator is the statistic."""
    for lead in LEADS:
        evidence = made.make(metric.descriptor.evidence, lead)
        parts = metric.counted(evidence)
        if parts is not None:
            _same(np.divide(*parts), metric.statistic(evidence), "numerator / denominator is not the statistic")


def check_scale(metric: Metric) -> None:
    """Require the same value for three times the rows in the same proportions."""
    evidence = made.make(metric.descriptor.evidence, (3,))
    more = made.scaled(evidence, 3)
    if more is not None:
        _same(metric.statistic(more), metric.statistic(evidence), "the value depends on the number of rows")


def check_harm(metric: Metric) -> None:
    """Require harm to grow with disparity for biases over groups and signed ones, with poorer quality for the rest.

    Of a ranking, poorer is what a group has that lost rows of the top.
    """
    descriptor = metric.descriptor
    if descriptor.role == "diagnostic":
        return
    by_disparity = descriptor.role == "bias" and (descriptor.signed or not descriptor.per_group)
    if by_disparity or descriptor.evidence == "top":
        mild, grave = (made.make(descriptor.evidence, disparity=disparity) for disparity in (0.0, 1.0))
    else:
        mild, grave = (made.make(descriptor.evidence, quality=quality) for quality in (1.0, 0.0))
    good, bad = metric.statistic(mild), metric.statistic(grave)
    growth, relief = np.asarray(descriptor.harm(good, bad)), np.asarray(descriptor.harm(bad, good))
    if not by_disparity and descriptor.evidence == "top" and descriptor.per_group:
        lost = grave.top < mild.top
        growth, relief = growth[lost], relief[lost]
    what = "more disparity" if by_disparity else "poorer quality"
    _need((growth >= 0).all() and (growth > 0).any(), f"{what} is no harm: from {good} to {bad} harm grows by {growth}")
    _same(relief, -growth, "harm there and back does not cancel")


def check_pure(metric: Metric) -> None:
    """Require that statistic and interval leave the evidence alone and give the same again."""
    evidence = made.make(metric.descriptor.evidence, (3,))
    arrays = made.arrays(evidence)
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.setflags(write=False)
    first = np.array(metric.statistic(evidence))
    metric.interval(evidence, 0.95)
    metric.counted(evidence)
    _need(all(np.array_equal(a, c) for a, c in zip(arrays, copies, strict=True)), "the evidence was changed")
    _need(np.array_equal(first, metric.statistic(evidence)), "the same evidence gives another value the second time")


CHECKS: dict[str, Callable[[Metric], None]] = {
    "descriptor": check_descriptor,
    "shape": check_shape,
    "vectorised": check_vectorised,
    "permutation": check_permutation,
    "relabelling": check_relabelling,
    "too_few_groups": check_too_few_groups,
    "left_out": check_left_out,
    "empty": check_empty,
    "interval": check_interval,
    "counted": check_counted,
    "scale": check_scale,
    "harm": check_harm,
    "pure": check_pure,
}
"""Every check by name, in the order in which they run."""
