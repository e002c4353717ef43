"""The gate: whether a ledger, or an audit under a policy, passes.

Without a policy a ledger is judged by its verdicts. It fails when a targeted row is ``worse`` or ``unchanged``, or an
untargeted row is ``worse`` and the lower limit of its change lies above its margin. It passes when every targeted row is
``improved`` and the upper limit of every untargeted row lies under its margin. Anything else is too little evidence, which
is never a pass. Only gated rows count: the mean over a family's queries or the gap over all groups, of the main arm.

With a policy, each of its limits gives one check for each row it covers:

- ``max_increase`` (a ledger): fails when the change is ``worse`` after Holm's correction and its 95 % interval lies above the
  limit; passes when the interval lies under it.
- ``max_bias``: fails when the interval of the bias lies above the limit and chance does not explain it. In an audit "chance does
  not explain it" means a permutation p below .05, Holm-adjusted over the rows of the policy. A ledger holds no such p; there
  the expectation under no disparity is first taken off the interval. It passes when the interval lies under the limit.
- ``min_group_n``: passes when the smallest group has that many rows, else the evidence is insufficient.

Whatever neither fails nor passes, and a limit that covers no row at all, is insufficient.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.errors import (
    GateFailed,
    GateInsufficient,
    InputError,
    MissingFileError,
    UnknownNameError,
    did_you_mean,
    listed,
)
from equipoise.gate.checks import Check, Outcome, audit_checks, ledger_checks, rows_of, smallest_groups, verdict_check
from equipoise.gate.policy import Policy, read_policy, unknown_attributes

if TYPE_CHECKING:
    from equipoise.audit import Audit
    from equipoise.compare import Comparison

EXIT_CODES: dict[str, int] = {"pass": 0, "fail": 1, "insufficient": 3}


@dataclass(frozen=True)
class GateResult:
    """What the gate decided.

    Attributes
    ----------
    outcome : str
        ``pass`` | ``fail`` | ``insufficient``.
    exit_code : int
        0, 1 or 3.
    checks : tuple of Check
        All that counted.
    waived : tuple of Check
        Broken limits that a waiver of the policy accepts; ``reason`` holds the waiver's.
    sentence : str
        The verdict in one sentence.
    notes : tuple of str
        What a reader should know besides, as expired waivers.
    """

    outcome: Outcome
    exit_code: int
    checks: tuple[Check, ...]
    waived: tuple[Check, ...] = ()
    sentence: str = ""
    notes: tuple[str, ...] = ()

    def raise_for_status(self) -> None:
        """Raise GateFailed or GateInsufficient unless the gate passed."""
        if self.outcome == "fail":
            raise GateFailed(self.sentence, "See the checks, or waive them with a reason and an end date.", value=self)
        if self.outcome == "insufficient":
            raise GateInsufficient(self.sentence, "Audit more rows, or widen the margin on purpose.", value=self)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON values (NaN is left to the writer)."""
        data = asdict(self)
        data["checks"], data["waived"], data["notes"] = list(data["checks"]), list(data["waived"]), list(data["notes"])
        return data


def gate(
    subject: Comparison | Audit | str | Path,
    policy: Policy | str | Path | Mapping[str, Any] | None = None,
    *,
    today: date | None = None,
) -> GateResult:
    """Judge a ledger or an audit.

    Parameters
    ----------
    subject : Comparison, Audit or path
        A path is the folder that ``compare`` or ``audit`` wrote.
    policy : path, dict or Policy, optional
        Needed for an audit. See ``equipoise ls policy``.
    today : datetime.date, optional
        The day on which waivers are judged; the present day by default.

    Raises
    ------
    InputError
        A policy that is broken, or an audit without a policy.
    """
    if isinstance(subject, (str, Path)):
        subject = load_subject(subject)
    checked = None if policy is None else read_policy(policy)
    ledger = getattr(subject, "ledger", None)
    if ledger is not None:
        rows = rows_of(ledger, gated=True)
        if checked is None:
            return _by_verdict([verdict_check(row) for row in rows])
        checks = ledger_checks(checked, rows)
    else:
        if checked is None:
            raise InputError(
                "An audit alone has no before and after to judge.", "Give a policy, or gate a ledger of `compare`."
            )
        estimates = subject.estimates  # pyright: ignore[reportAttributeAccessIssue]
        rows = rows_of(estimates, group="", query="", arm="main")
        checks = audit_checks(checked, rows, smallest_groups(estimates))
    _refuse_unknown_attributes(checked, subject, rows)
    return _by_policy(checked, checks, today or date.today())


