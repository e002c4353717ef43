"""``equipoise report``: one HTML file."""

from __future__ import annotations

from pathlib import Path

from equipoise.cli.common import Common, Outcome


def report(
    subject: Path,
    *more: Path,
    out: Path,
    common: Common | None = None,
) -> Outcome:
    """Write ledgers or audits as one HTML file that holds no script and loads nothing.

    Parameters
    ----------
    subject
        Folder that `compare` or `audit` wrote.
    more
        Further ones, shown side by side.
    out
        The HTML file to write.
    """
    from equipoise.gate import load_subject
    from equipoise.report.html import render
    from equipoise.report.html import report as write

    common = common or Common()
    subjects = [load_subject(path) for path in (subject, *more)]
    with common.working("writing the report"):
        same = out.is_file() and not common.overwrite and out.read_bytes() == render(subjects).encode("utf-8")
        if not same:
            write(subjects, out, overwrite=common.overwrite)
    return Outcome(line=str(out), result={"subjects": [str(path) for path in (subject, *more)]}, out=str(out))
