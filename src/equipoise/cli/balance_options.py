"""Flags of ``equipoise balance``: what is wanted, and what is written beside the weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import Parameter

from equipoise.cli.arguments import Items
from equipoise.cli.balance_source import kept_share, read_shares


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
    unknown: Literal["set_aside", "neutral", "error"] = "set_aside"
    """What becomes of rows with a missing or undeclared value."""

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of M4 that were given."""
        found = {
            "keep": kept_share(self.keep), "tolerance": self.tolerance, "tolerance_kind": self.tolerance_kind,
            "preserve": self.preserve, "cap": self.cap, "price": self.price, "utility": self.utility,
            "shares": read_shares(self.shares), "on_infeasible": self.on_infeasible, "unbalanceable": self.unbalanceable,
        }  # fmt: skip
        return {name: value for name, value in found.items() if value is not None} | {"unknown": self.unknown}


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
