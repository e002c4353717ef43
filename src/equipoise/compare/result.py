"""What a comparison is: the ledger and the document that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from equipoise.errors import InputError, MissingFileError
from equipoise.schema import EXAMPLES, LEDGER, ComparisonDocument, conform
from equipoise.store.evidence import check_files
from equipoise.store.files import Output, atomic_write, sha256_of, write_table

FILES = ("ledger.parquet", "distributions.parquet", "ledger.csv")
LOOK = "examples.parquet"
FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Comparison:
    """The ledger and what belongs to it.

    Attributes
    ----------
    ledger : pyarrow.Table
        One row a comparison; columns of ``schema.LEDGER``.
    document : ComparisonDocument
        The sentence, margins, family of tests, controls, and both audits' documents.
    distributions : pyarrow.Table
        Histograms of standardised cosines: attribute, family, group, side, low, high, count.
    examples : pyarrow.Table
        Rows to look at, where they have pictures; columns of ``schema.EXAMPLES``.
    """

    ledger: pa.Table
    document: ComparisonDocument
    distributions: pa.Table
    examples: pa.Table = field(default_factory=EXAMPLES.empty_table)

    @property
    def headline(self) -> str:
        """The sentence that sums the ledger up."""
        return self.document.headline

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write ``comparison.json``, ``ledger.parquet``, ``ledger.csv`` and ``distributions.parquet``.

        Rows to look at go to ``examples.parquet``, where there are any.

        Raises
        ------
        OutputExistsError
            If the folder holds another comparison and ``overwrite`` is False.
        """
        folder = Path(folder)
        claim = Output(
            folder, "comparison.json", self.document.model_dump(exclude={"files"}), overwrite=overwrite, owned=(*FILES, LOOK)
        )  # fmt: skip
        with claim as output:
            if output.finished and self._intact(folder):
                return folder
            write_table(folder / "ledger.parquet", self.ledger)
            write_table(folder / "distributions.parquet", self.distributions)
            atomic_write(folder / "ledger.csv", _csv(self.ledger))
            names = FILES
            if self.examples.num_rows:
                write_table(folder / LOOK, self.examples)
                names = (*FILES, LOOK)
            files = {name: sha256_of(folder / name) for name in names}
            document = self.document.model_copy(update={"files": files})
            atomic_write(folder / "comparison.json", document.to_json().encode())
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
    def load(cls, folder: str | Path) -> Comparison:
        """Read a comparison; every file is checked against its SHA-256."""
        folder = Path(folder)
        path = folder / "comparison.json"
        if not path.is_file():
            raise MissingFileError(
                f"'{folder}' holds no comparison: there is no comparison.json.", "Name the folder of a ledger."
            )
        document = ComparisonDocument.from_json(path.read_text("utf-8", errors="replace"), str(path))
        check_files(folder, document.files, FILES)
        ledger = conform(pq.read_table(folder / "ledger.parquet"), LEDGER, str(folder / "ledger.parquet"))
        examples = EXAMPLES.empty_table()
        if LOOK in document.files:
            examples = conform(pq.read_table(folder / LOOK), EXAMPLES, str(folder / LOOK))
        return cls(ledger, document, pq.read_table(folder / "distributions.parquet"), examples)


def _csv(ledger: pa.Table) -> bytes:
    """Return the ledger as CSV; a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    columns = []
    for kept, column in zip(LEDGER, ledger.columns, strict=True):
        if kept.type == pa.string():
            texts = [f"'{text}" if text.startswith(FORMULA) else text for text in column.to_pylist()]
            columns.append(pa.array(texts, pa.string()))
        else:
            columns.append(column)
    sink = pa.BufferOutputStream()
    pyarrow.csv.write_csv(pa.Table.from_arrays(columns, names=LEDGER.names), sink)
    return sink.getvalue().to_pybytes()
