"""From logits to answers: what a model's labels are called in a table, the label it says, and how sure it is.

Notation: n rows, L labels of the model, K labels as the table calls them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError, UnknownNameError, did_you_mean, listed

TRUTHS = ("1", "1.0", "true", "yes")
FALSEHOODS = ("0", "0.0", "false", "no")


@dataclass(frozen=True)
class Wording:
    """The labels of a model as a table calls them.

    Attributes
    ----------
    labels : tuple of str
        The (L,) labels of the model.
    called : tuple of str
        The (K,) labels of the table that the model can say, in the order of the model's.
    place : ndarray (L,), int64
        Index into ``called`` of each label of the model.
    positive : str or None
        The label whose probability the score is; None: that of the predicted label.
    """

    labels: tuple[str, ...]
    called: tuple[str, ...]
    place: NDArray[np.int64]
    positive: str | None

    @classmethod
    def of(
        cls, labels: Sequence[str], classes: Mapping[str, str] | None = None, positive: str | None = None
    ) -> Wording:
        """Match labels.

        Parameters
        ----------
        labels : sequence of str
        classes : mapping of str to str, optional
            Label of the model to label of the table, as ``{"male": "Male"}``; others keep their name. Several may become
            one: their probabilities are added.
        positive : str, optional
            A label of the table. Of two labels that are a truth and its opposite (1 and 0, yes and no) the truth is
            taken unless another is named.

        Raises
        ------
        UnknownNameError
            If the model has no such label, or cannot say the positive one.
        """
        classes = dict(classes or {})
        for label in classes:
            if label not in labels:
                raise UnknownNameError(
                    f"The model has no label '{label}'.{did_you_mean(label, labels)}",
                    f"Its labels: {listed(labels, 20)}.",
                    value=label,
                )
            if not classes[label]:
                raise InputError(f"The label '{label}' is to be called nothing.", "Name a label of the table.")
        words = [classes.get(label, label) for label in labels]
        called: tuple[str, ...] = tuple(dict.fromkeys(words))
        if len(called) == 1:
            raise InputError(
                f"All labels of the model would be called '{called[0]}'.",
                "Keep two apart (--classes).",
                value=called[0],
            )
        index = {word: place for place, word in enumerate(called)}
        if positive is not None and positive not in index:
            raise UnknownNameError(
                f"The model cannot say the positive label '{positive}'.{did_you_mean(positive, called)}",
                f"It can say {listed(called, 20)}; name its labels as the table does (--classes).",
                value=positive,
            )
        if positive is None and len(called) == 2:
            truths = [word for word in called if word.lower() in TRUTHS]
            lies = [word for word in called if word.lower() in FALSEHOODS]
            positive = truths[0] if len(truths) == len(lies) == 1 else None
        return cls(tuple(labels), called, np.array([index[word] for word in words], np.int64), positive)

    @property
    def changed(self) -> dict[str, str]:
        """The labels that the table calls otherwise."""
        pairs = zip(self.labels, self.place, strict=True)
        return {label: self.called[place] for label, place in pairs if label != self.called[place]}

    def answers(self, logits: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return ((n,) int64 places in ``called``, (n,) float64 scores in [0, 1]) of (n, L) finite logits.

        The answer is the most probable label as the table calls them, by the softmax of the logits; of equal ones the
        first. Where every label keeps a name of its own that is the largest logit. The score is the probability of
        ``positive``, or of the answer.
        """
        x = np.asarray(logits, np.float64)
        weights = np.exp(x - x.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        if len(self.called) < len(self.labels):
            merged = np.zeros((len(x), len(self.called)))
            np.add.at(merged.T, self.place, weights.T)
            weights = np.minimum(merged, 1.0)
            said = weights.argmax(axis=1)
        else:
            said = x.argmax(axis=1)  # place is the identity; exact where probabilities round to 1
        chosen = said if self.positive is None else np.full(len(x), self.called.index(self.positive))
        return said, weights[np.arange(len(x)), chosen]


def check_strangers(wording: Wording, found: Sequence[str]) -> dict[str, int]:
    """Return the labels of a table that the model cannot say, with their counts, most frequent first.

    Raises
    ------
    InputError
        If it can say none of them: the message proposes which are meant to be the same.
    """
    counts: dict[str, int] = {}
    for label in found:
        if label:
            counts[label] = counts.get(label, 0) + 1
    strange = {label: count for label, count in counts.items() if label not in wording.called}
    if counts and len(strange) == len(counts):
        lower = {word.casefold(): word for word in wording.called}
        alike = [f"{lower[label.casefold()]}={label}" for label in counts if label.casefold() in lower]
        hint = " ".join(f"--classes {pair}" for pair in (alike or [f"{wording.called[0]}={next(iter(counts))}"])[:4])
        raise InputError(
            f"The model can say none of the labels of the table: they are {listed(counts, 5)}; "
            f"it says {listed(wording.called, 5)}.",
            f"Say which are the same: {hint}.",
            value=list(counts)[:5],
        )
    return dict(sorted(strange.items(), key=lambda item: (-item[1], item[0])))
