"""``equipoise audit TABLE --model``: a classifier, or an encoder with words for every class, on the pictures of a table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from equipoise.cli.arguments import Columns, Items, attributes_of
from equipoise.cli.common import Common, Outcome, Whole, numbers, pairs, split
from equipoise.cli.compare import show
from equipoise.cli.pictures import PictureRules
from equipoise.errors import InputError, listed

if TYPE_CHECKING:
    from equipoise.audit import Audit
    from equipoise.compare import Comparison
    from equipoise.data.samples import Samples

SIDES = ("before", "after")
"""Folders of the two audits of a trial; ``ledger`` is the third."""


@Parameter(name="*", group="A model on pictures")
@dataclass(frozen=True)
class Pictures:
    """With --model a table of pictures is audited."""

    model: str | None = None
    """Reference to a classifier; or to an encoder, if the vocabulary has a section with prompts named as the label column."""
    image: str | None = None
    """Column of image paths."""
    store: Path | None = None
    """Folder of the model's logits: an interrupted run goes on there, and a second one scores no picture."""
    classes: Annotated[list[str] | None, Parameter(negative="")] = None
    """MODEL=TABLE: a label of the model is called so in the table, as male=Male; may be repeated."""
    preprocess: Annotated[list[str] | None, Parameter(negative="")] = None
    """Name or file of a preprocessing instead of the model's own (own is that one). Given twice, both are tried on the same rows: --out gets before, after and ledger."""
    card: Items = None
    """accuracy=0.75, and n=50000 if it is known: what the model's makers say; a warning tells when it does far worse."""
    batch_size: Whole = None
    """Pictures a batch, 64 unless given."""
    shard_rows: Whole = None
    """Rows of a file of the store, 1024 unless given: what a kill can cost."""
    workers: Whole = None
    """Threads that decode pictures; one a core, at most 8, unless given."""
    device: str | None = None
    """Where the model runs, as cuda:0."""
    engine: str | None = None
    """Who runs the blocks of rows; local (this process) unless given."""

    def given(self) -> dict[str, Any]:
        """Return the flags, None where one was not given."""
        return {f"--{name.replace('_', '-')}": value for name, value in vars(self).items()}


def audit_pictures(
    data: Path, pictures: Pictures, columns: Columns, *, keys: list[str], rows: list[str] | None, label: str | None,
    before: Audit | None, settings: dict[str, Any], rules: PictureRules, out: Path | None, common: Common,
) -> Outcome:  # fmt: skip
    """Ask the model about every picture, then audit its answers; twice where two preprocessings are on trial."""
    if label is None or pictures.image is None:
        missing, column = ("--label", "labels") if label is None else ("--image", "image paths")
        raise InputError(f"A model on pictures needs the column of {column}.", f"Name it ({missing}).", value=missing)
    prepared: list[str | None] = [*(pictures.preprocess or [None])]
    if len(prepared) > 2 or len(set(prepared)) < len(prepared):
        raise InputError(
            f"{len(prepared)} preprocessings were named: {listed(prepared)}.",
            "Name one, or two different ones to try both.",
            value=prepared,
        )
    if len(prepared) == 2 and before is not None:
        raise InputError("--like does not apply to a trial of two preprocessings.", "Leave it out.", value="--like")
    samples = columns.read(data, attributes_of(keys), rows, image=pictures.image, label=label)
    policy = rules.policy()
    audits: list[Audit] = []
    for side, preprocess in zip(SIDES, prepared, strict=False):
        store = pictures.store / side if pictures.store and len(prepared) == 2 else pictures.store
        like = before if not audits else audits[0]
        answered = _answered(samples, pictures, preprocess, store, settings, like, policy, common)
        if len(prepared) == 2:
            common.say(f"{side}: {_called(answered)}")
        for note in answered.notes[len(samples.notes) :]:
            common.warn("pictures", note)
        audits.append(_audited(answered, settings, like, common))
    if len(prepared) == 2:
        return _trial(audits, [Path(str(spec)).name for spec in prepared], out, common)
    found = audits[0]
    show(common, found)
    if out is not None:
        found.save(out, overwrite=common.overwrite)
    from equipoise.cli.audit import summary

    result = summary(found)
    line = str(out) if out else f"{result['estimates']:,} estimates; nothing was written (no --out)"
    return Outcome(line=line, result=result | _about(found), out=str(out) if out else None, rows=_rows(found))


