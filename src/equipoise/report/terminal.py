"""The same numbers in the terminal: the sentence, and a table of at most twenty rows with the verdict words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equipoise.compare.wording import SHAPES, capital, measure
from equipoise.report.numbers import number, whole, with_interval
from equipoise.report.rows import Row, Subject, load_subject
from equipoise.report.sentences import audit_sentences

if TYPE_CHECKING:
    from rich.console import Console, Group

ROWS = 20
_STYLES = {"improved": "green", "worse": "bold red", "unchanged": "blue", "insufficient": "dim"}


def summary(subject: Any, *, rows: int = ROWS) -> Group:
    """Return the sentence of a Comparison or an Audit, or of a folder that holds one, above a table of its gated rows.

    Parameters
    ----------
    subject : Comparison, Audit or path
    rows : int
        Rows of the table at most: targeted ones first, then what is worse, open, and the rest.

    Returns
    -------
    rich.console.Group
        Text from data is printed as text: no markup is read in it and no control sequence passes.
    """
    from rich.console import Group
    from rich.text import Text

    found = load_subject(subject)
    if found.kind == "comparison":
        sentence, more = found.document.get("headline", ""), found.document.get("sentences", [])
    else:
        sentence, more = audit_sentences(found.rows)
    lines: list[Any] = [Text(sentence, style="bold"), *(Text(text) for text in more)]
    gated = _ordered(found)
    if gated:
        lines += [Text(""), _table(gated[:rows], found.kind)]
        if found.kind == "comparison":
            exact = found.audit.get("source") == "data"
            corrected = f"Verdicts are corrected over {whole(len(gated))} comparisons (Holm), intervals are not"
            said = (
                "These are exact numbers of the data: a verdict holds a change against its margin"
                if exact
                else corrected
            )
            lines.append(Text(f"{said}; less harm is better."))
    if len(gated) > rows:
        lines.append(
            Text(f"{whole(rows)} of {whole(len(gated))} rows; the report and the table on disk hold all of them.")
        )
    return Group(*lines)


def show(subject: Any, *, console: Console | None = None, rows: int = ROWS) -> None:
    """Print :func:`summary`, to stderr unless another console is given."""
    from rich.console import Console

    (console or Console(stderr=True)).print(summary(subject, rows=rows))


def _ordered(subject: Subject) -> list[Row]:
    rank = {"worse": 0, "insufficient": 1, "unchanged": 2, "improved": 3}
    return sorted(
        subject.gated, key=lambda row: (not row["targeted"], rank.get(row["verdict"], 0), not row["attribute"])
    )


def _table(rows: list[Row], kind: str) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", collapse_padding=True)
    paired = kind == "comparison"
    table.add_column("", no_wrap=True, max_width=28)
    table.add_column("measure", min_width=20)
    for name in ("before", "after", "change in harm") if paired else ("value",):
        table.add_column(name, justify="right")
    table.add_column("n", justify="right")
    table.add_column("verdict" if paired else "evidence", no_wrap=True)
    for row in rows:
        name = (row["attribute"] or "utility") + (" \N{BLACK DIAMOND}" if row["targeted"] else "")
        what = capital(measure(row["metric"], row["attribute"], row["family"]))
        after = with_interval(row["after"], chance=row["null_after"]) if paired else with_interval(
            row["after"], row["after_low"], row["after_high"], row["null_after"]
        )  # fmt: skip
        cells = [number(row["before"]) or "\N{EN DASH}", after] if paired else [after]
        cells += [with_interval(row["change"], row["change_low"], row["change_high"])] if paired else []
        verdict = row["verdict"] or row["status"].replace("_", " ")
        word = Text(
            f"{SHAPES[verdict]} {verdict}" if verdict in SHAPES and paired else verdict, style=_STYLES.get(verdict, "")
        )
        table.add_row(Text(name), Text(what), *(Text(cell) for cell in cells), Text(whole(row["n"])), word)
    return table
