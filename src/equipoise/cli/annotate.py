"""``equipoise annotate``: attributes and labels that nobody wrote down, from captions and pictures, with their error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from equipoise.cli.annotate_balanced import balanced, check_balanced
from equipoise.cli.annotate_show import lines_of_counts, lines_of_error, lines_of_why, result_of
from equipoise.cli.arguments import Items
from equipoise.cli.common import Common, Outcome, Whole, existing, pairs, split
from equipoise.cli.pictures import PictureRules
from equipoise.errors import InputError

if TYPE_CHECKING:
    from equipoise.annotate.draw import Draw
    from equipoise.annotate.gold import Gold
    from equipoise.annotate.images import ImageTags
    from equipoise.annotate.table_file import AnnotatedTable

LEXICON, QUESTION = "people-en-1", "gender"


@Parameter(name="*", group="Pictures are asked")
@dataclass(frozen=True)
class Asked:
    """With --encoder or --model, pictures are asked a question."""

    image: str | None = None
    """Column of image paths; left out with precomputed embeddings."""
    encoder: str | None = None
    """Reference to an encoder that embeds pictures and texts, as transformers:PATH."""
    model: str | None = None
    """Reference to a classifier instead of an encoder; its labels are the answers."""
    question: str | None = None
    """gender (unless given), age, people, a file, or a section of a vocabulary as groups.toml:gender."""
    classes: Annotated[list[str] | None, Parameter(negative="")] = None
    """MODEL=ANSWER: a label of the classifier means this answer, as Female=woman; may be repeated."""
    precision: float = 0.9
    """Share of right answers that is wanted: with --gold, half of the labelled rows choose how sure an answer must be. 0: all answers stay."""
    scale: float | None = None
    """Factor that turns cosines into logits: the encoder's own, else 100. It decides how sure an answer counts, not which it is."""
    store: Path | None = None
    """Folder of the embeddings or logits: an interrupted run goes on there, and a second one opens no picture."""
    preprocess: str | None = None
    """Name or file of a preprocessing, instead of the model's own."""
    batch_size: Whole = None
    """Pictures a batch, 64 unless given."""
    workers: Whole = None
    """Threads that decode pictures; one a core, at most 8, unless given."""
    device: str | None = None
    """Where the model runs, as cuda:0."""


@Parameter(name="*", group="How often it errs")
@dataclass(frozen=True)
class Labelled:
    """Rows that a person labels tell how often the annotator errs."""

    draw: Whole = None
    """Draw so many rows, by strata of what was answered, into a sheet to fill in; 200 says much."""
    sheet: Path | None = None
    """CSV file of the rows drawn."""
    gold: Path | None = None
    """The sheet, filled in: precision and recall are printed and travel with the columns."""
    by: Items = None
    """Columns by whose groups the error is told apart, as race; the sheet is drawn from each of their groups too."""
    weights: str | None = None
    """With --gold, of the table that balance wrote: column of its weights, as m4_weight. RB and AB are measured on the labels that people gave."""
    labels: Items = None
    """With --weights: labels of the AB, as occupation; as written in the sheet, else those of the table. All of the sheet unless given."""
    shares: Path | None = None
    """With --weights: TOML file of the wanted shares, as for balance; equal shares unless given."""