def _answered(
    samples: Samples, pictures: Pictures, preprocess: str | None, store: Path | None, settings: dict[str, Any],
    like: Audit | None, policy: Any, common: Common,
) -> Samples:  # fmt: skip
    """Load the model, with words for every class where the vocabulary has them for the label, and ask it."""
    from equipoise.models.references import load_classifier
    from equipoise.predict import OWN, predict

    assert pictures.model is not None
    positive = settings.get("positive")
    if positive is None and like is not None:
        positive = like.document.parameters["settings"]["positive"]
    options = {name: getattr(pictures, name) for name in ("batch_size", "shard_rows", "workers", "engine")}
    with common.working(f"scoring {len(samples):,} pictures"):
        model = load_classifier(
            pictures.model, words=samples.vocabulary.attributes.get(samples.roles["label"]),
            preprocessing=None if preprocess == OWN else preprocess, device=pictures.device or "auto",
        )  # fmt: skip
        return predict(
            model, samples, ref=pictures.model, store=store, classes=pairs(pictures.classes, "--classes"),
            positive=positive, card=numbers(split(pictures.card), "--card") or None, policy=policy, overwrite=common.overwrite,
            **{name: value for name, value in options.items() if value is not None},
        )  # fmt: skip


def _audited(samples: Samples, settings: dict[str, Any], like: Audit | None, common: Common) -> Audit:
    from equipoise.audit import audit
    from equipoise.audit.model import card_warning
    from equipoise.audit.predictions import usable_rows

    with common.working(f"auditing {len(samples):,} rows"):
        found = audit(samples, like=like, **settings)
    common.rows(found.document.rows, usable_rows(samples)[1])
    for attribute, count in found.document.unknown.items():
        if count:
            common.say(f"unknown {attribute}: {count:,} rows (they stay for the other attributes)")
    card = card_warning(found.estimates, samples)
    common.note_all("audit", [note for note in found.document.notes if note != card])
    if card:
        common.warn("card", card)
    return found


def _trial(audits: list[Audit], names: list[str], out: Path | None, common: Common) -> Outcome:
    """Hold both against one another, print accuracy under each, and write what was asked for."""
    from equipoise.compare import compare

    with common.working("comparing"):
        ledger = compare(*audits, seed=common.seed or 0)
    found = accuracies(ledger)
    show(common, ledger)
    for line in _lines(found, names):
        common.say(line)
    if out is not None:
        for audit, side in zip(audits, SIDES, strict=True):
            audit.save(out / side, overwrite=common.overwrite)
        ledger.save(out / "ledger", overwrite=common.overwrite)
    result = {
        "preprocessings": names,
        "accuracy": found,
        "headline": ledger.document.headline,
        "counts": ledger.document.counts,
        **_about(audits[1]),
    }
    whole = found[0]
    line = (
        str(out)
        if out
        else f"accuracy {_share(whole['before'])} and {_share(whole['after'])}; nothing was written (no --out)"
    )
    return Outcome(line=line, result=result, out=str(out) if out else None, rows=_rows(audits[1]))


def accuracies(ledger: Comparison) -> list[dict[str, Any]]:
    """Return accuracy of all rows and of every group on both sides; ``change`` is after - before, with its interval.

    A ledger tells the growth of harm, so its sign is the other one.
    """
    rows = [row for row in ledger.ledger.to_pylist() if row["metric"] == "accuracy" and row["arm"] == "main"]
    rows.sort(key=lambda row: bool(row["attribute"]))
    return [
        {
            "attribute": row["attribute"], "group": row["group"], "n": row["n"], "before": row["before"],
            "after": row["after"], "change": _minus(row["change"]), "low": _minus(row["change_high"]),
            "high": _minus(row["change_low"]), "verdict": row["verdict"], "reason": row["reason"],
        }
        for row in rows
        if row["group"] or not row["attribute"]
    ]  # fmt: skip


def _lines(rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    cells = [["accuracy", *names, "change [95 %]", "n", "verdict"]]
    for row in rows:
        what = f"{row['attribute']}: {row['group']}" if row["attribute"] else "all rows"
        change = "-" if row["change"] is None else f"{row['change']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"
        cells.append(
            [
                what,
                _share(row["before"]),
                _share(row["after"]),
                change,
                f"{row['n']:,}",
                row["verdict"] or row["reason"],
            ]
        )
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _minus(value: float | None) -> float | None:
    return None if value is None else 0.0 - value


def _called(samples: Samples) -> str:
    return str(samples.model["preprocessing"].get("name") or "the model's own preprocessing")


def _about(found: Audit) -> dict[str, Any]:
    model = {key: value for key, value in found.document.encoder.items() if key != "labels"}
    return {
        "model": model | {"labels": len(found.document.encoder["labels"])},
        "preprocessing": found.document.preprocessing,
    }


def _rows(found: Audit) -> dict[str, int]:
    return {key: int(found.document.rows[key]) for key in ("in", "used", "set_aside")}
