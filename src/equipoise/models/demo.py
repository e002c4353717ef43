"""The demo encoder: embeddings of 3,000 faces and of the built-in queries, shipped with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from equipoise.data.precomputed_folder import read_folder
from equipoise.data.samples import Samples, read_samples
from equipoise.errors import InputError
from equipoise.models.precomputed import Precomputed

ATTRIBUTES = ("gender", "race", "age")
"""Perceived attributes that the rows of the demo carry."""


def folder() -> Path:
    """Return the folder of the demo's arrays, its rows and its vocabulary."""
    return Path(str(files("equipoise.models"))) / "demo_data"


def load(argument: str = "") -> Precomputed:
    """Return the demo encoder."""
    if argument:
        raise InputError(f"'demo' takes nothing after a colon, not '{argument}'.", "Write demo.", value=argument)
    return Precomputed(read_folder(folder()), "demo")


def samples() -> Samples:
    """Return the rows of the demo: perceived gender, race and age of FairFace, and a split for fitting and auditing."""
    return read_samples(
        folder() / "rows.parquet", id="id", attributes=ATTRIBUTES, split="split", vocabulary=folder() / "groups.toml"
    )
