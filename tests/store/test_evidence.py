from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.groups import Vocabulary
from equipoise.data.queries import Query
from equipoise.errors import ChecksumError, MissingColumnError, MissingFileError, SchemaError
from equipoise.store.evidence import SLAB, PredictionEvidence, RankingEvidence, check_files, clusters_of, codes_of

WORDS = Vocabulary.infer({"gender": ["F", "M"], "arm": ["left", "right"]})
QUERIES = (Query('a "q", x', "jobs"), Query("=b\nc", "traits"))


@pytest.fixture
def evidence() -> RankingEvidence:
    rng = np.random.default_rng(0)
    text = {"row_id": list("abc"), "cluster": ["", "", ""], "gender": ["F", "M", None], "arm": ["left", "", "right"]}
    scores = {arm: rng.normal(size=(2, 3)).astype(np.float32) for arm in ("main", "noop")}
    zero_shot = {
        arm: {name: rng.integers(0, 2, 3).astype(np.int32) for name in ("gender", "arm")} for arm in ("main", "noop")
    }
    ranks = {arm: np.array([0, 2], np.int64) for arm in scores}
    rows = pa.table({name: pa.array(values, pa.string()) for name, values in text.items()})
    return RankingEvidence(rows, QUERIES, scores, zero_shot, ranks, np.array([0, 2], np.int64))


def test_saved_and_read_again_is_equal(evidence, tmp_path) -> None:
    files = evidence.save(tmp_path / "e")
    assert set(files) == {
        "rows.parquet", "queries.csv", "scores.safetensors", "arms/noop.safetensors", "zero_shot.safetensors", "caption_ranks.parquet",
    }  # fmt: skip
    found = RankingEvidence.load(tmp_path / "e", QUERIES, ["main", "noop"], files)
    assert found.rows.equals(evidence.rows)
    assert found.digest() == evidence.digest()
    for arm in ("main", "noop"):
        assert np.array_equal(found.scores[arm], evidence.scores[arm])
        assert found.scores[arm].dtype == np.float32
        assert np.array_equal(found.ranks[arm], evidence.ranks[arm])
        for name in ("gender", "arm"):  # an attribute may be called as a column of ours
            assert np.array_equal(found.zero_shot[arm][name], evidence.zero_shot[arm][name])
    assert evidence.save(tmp_path / "again") == files


def test_queries_stand_in_the_order_of_the_scores(evidence, tmp_path) -> None:
    import csv

    evidence.save(tmp_path)
    with (tmp_path / "queries.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["family", "query"], ["jobs", 'a "q", x'], ["traits", "=b\nc"]]


@pytest.mark.parametrize(
    "name", ["rows.parquet", "scores.safetensors", "arms/noop.safetensors", "zero_shot.safetensors"]
)
def test_a_changed_file_is_named(evidence, tmp_path, name) -> None:
    files = evidence.save(tmp_path)
    data = bytearray((tmp_path / name).read_bytes())
    data[-1] ^= 1
    (tmp_path / name).write_bytes(bytes(data))
    with pytest.raises(ChecksumError, match=name):
        RankingEvidence.load(tmp_path, QUERIES, ["main", "noop"], files)
    (tmp_path / name).unlink()
    with pytest.raises(MissingFileError, match=name):
        RankingEvidence.load(tmp_path, QUERIES, ["main", "noop"], files)


def test_a_file_that_was_not_recorded_is_not_read(evidence, tmp_path) -> None:
    files = evidence.save(tmp_path)
    found = RankingEvidence.load(
        tmp_path, QUERIES, ["main"], {k: v for k, v in files.items() if "zero" not in k and "caption" not in k}
    )
    assert (found.zero_shot, found.ranks) == ({}, {})
    with pytest.raises(SchemaError, match="no SHA-256 of 'scores.safetensors'"):
        RankingEvidence.load(tmp_path, QUERIES, ["main"], {k: v for k, v in files.items() if "scores" not in k})


def test_digest_tells_every_part_apart(evidence) -> None:
    from dataclasses import replace

    others = [
        replace(evidence, scores={**evidence.scores, "main": evidence.scores["main"] + 1}),
        replace(evidence, zero_shot={}),
        replace(evidence, ranks={}),
        replace(evidence, rows=evidence.rows.slice(0, 2)),
    ]
    assert len({found.digest() for found in [evidence, *others]}) == 5


def test_predictions(tmp_path) -> None:
    rows = pa.table(
        {"row_id": ["a"], "cluster": ["p"], "label": ["1"], "prediction": ["0"], "score": [0.5], "gender": ["F"]}
    )
    files = PredictionEvidence(rows).save(tmp_path)
    found = PredictionEvidence.load(tmp_path, files)
    assert found.rows.equals(rows)
    assert (found.ids, found.clusters.tolist()) == (["a"], [0])
    assert found.digest() == PredictionEvidence(rows).digest()


def test_clusters() -> None:
    assert clusters_of(pa.table({"cluster": ["", ""]})) is None
    found = clusters_of(pa.table({"cluster": ["x", "", "x", ""]}))
    assert found is not None
    assert found[0] == found[2]
    assert len(set(found)) == 3


def test_codes(evidence) -> None:
    assert codes_of(evidence.rows, WORDS, "gender").tolist() == [0, 1, -1]
    assert codes_of(evidence.rows, WORDS, "gender:arm").tolist() == [0, -1, -1]
    with pytest.raises(MissingColumnError, match="no column for 'arm'"):
        codes_of(evidence.rows.drop_columns(["arm"]), WORDS, "arm")


def test_nothing_to_check() -> None:
    check_files(None, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [0, 1, 5, 2 * SLAB + 7])
def test_the_digest_is_of_all_cells_in_order(rows) -> None:
    names = [f"r{i}'\u00e9" for i in range(rows)]
    columns = {
        "row_id": names,
        "cluster": [""] * rows,
        "label": ["a"] * rows,
        "prediction": [None, "b"] * (rows // 2) + ["c"] * (rows % 2),
    }
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    wanted = hashlib.sha256("".join(repr(item) for item in columns.items()).encode())
    assert PredictionEvidence(table).digest() == wanted.hexdigest()