def annotate(
    table: Path,
    *,
    out: Path | None = None,
    caption: str | None = None,
    lexicon: str | None = None,
    id: str | None = None,
    why: str | None = None,
    asked: Asked | None = None,
    labelled: Labelled | None = None,
    rules: PictureRules | None = None,
    common: Common | None = None,
) -> Outcome:
    """Read attributes and labels from captions by a word list, and from pictures by a question, into further columns.

    Parameters
    ----------
    table
        CSV, Parquet, a folder of Parquet files or of images.
    out
        Parquet file to write: the table with its annotated columns. Without it only counts are shown.
    caption
        Column of captions.
    lexicon
        Word list for the captions: people-en-1 (unless given), people-ja-1, or a file.
    id
        Column of row ids; else the image path, else the row number.
    why
        Id of a row: show what was found in it, where, and by which rule; nothing is written.
    """
    common, asked, labelled = common or Common(), asked or Asked(), labelled or Labelled()
    existing(table, "table")
    check_balanced(
        labelled, {"caption": caption, "out": out, "why": why, "encoder": asked.encoder, "model": asked.model}
    )
    if labelled.weights is not None:
        return balanced(table, id, labelled, common)
    _check(caption, lexicon, asked, labelled)
    from equipoise.annotate.table_file import AnnotatedTable, check_path

    inputs = _inputs(table, lexicon, asked, labelled, common)
    if out is not None:
        check_path(out, table, inputs)
    if labelled.sheet is not None:
        from equipoise.annotate.draw import check_sheet

        check_sheet(labelled.sheet, overwrite=common.overwrite, inputs=inputs)
    words = None
    if caption is not None:
        from equipoise.annotate.lexicon import load_lexicon

        words = load_lexicon(lexicon or LEXICON)
    tags = _answers(table, id, asked, rules or PictureRules(), common) if asked.encoder or asked.model else None
    rows = AnnotatedTable(table, caption=caption, lexicon=words, images=tags, id=id or asked.image)
    if why is not None:
        return _why(rows, why, common)
    found, gold = None, {}
    if labelled.gold is not None:
        with common.working("reading the labels"):
            rows, found = _gold(rows, labelled, asked, common)
        errors = found.report()
        gold = {name: {**error.gold(), "sheet": found.sheet, "sha256": found.sha256} for name, error in errors.items()}
    else:
        errors = {}
    draw = _draw(rows, labelled, asked, common)
    with common.working(f"annotating {table.name}"):
        tally = rows.run(out, gold=gold, draw=draw, overwrite=common.overwrite)
    fields = rows.fields(gold)
    for line in lines_of_counts(tally, fields):
        common.say(line)
    counted = common.rows(
        {"in": tally.rows, "used": tally.used, "set_aside": sum(tally.set_aside.values())}, tally.set_aside
    )
    if tags is not None:
        common.note_all("pictures", rows.images.notes if rows.images is not None else ())
    for line in lines_of_error(errors, fields):
        common.say(line)
    _warn(rows, gold, found, common)
    if draw is not None and labelled.sheet is not None:
        _write_sheet(draw, rows, labelled.sheet, common)
    line = str(out or labelled.sheet or f"{tally.used:,} rows annotated; nothing was written (no --out)")
    result = result_of(rows, tally, fields, errors, labelled.sheet)
    return Outcome(line=line, result=result, out=None if out is None else str(out), rows=counted)


def _check(caption: str | None, lexicon: str | None, asked: Asked, labelled: Labelled) -> None:
    """Refuse flags that say nothing together."""
    if caption is None and asked.encoder is None and asked.model is None:
        remedy = "Name the column of captions (--caption), or an encoder for the pictures (--image, --encoder)."
        raise InputError("Nothing is to be annotated.", remedy)
    if lexicon is not None and caption is None:
        raise InputError("--lexicon reads captions.", "Name their column (--caption).", value="--lexicon")
    if asked.encoder and asked.model:
        raise InputError("An encoder and a classifier were named.", "Name one of --encoder and --model.")
    if asked.encoder is None and asked.model is None:
        plain = {name: value for name, value in vars(asked).items() if value is not None and name != "precision"}
        if plain:
            flag = f"--{next(iter(plain)).replace('_', '-')}"
            raise InputError(f"{flag} is about pictures.", "Name what answers (--encoder or --model).", value=flag)
    if asked.model and not asked.image:
        raise InputError(
            "A classifier looks at pictures.", "Name the column of their paths (--image).", value="--image"
        )
    if asked.scale is not None and not asked.encoder:
        raise InputError("--scale is of an encoder's cosines.", "Name the encoder, or leave it out.", value="--scale")
    if asked.classes and not asked.model:
        raise InputError("--classes renames labels of a classifier.", "Name it (--model), or leave it out.")
    if not 0 <= asked.precision < 1:
        raise InputError(f"--precision is {asked.precision:g}.", "Give a share below 1, as 0.9.", value=asked.precision)
    if (labelled.draw is None) != (labelled.sheet is None):
        missing = "--sheet FILE.csv" if labelled.sheet is None else "--draw 200"
        raise InputError("--draw and --sheet come together.", f"Add {missing}.", value=missing)
    if labelled.draw is not None and labelled.gold is not None:
        raise InputError("A sheet is drawn or read, not both at once.", "Leave out --draw and --sheet, or --gold.")


def _inputs(table: Path, lexicon: str | None, asked: Asked, labelled: Labelled, common: Common) -> list[Path]:
    """Return the files and folders that are read, which no output replaces."""
    section = (asked.question or "").rpartition(".toml:")[0]
    named = [lexicon, asked.question, f"{section}.toml" if section else None, asked.preprocess]
    return [table, *(path for path in (labelled.gold, common.config) if path), *map(Path, filter(None, named))]