def load_subject(path: str | Path) -> Comparison | Audit:
    """Return the Comparison or Audit of a folder.

    Raises
    ------
    MissingFileError
        No such folder.
    InputError
        The folder holds neither.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise MissingFileError(
            f"{folder} {what}.", "Name the folder that `equipoise compare` or `audit` wrote.", value=folder
        )
    if (folder / "comparison.json").is_file():
        from equipoise.compare import Comparison

        return Comparison.load(folder)
    if (folder / "audit.json").is_file():
        from equipoise.audit import Audit

        return Audit.load(folder)
    kinds = {"manifest.json": "a store", "mitigation.json": "a mitigation"}
    found = next((kind for name, kind in kinds.items() if (folder / name).is_file()), "neither a ledger nor an audit")
    raise InputError(
        f"{folder} is {found}.", "Name the folder that `equipoise compare` or `audit` wrote.", value=folder
    )


def _by_verdict(checks: list[Check]) -> GateResult:
    notes: tuple[str, ...] = ()
    if checks and not any(check.rule == "targeted" for check in checks):
        notes = ("No gated row is of a targeted attribute: only side effects were judged.",)
    return _result(_worst(checks), checks, [], notes)


def _refuse_unknown_attributes(policy: Policy, subject: Any, rows: list[dict[str, Any]]) -> None:
    """Refuse an attribute that the subject has never heard of: it is a slip of the pen, not missing evidence."""
    known = {part for row in rows for part in row["attribute"].split(":") if part}
    document = getattr(subject, "document", None)
    sides = [getattr(document, "after", None), getattr(document, "before", None), document]
    for side in sides:
        vocabulary = side.get("vocabulary", {}) if isinstance(side, Mapping) else getattr(side, "vocabulary", {})
        known |= set(vocabulary or {})
    if unknown := unknown_attributes(policy, known):
        raise UnknownNameError(
            f"The policy names the attribute '{unknown[0]}', which was not declared.{did_you_mean(unknown[0], known)}",
            f"Declared: {listed(sorted(known))}.",
            value=unknown[0],
        )


def _by_policy(policy: Policy, checks: list[Check], today: date) -> GateResult:
    """Apply the waivers, then what the policy says of insufficient evidence."""
    breaks = {"fail", "insufficient"} if policy.insufficient == "fail" else {"fail"}
    notes = [
        f"The waiver of {waiver.metric} ({waiver.attribute}) ended on {waiver.until} and was not applied: {waiver.reason}"
        for waiver in policy.waiver
        if waiver.until < today
    ]
    valid = [waiver for waiver in policy.waiver if waiver.until >= today]
    counted: list[Check] = []
    waived: list[Check] = []
    for check in checks:
        waiver = next((waiver for waiver in valid if waiver.covers(asdict(check))), None)
        if waiver is None or check.outcome not in breaks:
            counted.append(check)
        else:
            waived.append(replace(check, reason=f"{check.reason}; waived until {waiver.until}: {waiver.reason}"))
    outcome = _worst(counted) if counted else "pass"
    if all(check.outcome == "insufficient" for check in checks):
        outcome = "insufficient"
    if outcome == "insufficient" and policy.insufficient == "fail":
        outcome = "fail"
        notes.append("The policy treats insufficient evidence as a failure.")
    return _result(outcome, counted, waived, tuple(notes))


def _worst(checks: list[Check]) -> Outcome:
    found = {check.outcome for check in checks}
    if "fail" in found:
        return "fail"
    return "pass" if found == {"pass"} else "insufficient"


def _result(outcome: Outcome, checks: list[Check], waived: list[Check], notes: tuple[str, ...]) -> GateResult:
    sentence = _sentence(outcome, checks, waived)
    return GateResult(outcome, EXIT_CODES[outcome], tuple(checks), tuple(waived), sentence, notes)


def _sentence(outcome: Outcome, checks: list[Check], waived: list[Check]) -> str:
    behind = f"; {len(waived)} waived" if waived else ""
    if not checks and not waived:
        return "Too little evidence: there is no gated row to judge."
    if outcome == "pass":
        return f"The gate passes: {len(checks)} of {len(checks)} checks hold{behind}."
    failed = [check for check in checks if check.outcome == "fail"]
    if failed:
        return f"The gate fails: {len(failed)} of {len(checks)} checks do not hold{behind}, first {_told(failed[0])}."
    still_open = [check for check in (*checks, *waived) if check.outcome == "insufficient"]
    verb = "The gate fails on too little evidence" if outcome == "fail" else "Too little evidence"
    total = len(checks) + len(waived)
    return f"{verb}: {len(still_open)} of {total} checks are open{behind}, first {_told(still_open[0])}."


def _told(check: Check) -> str:
    numbers = ""
    if check.rule != "min_group_n" and not math.isnan(check.value):
        what = "bias" if check.rule == "max_bias" else "change"
        numbers = f", {what} {_digits(check.value)}"
        if not math.isnan(check.low):
            numbers += f" [{_digits(check.low)}, {_digits(check.high)}]"
        if check.rule != "targeted":
            numbers += f" against {_digits(check.limit)}"
    return f"{check.name}{numbers} ({check.reason})"


def _digits(value: float) -> str:
    return f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
