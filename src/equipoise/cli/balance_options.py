"""Flags of ``equipoise balance``: what is wanted, and what is written beside the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from equipoise.cli.arguments import Items
from equipoise.cli.balance_source import kept_share, read_bins, read_shares
from equipoise.cli.common import Whole, split
from equipoise.errors import InputError

if TYPE_CHECKING:
    from equipoise.data.groups import Vocabulary
    from equipoise.mitigate.data.m4 import M4

PUBLISHED = {
    "keep": "keep", "tolerance": "eps_d", "tolerance_first": "eps_r", "price": "price", "shares": "shares"
}  # fmt: skip
"""Options of the published form, by what M4.faithful calls them."""


@Parameter(name="*", group="What is wanted")
@dataclass(frozen=True)
class Wanted:
    """Options of M4; those that are not given are its defaults."""

    keep: str | None = None
    """auto: how much is kept is a result; or a share as 0.9."""
    tolerance: float | None = None
    """Of a group's share inside a label, 0.05 unless given; a tenth of it over all rows."""
    tolerance_kind: Literal["share", "absolute", "gap"] | None = None
    """share; absolute, as published; or gap: of the difference of label rates."""
    preserve: float | None = None
    """Keep the prevalence of every label within this share of itself, as 0.1."""
    cap: float | None = None
    """Largest weight: 1 for chances of being kept; above 1 with --keep 1 for importance weights."""
    price: float | None = None
    """Price of a unit of violation, 100 unless given."""
    utility: str | None = None
    """Column of numbers that weights stay close to."""
    shares: Path | None = None
    """TOML file of wanted shares: a table an attribute, a number a group; equal shares unless given."""
    proxies: Items = None
    """Columns, or COLUMN:VALUE, that stand for labels and are constrained alike."""
    on_infeasible: Literal["error", "soften", "auto-eta"] | None = None
    """error (exit 4); soften: leave constraints broken; auto-eta: keep less."""
    unbalanceable: Literal["exempt", "error", "drop_rows"] | None = None
    """What becomes of labels whose rows are of one group alone."""
    unknown: Literal["set_aside", "neutral", "error"] | None = None
    """What becomes of rows with a missing or undeclared value; set_aside unless given."""
    pairings: Literal["any", "text-text", "image-image", "text-image", "image-text"] | None = None
    """Of variables seen twice (gender_text and gender_image): where the attribute and where the label is read."""
    mask: Literal["auto", "none"] | None = None
    """auto: rows without exactly one group are left alone; none: they are constrained too, as published."""
    tolerance_first: float | None = None
    """Of a group's share over all rows; a tenth of --tolerance unless given."""
    min_retention: float | None = None
    """Refuse to keep less than this share, 0.01 unless given."""
    bins: Items = None
    """Values that --utility is rounded to, at most 16, as 0,0.5,1: rows are then counted as cells."""
    solver: Literal["auto", "cells", "rows", "online"] | None = None
    """cells: exact on counts of patterns; rows: exact in passes over them; online: one pass over a stream."""
    max_cells: Whole = None
    """More patterns than this are read in chunks, 4,000,000 unless given."""
    faithful: Annotated[bool, Parameter(negative="", show_default=False)] = False
    """The published form (alabdulmohsin-2024): its literal update, one row a step, one pass; nothing is refused as infeasible."""

    @property
    def given(self) -> list[str]:
        """Return the names of the options that were given."""
        return [name for name, value in vars(self).items() if value is not None and value is not False]

    def method(self, attributes: list[str], labels: list[str], vocabulary: Vocabulary | None, seed: int) -> M4:
        """Return what is to be fitted.

        Raises
        ------
        InputError
            If an option does not apply to the published form, or is out of range.
        """
        from equipoise.mitigate.data.m4 import M4

        options = self.options()
        if not self.faithful:
            return M4(attributes, labels, proxies=split(self.proxies), seed=seed, vocabulary=vocabulary, **options)
        if strange := [name for name in self.given if name not in (*PUBLISHED, "faithful", "unknown")]:
            flag = f"--{strange[0].replace('_', '-')}"
            raise InputError(f"{flag} is not of the published form.", f"Leave out {flag}, or --faithful.", value=flag)
        if self.keep == "auto":
            raise InputError("--keep auto is not of the published form.", "Give a share, as --keep 0.9.", value="auto")
        unknown = options.pop("unknown", "set_aside")
        method = M4.faithful(attributes, labels, **{PUBLISHED[name]: value for name, value in options.items()})
        method.options = replace(method.options, unknown=unknown, seed=seed, vocabulary=vocabulary)
        return method

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of M4 that were given."""
        found = {
            "keep": kept_share(self.keep), "tolerance": self.tolerance, "tolerance_kind": self.tolerance_kind,
            "preserve": self.preserve, "cap": self.cap, "price": self.price, "utility": self.utility,
            "shares": read_shares(self.shares), "on_infeasible": self.on_infeasible, "unbalanceable": self.unbalanceable,
            "unknown": self.unknown, "pairings": self.pairings, "mask": self.mask, "tolerance_first": self.tolerance_first,
            "min_retention": self.min_retention, "bins": read_bins(split(self.bins)), "solver": self.solver,
            "max_cells": self.max_cells,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None}


@Parameter(name="*", group="What is written beside the weights")
@dataclass(frozen=True)
class Written:
    """Further outputs."""

    cells_out: Path | None = None
    """Parquet file of the cells: counts of rows by pattern, which add up over shards and days."""
    duals_out: Path | None = None
    """JSON file of the duals: what --apply reads."""
    mitigation_out: Path | None = None
    """Folder of the fitted mitigation."""
    ledger_out: Path | None = None
    """Folder of the ledger: what report and gate read."""
    list_out: Path | None = None
    """List of the rows that are kept (.txt, .jsonl or .parquet), by --id."""
