"""What an audit says of the model that gave the answers: who it is, what it cannot or never says, and its own card."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pyarrow as pa

from equipoise.data.samples import Samples
from equipoise.errors import InputError, listed
from equipoise.stats import wilson

CARD_MARGIN = 0.05
"""How far below its card a model may be before the audit warns, beyond the interval."""
EXAMPLES = 5


def positive_of(samples: Samples, given: str | None) -> str | None:
    """Return the positive label that the scores of a model's answers belong to.

    Raises
    ------
    InputError
        If another label is named than the one whose probability was kept: an area under its curve would be wrong.
    """
    kept = samples.model.get("score_of")
    if given is not None and given != kept:
        what = f"of '{kept}'" if kept is not None else "of the predicted label"
        raise InputError(
            f"The scores of the model are probabilities {what}, not of '{given}'.",
            f"Predict again with positive='{given}'; the pictures are not scored again where there is a store.",
            value=given,
        )
    return kept


def described(samples: Samples) -> dict[str, Any]:
    """Return ``encoder`` and ``preprocessing`` of the audit's document; nothing for answers that were read."""
    if not samples.model:
        return {}
    model = {key: value for key, value in samples.model.items() if key not in ("preprocessing", "notes", "called")}
    return {"encoder": model, "preprocessing": samples.model["preprocessing"]}


def model_notes(samples: Samples, rows: pa.Table) -> list[str]:
    """Return what a person must know of the model: its own notes, labels that it cannot say, and those it never says."""
    if not samples.model:
        return []
    notes = list(samples.model["notes"])
    labels, said = Counter(rows["label"].to_pylist()), set(rows["prediction"].to_pylist())
    sayable = set(samples.model["called"])
    strange = [label for label, _ in labels.most_common() if label not in sayable]
    if strange:
        count = sum(labels[label] for label in strange)
        notes.append(
            f"{_several(strange, 'label')} the model cannot say, {count} rows: {_quoted(strange)}. They count as wrong."
        )
    silent = [label for label, _ in labels.most_common() if label in sayable - said]
    if silent:
        count = sum(labels[label] for label in silent)
        notes.append(f"{_several(silent, 'label')} the model never says, {count} rows: {_quoted(silent)}.")
    return notes


def card_warning(estimates: pa.Table, samples: Samples) -> str | None:
    """Return a sentence if a model does far worse than its own card says, else None.

    The limit is on the safe side: the card's accuracy less the audit's, with the lower limit of Zou and Donner's (2008)
    interval of a difference, from the audit's interval and (where the card tells its ``n``) Wilson's of the card, must lie
    above 0.05.
    """
    card = samples.model.get("card") or {}
    claimed = card.get("accuracy")
    if claimed is None:
        return None
    found = next(
        (
            row
            for row in estimates.select(["metric", "attribute", "group", "value", "low", "high", "n"]).to_pylist()
            if row["metric"] == "accuracy" and not row["attribute"] and row["value"] is not None
        ),
        None,
    )
    if found is None or found["high"] is None:
        return None
    below = 0.0
    if "n" in card:
        below = claimed - float(wilson(claimed * card["n"], card["n"], 0.95)[0])
    least = claimed - found["value"] - math.hypot(below, found["high"] - found["value"])
    if least <= CARD_MARGIN:
        return None
    name = samples.model["preprocessing"].get("name") or "the model's own"
    where = f" ({card['dataset']})" if card.get("dataset") else ""
    return (
        f"Accuracy is {found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}] on {found['n']:,} rows, far below the "
        f"{claimed:.3f} of the model's card{where}. First suspect the preprocessing (here: {name}): give --preprocess twice to "
        "try another on the same rows. Then the names of the labels (--classes), then the pictures."
    )


def _several(labels: list[str], noun: str) -> str:
    return f"{len(labels)} {noun}{'' if len(labels) == 1 else 's'}"


def _quoted(labels: list[str]) -> str:
    return listed([f"'{label}'" for label in labels], EXAMPLES)
