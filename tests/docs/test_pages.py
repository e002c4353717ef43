"""Pages that say the same thing in two places say the same; the picture of the house is the house."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HOUSE = [line for line in (ROOT / "docs" / "house.txt").read_text("utf-8").splitlines() if "---" not in line]


def test_the_picture_in_contributing_is_that_of_the_docs() -> None:
    block = re.search(r"```text\n( 9 .*?)^```", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.M | re.S)
    assert block is not None
    assert block[1].splitlines() == HOUSE


def test_the_picture_shows_the_floors_of_the_import_contracts_in_order() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    rooms = [[name.strip().removeprefix("equipoise.") for name in layer.split("|")] for layer in layers]
    places = [
        min(next(i for i, line in enumerate(HOUSE) if re.search(rf"\s{{2,}}{room}\b", line)) for room in floor)
        for floor in rooms
        if not floor[0].startswith("_")
    ]
    assert places == sorted(places)


def test_links_between_files_of_the_repository_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text("utf-8")):
            assert (ROOT / target).exists(), f"{page}: {target}"
