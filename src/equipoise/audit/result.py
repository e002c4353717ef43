"""What an audit is: its numbers, its document, its evidence by row; and what it was asked to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from equipoise.data.groups import Vocabulary
from equipoise.data.queries import Query
from equipoise.data.samples import Samples
from equipoise.errors import InputError, MissingFileError, SchemaError
from equipoise.registry import METRICS
from equipoise.schema import ESTIMATES, AuditDocument, conform
from equipoise.store.cell_evidence import CellEvidence
from equipoise.store.evidence import PredictionEvidence, RankingEvidence, check_files
from equipoise.store.files import Output, atomic_write, sha256_of, write_table


@dataclass(frozen=True)
class Audit:
    """A finished audit.

    Attributes
    ----------
    estimates : pyarrow.Table
        One row a number; columns of ``schema.ESTIMATES``.
    document : AuditDocument
        Parameters, vocabulary, provenance.
    evidence : RankingEvidence, PredictionEvidence or CellEvidence
        Scores or answers by row id; of data cells and their weights.
    """

    estimates: pa.Table
    document: AuditDocument
    evidence: RankingEvidence | PredictionEvidence | CellEvidence

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that was in force."""
        return Vocabulary.from_dict(self.document.vocabulary)

    @property
    def queries(self) -> tuple[Query, ...]:
        """The queries in the order of the evidence."""
        return tuple(Query(**query) for query in self.document.queries)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write ``audit.json``, ``estimates.parquet`` and ``evidence/`` to a folder.

        Raises
        ------
        OutputExistsError
            If the folder holds another audit and ``overwrite`` is False.
        """
        folder = Path(folder)
        fingerprint = self.document.model_dump(exclude={"files"}) | {"evidence": self.evidence.digest()}
        claim = Output(
            folder, "audit.json", fingerprint, overwrite=overwrite, owned=("estimates.parquet", "evidence")
        )  # fmt: skip
        with claim as output:
            if output.finished and self._intact(folder):
                return folder
            write_table(folder / "estimates.parquet", self.estimates)
            evidence = self.evidence.save(folder / "evidence")
            files = {"estimates.parquet": sha256_of(folder / "estimates.parquet")}
            files |= {f"evidence/{name}": digest for name, digest in evidence.items()}
            atomic_write(folder / "audit.json", self.document.model_copy(update={"files": files}).to_json().encode())
        return folder

    @classmethod
    def _intact(cls, folder: Path) -> bool:
        """Return whether a finished output still is what was written; a damaged one is written again."""
        try:
            cls.load(folder)
        except InputError:
            return False
        return True

    @classmethod
    def load(cls, folder: str | Path) -> Audit:
        """Read an audit; every file is checked against its SHA-256."""
        folder = Path(folder)
        path = folder / "audit.json"
        if not path.is_file():
            raise MissingFileError(
                f"'{folder}' holds no audit: there is no audit.json.", "Name the folder of an audit."
            )
        document = AuditDocument.from_json(path.read_text("utf-8", errors="replace"), str(path))
        known = Vocabulary.from_dict(document.vocabulary)
        for key in Settings.of(document).by:
            known.groups(key)
        own = {name: digest for name, digest in document.files.items() if not name.startswith("evidence/")}
        check_files(folder, own, ("estimates.parquet",))
        estimates = conform(pq.read_table(folder / "estimates.parquet"), ESTIMATES, str(folder / "estimates.parquet"))
        inner = {name[9:]: digest for name, digest in document.files.items() if name.startswith("evidence/")}
        if document.source == "embeddings":
            queries = tuple(Query(**query) for query in document.queries)
            evidence: Any = RankingEvidence.load(folder / "evidence", queries, document.arms, inner)
            if any(scores.shape != (len(queries), len(evidence.ids)) for scores in evidence.scores.values()):
                raise SchemaError(f"'{folder}': the scores do not fit the rows.", "Make the audit again.")
        elif document.source == "data":
            evidence = CellEvidence.load(folder / "evidence", document.arms, inner)
        else:
            evidence = PredictionEvidence.load(folder / "evidence", inner)
        return cls(estimates, document, evidence)


@dataclass(frozen=True)
class Settings:
    """What an audit was asked to do, resolved.

    Attributes
    ----------
    by : tuple of str
        Attributes and intersections.
    k : int or None
        Rows in the top; None for the default of the pool's size.
    metrics : tuple of str or None
        Registry names; None for the default of the evidence.
    bootstrap : int
        Draws; 0 for closed forms only.
    level, seed, min_group
    positive : str or None
    """

    by: tuple[str, ...]
    k: int | None = None
    metrics: tuple[str, ...] | None = None
    bootstrap: int = 500
    level: float = 0.95
    seed: int = 0
    min_group: int = 30
    positive: str | None = None

    def __post_init__(self) -> None:
        if not self.by and not _of_no_groups(self.metrics):
            raise InputError("No attribute to audit by.", "Name attributes, as by=['gender', 'gender:race'] (--by).")
        for name, least in (("bootstrap", 0), ("seed", 0), ("min_group", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not least <= value < 2**63:
                raise InputError(f"'{name}' is {value!r}.", f"Give a whole number of {least} or more.", value=value)
            object.__setattr__(self, name, int(value))
        if isinstance(self.level, bool) or not isinstance(self.level, (int, float)) or not 0 < self.level < 1:
            raise InputError(f"The confidence level is {self.level!r}.", "Give a number between 0 and 1, as 0.95.")
        if self.bootstrap != 0 and self.bootstrap < 100:
            raise InputError(
                f"{self.bootstrap} bootstrap draws are too few.", "Give 100 or more, or 0 for closed forms."
            )

    @classmethod
    def of(cls, document: AuditDocument) -> Settings:
        """Read the settings that an audit's document holds.

        Raises
        ------
        SchemaError
            If they are missing or not those of this version.
        """
        stored = document.parameters.get("settings")
        try:
            return cls(**{**stored, "by": tuple(stored["by"]), "metrics": tuple(stored["metrics"] or ()) or None})  # type: ignore[index,dict-item]
        except (TypeError, KeyError) as error:
            raise SchemaError(f"The settings of the audit cannot be read: {error}.", "Make the audit again.") from error

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {
            "by": list(self.by), "k": self.k, "metrics": list(self.metrics) if self.metrics else None,
            "bootstrap": self.bootstrap, "level": self.level, "seed": self.seed, "min_group": self.min_group,
            "positive": self.positive,
        }  # fmt: skip


def _of_no_groups(metrics: Sequence[str] | None) -> bool:
    """Return whether every metric reads preferences between words, which belong to no group of rows."""
    return bool(metrics) and all(METRICS.load(name).descriptor.evidence == "preferences" for name in metrics or ())


def split_of(samples: Samples) -> str:
    """Return the split that the rows were restricted to, several joined by ``+``; empty where there was none."""
    for name in ("split", samples.roles.get("split", "")):
        if name in samples.conditions:
            wanted = samples.conditions[name]
            return wanted if isinstance(wanted, str) else "+".join(wanted)
    return ""
