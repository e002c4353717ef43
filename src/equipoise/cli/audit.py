"""``equipoise audit``: measure bias in a store, or in a table of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from equipoise.cli.arguments import Columns, Items, attributes_of
from equipoise.cli.audit_pictures import Pictures, audit_pictures
from equipoise.cli.common import Common, Outcome, Whole, existing, pairs, split
from equipoise.cli.compare import show
from equipoise.cli.pictures import PictureRules
from equipoise.errors import InputError

if TYPE_CHECKING:
    from equipoise.audit import Audit
    from equipoise.data.groups import Vocabulary
    from equipoise.data.queries import Query


def audit(
    data: Path,
    *,
    by: Items = None,
    queries: Items = None,
    rows: Items = None,
    k: Whole = None,
    encoder: str | None = None,
    mitigation: Path | None = None,
    like: Path | None = None,
    label: str | None = None,
    prediction: str | None = None,
    score: str | None = None,
    positive: str | None = None,
    metrics: Items = None,
    bootstrap: Whole = None,
    level: float | None = None,
    min_group: Whole = None,
    out: Path | None = None,
    pictures: Pictures | None = None,
    rules: PictureRules | None = None,
    columns: Columns | None = None,
    common: Common | None = None,
) -> Outcome:
    """Measure bias in a store of embeddings, in a table of labels and predictions, or of a classifier on pictures.

    Parameters
    ----------
    data
        A store that `embed` wrote, a table with --label and --prediction, or one with --image, --label and --model.
    by
        Attributes and intersections, as gender,race,gender:race.
    queries
        Built-in lists (`equipoise ls queries`) or files of queries, with commas or repeated; for a store.
    rows
        Only rows with this value, as split=val; may be repeated (and).
    encoder
        Reference to the encoder that embeds texts which a store lacks. Without it the one that made the store is used, from
        local files; one of py:, which runs your code, only if it is named here.
    k
        Rows in the top of a ranking; min(200, rows / 5) unless given.
    mitigation
        Folder that `mitigate` wrote: audit what it does, with its controls.
    like
        Audit before: take its queries, attributes and settings.
    label
        Column of labels; for a table.
    prediction
        Column of predictions; for a table.
    score
        Column of scores of the positive label, for AUC.
    positive
        The positive label.
    metrics
        Metrics to measure, as max_skew,dp; all that fit unless given. By name only: association_bias (queries in pairs, as
        association-pairs) and representation_bias (queries that name groups, as representation-prompts; needs no --by).
    bootstrap
        Bootstrap draws, 500 unless given; 0 for closed forms only.
    level
        Confidence level of the intervals, 0.95 unless given.
    min_group
        Groups with fewer rows take part in no gap; 30 unless given.
    out
        Folder to write; without it only the summary is shown.
    """
    from equipoise.audit import Audit
    from equipoise.audit import audit as run

    common, pictures = common or Common(), pictures or Pictures()
    keys = split(by)
    before = Audit.load(existing(like, "audit (--like)")) if like else None
    settings: dict[str, Any] = {
        "by": keys, "k": k, "metrics": split(metrics) or None, "bootstrap": bootstrap, "level": level, "seed": common.seed, "min_group": min_group,
        "positive": positive,
    }  # fmt: skip
    if pictures.model is not None:
        flags = {
            "--queries": queries,
            "--encoder": encoder,
            "--mitigation": mitigation,
            "--k": k,
            "--prediction": prediction,
            "--score": score,
        }
        _refuse(flags, "a model on pictures")
        keys = keys or (list(before.document.parameters["settings"]["by"]) if before else [])
        return audit_pictures(
            existing(data, "table"), pictures, columns or Columns(), keys=keys, rows=_rows_like(rows, before), label=label,
            before=before, settings=settings, rules=rules or PictureRules(), out=out, common=common,
        )  # fmt: skip
    given = {**pictures.given(), **(rules or PictureRules()).given()}
    _refuse(given, "an audit without --model")
    if (existing(data, "store or table") / "manifest.json").is_file():
        roles = {"--label": label, "--prediction": prediction, "--score": score, "--positive": positive}
        _refuse(
            {**roles, **({f"--{name}": value for name, value in vars(columns).items()} if columns else {})}, "a store"
        )
        store = _store(data, _rows_like(rows, before), encoder)
        asked = _queries(queries, store.vocabulary, common)
        fitted = _fitted(mitigation)
        with common.working(f"auditing {len(store):,} rows"):
            found = run(store, queries=asked, like=before, mitigation=fitted, **settings)
    else:
        flags = {"--queries": queries, "--encoder": encoder, "--mitigation": mitigation, "--k": k}
        _refuse(flags, "a table; `embed` it first")
        keys = keys or (list(before.document.parameters["settings"]["by"]) if before else [])
        columns = columns or Columns()
        samples = columns.read(
            data, attributes_of(keys), _rows_like(rows, before), label=label, prediction=prediction, score=score
        )
        with common.working(f"auditing {len(samples):,} rows"):
            found = run(samples, like=before, **settings)
    document = found.document
    counted = common.rows(document.rows)
    for attribute, count in document.unknown.items():
        if count:
            common.say(f"unknown {attribute}: {count:,} rows (they stay for the other attributes)")
    common.note_all("audit", document.notes)
    show(common, found)
    if out is not None:
        found.save(out, overwrite=common.overwrite)
    result = summary(found)
    line = (
        str(out)
        if out
        else f"{result['estimates']:,} estimates of {counted['used']:,} rows; nothing was written (no --out)"
    )
    return Outcome(line=line, result=result, out=str(out) if out else None, rows=counted)


def summary(found: Audit) -> dict[str, Any]:
    """Return what the JSON object tells of an audit: how many numbers there are, and the means and gaps themselves."""
    from collections import Counter

    from equipoise.gate.checks import rows_of

    shown = (
        "metric",
        "protocol",
        "attribute",
        "family",
        "value",
        "low",
        "high",
        "n",
        "null_value",
        "p",
        "status",
        "reason",
    )
    means = rows_of(found.estimates, group="", query="", arm="main")
    return {
        "estimates": found.estimates.num_rows,
        "statuses": dict(sorted(Counter(found.estimates["status"].to_pylist()).items())),
        "k": found.document.k,
        "queries": len(found.document.queries),
        "arms": found.document.arms,
        "unknown": found.document.unknown,
        "means": [{name: row[name] for name in shown} for row in means],
    }


def _rows_like(rows: list[str] | None, before: Any) -> list[str] | None:
    """Return the rows that were asked for, else those of the audit to be like."""
    if rows or before is None:
        return rows
    return [f"{name}={value}" for name, value in before.document.parameters["rows"].items()] or None


def _store(folder: Path, rows: list[str] | None, encoder: str | None) -> Any:
    from equipoise.store.embeddings import EmbeddingSet

    store = EmbeddingSet.load(folder, encoder=encoder)
    wanted = pairs(rows, "--rows")
    return store.where(wanted) if wanted else store


def _queries(names: list[str] | None, vocabulary: Vocabulary, common: Common) -> list[Query] | None:
    """Read lists and files, each by itself: a name that is neither is an error and never a text to search for."""
    from equipoise.data.queries import read_queries

    items = [item for name in names or () for item in ([name] if Path(name).is_file() else split([name]))]
    found: list[Query] = []
    for item in items:
        read = read_queries(Path(item) if Path(item).is_file() else item, vocabulary)
        common.note_all("queries", read.notes)
        found += read
    return found or None


def _fitted(folder: Path | None) -> Any:
    if folder is None:
        return None
    from equipoise.mitigate.artefact import load_mitigation

    return load_mitigation(existing(folder, "mitigation"))


def _refuse(flags: dict[str, Any], what: str) -> None:
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        raise InputError(f"{given[0]} does not apply to {what}.", "Leave it out.", value=given[0])
