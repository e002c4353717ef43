"""``equipoise compare``: hold an audit after against one before."""

from __future__ import annotations

import sys
from pathlib import Path

from equipoise.cli.arguments import Items
from equipoise.cli.common import Common, Outcome, Whole, existing, numbers


def compare(
    before: Path,
    after: Path,
    *,
    margin: Items = None,
    draws: Whole = None,
    out: Path,
    common: Common | None = None,
) -> Outcome:
    """Hold an audit after against one before, row by row and attribute by attribute: the ledger.

    Parameters
    ----------
    before
        Folder of the audit before.
    after
        Folder of the audit after, of the same rows and vocabulary.
    margin
        METRIC=VALUE: changes smaller than this are called the same; may be repeated.
    draws
        Bootstrap draws of the changes, 500 unless given.
    out
        Folder to write.
    """
    from equipoise.audit import Audit
    from equipoise.compare import compare as run

    common = common or Common()
    sides = [Audit.load(existing(side, "audit")) for side in (before, after)]
    given = {} if draws is None else {"draws": draws}
    with common.working("comparing"):
        found = run(*sides, margins=numbers(margin, "--margin") or None, seed=common.seed or 0, **given)
    found.save(out, overwrite=common.overwrite)
    show(common, found)
    document = found.document
    result = {
        "headline": document.headline,
        "sentences": document.sentences,
        "counts": document.counts,
        "margins": document.margins,
    }
    return Outcome(line=str(out), result=result, out=str(out))


def show(common: Common, found: object) -> None:
    """Show a ledger or an audit on the terminal."""
    if not common.quiet:
        from rich.console import Console

        from equipoise.report.terminal import show as show_table

        show_table(found, console=Console(stderr=True, width=None if sys.stderr.isatty() else 120))
