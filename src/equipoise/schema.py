"""The artefacts that cross a boundary, as types.

JSON documents are pydantic models that refuse unknown keys and unknown major versions; tables are Arrow schemas.
Documentation: docs/contracts.md. Change one only with a new schema version and a line in CHANGELOG.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from equipoise.errors import SchemaError

# ------------------------------------------------------------------------------------------------------------ tables

_TEXT, _NUMBER, _WHOLE, _FLAG = pa.string(), pa.float64(), pa.int64(), pa.bool_()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


ROWS = _schema(
    row_id=_TEXT, image=_TEXT, sha256=_TEXT, status=_TEXT, reason=_TEXT, split=_TEXT, cluster=_TEXT, caption=_TEXT
)
"""``rows.parquet`` of a store; a text column per attribute follows. ``status`` is ``ok`` or ``quarantined``."""

ESTIMATES = _schema(
    metric=_TEXT, protocol=_TEXT, attribute=_TEXT, group=_TEXT, family=_TEXT, query=_TEXT, split=_TEXT, arm=_TEXT,
    seed=_WHOLE, value=_NUMBER, low=_NUMBER, high=_NUMBER, level=_NUMBER, n=_WHOLE, numerator=_NUMBER,
    denominator=_NUMBER, null_value=_NUMBER, p=_NUMBER, status=_TEXT, reason=_TEXT,
)  # fmt: skip
"""``estimates.parquet``: one row a number."""

LEDGER = _schema(
    attribute=_TEXT, group=_TEXT, targeted=_FLAG, arm=_TEXT, family=_TEXT, query=_TEXT, metric=_TEXT, protocol=_TEXT,
    n=_WHOLE, n_min=_WHOLE, before=_NUMBER, before_low=_NUMBER, before_high=_NUMBER, null_before=_NUMBER,
    after=_NUMBER, after_low=_NUMBER, after_high=_NUMBER, null_after=_NUMBER, change=_NUMBER, change_low=_NUMBER,
    change_high=_NUMBER, eq_low=_NUMBER, eq_high=_NUMBER, margin=_NUMBER, p=_NUMBER, p_adj=_NUMBER, mde=_NUMBER,
    verdict=_TEXT, reversed=_FLAG, gated=_FLAG, reason=_TEXT,
)  # fmt: skip
"""``ledger.parquet``: one row a comparison."""

EXAMPLES = _schema(
    kind=_TEXT, side=_TEXT, family=_TEXT, query=_TEXT, rank=_WHOLE, row_id=_TEXT, image=_TEXT, sha256=_TEXT, groups=_TEXT,
    label=_TEXT, prediction=_TEXT, score=_NUMBER,
)  # fmt: skip
"""``examples.parquet`` of a ledger: rows to look at. ``kind`` is ``top`` (of a query) or ``mistake``; ``side`` is ``before``
or ``after``, of mistakes ``fixed`` or ``new``; ``groups`` is a JSON object of attribute to group."""

FIT_ROWS = _schema(row_id=_TEXT)
EVIDENCE_QUERIES = ("family", "query")
VERDICTS = ("worse", "improved", "unchanged", "insufficient")


def table(schema: pa.Schema, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as a table of ``schema``: a missing or NaN number is null, a missing text is ``""``.

    Parameters
    ----------
    schema : pyarrow.Schema
    rows : iterable of mappings
        Keys outside the schema are an error.
    """
    rows = list(rows)
    known = set(schema.names)
    for row in rows:
        if extra := set(row) - known:
            raise SchemaError(f"A row has keys outside the schema: {', '.join(sorted(extra))}.")
    columns = [pa.array([_cell(row.get(f.name), f.type) for row in rows], f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _cell(value: Any, kind: pa.DataType) -> Any:
    if kind == _TEXT:
        return "" if value is None else str(value)
    if kind == _FLAG:
        return bool(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return int(value) if kind == _WHOLE else (float(value) if math.isfinite(value) else None)


def conform(found: pa.Table, schema: pa.Schema, what: str) -> pa.Table:
    """Return ``found`` if its columns are those of ``schema`` (order and types), else raise SchemaError naming the difference."""
    if found.schema.names != schema.names:
        missing = [name for name in schema.names if name not in found.schema.names]
        extra = [name for name in found.schema.names if name not in schema.names]
        raise SchemaError(
            f"{what} has other columns than the schema: missing {missing or 'none'}, unknown {extra or 'none'}.",
            "Make it again with this version of equipoise.",
        )
    try:
        return found.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise SchemaError(f"{what} has a column of another type: {error}.") from error


# --------------------------------------------------------------------------------------------------------- documents


NOTE_CODES = {
    "look untrained": "untrained",
    "drawn at random": "untrained",
    "longer than the encoder reads": "truncated",
    "by the audited model itself": "annotator",
}
"""Words of a note to the code under which the JSON object of a verb lists it."""


def note_code(note: str, otherwise: str) -> str:
    """Return the code of a note; ``otherwise`` where it has none of its own."""
    return next((code for words, code in NOTE_CODES.items() if words in note), otherwise)


def plain(value: Any) -> Any:
    """Return ``value`` with NaN and infinities as None and numpy scalars as Python's, ready for JSON."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    elif hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


class Document(BaseModel):
    """A JSON artefact: ``schema`` is ``equipoise.<kind>/<major>``; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)
    KIND: ClassVar[str]
    MAJOR: ClassVar[int] = 1

    schema_: str = Field(alias="schema", default="")
    version: str = ""

    def model_post_init(self, context: Any, /) -> None:
        """Fill in schema and version where they were not given."""
        if not self.schema_:
            object.__setattr__(self, "schema_", f"equipoise.{self.KIND}/{self.MAJOR}")
        if not self.version:
            from equipoise._version import __version__

            object.__setattr__(self, "version", __version__)

    def to_json(self) -> str:
        """Return indented JSON with sorted keys after ``schema``; equal documents give equal bytes."""
        data = plain(self.model_dump(by_alias=True))
        head = {"schema": data.pop("schema")}
        return json.dumps({**head, **dict(sorted(data.items()))}, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "the document") -> Self:
        """Read a document; SchemaError names the key or the version that is not known."""
        try:
            data = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise SchemaError(f"{where} is not JSON: {error}.", "Make it again.") from error
        found = data.get("schema", "") if isinstance(data, dict) else ""
        wanted = f"equipoise.{cls.KIND}/{cls.MAJOR}"
        if found != wanted:
            raise SchemaError(
                f"{where} says schema '{found}', this version reads '{wanted}'.",
                "Use the version of equipoise that wrote it, or make it again.",
                value=found,
            )
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise SchemaError(f"{where}: '{key}': {first['msg']}.", "Mend or make it again.", value=key) from error


class Shard(BaseModel):
    """One file of vectors: its path (absolute for files of others), checksum and shape."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    path: str
    sha256: str
    rows: int
    dim: int
    dtype: str


class Manifest(Document):
    """``store/manifest.json``.

    ``encoder`` is a reference as ``precomputed:DIR``; ``layout`` is ``shards`` (ours, in ``image/``) or ``precomputed``
    (the arrays of ``images`` are other people's files, in the order of their own rows).
    """

    KIND = "store"
    encoder: str
    fingerprint: dict[str, Any]
    layout: Literal["shards", "precomputed"]
    dim: int
    images: list[Shard]
    texts: list[Shard] = []
    rows_sha256: str
    inputs: dict[str, str] = {}
    vocabulary: dict[str, Any] = {}
    roles: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {}
    rows: dict[str, int]
    parameters: dict[str, Any] = {}


class AuditDocument(Document):
    """``audit/audit.json``: everything of an audit that is not a number of the table or evidence by row."""

    KIND = "audit"
    source: Literal["embeddings", "predictions", "data"]
    parameters: dict[str, Any]
    rows: dict[str, int]
    unknown: dict[str, int] = {}
    vocabulary: dict[str, Any]
    queries: list[dict[str, str]] = []
    k: int | None = None
    positive: str | None = None
    encoder: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {}
    mitigation: dict[str, Any] | None = None
    arms: list[str] = ["main"]
    geometry: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    notes: list[str] = []
    seed: int = 0
    files: dict[str, str] = {}


class MitigationDocument(Document):
    """``mitigation/mitigation.json``."""

    KIND = "mitigation"
    method: str
    method_version: str
    kind: str
    attributes: list[str]
    edits: list[str]
    guarantees: list[str]
    encoder: dict[str, Any]
    parameters: dict[str, Any]
    inputs: dict[str, str] = {}
    files: dict[str, str] = {}


class ComparisonDocument(Document):
    """``ledger/comparison.json``: the sentence, the family of tests, the controls, and both sides' provenance."""

    KIND = "comparison"
    headline: str
    sentences: list[str] = []
    family: dict[str, Any]
    margins: dict[str, float]
    before: dict[str, Any]
    after: dict[str, Any]
    controls: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    inputs: dict[str, str] = {}
    notes: list[str] = []
    files: dict[str, str] = {}


class Message(BaseModel):
    """One warning or error of a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    code: str
    message: str


class Failure(BaseModel):
    """The error of a result."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: str
    message: str
    remedy: str


class Result(Document):
    """The one object that ``--json`` prints."""

    KIND = "result"
    command: str
    exit_code: int
    rows: dict[str, int] | None = None
    out: str | None = None
    result: dict[str, Any] = {}
    warnings: list[Message] = []
    error: Failure | None = None
