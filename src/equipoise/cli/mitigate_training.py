"""``equipoise mitigate METHOD MODEL TABLE``: train a model on a table, and write it with the ledger of held-out rows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from equipoise.cli.arguments import Columns, Items, attributes_of
from equipoise.cli.common import Common, Outcome, Whole, existing, numbers, pairs, split
from equipoise.errors import InputError
from equipoise.registry import MITIGATIONS

if TYPE_CHECKING:
    from equipoise.data.groups import Vocabulary
    from equipoise.data.queries import Query

QUERIES = ("occupations", "association-pairs", "representation-prompts")
FLAGS: dict[str, tuple[Any, Any, str]] = {
    "image": (str, inspect.Parameter.empty, "Column of image paths."),
    "caption": (str, inspect.Parameter.empty, "Column of captions."),
    "attribute": (Items, None, "The attribute that the weights balance; several at once with commas."),
    "by": (Items, None, "Further attributes and intersections of the ledger, as race,gender:race."),
    "weights": (Path | None, None, "Table with the column m4_weight, as `equipoise balance` writes it."),
    "rows": (Items, None, "Train on rows with this value only; split=train unless given. May be repeated (and)."),
    "held_out": (Items, None, "Audit rows with this value only; those marked val or test unless given."),
    "queries": (Items, None, f"Queries of the ledger; {','.join(QUERIES)} unless given."),
    "k": (Whole, None, "Rows in the top of a search."),
    "bootstrap": (Whole, None, "Bootstrap draws of the audits; 500 unless given."),
    "min_group": (Whole, None, "Smaller groups take part in no gap; 30 unless given."),
    "margin": (Items, None, "Equivalence margins of the ledger, as max_skew=0.05."),
    "out": (Path, inspect.Parameter.empty, "Folder to write."),
}


def train(
    name: str,
    model: str,
    table: Path,
    given: Mapping[str, Any],
    options: dict[str, Any],
    columns: Columns,
    common: Common,
) -> Outcome:
    """Train, then judge what changed on held-out rows."""
    from equipoise.cli.audit import _queries
    from equipoise.compare.encoders import LEDGER, check_plan, compare_encoders
    from equipoise.mitigate.training.pair_weights import note_on_controls, note_on_fit

    targeted, by = split(given["attribute"]), split(given["by"])
    if not targeted:
        raise InputError("No attribute was named.", "Give --attribute gender, say.")
    targeted, by, renamed = _of_table(existing(table, "table"), targeted, by, common)
    by = list(dict.fromkeys([*targeted, *by]))
    out, weights = given["out"], given["weights"]
    everything = columns.read(table, attributes_of(by), renamed=renamed, image=given["image"], caption=given["caption"])
    training, held_out = _divided(everything, pairs(given["rows"], "--rows"), pairs(given["held_out"], "--held-out"))
    queries = _queries(split(given["queries"]) or list(QUERIES), everything.vocabulary, common)
    queries = _named_as(queries or [], renamed, everything.vocabulary)
    margins = numbers(given["margin"], "--margin") or None
    asked = {"k": given["k"], "bootstrap": given["bootstrap"], "min_group": given["min_group"], "seed": common.seed}
    if held_out is not None:
        check_plan(held_out, queries, by, margins=margins, **asked)
    if weights is not None:
        existing(weights, "file of weights")
    method = MITIGATIONS.load(name)(targeted, **options, seed=common.seed or 0)
    with common.working(f"training on {len(training):,} pairs"):
        fitted = method.fit(
            model, training, weights=weights, held_out=held_out, out=out, overwrite=common.overwrite
        )  # fmt: skip
    report = fitted.report_
    counted = common.rows(report.rows, report.reasons)
    common.say(report.trainable)
    common.note_all(
        "mitigate",
        [*getattr(fitted.model_, "notes", ()), *filter(None, [note_on_controls(weights), note_on_fit(weights)])],
    )
    result: dict[str, Any] = {
        "method": name, "attributes": list(fitted.attributes), "encoder": fitted.reference, "loss": report.loss,
        "steps": report.steps, "epochs": report.epochs, "trainable": report.trainable, "fit_rows": len(fitted.fit_rows),
        "weights": report.weights, "loss_first": report.record["loss"][0].as_py(), "loss_last": report.record["loss"][-1].as_py(),
    }  # fmt: skip
    if held_out is None:
        common.warn("no-ledger", "No row is held out, so nothing was measured. Name the column of the split (--split).")
        return Outcome(line=str(out), result=result, out=str(out), rows=counted)
    with common.working(f"auditing {len(held_out):,} held-out rows before and after"):
        found = compare_encoders(
            model, fitted.reference, held_out, queries=queries, by=by, mitigation=fitted, folder=out, device=fitted.device,
            margins=margins, **asked,
        )  # fmt: skip
    common.say(found.headline)
    common.note_all("compare", found.document.notes)
    result |= {"ledger": str(Path(out) / LEDGER), "headline": found.headline, "counts": dict(found.document.counts)}
    return Outcome(line=str(out), result=result, out=str(out), rows=counted)


def _of_table(
    table: Path, targeted: Sequence[str], by: Sequence[str], common: Common
) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the attributes as the table calls them, and what was renamed: ``gender`` may be ``gender_text`` there.

    Raises
    ------
    InputError
        If an attribute is in the table both as read from captions and as read from pictures.
    """
    from equipoise.data.tables import open_table

    names = open_table(table).names
    renamed: dict[str, str] = {}
    for name in attributes_of([*targeted, *by]):
        read = [column for kind in ("text", "image") if (column := f"{name}_{kind}") in names]
        if name in names or not read:
            continue
        if len(read) > 1:
            raise InputError(
                f"'{name}' is in the table as '{read[0]}' and '{read[1]}', and an audit groups rows by one of them.",
                f"Name one (--attribute {read[1]}), or the other besides (--by).", value=name,
            )  # fmt: skip
        renamed[name] = read[0]
        common.note_all("mitigate", [f"'{name}' is read from the column '{read[0]}'."])
    found = [[":".join(renamed.get(part, part) for part in key.split(":")) for key in keys] for keys in (targeted, by)]
    return found[0], found[1], renamed


