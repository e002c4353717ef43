"""The shipped demo embeddings: a valid precomputed folder, complete texts, and the accuracies the card states."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import equipoise

PACKAGE = Path(equipoise.__file__).parent
FOLDER = PACKAGE / "models" / "demo_data"
QUERIES = PACKAGE / "data" / "queries"
ROOT = Path(__file__).resolve().parents[2]
SHARES_MEN_AND_WOMEN = {"Female": 0.464, "Male": 0.536}


def read_column(path: Path, column: str) -> list[str]:
    with open(path, newline="", encoding="utf-8") as file:
        return [row[column] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def groups() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "groups.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows() -> dict[str, list[str]]:
    return pq.read_table(FOLDER / "rows.parquet").to_pydict()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.load(FOLDER / "image.npy", allow_pickle=False)


@pytest.fixture(scope="module")
def texts() -> dict[str, np.ndarray]:
    names = read_column(FOLDER / "texts.csv", "text")
    vectors = np.load(FOLDER / "text.npy", allow_pickle=False)
    assert len(names) == len(vectors) == len(set(names))
    return dict(zip(names, vectors, strict=True))


def zero_shot(images: np.ndarray, texts: dict[str, np.ndarray], table: dict[str, Any]) -> np.ndarray:
    """Guessed value index of each row; written here anew, not taken from the package."""
    centres = []
    for value in table["values"]:
        unit = [texts[t.format(p)].astype(float) for p in table["prompts"][value] for t in table["templates"]]
        unit = [vector / np.linalg.norm(vector) for vector in unit]
        mean = np.mean(unit, axis=0)
        centres.append(mean / np.linalg.norm(mean))
    return (images.astype(float) @ np.array(centres).T).argmax(1)


def test_arrays_have_the_declared_shape_and_unit_rows(images: np.ndarray, texts: dict[str, np.ndarray]) -> None:
    assert images.shape == (3000, 256)
    assert images.dtype == np.float16
    matrix = np.stack(list(texts.values()))
    assert matrix.shape[1] == 256
    assert matrix.dtype == np.float16
    for array in (images, matrix):
        np.testing.assert_allclose(np.linalg.norm(array.astype(float), axis=1), 1, atol=2e-3)


def test_rows_are_the_faces_with_unique_ids_and_two_equal_halves(rows: dict[str, list[str]]) -> None:
    assert list(rows) == ["id", "gender", "race", "age", "split"]
    assert len(rows["id"]) == len(set(rows["id"])) == 3000
    assert all(re.fullmatch(r"val/\d+\.jpg", name) for name in rows["id"])
    assert sorted(rows["split"]) == ["measured"] * 1500 + ["reference"] * 1500


def test_the_split_is_the_seeded_permutation_the_description_states(rows: dict[str, list[str]]) -> None:
    seed = json.loads((FOLDER / "encoder.json").read_text(encoding="utf-8"))["split"]["seed"]
    ordered = sorted(rows["id"])
    first = {ordered[i] for i in np.random.default_rng(seed).permutation(3000)[:1500]}
    assert first == {name for name, half in zip(rows["id"], rows["split"], strict=True) if half == "reference"}


def test_both_halves_hold_women_and_men_in_the_shares_of_the_whole(rows: dict[str, list[str]]) -> None:
    halves, genders = np.array(rows["split"]), np.array(rows["gender"])
    for half in ("reference", "measured"):
        for gender, share in SHARES_MEN_AND_WOMEN.items():
            # five standard errors of 1,500 draws
            assert abs((genders[halves == half] == gender).mean() - share) < 5 * np.sqrt(0.25 / 1500)


@pytest.mark.parametrize(("attribute", "count"), [("gender", 2), ("race", 7), ("age", 9)])
def test_vocabulary_is_what_the_rows_hold(
    groups: dict[str, Any], rows: dict[str, list[str]], attribute: str, count: int
) -> None:
    table = groups[attribute]
    assert len(table["values"]) == count
    assert set(table["values"]) == set(rows[attribute]) == set(table["prompts"])
    assert table["unknown"] == ["", "NA", "unknown"]
    assert len(table["templates"]) == 3
    assert all(template.count("{}") == 1 for template in table["templates"])


def test_every_group_prompt_in_every_template_is_embedded(groups: dict[str, Any], texts: dict[str, np.ndarray]) -> None:
    wanted = {
        template.format(prompt)
        for table in groups.values()
        for prompts in table["prompts"].values()
        for prompt in prompts
        for template in table["templates"]
    }
    assert wanted - texts.keys() == set()


@pytest.mark.parametrize("path", sorted(QUERIES.glob("*.csv")), ids=lambda path: path.stem)
def test_every_built_in_query_is_embedded_verbatim(path: Path, texts: dict[str, np.ndarray]) -> None:
    queries = read_column(path, "query")
    assert queries
    assert len(queries) == len(set(queries))
    assert set(queries) - texts.keys() == set()
    assert set(read_column(path, "family")) == {path.stem}


def test_sources_name_every_list_and_its_size() -> None:
    sources = tomllib.loads((QUERIES / "sources.toml").read_text(encoding="utf-8"))
    assert set(sources) == {path.stem for path in QUERIES.glob("*.csv")}
    for name, entry in sources.items():
        assert entry["queries"] == len(read_column(QUERIES / f"{name}.csv", "query"))
        assert all(entry[key] for key in ("version", "source", "description"))


def test_explicit_queries_name_a_declared_group(groups: dict[str, Any]) -> None:
    seen = set()
    for named in read_column(QUERIES / "explicit.csv", "explicit"):
        attribute, value = named.split("=", 1)
        assert value in groups[attribute]["values"]
        seen.add(attribute)
    assert seen == {"gender", "race", "age"}


def test_core_queries_are_the_nineteen_of_the_card() -> None:
    core = {name: read_column(QUERIES / f"{name}.csv", "label").count("core") for name in ("occupations", "traits")}
    assert core == {"occupations": 14, "traits": 5}


def test_adjectives_are_every_word_in_every_template() -> None:
    labels = read_column(QUERIES / "adjectives.csv", "label")
    assert len(labels) == 29 * 11
    assert {labels.count(word) for word in set(labels)} == {11}


def test_weights_are_small_and_match_their_checksum() -> None:
    weights = FOLDER / "encoder.safetensors"
    content = weights.read_bytes()
    assert len(content) <= 6_000_000
    description = json.loads((FOLDER / "encoder.json").read_text(encoding="utf-8"))
    assert hashlib.sha256(content).hexdigest() == description["sha256"]
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert len(header.pop("__metadata__", {})) <= 1
    assert {entry["dtype"] for entry in header.values()} == {"F16"}


def test_zero_shot_accuracy_reaches_the_acceptance(
    groups: dict[str, Any], rows: dict[str, list[str]], images: np.ndarray, texts: dict[str, np.ndarray]
) -> None:
    truth = {name: np.array([groups[name]["values"].index(v) for v in rows[name]]) for name in groups}
    guess = {name: zero_shot(images, texts, groups[name]) for name in groups}
    assert (guess["gender"] == truth["gender"]).mean() >= 0.865
    assert (guess["race"] == truth["race"]).mean() >= 0.54
    assert (abs(guess["age"] - truth["age"]) <= 1).mean() >= 0.87


def test_the_card_states_what_the_arrays_give(
    groups: dict[str, Any], rows: dict[str, list[str]], images: np.ndarray, texts: dict[str, np.ndarray]
) -> None:
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    shipped = next(line for line in card.splitlines() if line.startswith("| shipped embeddings |"))
    stated = [float(cell.split()[0]) for cell in shipped.split("|")[2:-1]]
    truth = {name: np.array([groups[name]["values"].index(v) for v in rows[name]]) for name in groups}
    guess = {name: zero_shot(images, texts, groups[name]) for name in groups}
    recalls = [(guess["race"] == r)[truth["race"] == r].mean() for r in range(7)]
    measured = [
        (guess["gender"] == truth["gender"]).mean(),
        (guess["race"] == truth["race"]).mean(),
        np.mean(recalls),
        (guess["age"] == truth["age"]).mean(),
        (abs(guess["age"] - truth["age"]) <= 1).mean(),
    ]
    np.testing.assert_allclose(stated, 100 * np.array(measured), atol=0.051)


def test_the_card_names_licences_and_limits() -> None:
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    for words in ("CC BY 4.0", "FairFace", "Apache-2.0", "stands in for CLIP and is not CLIP", "perceived"):
        assert words in card


def test_published_figures_are_those_of_the_card() -> None:
    figures = json.loads((ROOT / "docs" / "_data" / "demo_encoder.json").read_text(encoding="utf-8"))
    card = (FOLDER / "CARD.md").read_text(encoding="utf-8")
    for name in ("gender", "race", "age_within_one_band"):
        value = figures["val"][name]
        assert f"{value['percent']:.1f} ({value['low']:.1f} to {value['high']:.1f})" in card
