"""What ``equipoise annotate`` tells a person, and its JSON object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from equipoise.annotate.gold import ColumnError
    from equipoise.annotate.table_file import AnnotatedTable
    from equipoise.annotate.tally import Tally

SHOWN = 12


def lines_of_counts(tally: Tally, fields: Sequence[pa.Field]) -> list[str]:
    """Return counts by value of every column, the largest first where there are many, and what did not count."""
    lines = []
    for entry in fields:
        counts = tally.counts[entry.name]
        values = [value for value, _ in counts.most_common()]
        shown = ", ".join(f"{value} {counts[value]:,}" for value in values[:SHOWN])
        more = f" and {len(values) - SHOWN} more values" if len(values) > SHOWN else ""
        without = sum(tally.missing[entry.name].values())
        why = ", ".join(f"{reason}: {count:,}" for reason, count in tally.missing[entry.name].most_common(5))
        lines.append(
            f"{entry.name}: {shown or 'nothing was found'}{more}{f'; {without:,} rows without ({why})' if without else ''}"
        )
    for what, found in (("negated", tally.negated), ("products", tally.products)):
        if found:
            said = ", ".join(f"{value} {count:,}" for value, count in found.most_common(5))
            lines.append(f"listed words that do not count, {what}: {sum(found.values()):,} ({said})")
    return lines


def lines_of_error(errors: Mapping[str, ColumnError], fields: Sequence[pa.Field]) -> list[str]:
    """Return how often each column errs, and what that does to gaps."""
    from equipoise.annotate.gold import lines_of
    from equipoise.audit.annotated import factor_of
    from equipoise.data.annotated import read_annotation

    lines = []
    for entry in fields:
        if entry.name not in errors:
            continue
        lines += lines_of(entry.name, errors[entry.name])
        annotation = read_annotation(entry)
        factor = None if annotation is None else factor_of(annotation)
        if annotation is not None and factor is not None:
            one, two = annotation.groups
            said = f"{factor} of a gap between {one} and {two} is seen" if factor.has_value else str(factor)
            lines.append(f"  attenuation: {said} (errors that do not depend on what is measured)")
    return lines


def result_of(
    rows: AnnotatedTable,
    tally: Tally,
    fields: Sequence[pa.Field],
    errors: Mapping[str, ColumnError],
    sheet: Path | None,
) -> dict[str, Any]:
    """Return the JSON object's result."""
    from equipoise.audit.annotated import described
    from equipoise.data.annotated import read_annotation

    annotations = {entry.name: found for entry in fields if (found := read_annotation(entry)) is not None}
    columns = described(annotations)
    for name, entry in columns.items():
        entry["counts"] = {value: tally.counts[name][value] for value in rows.states(name)}
        entry["missing"] = dict(tally.missing[name])
        entry["error"] = errors[name].to_dict() if name in errors else "unknown"
        del entry["gold"]
    return {
        "columns": columns,
        "set_aside": dict(tally.set_aside),
        "negated": dict(tally.negated),
        "products": dict(tally.products),
        "sheet": None if sheet is None else str(sheet),
    }


def lines_of_why(rows: AnnotatedTable, name: str, number: int) -> tuple[list[str], dict[str, Any]]:
    """Return why a row has the answers that it has, for a person and as JSON."""
    lines: list[str] = []
    result: dict[str, Any] = {"row_id": name, "row": number + 1}
    if rows.caption is not None and rows.lexicon is not None:
        from equipoise.annotate.tagging import tag_captions

        values = rows.row(number)[rows.caption]
        tags = tag_captions(values, rows.lexicon)
        text, reading, status = values[0].as_py(), tags.reading(0), tags.status[0].as_py()
        said = {variable: column[0].as_py() for variable, column in tags.columns.items()}
        lines.append(f"caption: {text!r}")
        lines += [f"  {variable}: {status or _said(value)}" for variable, value in said.items()]
        for kind, found in (("counts", reading.tags), ("passed over", reading.passed)):
            lines += [
                f"  {kind}: {tag.text!r} at {tag.start}-{tag.end} says {tag.variable}={tag.value} (rule: {tag.rule})"
                for tag in found
            ]
        result["text"] = {
            "caption": text, "status": status, **said,
            "tags": [tag._asdict() for tag in reading.tags], "passed": [tag._asdict() for tag in reading.passed],
        }  # fmt: skip
    if rows.images is not None:
        tags, question = rows.images, rows.images.question
        answer = int(tags.answers[number])
        state = tags.columns[question.variable][number].as_py()
        if answer < 0:
            lines.append(f"picture: no answer ({tags.status[number]})")
        else:
            lines.append(
                f"picture: {question.variable} is {state}; nearest {question.values[answer]}, margin {tags.margin[number]:.3f}"
            )
        result["image"] = {
            question.variable: state, "status": tags.status[number],
            "nearest": question.values[answer] if answer >= 0 else None,
            "margin": float(tags.margin[number]) if answer >= 0 else None,
        }  # fmt: skip
    return lines, result


def _said(value: Any) -> str:
    return ", ".join(value) or "none" if isinstance(value, list) else str(value)