def _named_as(queries: Sequence[Query], renamed: Mapping[str, str], vocabulary: Vocabulary) -> list[Query]:
    """Return queries that name a group by the column that the group is read from, so that the ledger lists them there."""
    found = []
    for query in queries:
        attribute, sign, group = query.explicit.partition("=")
        column = renamed.get(attribute, "")
        if sign and not column:
            kinds = [f"{attribute}_{kind}" for kind in ("image", "text")]
            column = next(
                (one for one in kinds if attribute not in vocabulary.attributes and one in vocabulary.attributes), ""
            )
        known = column in vocabulary.attributes and group in vocabulary.attributes[column].values
        found.append(replace(query, explicit=f"{column}={group}") if known else query)
    return found


def _divided(samples: Any, rows: Mapping[str, str], held_out: Mapping[str, str]) -> tuple[Any, Any]:
    """Return (training rows, held-out rows or None)."""
    from equipoise.mitigate.training.pairs import held_out_rows

    marked = held_out_rows(samples)
    audited = samples.where(held_out) if held_out else samples.take(marked) if marked.size else None
    if not rows and "split" not in samples.roles:
        return samples, audited
    return samples.where(rows or {"split": "train"}), audited


def command(name: str, flags: Mapping[str, Any], about: str) -> Callable[..., Outcome]:
    """Return the function behind ``equipoise mitigate NAME``; its signature holds the flags of the method."""
    own = {key: flag for key, flag in flags.items() if key != "seed" and key not in FLAGS}

    def run(
        model: str, table: Path, *, columns: Columns | None = None, common: Common | None = None, **given: Any
    ) -> Outcome:
        chosen = {key: given.pop(key) for key in own if key in given}
        given = {key: given.get(key, None if default is inspect.Parameter.empty else default)
                 for key, (_, default, _) in FLAGS.items()}  # fmt: skip
        return train(name, model, table, given, chosen, columns or Columns(), common or Common())

    kind = inspect.Parameter
    place, only = kind.POSITIONAL_OR_KEYWORD, kind.KEYWORD_ONLY
    parameters: list[tuple[str, Any, Any, Any]] = [
        ("model", place, Annotated[str, Parameter(help="The model to train, as transformers:FOLDER.")], kind.empty),
        ("table", place, Annotated[Path, Parameter(help="CSV or Parquet with pictures and captions.")], kind.empty),
        *((key, only, Annotated[hint, Parameter(help=text, negative="")], default) for key, (hint, default, text) in FLAGS.items()),
        *((key, only, flag.annotation, flag.default) for key, flag in own.items()),
        ("columns", only, Columns | None, None),
        ("common", only, Common | None, None),
    ]  # fmt: skip
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [kind(key, where, annotation=hint, default=default) for key, where, hint, default in parameters]
    )
    run.__annotations__ = {key: hint for key, _, hint, _ in parameters}
    run.__doc__ = f"{about}\n"
    return run
