"""From cells or rows to certified weights: checks, the solution, and what becomes of an infeasible one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InfeasibleBalance, InputError
from equipoise.mitigate.data.balance_report import BalanceReport, make_report
from equipoise.mitigate.data.design import Design, Passes
from equipoise.mitigate.data.dual import solve_cells
from equipoise.mitigate.data.feasibility import (
    LP_CELLS,
    find_unbalanceable,
    hardest,
    infeasible,
    label_limits,
    largest_mean,
    nothing_left,
    price_too_small,
)
from equipoise.mitigate.data.m4_options import Options
from equipoise.mitigate.data.moments import Moments, build_moments
from equipoise.mitigate.data.newton import Constrained
from equipoise.mitigate.data.solution import Duals, Solution, certificate
from equipoise.mitigate.data.targets import Targets

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Balanced:
    """A solved balance: the constraints that were solved, and the report.

    Attributes
    ----------
    moments : Moments
        Of all constraints; ``kept`` (J,) says which were solved.
    solution : Solution
        Of the kept constraints.
    """

    moments: Moments
    kept: NDArray[np.bool_]
    prevalence: Vector
    solution: Solution
    report: BalanceReport


def all_moments(targets: Targets, options: Options, prevalence: Vector | None) -> Moments:
    """Return every constraint that the options ask for."""
    return build_moments(
        targets.columns,
        targets.shares,
        targets.labels,
        masks=targets.mask_of,
        n_masks=targets.n_masks,
        tolerance=options.tolerance,
        tolerance_first=options.tolerance_first,
        kind=options.tolerance_kind,
        label_shares=targets.label_shares,
        preserve=options.preserve,
        prevalence=prevalence,
    )


def balance(
    design: Passes,
    counts: Vector,
    u: Vector,
    targets: Targets,
    options: Options,
    *,
    set_aside: Mapping[str, int],
    notes: tuple[str, ...] = (),
) -> Balanced:
    """Solve, or refuse.

    Parameters
    ----------
    design : Passes
        C cells or rows.
    counts, u : ndarray (C,)
    targets : Targets
    options : Options
    set_aside : mapping of reason to rows
    notes : tuple of str

    Raises
    ------
    InfeasibleBalance
        If the constraints cannot be met, or next to nothing would be kept.
    InputError
        If there is no row, the utility is 0 everywhere, or the price is too small for constraints that can be met.
    """
    _check_rows(counts, u)
    before = design.sums(counts)
    prevalence = before[-1, :-1] / before[-1, -1]
    moments = all_moments(targets, options, prevalence)
    exempt, empty, drop, warnings = _structure(moments, targets, before, options)
    kept = ~drop
    constrained = Constrained(design, moments.without(drop))
    solution, eta_max, status = _solved(constrained, counts, u, options)
    warnings += _saturated(solution)
    weights = solution.q
    after = design.sums(counts * weights)
    prices = np.abs(solution.duals.lam) * constrained.moments.carried(after)
    names = [constrained.moments.names[j] for j in np.argsort(-prices, kind="stable")[:5]]
    retention = float(counts @ weights) / float(counts.sum())
    if retention < options.min_retention:
        raise nothing_left(retention, options.min_retention, names)
    report = make_report(
        status=status,
        targets=targets,
        moments=constrained.moments,
        before=before,
        after=after,
        weights=weights,
        counts=counts,
        solution=solution,
        eta_max=eta_max,
        exempt=exempt,
        empty=empty,
        set_aside=set_aside,
        notes=(*notes, *_notes(solution, constrained.moments, before, targets, options)),
        warnings=warnings,
    )
    return Balanced(moments, kept, prevalence, solution, report)


def evaluated(
    design: Passes,
    counts: Vector,
    u: Vector,
    targets: Targets,
    moments: Moments,
    duals: Duals,
    options: Options,
    *,
    set_aside: Mapping[str, int],
) -> BalanceReport:
    """Return the report of duals that another solver found (mu is left as it is)."""
    status = "online"
    _check_rows(counts, u)
    constrained = Constrained(design, moments)
    before = design.sums(counts)
    found = certificate(
        duals.packed, constrained, counts, options.eta, options.cap, u, price=options.price, free_mean=True
    )
    # mu was found with the duals: it moves the scores like a utility that is smaller by mu
    z = options.eta * u - constrained.scores(duals.packed) - duals.mu
    weights = np.clip(z, 0.0, options.cap)
    values, allowed = constrained.means(counts * weights / counts.sum())
    violation = np.maximum(0.0, np.abs(values) - allowed)
    found = replace(
        found, duals=duals, q=weights, values=values, allowed=allowed, broken=violation > 1e-6 * options.eta,
        gap=math.nan, objective=math.nan, free_mean=options.free_mean,
    )  # fmt: skip
    broken = [moments.names[j] for j in np.flatnonzero(found.broken)]
    warnings = []
    if options.protocol and broken:
        status = "infeasible"
        warnings.append(f"{len(broken)} constraints are broken at the last duals, as {broken[0]}.")
    return make_report(
        status=status,
        targets=targets,
        moments=moments,
        before=before,
        after=design.sums(counts * weights),
        weights=weights,
        counts=counts,
        solution=found,
        eta_max=math.nan,
        exempt=(),
        empty=[targets.labels[r] for r in range(len(targets.labels)) if before[-1, r] == 0],
        set_aside=set_aside,
        notes=(),
        warnings=warnings,
    )


def _check_rows(counts: Vector, u: Vector) -> None:
    if not counts.size:
        raise InputError("There is no row to balance.", "Pass rows whose attributes and labels are known.")
    if not u.any():
        raise InputError("The utility is 0 in every row.", "Leave utility out, or give some rows one above 0.")


def _structure(
    moments: Moments, targets: Targets, before: Vector, options: Options
) -> tuple[list[str], list[str], NDArray[np.bool_], list[str]]:
    """Return exempt constraints, empty labels, which constraints to leave out, and warnings."""
    found, empty, drop = find_unbalanceable(moments, targets.families, before)
    exempt: list[str] = []
    warnings: list[str] = []
    for case in found:
        if options.unbalanceable == "error":
            raise InfeasibleBalance(
                case.said(), "Pass unbalanceable='exempt' to leave it out, or 'drop_rows'.", value=case.label,
                constraints=tuple(moments.names[j] for j in case.constraints),
            )  # fmt: skip
        if options.unbalanceable == "drop_rows":
            warnings.append(case.said())
            continue
        warnings.append(f"{case.said()} Exempted.")
        exempt += [moments.names[j] for j in case.constraints]
        drop[case.constraints] = True
    for column, share in zip(targets.columns, targets.shares, strict=True):
        if share in (0.0, 1.0):
            left = "get no weight" if not moments.tolerance.any() else "are left as far as the tolerance allows"
            warnings.append(f"The wanted share of '{column}' is {share:g}: rows of the excluded group {left}.")
    return exempt, empty, drop, warnings


def _solved(constrained: Constrained, counts: Vector, u: Vector, options: Options) -> tuple[Solution, float, str]:
    """Return the solution, eta_max (NaN where not computed) and the status."""
    eta, cap, free = options.eta, options.cap, options.free_mean
    eta_max = math.nan
    small = isinstance(constrained.design, Design) and len(counts) <= LP_CELLS
    if not free and small:
        eta_max = largest_mean(constrained, counts, cap)
    feasible = not eta_max < eta * (1 - 1e-9)
    if not feasible and options.on_infeasible == "auto-eta" and eta_max > 0:
        eta, feasible = 0.99 * eta_max, True
    raising = feasible and options.on_infeasible != "soften"
    found = solve_cells(
        constrained, counts, eta=eta, cap=cap, u=u, price=options.price, free_mean=free, raise_price=raising
    )
    if not found.broken.any():
        return found, eta_max, found.status
    if options.on_infeasible == "soften":
        if feasible:  # perhaps the price was too small
            higher = solve_cells(constrained, counts, eta=eta, cap=cap, u=u, price=options.price, free_mean=free)
            if not higher.broken.any():
                return higher, eta_max, higher.status
        return found, eta_max, "softened"
    if options.on_infeasible == "auto-eta" and not free:
        found = solve_cells(constrained, counts, price=options.price, free_mean=True)
        if not found.broken.any():
            return found, eta_max, found.status
    if free or eta_max >= eta * (1 - 1e-9):  # q = 0, or the linear programme, proves that there is a solution
        raise price_too_small(found, options.price, keep=eta, cap=cap, eta_max=eta_max, names=hardest(found))
    known = None if math.isnan(eta_max) else eta_max
    raise infeasible(found, keep=eta, cap=cap, eta_max=known, names=hardest(found))


def _saturated(solution: Solution) -> list[str]:
    if solution.broken.any() or not solution.saturated.any():
        return []
    names = [solution.duals.names[j] for j in np.flatnonzero(solution.saturated)]
    return [f"The price of {len(names)} constraints is at its limit {solution.price:g}, as {names[0]}; none is broken."]


def _notes(solution: Solution, moments: Moments, before: Vector, targets: Targets, options: Options) -> list[str]:
    notes = ["Equal shares are a choice, not a fact about people." if options.shares is None else ""]
    notes += _numbers_read(targets, options)
    if solution.price > options.price:
        notes.append(f"The price was raised from {options.price:g} to {solution.price:g}: it was too small.")
    if options.on_infeasible == "auto-eta" and not options.free_mean and solution.eta != options.eta:
        notes.append(f"keep was lowered from {options.eta:g} to {solution.eta:.4f}, 0.99 of what can be kept.")
    elif solution.free_mean and not options.free_mean:
        notes.append("keep could not be reached; how much is kept is a result.")
    if solution.free_mean and options.preserve is not None and targets.labels:
        limits = label_limits(moments, before)
        worst = int(np.argmin(limits))
        if limits[worst] < 1 - options.preserve:
            notes.append(
                f"preserve={options.preserve:g} caps what is kept at {limits[worst] / (1 - options.preserve):.4f}: the "
                f"retention of '{targets.labels[worst]}' ({limits[worst]:.4f}) divided by {1 - options.preserve:g}; "
                "keep=1.0 with cap=10 has no such limit."
            )
    if any(targets.proxies):
        notes.append("In the paper proxies lowered RB and raised AB.")
    notes.append("Removing rows about a minority group can lower quality for it.")
    return [note for note in notes if note]


def _numbers_read(targets: Targets, options: Options) -> list[str]:
    """Say whose share a number was taken for."""
    found = []
    for name, value in (options.shares or {}).items():
        key, _, label = (part.strip() for part in str(name).partition("|"))
        groups = targets.groups[key]
        if not isinstance(value, Mapping) and len(groups) == 2 and value != 0.5:
            inside = f" inside '{label}'" if label else ""
            found.append(f"shares={value:g} for '{key}'{inside}: {groups[0]} {value:g}, {groups[1]} {1 - value:g}.")
    return found
