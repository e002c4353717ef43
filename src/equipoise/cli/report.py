"""``equipoise report``: one HTML file."""

from __future__ import annotations

from pathlib import Path

from equipoise.cli.common import Common, Outcome


def report(
    subject: Path,
    *more: Path,
    out: Path,
    pictures: bool = True,
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
    pictures
        Show thumbnails of what is ranked first and of mistakes, where the audits know their pictures.
    """
    from equipoise.gate import load_subject
    from equipoise.report.html import render, write

    common = common or Common()
    subjects = [subject, *more]
    for path in subjects:
        if not any((path / name).is_file() for name in ("comparison.json", "audit.json")):
            load_subject(path)  # says what the folder is instead
    with common.working("writing the report"):
        page = render(subjects, pictures=pictures)
        if common.overwrite or not out.is_file() or out.read_bytes() != page.encode("utf-8"):
            write(page, out, overwrite=common.overwrite)
    return Outcome(line=str(out), result={"subjects": [str(path) for path in (subject, *more)]}, out=str(out))
