"""``equipoise embed``: a table of pictures through an encoder, into a store."""

from __future__ import annotations

from pathlib import Path

from equipoise.cli.arguments import Columns, Items
from equipoise.cli.common import Common, Outcome, Whole, split
from equipoise.cli.pictures import PictureRules


def embed(
    table: Path,
    *,
    attributes: Items = None,
    encoder: str,
    store: Path,
    image: str | None = None,
    caption: str | None = None,
    preprocess: str | None = None,
    batch_size: Whole = None,
    shard_rows: Whole = None,
    workers: Whole = None,
    device: str = "auto",
    engine: str = "local",
    columns: Columns | None = None,
    pictures: PictureRules | None = None,
    common: Common | None = None,
) -> Outcome:
    """Put a table of pictures through an encoder, into a store. Embeddings that exist already are registered, not copied.

    An interrupted run goes on where it stopped. A second run over a finished store opens no picture; it adds rows that are
    new, and embeds pictures again that changed.

    Parameters
    ----------
    table
        CSV, Parquet or a folder of images.
    attributes
        Columns of sensitive attributes, as gender,race,age.
    encoder
        Reference to a model: transformers:PATH, open_clip:ARCH/TAG, timm:NAME, onnx:PATH, py:package.module:factory,
        precomputed:DIR, demo, or the name of a plug-in.
    store
        Folder to write.
    image
        Column of image paths; left out with precomputed embeddings.
    caption
        Column of captions; they are embedded too.
    preprocess
        Name or file of a preprocessing, instead of the encoder's own.
    batch_size
        Pictures a batch, 64 unless given.
    shard_rows
        Rows of a file of the store, 1024 unless given: what a kill can cost.
    workers
        Threads that decode pictures; one a core, at most 8, unless given.
    device
        Where the encoder runs, as cuda:0.
    engine
        Who runs the blocks of rows; local: this process.
    """
    from equipoise.embed import embed as run
    from equipoise.errors import listed
    from equipoise.schema import note_code

    common, columns = common or Common(), columns or Columns()
    sizes = {"batch_size": batch_size, "shard_rows": shard_rows, "workers": workers}
    policy = (pictures or PictureRules()).policy()
    samples = columns.read(table, split(attributes), image=image, caption=caption)
    with common.working(f"embedding {len(samples):,} rows"):
        found = run(
            encoder, samples, store=store, overwrite=common.overwrite, policy=policy, preprocess=preprocess, device=device,
            engine=engine, **{name: value for name, value in sizes.items() if value is not None},
        )  # fmt: skip
    for note in found.notes:
        common.warn(note_code(note, "encoder"), note)
    if cut := found.truncated(found.texts):
        common.warn("truncated", f"{len(cut)} texts are longer than the encoder reads: {listed(map(repr, cut), 3)}.")
    used, rows_in = len(found), found.rows_in
    aside = sum(found.set_aside.values())
    rows = common.rows({"in": rows_in, "used": used, "set_aside": aside}, found.set_aside)
    unknown = found.samples.unknown()
    for attribute, count in unknown.items():
        if count:
            common.say(f"unknown {attribute}: {count:,} rows (they stay for the other attributes)")
    result = {
        "dim": found.dim,
        "encoder": found.encoder,
        "set_aside": found.set_aside,
        "unknown": unknown,
        "vocabulary": found.vocabulary.to_dict(),
    }
    return Outcome(line=str(store), result=result, out=str(store), rows=rows)
