"""The folder of a fine-tuned model: the mitigation's record beside a checkpoint that ``transformers:`` loads.

    mitigation.json   fit_rows.parquet   rows.parquet (what became of each row)   record.parquet (one row a step)
    model/            config.json, model.safetensors, and the tokenizer's and processor's files of the model it came from
    training/         checkpoint.safetensors, while it is being made

What a ledger of it writes (``before``, ``after``, ``stores``, ``ledger``) is removed with it when it is made anew.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from equipoise.errors import MissingFileError
from equipoise.mitigate.artefact import DOCUMENT, ROWS, read_document
from equipoise.models.checkpoint import PROCESSORS, library
from equipoise.models.transformers_text import TOKENIZER_FILES
from equipoise.protocols import Mitigation
from equipoise.schema import FIT_ROWS, MitigationDocument
from equipoise.store.files import Output, atomic_write, check_sha256, make_folder, read_table, sha256_of, write_table

MODEL, WORK, CHECKED, RECORD = "model", "training", "rows.parquet", "record.parquet"
LEDGER = ("before", "after", "stores", "ledger")


class FineTuneFolder(Output):
    """A folder that a fine-tuning writes, claimed while the ``with`` block lasts; see :class:`Output`."""

    def __init__(self, folder: str | Path, fingerprint: Mapping[str, Any], *, overwrite: bool = False) -> None:
        super().__init__(
            folder, DOCUMENT, fingerprint, overwrite=overwrite, owned=(ROWS, CHECKED, RECORD, MODEL, WORK, *LEDGER)
        )

    def __enter__(self) -> FineTuneFolder:
        super().__enter__()
        make_folder(self.path(WORK))
        return self

    def document(self) -> MitigationDocument:
        """Read ``mitigation.json``."""
        return read_document(self.folder)

    def rows(self, check: Callable[[], pa.Table]) -> pa.Table:
        """Return what became of each row: checked once, then as it was written."""
        if not self.path(CHECKED).is_file():
            write_table(self.path(CHECKED), check())
        return read_table(self.path(CHECKED))

    def write_model(self, model: Any, origin: Path) -> None:
        """Write a model with the tokenizer and the processor of the folder that it came from; whole or not at all."""
        partial, final = self.path(WORK) / MODEL, self.path(MODEL)
        for path in (partial, final):
            shutil.rmtree(path, ignore_errors=True)
        make_folder(partial)
        logging = library().utils.logging
        bar = logging.is_progress_bar_enabled()
        logging.disable_progress_bar()
        try:
            model.save_pretrained(partial)
        finally:
            if bar:
                logging.enable_progress_bar()
        for name in (*TOKENIZER_FILES, *PROCESSORS):
            if (origin / name).is_file():
                shutil.copyfile(origin / name, partial / name)
        for path in sorted(partial.iterdir()):
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        os.replace(partial, final)

    def finish(
        self, mitigation: Mitigation, parameters: dict[str, Any], encoder: dict[str, Any], inputs: dict[str, str],
        record: pa.Table, fit_rows: Sequence[str],
    ) -> None:  # fmt: skip
        """Write the record of the steps, the rows, and at last ``mitigation.json``."""
        rows = pa.table({"row_id": pa.array(fit_rows, pa.string())}, schema=FIT_ROWS)
        files = {
            ROWS: write_table(self.path(ROWS), rows),
            RECORD: write_table(self.path(RECORD), record),
            CHECKED: sha256_of(self.path(CHECKED)),
        }
        files |= {f"{MODEL}/{path.name}": sha256_of(path) for path in sorted(self.path(MODEL).iterdir())}
        document = MitigationDocument(
            method=mitigation.name, method_version=mitigation.version, kind=mitigation.kind,
            attributes=list(mitigation.attributes), edits=["image", "text"], guarantees=list(mitigation.guarantees),
            encoder=encoder, parameters=parameters, inputs=inputs, files=files,
        )  # fmt: skip
        atomic_write(self.path(DOCUMENT), document.to_json())

    def fit_rows(self, document: MitigationDocument) -> tuple[str, ...]:
        """Return the ids of the rows that were trained on."""
        return tuple(read_table(self.path(ROWS), document.files[ROWS])["row_id"].to_pylist())

    def record(self, document: MitigationDocument) -> pa.Table:
        """Return the record of the steps, after the files of the model were held against their checksums.

        Raises
        ------
        ChecksumError, MissingFileError
            Naming the file.
        """
        for name, sha256 in document.files.items():
            if not self.path(name).is_file():
                raise MissingFileError(
                    f"There is no file '{self.path(name)}'.", "Train again (--overwrite).", value=name
                )
            check_sha256(self.path(name), sha256)
        return read_table(self.path(RECORD))

    def tidy(self) -> None:
        """Remove what only an unfinished run needs."""
        shutil.rmtree(self.path(WORK), ignore_errors=True)
