"""A store that is being filled: claimed for one run, planned, resumed where it stopped, and finished in the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from equipoise.data.samples import Samples
from equipoise.errors import SchemaError
from equipoise.schema import Manifest, plain
from equipoise.store.blocks import FOLDER, BlockStore, joined
from equipoise.store.files import Output, atomic_write, read_table, unwritable, write_table
from equipoise.store.growth import Plan, declared_in, planned, roles_of, rows_table, status_of, stored_path
from equipoise.store.opening import MANIFEST, TABLE, read_manifest
from equipoise.store.registering import OWNED, PLAN

KEY = b"equipoise"


class Filling:
    """The folder of a store while a run holds it; a context manager.

    Parameters
    ----------
    store : Path
    samples : Samples
    recorded : mapping
        What decides the vectors, as JSON values: parameters and fingerprints. Roles and the declared vocabulary are added.
    dim : int
        Columns of a vector.
    shard_rows : int
        Rows of a block.
    overwrite : bool
        Whether another run's store may be replaced. Blocks of the same rows that were made in the same way stay, so that
        a corrected label or prompt embeds no picture again; one that was edited or deleted is made again.

    Attributes
    ----------
    plan : Plan
        All rows in the order of the store.
    blocks : BlockStore
        What is finished of it.
    finished : bool
        Whether the store was complete and the table has not grown.

    Raises
    ------
    OutputExistsError, LockedError, ChecksumError, MissingFileError, InputError
        On entry: it holds another run or other rows, another process holds it, a file of it was edited or deleted, or it
        cannot be written.
    """

    plan: Plan
    blocks: BlockStore
    finished: bool

    def __init__(
        self, store: Path, samples: Samples, recorded: Mapping[str, Any], dim: int, shard_rows: int, *, overwrite: bool
    ) -> None:
        self.store, self.samples, self.dim, self.shard_rows = store, samples, dim, shard_rows
        self.roles, self.vocabulary = roles_of(samples), samples.vocabulary.to_dict()
        self.made_by = hashlib.sha256(json.dumps(plain(recorded), sort_keys=True).encode()).hexdigest()
        recorded = {**recorded, "roles": self.roles, "vocabulary": declared_in(self.vocabulary)}
        self.output = Output(store, MANIFEST, recorded, overwrite=overwrite, owned=OWNED, kept=(FOLDER,))
        self._held = ExitStack()

    def __enter__(self) -> Filling:
        with ExitStack() as held:
            held.enter_context(self.output)
            before = self._before()
            self.plan = planned(rows_table(self.samples), self.shard_rows, before, self.store)
            self.finished = self._path(MANIFEST).is_file() and before is not None and len(before) == len(self.plan)
            mend = self.output.overwrite
            self.blocks = BlockStore(self.store, self.plan, self.dim, self.made_by, mend=mend)
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def begin(self) -> None:
        """Say that blocks are about to be made: the store is not complete until :meth:`finish`."""
        about = json.dumps({"block_rows": self.plan.block_rows}).encode()
        write_table(self._path(PLAN), self.plan.rows.replace_schema_metadata({KEY: about}))
        try:
            self._path(MANIFEST).unlink(missing_ok=True)
        except OSError as error:
            raise unwritable(self._path(MANIFEST), error) from error
        self.finished = False

    def finish(
        self,
        *,
        encoder: str,
        fingerprint: Mapping[str, Any],
        preprocessing: Mapping[str, Any],
        parameters: Mapping[str, Any],
    ) -> None:
        """Write ``rows.parquet`` and, last, the manifest. A store that was complete and is the same stays untouched.

        Parameters
        ----------
        encoder : str
            Reference of the model.
        fingerprint, preprocessing, parameters : mapping
            For the manifest.
        """
        record = joined([found for number in self.plan.blocks if (found := self.blocks.record(number)) is not None])
        if len(record) != len(self.plan):
            raise RuntimeError(f"{len(self.plan)} rows were planned and {len(record)} recorded")
        reasons = record["reason"].to_pylist()
        rows = self.plan.rows
        for name, column in {"sha256": record["sha256"], **status_of(reasons)}.items():
            rows = rows.set_column(rows.column_names.index(name), name, column)
        if self.finished:
            rows_sha256 = read_manifest(self.store).rows_sha256
        else:
            rows_sha256 = write_table(self._path(TABLE), rows.replace_schema_metadata(None))
        if self.samples.root is not None:
            parameters = {**parameters, "root": stored_path(self.samples.root, self.store)}
        aside = sum(map(bool, reasons))
        manifest = Manifest(
            encoder=encoder,
            fingerprint=dict(fingerprint),
            layout="shards",
            dim=self.dim,
            images=self.blocks.shards(),
            rows_sha256=rows_sha256,
            inputs=self.samples.inputs,
            vocabulary=self.vocabulary,
            roles=self.roles,
            preprocessing=dict(preprocessing),
            rows={"in": len(rows), "used": len(rows) - aside, "set_aside": aside},
            parameters={**parameters, "block_rows": list(self.plan.block_rows)},
        ).to_json()
        path = self._path(MANIFEST)
        if not (path.is_file() and path.read_bytes() == manifest.encode()):
            atomic_write(path, manifest)
        self._path(PLAN).unlink(missing_ok=True)

    # ---------------------------------------------------------------------------------------------------- resuming

    def _path(self, name: str) -> Path:
        return self.output.path(name)

    def _before(self) -> Plan | None:
        """Return the plan of the run before: of a complete store, or of one that was interrupted."""
        if self._path(MANIFEST).is_file():
            manifest = read_manifest(self.store)
            counts = manifest.parameters.get("block_rows")
            return self._plan(read_table(self._path(TABLE), manifest.rows_sha256), counts, MANIFEST)
        if self._path(PLAN).is_file():
            table = read_table(self._path(PLAN))
            about = (table.schema.metadata or {}).get(KEY, b"{}")
            return self._plan(table.replace_schema_metadata(None), json.loads(about).get("block_rows"), PLAN)
        return None

    def _plan(self, rows: pa.Table, counts: Any, where: str) -> Plan:
        whole = isinstance(counts, list) and all(isinstance(count, int) and count > 0 for count in counts)
        if not whole or sum(counts) != len(rows):
            raise SchemaError(
                f"'{self._path(where)}' does not say which rows make a block.",
                "Make the store again with --overwrite.",
                value=counts,
            )
        return Plan(rows, tuple(counts))
