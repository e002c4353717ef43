"""Compare: an audit before and one after become the ledger, where every declared attribute is judged, targeted or not."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from equipoise.audit.examples import examples_of_both
from equipoise.audit.result import Audit
from equipoise.compare.data import compare_data, judge_exact, refuse_other_cells
from equipoise.compare.data_wording import moved, paid
from equipoise.compare.embeddings import compare_embeddings
from equipoise.compare.headline import headline
from equipoise.compare.predictions import compare_predictions
from equipoise.compare.result import Comparison
from equipoise.compare.verdicts import Margins, judge
from equipoise.errors import InputError, VocabularyError, expect, listed
from equipoise.schema import LEDGER, ComparisonDocument, plain, table
from equipoise.store.cell_evidence import CellEvidence

NONE_NEEDED = "none: exact numbers, judged by their margins"


def compare(
    before: Audit,
    after: Audit,
    *,
    margins: dict[str, float] | None = None,
    attributes: str | Sequence[str] | None = None,
    draws: int = 500,
    seed: int = 0,
) -> Comparison:
    """Judge what changed between two audits of the same rows.

    Parameters
    ----------
    before, after : Audit
        Over the same rows, vocabulary, attributes and (for embeddings) queries and k.
    margins : dict of str to float, optional
        Equivalence margins by metric, as ``{"max_skew": 0.05}``; the metrics' own by default.
    attributes : str or sequence of str, optional
        The attributes that were targeted; by default those that the mitigation of ``after`` names.
    draws : int, default 500
        Bootstrap draws of rows (and queries), shared by both sides.
    seed : int, default 0

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If rows, vocabularies, queries or attributes differ, with the counts.
    """
    for word, side in (("before", before), ("after", after)):
        expect(side, Audit, f"'{word}'", "Give an Audit: the result of equipoise.audit, or Audit.load(folder).")
    _refuse_unlike(before, after)
    if draws < 100:
        raise InputError(f"{draws} bootstrap draws are too few.", "Give 100 or more.", value=draws)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"'seed' is {seed!r}.", "Give a whole number of 0 or more.", value=seed)
    targeted = _targeted(after, attributes)
    unheard = [name for name in targeted if name not in before.document.parameters["settings"]["by"]]
    rule = Margins(margins)
    if before.document.source == "embeddings":
        rows, distributions, controls = compare_embeddings(before, after, targeted, rule, draws, seed)
    elif before.document.source == "data":
        rows, distributions, controls = compare_data(before, after, targeted, rule)
    else:
        rows, distributions, controls = compare_predictions(before, after, rule, draws, seed)
    for row in rows:
        for name in ("attribute", "group", "family", "query"):
            row.setdefault(name, "")
        row.setdefault("targeted", row["attribute"] in targeted)
        row.setdefault("gated", row["arm"] == "main" and not row["query"] and not row["group"])
    exact = before.document.source == "data"
    (judge_exact if exact else judge)(rows)
    unused = rule.unused()
    rows.sort(key=_order(before))
    ledger = table(LEDGER, rows)
    context = {
        "method": (after.document.mitigation or {}).get("method", ""), "attributes": list(targeted),
        "margins": rule.used, "k": after.document.k, "source": after.document.source, "controls": controls,
    }  # fmt: skip
    sentence, more = headline(ledger, context)
    if exact:
        more = [*paid(rows), *moved(rows), *more]
    gated = [row for row in rows if row["gated"]]
    document = ComparisonDocument(
        headline=sentence,
        sentences=list(more),
        family={
            "gated": len(gated), "tested": sum(math.isfinite(row.get("p", math.nan)) for row in gated),
            "correction": NONE_NEEDED if exact else "Holm", "exploratory": len(rows) - len(gated),
            "exploratory_correction": NONE_NEEDED if exact else "Benjamini-Hochberg", "alpha": 0.05,
            "draws": 0 if exact else draws, "seed": seed, "targeted": list(targeted),
        },
        margins=dict(sorted(rule.used.items())),
        before=plain(before.document.model_dump(by_alias=True)),
        after=plain(after.document.model_dump(by_alias=True)),
        controls=controls,
        counts={word: sum(row["verdict"] == word for row in gated) for word in ("worse", "improved", "unchanged", "insufficient")},
        inputs={"before": digest(before), "after": digest(after)},
        notes=[f"'{name}' was targeted but not audited: its rows are missing." for name in unheard]
        + [f"A margin was set for '{name}', of which there is no row." for name in unused],
    )  # fmt: skip
    return Comparison(ledger, document, distributions, examples_of_both(before, after))


def _targeted(after: Audit, attributes: str | Sequence[str] | None) -> tuple[str, ...]:
    if attributes is None:
        return tuple((after.document.mitigation or {}).get("attributes", ()))
    named = (attributes,) if isinstance(attributes, str) else tuple(attributes)
    for name in named:
        after.vocabulary.groups(name)
    return named


def digest(audit: Audit) -> str:
    """Return the SHA-256 of an audit's document, without its file list, and of its evidence."""
    document = audit.document.model_copy(update={"files": {}}).to_json()
    return hashlib.sha256((document + audit.evidence.digest()).encode()).hexdigest()