def _answers(table: Path, id: str | None, asked: Asked, rules: PictureRules, common: Common) -> ImageTags:
    """Ask every picture."""
    from equipoise.annotate.images import annotate_images
    from equipoise.annotate.question import read_question
    from equipoise.data.samples import read_samples

    question = read_question(asked.question or QUESTION)
    samples = read_samples(table, image=asked.image, id=id)
    sizes: dict[str, Any] = {"batch_size": asked.batch_size, "workers": asked.workers}
    options: dict[str, Any] = {
        "store": asked.store, "preprocess": asked.preprocess, "policy": rules.policy(), "overwrite": common.overwrite,
        **{name: value for name, value in sizes.items() if value is not None},
    }  # fmt: skip
    with common.working(f"asking {len(samples):,} pictures: {question.name}"):
        if asked.encoder is not None:
            from equipoise.embed import embed

            faces = embed(asked.encoder, samples, device=asked.device or "auto", **options)
            return annotate_images(faces, question, scale=asked.scale)
        assert asked.model is not None
        from equipoise.models.references import load_classifier
        from equipoise.predict import predict

        model = load_classifier(asked.model, device=asked.device or "auto")
        answered = predict(model, samples, ref=asked.model, classes=pairs(asked.classes, "--classes"), **options)
        return annotate_images(answered, question)


def _gold(rows: AnnotatedTable, labelled: Labelled, asked: Asked, common: Common) -> tuple[AnnotatedTable, Gold]:
    """Read the sheet; half of the labelled rows choose how sure answers about pictures must be, the others judge them."""
    from equipoise.annotate.gold import read_gold
    from equipoise.annotate.sheet import halves, read_sheet

    assert labelled.gold is not None
    sheet = read_sheet(labelled.gold)
    for note in sheet.notes:
        common.warn("sheet", note)
    without = {}
    if rows.images is not None and asked.precision > 0 and rows.images.question.column in sheet.labels:
        column = rows.images.question.column
        number = rows.numbers(sheet.ids)
        answered = [name in number and rows.images.answers[number[name]] >= 0 for name in sheet.ids]
        first = halves(sheet, column, answered, rows.images.question.states)
        if first:
            tags = rows.images.calibrated(
                [number[sheet.ids[i]] for i, _ in first], [value for _, value in first],
                [float(sheet.represents[i]) for i, _ in first], asked.precision,
            )  # fmt: skip
            rows = rows.with_images(tags)
            without[column] = {sheet.ids[i] for i, _ in first}
            common.say(
                f"{column}: {len(first)} labelled rows chose how sure an answer must be; the others tell its error"
            )
    by = split(labelled.by)
    return rows, read_gold(sheet, rows.pick(sheet.ids, by), id="row_id", by=by, without=without)


def _draw(rows: AnnotatedTable, labelled: Labelled, asked: Asked, common: Common) -> Draw | None:
    if labelled.draw is None or labelled.sheet is None:
        return None
    from equipoise.annotate.draw import Draw

    show = [name for name in (rows.caption, asked.image) if name is not None]
    by = split(labelled.by)
    rows.check_columns(by)
    columns = [entry.name for entry in rows.fields()]
    return Draw(columns, labelled.draw, common.seed or 0, by, list(dict.fromkeys(show)))


def _write_sheet(draw: Draw, rows: AnnotatedTable, path: Path, common: Common) -> None:
    from equipoise.annotate.draw import GOLD, write_sheet
    from equipoise.annotate.sheet import BETWEEN, NONE

    sheet = draw.finish()
    write_sheet(sheet, path, overwrite=common.overwrite)
    common.say(
        f"sheet: {len(sheet)} rows to label in '{path}', without what was answered; leave empty what cannot be told"
    )
    for entry in rows.fields():
        values = [*rows.states(entry.name)]
        many = f" (several with '{BETWEEN}', '{NONE}' for none)" if rows.is_tags(entry.name) else ""
        shown = ", ".join(values[:12]) + (f" and {len(values) - 12} more" if len(values) > 12 else "")
        common.say(f"  {GOLD}{entry.name}: {shown}{many}")


def _warn(rows: AnnotatedTable, gold: dict[str, Any], found: Gold | None, common: Common) -> None:
    unknown = [entry.name for entry in rows.fields() if entry.name not in gold]
    if unknown:
        names = ", ".join(unknown)
        remedy = "Label a sheet (--draw 200 --sheet sheet.csv), and read it back (--gold sheet.csv)."
        if found is not None:
            remedy = "No row of the sheet is labelled for it."
        common.warn("error_unknown", f"{names}: error unknown. {remedy}")


def _why(rows: AnnotatedTable, name: str, common: Common) -> Outcome:
    number = rows.numbers([name]).get(name)
    if number is None:
        what = f"no '{rows.id}' is '{name}'" if rows.id else f"there is no row number '{name}'"
        raise InputError(f"Nothing is known of that row: {what}.", "Name a row id, or --id its column.", value=name)
    lines, result = lines_of_why(rows, name, number)
    for line in lines:
        common.say(line)
    return Outcome(line=f"row {name}", result={"why": result}, rows={"in": 1, "used": 1, "set_aside": 0})
