"""``equipoise balance``: weights under which groups have their shares and labels do not depend on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from equipoise.cli.arguments import Items
from equipoise.cli.balance_annotated import warn_annotated
from equipoise.cli.balance_files import check_outputs
from equipoise.cli.balance_options import Wanted, Written
from equipoise.cli.balance_run import BalanceRun
from equipoise.cli.common import Common, Outcome, existing, numbers, pairs, split
from equipoise.errors import InputError

if TYPE_CHECKING:
    from equipoise.compare import Comparison
    from equipoise.data.groups import Vocabulary


def balance(
    table: Path,
    *more: Path,
    attribute: Items = None,
    labels: Items = None,
    out: Path,
    by: Items = None,
    rows: Items = None,
    split_column: Annotated[str | None, Parameter(name="--split")] = None,
    id: str | None = None,
    vocabulary: Path | None = None,
    cells: bool = False,
    apply: Path | None = None,
    controls: bool = True,
    margin: Items = None,
    engine: Literal["local", "ray"] = "local",
    wanted: Wanted | None = None,
    written: Written | None = None,
    common: Common | None = None,
) -> Outcome:
    """Find weights under which groups have their shares and no label depends on a group, and write them as a column.

    Parameters
    ----------
    table
        CSV, Parquet, a folder of Parquet files, or (with --cells) a table of cells that --cells-out wrote.
    more
        Further tables of cells: they add up.
    attribute
        Sensitive attributes to balance, as gender,race or gender:race.
    labels
        Columns whose every value is a label, or COLUMN:VALUE.
    out
        Parquet file of the weights: m4_weight in [0, cap], null where a row is set aside, and m4_status.
    by
        Further attributes to look at: balancing one moves others.
    rows
        Fit on rows with this value only, as split=train; weights are written for all rows.
    split_column
        Column of the split; a column called split unless given. Rows marked test are refused.
    id
        Column of row ids, for --list-out; the number of the row unless given.
    vocabulary
        groups.toml: declared values of each attribute.
    cells
        The table, or each file of a folder, holds cells.
    apply
        Weigh with duals that --duals-out wrote, or a mitigation folder; nothing is fitted.
    controls
        Show the same data under other weights: none, a random subsample, shares alone, reweighing, raking.
    margin
        Margins of the ledger, as ab=0.01.
    engine
        Who counts and weighs the rows; local: this machine; ray: a Ray cluster, and --out is a folder.
    """
    common, wanted, written = common or Common(), wanted or Wanted(), written or Written()
    tables = [existing(path, "table") for path in (table, *more)]
    margins = numbers(margin, "--margin") or None
    run = BalanceRun(
        tables, split(attribute), split(labels), split(by), pairs(rows, "--rows"),
        None if vocabulary is None else _vocabulary(vocabulary), cells, wanted, common, engine,
    )  # fmt: skip
    options = {} if wanted.faithful else {name: value for name, value in wanted.options().items() if name != "shares"}
    asked = {"attributes": run.attributes, "labels": run.labels, "seed": common.seed or 0, **options}
    check_outputs(
        out, vars(written), overwrite=common.overwrite, folder=engine == "ray", tables=tables,
        inputs=(wanted.shares, vocabulary, apply, common.config), wanted=None if apply else asked,
    )  # fmt: skip
    if written.list_out is not None and cells:
        raise InputError("Cells have no rows to list.", "Give the table itself.")
    fitted = run.fit(split_column) if apply is None else run.load(apply)
    found = run.read
    if margins and found.wide is None:
        raise InputError("These rows have scores: there is no ledger of them.", "Leave --margin out.", value="--margin")
    ledger = run.ledger(fitted, controls=controls, margins=margins) if found.wide is not None else None
    _show(common, fitted, ledger, None if run.loaded else fitted.report_)
    warn_annotated(run, fitted, ledger)
    run.write(fitted, out, written, ledger, id)
    report = fitted.report_
    counted = None
    if found.wide is not None:
        aside = found.wide.set_aside
        total = found.wide.total
        counted = common.rows(
            {"in": total + sum(aside.values()), "used": total, "set_aside": sum(aside.values())}, aside
        )
    elif report is not None:
        aside = sum(report.set_aside.values())
        counted = common.rows({"in": report.rows_in, "used": report.rows_used, "set_aside": aside}, report.set_aside)
    return Outcome(line=str(out), result=_result(fitted, ledger, apply), out=str(out), rows=counted)


def _vocabulary(path: Path) -> Vocabulary:
    from equipoise.data.groups import Vocabulary

    return Vocabulary.read(existing(path, "vocabulary"))


def _show(common: Common, fitted: Any, ledger: Comparison | None, report: Any) -> None:
    from equipoise.cli.compare import show
    from equipoise.compare.cells import LEFT_OUT
    from equipoise.compare.wording import method_title
    from equipoise.report.balance_terminal import balance_lines, control_lines, cost_lines

    if report is None:
        common.say(f"Nothing was fitted: these are the weights of {method_title(fitted.name)} as it was.")
    else:
        for text in report.warnings:
            common.warn("balance", text)
        common.note_all("balance", report.notes)
    if ledger is not None:
        notes = ledger.document.after.get("notes", [])
        common.note_all("balance", [note for note in notes if note.startswith(LEFT_OUT)])
        show(common, ledger)
        for line in control_lines(ledger.document.controls, method_title):
            common.say(line)
    if report is not None:
        kind = fitted.options.tolerance_kind
        for line in balance_lines(report, kind) if ledger is None else cost_lines(report, kind):
            common.say(line)


def _result(fitted: Any, ledger: Comparison | None, applied: Path | None) -> dict[str, Any]:
    from equipoise.report.balance_terminal import summary_of

    found: dict[str, Any] = {
        "method": fitted.name,
        "attributes": list(fitted.attributes),
        "labels": list(fitted.options.labels),
        "layout": fitted.layout_.id,
        "applied": None if applied is None else str(applied),
    }
    if fitted.report_ is not None and applied is None:
        found["balance"] = summary_of(fitted.report_)
    if ledger is not None:
        document = ledger.document
        found |= {
            "headline": document.headline, "sentences": document.sentences, "counts": document.counts,
            "controls": document.controls,
        }  # fmt: skip
    return found
