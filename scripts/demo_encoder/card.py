"""The model card, from its template and the measured figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def _rate(value: dict[str, Any]) -> str:
    return f"{value['percent']:.1f} ({value['low']:.1f} to {value['high']:.1f})"


def render_card(figures: dict[str, Any], groups: dict[str, Any]) -> str:
    """Fill ``card.md.jinja``; every number in the card comes from ``figures`` or ``groups``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, from our own figures
    )
    environment.filters["rate"] = _rate
    rare = {age: value for age, value in figures["age_recall"].items() if value["percent"] < 20}
    cells = {
        (race, gender): value
        for race, by_gender in figures["gender_by_race_and_gender"].items()
        for gender, value in by_gender.items()
    }
    lowest = min(cells, key=lambda cell: cells[cell]["percent"])
    return environment.get_template("card.md.jinja").render(
        f=figures, groups=groups, rare=rare, lowest=lowest, lowest_rate=cells[lowest]
    )