def _order(before: Audit) -> Any:
    by = list(before.document.parameters["settings"]["by"])

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        place = by.index(row["attribute"]) if row["attribute"] in by else len(by)
        return (not row["gated"], row["arm"] != "main", row["arm"], not row["targeted"], place)

    return key


def _refuse_unlike(before: Audit, after: Audit) -> None:
    one, two = before.document, after.document
    if one.source != two.source:
        raise InputError(f"One audit is of {one.source}, the other of {two.source}.", "Compare audits of one kind.")
    if one.mitigation is not None and two.mitigation is None:
        raise InputError(
            f"The audit before has a mitigation ({one.mitigation['method']}), the one after has none.",
            "Give the baseline first: compare BEFORE AFTER.",
        )
    numbered = [audit.parameters.get("id_from") == "row number" for audit in (one, two)]
    if any(numbered) and one.inputs != two.inputs:
        raise InputError(
            "Rows that are known by their number only cannot be paired between different tables.",
            "Audit both with a column of ids (--id).",
        )
    if one.source == "data":
        refuse_other_cells(before, after)
    else:
        _refuse_other_rows(before, after)
    if _sets(one.vocabulary) != _sets(two.vocabulary):
        names = sorted(
            name for name in {*one.vocabulary, *two.vocabulary} if one.vocabulary.get(name) != two.vocabulary.get(name)
        )
        raise VocabularyError(
            f"The vocabularies differ in {listed(names)}: before {_values(one, names)}, after {_values(two, names)}.",
            "Audit both with one groups.toml.",
        )
    if one.source != "data":
        _refuse_other_groups(before, after)
    wanted, found = one.parameters["settings"], two.parameters["settings"]
    for name in ("by", "metrics", "min_group", "level"):
        if wanted[name] != found[name]:
            raise InputError(
                f"'{name}' is {wanted[name]} before and {found[name]} after.",
                "Audit again with --like BEFORE.",
                value=name,
            )
    if one.k != two.k:
        raise InputError(f"k is {one.k} before and {two.k} after.", "Audit again with --like BEFORE.", value=two.k)
    if one.positive != two.positive:
        raise InputError(
            f"The positive label is {one.positive!r} before and {two.positive!r} after.",
            "Name it in both (--positive).",
        )
    if one.queries != two.queries:
        same = [query for query in one.queries if query in two.queries]
        raise InputError(
            f"The queries differ: {len(one.queries)} before, {len(two.queries)} after, {len(same)} in both.",
            "Audit again with --like BEFORE.",
        )


def _refuse_other_rows(before: Audit, after: Audit) -> None:
    one, two = before.evidence, after.evidence
    assert not isinstance(one, CellEvidence)
    assert not isinstance(two, CellEvidence)
    same = one.rows["row_id"].equals(two.rows["row_id"])
    first, second = (set(), set()) if same else (set(one.ids), set(two.ids))
    if first != second:
        raise InputError(
            f"The audits have different rows: {len(first - second)} only before, {len(second - first)} only after, "
            f"{len(first & second)} in both.",
            "Audit the same rows again (--like BEFORE).",
        )


def _refuse_other_groups(before: Audit, after: Audit) -> None:
    one, two = before.evidence, after.evidence
    assert not isinstance(one, CellEvidence)
    assert not isinstance(two, CellEvidence)
    for name in ("cluster", *before.document.vocabulary):
        if {name} <= {*one.rows.column_names} & {*two.rows.column_names}:
            was_there, there = (evidence.rows[name] for evidence in (one, two))
            columns = [column.to_pylist() for column in (was_there, there) if not was_there.equals(there)] or [[], []]
            if wrong := sum(was != now for was, now in zip(*columns, strict=True)):
                raise InputError(
                    f"{wrong} rows have another '{name}' before and after.", "Audit both with one table.", value=name
                )


def _sets(vocabulary: dict[str, Any]) -> dict[str, Any]:
    """Return a vocabulary in which the values of undeclared attributes have no order: theirs is that of the lines."""
    return {
        name: keys if keys.get("declared", True) else {**keys, "values": sorted(keys["values"])}
        for name, keys in vocabulary.items()
    }


def _values(document: Any, names: Sequence[str]) -> Any:
    return {name: document.vocabulary.get(name, {}).get("values") for name in names}
