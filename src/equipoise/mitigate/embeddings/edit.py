"""What every edit by group vectors shares: fitting, leaving explicit queries alone, checking rows, saving, controls.

A method states its mathematics in a pure function and adds here only ``_prepare``, ``_edit`` and what it declares.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from equipoise.errors import InputError, expect
from equipoise.mitigate.embeddings.diagnostics import as_table, measure
from equipoise.mitigate.embeddings.explicit import Explicit, text_of
from equipoise.mitigate.embeddings.geometry import as_rows, check_rows
from equipoise.mitigate.embeddings.groups import QUERIES_AT_A_TIME, GroupVectors, image_vectors, text_vectors
from equipoise.mitigate.embeddings.noop import NoOp
from equipoise.mitigate.embeddings.options import checked_k, one_of
from equipoise.protocols import EmbeddingMitigation

MODALITIES = ("text", "image")
ROWS_AT_A_TIME = 8192

Edit = TypeVar("Edit", bound="GroupEdit")


class GroupEdit(EmbeddingMitigation):
    """An edit of query embeddings that is defined by group vectors.

    Parameters
    ----------
    attribute : str or sequence of str
        ``"gender"``, ``"gender:race"`` (one group per combination), or several attributes at once.
    vectors : {"text", "image"}
        Group vectors of the vocabulary's prompts, or of reference rows.
    k : int or None
        Image vectors only: the nearest reference rows of each group that are averaged for each query (100, as
        published), or None for one mean of all rows of the group.
    templates : sequence of str, optional
        Text vectors only: sentences with ``{}``, in place of the vocabulary's.
    leave_explicit : bool
        Return a query that names a group of the attribute unchanged. Needs ``queries`` in :meth:`transform`.
    min_group : int
        Image vectors only: a group with fewer rows is refused.
    normalise : bool
        Give means of reference rows length 1 before they are used.

    Attributes
    ----------
    vectors_ : GroupVectors
        After :meth:`fit`.
    encoder : dict
        Of the embeddings it was fitted on.
    inputs : dict of str to str
        SHA-256 of what it was fitted on.
    """

    title: ClassVar[str]
    OPTIONS: ClassVar[tuple[str, ...]] = ("vectors", "k", "templates", "leave_explicit", "min_group", "normalise")
    vectors_: GroupVectors

    def __init__(
        self,
        attribute: str | Sequence[str],
        *,
        vectors: str = "text",
        k: int | None = 100,
        templates: Sequence[str] | None = None,
        leave_explicit: bool = True,
        min_group: int = 30,
        normalise: bool = True,
    ) -> None:
        expect(attribute, (str, list, tuple), "attribute", "Name one attribute, or a list of several.")
        self.attributes = (attribute,) if isinstance(attribute, str) else tuple(attribute)
        if not self.attributes or len(set(self.attributes)) < len(self.attributes):
            raise InputError(f"attribute is {attribute!r}.", "Name one attribute, or several different ones.")
        self.vectors = one_of("vectors", vectors, MODALITIES)
        self.k = checked_k(k)
        self.templates = None if templates is None else (templates,) if isinstance(templates, str) else tuple(templates)
        self.leave_explicit = leave_explicit
        self.min_group = min_group
        self.normalise = normalise
        self.encoder: dict[str, Any] = {}
        self.inputs: dict[str, str] = {}
        self.fit_rows = ()
        self._explicit: Explicit | None = None
        self._fit_notes: list[str] = []
        self._notes: dict[str, str] = {}
        self._edited = False
        self._last: tuple[NDArray[Any], list[Any]] | None = None

    # ------------------------------------------------------------------------------------------- what a method adds

    @abstractmethod
    def _prepare(self) -> None:
        """Compute, once the group vectors are known, what does not depend on a query."""

    @abstractmethod
    def _edit(self, x: NDArray[Any], vectors: NDArray[np.float64], numbers: NDArray[np.intp]) -> NDArray[Any]:
        """Return edited rows of the dtype of ``x`` (n, d); ``numbers`` are what a message calls them."""

    @abstractmethod
    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return what ``_prepare`` computed."""

    @abstractmethod
    def _restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take back what ``_arrays`` gave."""

    def _fallback(self, vectors: NDArray[np.float64], n: int) -> list[str]:
        """Return, for each of n rows, what is done where the method has no solution."""
        return [""] * n

    # ------------------------------------------------------------------------------------------------ fit and apply

    @property
    def arm(self) -> str:
        """Name of the arm that an audit runs it as."""
        return self.name.replace("-", "_")

    @property
    def local(self) -> bool:
        """Whether group vectors depend on the query."""
        return self.vectors == "image" and self.k is not None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the fit, of the edits so far, and of the queries that were diagnosed."""
        return tuple(dict.fromkeys([*self._fit_notes, *self._notes.values()]))

    def fit(self, embeddings: Any) -> Self:
        """Form the group vectors; return self.

        Parameters
        ----------
        embeddings : EmbeddingSet
            Text vectors need its vocabulary's prompts and their embeddings, image vectors its rows and their groups.

        Raises
        ------
        VocabularyError
            If a group has no prompts (text vectors).
        InputError
            If an attribute has fewer than two groups.
        MethodRefusal
            If a group has fewer than ``min_group`` rows, or the method has no solution for these vectors.
        """
        notes: list[str] = []
        if self.vectors == "text":
            found, rows = text_vectors(embeddings, self.attributes, templates=self.templates, title=self.title), ()
        else:
            options = {"k": self.k, "min_group": self.min_group, "normalise": self.normalise, "title": self.title}
            found, rows, notes = image_vectors(embeddings, self.attributes, **options)
        self.vectors_, self.fit_rows, self._fit_notes = found, rows, notes
        self._notes, self._edited, self._last = {}, False, None
        self._explicit = Explicit.of(embeddings.vocabulary, self.attributes)
        self.encoder = dict(getattr(embeddings, "encoder", None) or {})
        self.inputs = dict(getattr(embeddings, "inputs", None) or {})
        self._prepare()
        return self

    def transform(
        self, x: NDArray[Any], *, modality: str = "text", queries: Sequence[Any] | None = None
    ) -> NDArray[Any]:
        """Return edited vectors.

        Parameters
        ----------
        x : ndarray (n, d)
            Embeddings of any length but zero.
        modality : {"text", "image"}
            What they are of. Those of a modality that the method does not edit are returned as they came.
        queries : sequence of n str or Query, optional
            The texts behind the rows; without them no query is known to name a group, and all are edited.

        Returns
        -------
        ndarray (n, d)
            A new array of the dtype of ``x``.

        Raises
        ------
        EmbeddingError
            If a row is NaN, infinite or zero (rows count from 0), or the width is another than in :meth:`fit`.
        MethodRefusal
            If the method has no solution for a row.
        """
        one_of("modality", modality, MODALITIES)
        rows, _, kept = self._checked(x, queries, f"the {'queries' if modality == 'text' else 'images'}")
        if modality not in self.edits:
            return rows.copy()
        self._last = None if queries is None else (rows.copy(), list(queries))
        if not all(kept):
            self._edited = True
            self._notes.pop("so far", None)
        elif kept and not self._edited:
            self._notes["so far"] = self._nothing_edited(queries)
        if not any(kept) and not self.local:
            return self._edit(rows, self.vectors_.at(rows), np.arange(len(rows)))
        out = rows.copy()
        for numbers in self._parts(kept):
            part = rows[numbers]
            out[numbers] = self._edit(part, self.vectors_.at(part), numbers)
        return out

    def diagnostics(self, x: NDArray[Any], queries: Sequence[Any]) -> pa.Table:
        """Return one row a query (:data:`.diagnostics.SCHEMA`) that says what the edit does to it.

        Parameters and errors are those of :meth:`transform`.
        """
        rows, texts, kept = self._checked(x, queries, "the queries")
        columns: dict[str, Any] = {
            "query": texts,
            "explicit": self._named(queries),
            "edited": [not flag for flag in kept],
        }
        if kept and all(kept):
            self._notes["explicit"] = self._nothing_edited(queries)
        columns["fallback"] = [""] * len(rows)
        measured: dict[str, NDArray[np.float64]] = {}
        for numbers in self._parts([False] * len(rows)):
            part = rows[numbers]
            vectors = self.vectors_.at(part)
            after, edited = part.copy(), np.flatnonzero([not kept[number] for number in numbers])
            if len(edited):
                own = vectors if vectors.ndim == 2 else vectors[edited]
                after[edited] = self._edit(part[edited], own, numbers[edited])
                for place, fallback in zip(numbers[edited], self._fallback(own, len(edited)), strict=True):
                    columns["fallback"][place] = fallback
            for name, values in measure(part, after, vectors, self.vectors_.blocks).items():
                measured.setdefault(name, np.empty(len(rows)))[numbers] = values
        return as_table(columns | measured)

    @property
    def diagnostics_(self) -> pa.Table | None:
        """Diagnostics of the queries last transformed; None when none were named."""
        return None if self._last is None else self.diagnostics(*self._last)

    @property
    def group_vectors_(self) -> NDArray[np.float64] | None:
        """Group vectors (m, d); (n, m, d) of the queries last transformed, or None, when they depend on the query."""
        if self.vectors_.fixed is not None:
            return self.vectors_.fixed
        return None if self._last is None else self.vectors_.at(self._last[0])

    # ----------------------------------------------------------------------------------------------------- internals

    def _checked(
        self, x: NDArray[Any], queries: Sequence[Any] | None, what: str
    ) -> tuple[NDArray[Any], list[str], list[bool]]:
        if not hasattr(self, "vectors_"):
            raise InputError(f"{self.title} has not been fitted.", "Call fit(embeddings) first.")
        against = "image embeddings" if self.vectors == "image" else f"group vectors of '{', '.join(self.attributes)}'"
        rows = as_rows(x, self.vectors_.dim, what=what, against=against)
        check_rows(rows, what)
        if queries is None:
            return rows, [""] * len(rows), [False] * len(rows)
        if isinstance(queries, str) or len(queries) != len(rows):
            count = 1 if isinstance(queries, str) else len(queries)
            raise InputError(
                f"There are {count} query texts for {len(rows)} vectors.", "Pass one text a row.", value=count
            )
        kept = [bool(name) for name in self._named(queries)] if self.leave_explicit else [False] * len(rows)
        return rows, [text_of(query) for query in queries], kept

    def _named(self, queries: Sequence[Any]) -> list[str]:
        assert self._explicit is not None
        return [self._explicit.named(query) for query in queries]

    def _parts(self, kept: Sequence[bool]) -> Iterator[NDArray[np.intp]]:
        edited = np.flatnonzero(~np.asarray(kept, dtype=bool))
        step = QUERIES_AT_A_TIME if self.local else ROWS_AT_A_TIME
        for start in range(0, len(edited), step):
            yield edited[start : start + step]

    def _nothing_edited(self, queries: Sequence[Any] | None) -> str:
        families = {getattr(query, "family", "") for query in queries or ()}
        where = f" of '{families.pop()}'" if len(families) == 1 and "" not in families else ""
        return (
            f"All queries{where} name a group of {', '.join(self.attributes)} and were left alone; nothing was edited. "
            "Pass leave_explicit=False to edit them."
        )

    # ------------------------------------------------------------------------------------------- siblings and saving

    def sibling(self, kind: type[Edit], **options: Any) -> Edit:
        """Return another method fitted on the very same group vectors, with the same options where it has them."""
        shared = {name: getattr(self, name) for name in GroupEdit.OPTIONS}
        other = kind(self.attributes, **shared, **options)
        other.vectors_, other.fit_rows, other._explicit = self.vectors_, self.fit_rows, self._explicit
        other.encoder, other.inputs = self.encoder, self.inputs
        other._prepare()
        return other

    def no_op(self) -> NoOp:
        """Return the control that edits nothing, with the same attributes."""
        return NoOp(self.attributes)

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return (parameters as JSON values, arrays): group vectors or reference rows, and what follows from them."""
        assert self._explicit is not None
        found = self.vectors_
        parameters: dict[str, Any] = {"attribute": list(self.attributes)}
        for name in self.OPTIONS:
            value = getattr(self, name)
            parameters[name] = list(value) if isinstance(value, tuple) else value
        parameters["groups"] = [[key, list(groups)] for key, groups in found.concepts.items()]
        parameters |= {"dim": found.dim, "explicit": self._explicit.to_dict(), "notes": list(self._fit_notes)}
        arrays = {"group_vectors": found.fixed, "reference": found.reference, "codes": found.codes} | self._arrays()
        return parameters, {name: array for name, array in arrays.items() if array is not None}

    @classmethod
    def from_state(cls, parameters: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Self:
        """Rebuild a fitted edit; its transform is bit-identical."""
        edit = cls(parameters["attribute"], **{name: parameters[name] for name in cls.OPTIONS})
        edit.vectors_ = GroupVectors(
            {key: tuple(groups) for key, groups in parameters["groups"]},
            int(parameters["dim"]),
            arrays.get("group_vectors"),
            arrays.get("reference"),
            arrays.get("codes"),
            edit.k,
            edit.normalise,
        )
        edit._explicit = Explicit.from_dict(parameters["explicit"])
        edit._fit_notes = list(parameters["notes"])
        edit._restore(arrays)
        return edit
