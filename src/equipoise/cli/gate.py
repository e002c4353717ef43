"""``equipoise gate``: pass, fail, or say that the evidence is too thin."""

from __future__ import annotations

from pathlib import Path

from equipoise.cli.common import Common, Outcome

_MARKS = {"pass": "pass", "fail": "FAIL", "insufficient": "open"}


def gate(
    subject: Path,
    *,
    policy: Path | None = None,
    common: Common | None = None,
) -> Outcome:
    """Pass (0), fail (1), or say that the evidence is too thin (3).

    Parameters
    ----------
    subject
        The folder that `compare` wrote, or with a policy one that `audit` wrote.
    policy
        A policy in TOML; `equipoise ls policy` prints an example.
    """
    from equipoise.gate import gate as judge

    common = common or Common()
    result = judge(subject, policy)
    for check in (*result.checks, *result.waived):
        mark = "waived" if check in result.waived else _MARKS[check.outcome]
        common.say(f"{mark:<7} {check.name} [{check.rule}]: {check.reason}")
    common.note_all("gate", result.notes)
    return Outcome(
        line=f"{result.outcome}: {result.sentence}",
        result=result.as_dict(),
        out=None,
        exit_code=result.exit_code,
    )
