"""Blocks on many machines: each is one task of Ray Data, made by the same function as here, written by this process.

A worker loads the model once, by its reference, and must find the fingerprint that this process found. Pictures are read
where the worker runs: their folder is one that all machines see. A worker that dies is replaced by Ray, and its blocks are
made again; a block depends on nothing but its rows, so nobody can tell.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from equipoise.errors import EquipoiseError, FingerprintError, InputError
from equipoise.pictures.block import run_block
from equipoise.pictures.engines import Pending, reader_of
from equipoise.pictures.reading import rows_of
from equipoise.schema import plain
from equipoise.store.blocks import Block

if TYPE_CHECKING:
    from equipoise.pictures.passing import Work

WORKERS = "EQUIPOISE_RAY_WORKERS"
"""Environment variable: how many workers, one a CPU of the cluster unless given."""


def ray_data(work: Work, pending: Pending, tick: Callable[[int], None]) -> Iterator[tuple[int, Block]]:
    """Run the blocks as Ray Data stages, on the cluster that Ray is connected to or on one of this machine.

    Raises
    ------
    InputError
        If Ray is not installed, or the model can neither be loaded again nor sent.
    FingerprintError
        If a worker loads another model than this process did.
    """
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        ray.init(address=os.environ.get("RAY_ADDRESS") or None, log_to_driver=False, include_dashboard=False)
    try:
        items = [{"number": number, "rows": _as_bytes(rows.select(["row_id", "image"]))} for number, rows in pending]
        count = min(_workers(ray), len(items))
        stage = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _Worker,
            batch_size=1,
            batch_format="numpy",
            concurrency=count,
            fn_constructor_kwargs={"sent": _sent(work), "fingerprint": plain(work.fingerprint)},
            num_cpus=1,
        )
        try:
            for row in stage.iter_rows():
                if row["error"]:
                    raise pickle.loads(row["error"])  # noqa: S301 (of our own worker)
                block = _block(row)
                tick(len(block.record))
                yield int(row["number"]), block
        except ray.exceptions.RayError as error:
            last = str(error).strip().splitlines()[-1:] or [type(error).__name__]
            raise InputError(f"A worker failed: {last[0]}", "Run it with --engine local to see why.") from error
    finally:
        if started:
            ray.shutdown()


class _Worker:
    """What a worker keeps from block to block: the model."""

    def __init__(self, sent: bytes, fingerprint: Mapping[str, Any]) -> None:
        self.error = b""
        try:
            self.work = self._loaded(sent, fingerprint)
        except (
            EquipoiseError
        ) as error:  # told with the first block: a worker that cannot start would be started for ever
            self.error = pickle.dumps(error)

    @staticmethod
    def _loaded(sent: bytes, fingerprint: Mapping[str, Any]) -> Work:
        remake, work, root = pickle.loads(sent)  # noqa: S301 (of our own process, never a file)
        work = remake() if remake is not None else work
        found = plain(getattr(work.model, "fingerprint", work.fingerprint))
        if found != fingerprint:
            from equipoise.store.files import differences

            raise FingerprintError(
                f"A worker loads another model than this process: {'; '.join(differences(fingerprint, found)[:3])}.",
                "Install the same versions on all machines, and give them the same files.",
            )
        return replace(work, root=root)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Make one block, or say what stands against it."""
        error, record, vectors, size = self.error, b"", np.empty((0, 0), np.float32), 0
        if not error:
            try:
                block = self._made(batch["rows"][0])
                record, vectors, size = _as_bytes(block.record), block.vectors, block.batch_size
            except EquipoiseError as found:
                error = pickle.dumps(found)
        return {
            "number": np.array([batch["number"][0]]),
            "record": np.array([record], object),
            "vectors": np.array([vectors.tobytes()], object),
            "batch_size": np.array([size]),
            "width": np.array([vectors.shape[1]]),
            "error": np.array([error], object),
        }

    def _made(self, sent: bytes) -> Block:
        work = self.work
        rows = list(rows_of(pa.ipc.open_stream(sent).read_all()))
        with reader_of(work) as reader:
            return run_block(
                rows,
                work.encode,
                lambda rows: reader.read(iter(rows)),
                work.batch_size,
                width=work.width,
                judge=work.judge,
            )


def _block(row: Mapping[str, Any]) -> Block:
    vectors = np.frombuffer(row["vectors"], np.float32).reshape(-1, int(row["width"]))
    return Block(pa.ipc.open_stream(row["record"]).read_all(), vectors, int(row["batch_size"]))


def _as_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def _sent(work: Work) -> bytes:
    """Return what a worker needs to make the work again: how to load the model, or the model itself."""
    cloudpickle: Any = import_module("ray.cloudpickle")

    root = None if work.root is None else work.root.resolve()
    if work.remake is not None:
        return cloudpickle.dumps((work.remake, None, root))
    try:
        return cloudpickle.dumps((None, replace(work, root=None), root))
    except Exception as error:  # a model of somebody's may hold anything
        raise InputError(
            f"'{work.name}' cannot be sent to a worker: {error}.",
            "Name it by a reference, as py:package.module:factory, that every machine can load.",
            value=work.name,
        ) from error


def _workers(ray: Any) -> int:
    given = os.environ.get(WORKERS)
    if given is None:
        return max(1, int(ray.cluster_resources().get("CPU", 1)))
    if not given.isdigit() or int(given) < 1:
        raise InputError(f"{WORKERS} is {given!r}.", "Give a whole number of 1 or more.", value=given)
    return int(given)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(
            "The engine 'ray' needs Ray, which is not installed.", "Install it: pip install 'equipoise[scale]'."
        ) from error
    return ray
