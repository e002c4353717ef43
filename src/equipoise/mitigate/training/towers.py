"""Which parameters of a model with two towers are trained: all, the last blocks of each tower, or what stands behind them.

A tower is a part of the model with a row of blocks (layers of a transformer); its head is what stands behind the last of
them: the last normalisation, a pooling, a projection. Parameters outside of the towers (projections, scale and bias of the
cosines) belong to the heads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from equipoise.errors import InputError


@dataclass(frozen=True)
class Trainable:
    """What is trained of a model.

    Attributes
    ----------
    asked : str
        ``all``, ``last:N`` or ``heads``.
    names : tuple of str
        Parameters that are trained.
    parameters, of : int
        How many numbers they hold, and how many the model has.
    blocks : dict of str to int
        Blocks of each tower.
    """

    asked: str
    names: tuple[str, ...]
    parameters: int
    of: int
    blocks: dict[str, int]

    def __str__(self) -> str:
        share = self.parameters / self.of
        towers = ", ".join(f"{name} has {count} blocks" for name, count in self.blocks.items())
        return f"trainable={self.asked}: {self.parameters:,} of {self.of:,} parameters ({share:.1%}); {towers}."


def choose(model: Any, asked: str) -> Trainable:
    """Let the parameters that were asked for require a gradient, and no others.

    Parameters
    ----------
    model : torch.nn.Module
    asked : str
        ``"all"``; ``"last:2"``: the last two blocks of each tower and the heads; ``"heads"``.

    Raises
    ------
    InputError
        If it is none of these, or a tower has fewer blocks.
    """
    found = re.fullmatch(r"all|heads|last:([1-9]\d*)", str(asked))
    if found is None:
        raise InputError(f"'trainable' is {asked!r}.", "Give all, heads, or last:N as last:2.", value=asked)
    towers = {name: blocks_of(name, child) for name, child in model.named_children()}
    towers = {name: blocks for name, blocks in towers.items() if blocks}
    last = int(found[1]) if found[1] else 0
    short = {name: len(blocks) for name, blocks in towers.items() if len(blocks) < last}
    if asked != "all" and (short or not towers):
        what = (
            ", ".join(f"'{name}' has {count} blocks" for name, count in short.items()) or "it has no tower with blocks"
        )
        raise InputError(
            f"trainable={asked} does not fit this model: {what}.", "Train all, or fewer blocks.", value=asked
        )
    every = dict(model.named_parameters())
    chosen = set(every) if asked == "all" else _behind(list(every), towers, last)
    for name, parameter in every.items():
        parameter.requires_grad_(name in chosen)
    names = tuple(name for name in every if name in chosen)
    return Trainable(
        str(asked), names, sum(every[name].numel() for name in names), sum(one.numel() for one in every.values()),
        {name: len(blocks) for name, blocks in towers.items()},
    )  # fmt: skip


def blocks_of(prefix: str, tower: Any) -> list[str]:
    """Return the names of a tower's blocks: the entries of the largest outermost list of modules in it."""
    import torch

    lists = {name: part for name, part in tower.named_modules() if isinstance(part, torch.nn.ModuleList) and len(part)}
    outer = {name: part for name, part in lists.items() if not any(name.startswith(f"{other}.") for other in lists)}
    if not outer:
        return []
    name = max(outer, key=lambda one: sum(parameter.numel() for parameter in outer[one].parameters()))
    return [f"{prefix}.{name}.{place}" for place in range(len(outer[name]))]


def _behind(names: list[str], towers: dict[str, list[str]], last: int) -> set[str]:
    """Return the parameters of the last blocks of each tower, of what stands behind them, and of no tower."""
    chosen = set()
    for tower, blocks in towers.items():
        inside = [name for name in names if name.startswith(f"{tower}.")]
        end = max(place for place, name in enumerate(inside) if name.startswith(f"{blocks[-1]}."))
        chosen |= set(inside[end + 1 :])
        wanted = tuple(f"{block}." for block in blocks[len(blocks) - last :])
        chosen |= {name for name in inside if wanted and name.startswith(wanted)}
    return chosen | {name for name in names if name.partition(".")[0] not in towers}
