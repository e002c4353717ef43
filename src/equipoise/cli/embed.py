"""``equipoise embed``: a table of pictures through an encoder, into a store."""

from __future__ import annotations

from pathlib import Path

from equipoise.cli.arguments import Columns, Items
from equipoise.cli.common import Common, Outcome, split


def embed(
    table: Path,
    *,
    attributes: Items = None,
    encoder: str,
    store: Path,
    image: str | None = None,
    caption: str | None = None,
    columns: Columns | None = None,
    common: Common | None = None,
) -> Outcome:
    """Put a table of pictures through an encoder, into a store. Embeddings that exist already are registered, not copied.

    Parameters
    ----------
    table
        CSV, Parquet or a folder of images.
    attributes
        Columns of sensitive attributes, as gender,race,age.
    encoder
        Reference to a model: demo, precomputed:DIR, or the name of a plug-in.
    store
        Folder to write.
    image
        Column of image paths; left out with precomputed embeddings.
    caption
        Column of captions.
    """
    from equipoise.embed import embed as run

    common, columns = common or Common(), columns or Columns()
    samples = columns.read(table, split(attributes), image=image, caption=caption)
    with common.working(f"embedding {len(samples):,} rows"):
        found = run(encoder, samples, store=store, overwrite=common.overwrite)
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
