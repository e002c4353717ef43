"""What ``equipoise balance`` says of columns that an annotator read: their error, or that nobody knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.cli.balance_run import BalanceRun
    from equipoise.compare import Comparison


def warn_annotated(run: BalanceRun, fitted: Any, ledger: Comparison | None) -> None:
    """Warn of each annotated column; where rows were labelled by hand, tell what errors do to the associations."""
    common, annotations = run.common, run.annotations(fitted).get("annotations", {})
    for entry in annotations.values():
        if entry["gold"] is None:
            remedy = "Label a sheet of rows (`equipoise annotate --draw`), and annotate with it (--gold)."
            common.warn("error_unknown", f"{entry['says']} {remedy}")
        else:
            common.warn("annotated", entry["says"])
    if run.is_cells:
        for name, version in fitted.layout_.lists.items():
            said = f"'{name}' was annotated by {version}; its error is unknown: cells do not keep it."
            common.warn("error_unknown", said)
    if ledger is not None and annotations:
        documents = (ledger.document.before, ledger.document.after)
        notes = [note for document in documents for note in document.get("notes", ()) if " as observed, " in note]
        common.note_all("annotated", notes)
