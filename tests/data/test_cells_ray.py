"""Cells that two workers of a local Ray cluster count are those counted here, bit for bit; weights agree to 1e-9."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ray = pytest.importorskip("ray", reason="needs the extra 'scale'")
pytestmark = pytest.mark.filterwarnings("default")

from ray.data import read_parquet  # noqa: E402

from equipoise.data.cell_stream import count_cells, layout_of_files  # noqa: E402
from equipoise.data.cell_table import CellTable  # noqa: E402
from equipoise.data.cells_ray import count_cells_ray, count_keys, pieces, tag_and_pack  # noqa: E402
from equipoise.data.layout import Layout, Variable  # noqa: E402
from equipoise.errors import InputError, OutputExistsError, VocabularyError  # noqa: E402
from equipoise.mitigate.artefact import save_mitigation  # noqa: E402
from equipoise.mitigate.data.apply_ray import apply_ray, weigh_piece  # noqa: E402
from equipoise.mitigate.data.m4 import M4  # noqa: E402

LABELS = ["nurse", "hired", "tags"]
ROWS = 6000


@pytest.fixture(scope="module")
def cluster():
    tests = str(Path(__file__).parents[1])
    os.environ["EQUIPOISE_RAY_WORKERS"] = "2"
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join([tests, *sys.path])}}, object_store_memory=100 * 2**20,
    )  # fmt: skip
    yield
    ray.shutdown()
    del os.environ["EQUIPOISE_RAY_WORKERS"]


def table(n: int = ROWS) -> pa.Table:
    rng = np.random.default_rng(0)
    woman = rng.random(n) < 0.4
    group = np.where(woman, "woman", "man").astype(object)
    group[rng.random(n) < 0.03] = None
    group[rng.random(n) < 0.02] = "other"
    return pa.table(
        {
            "id": np.arange(n).astype(str),
            "gender": group,
            "nurse": rng.random(n) < np.where(woman, 0.3, 0.1),
            "hired": pa.array(rng.integers(0, 2, n).astype(float), mask=rng.random(n) < 0.01),
            "tags": [["red", "blue", "green"][: rng.integers(0, 4)] for _ in range(n)],
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rows = tmp_path_factory.mktemp("rows"), table()
    for number, start in enumerate(range(0, ROWS, 2500)):
        pq.write_table(rows.slice(start, 2500), root / f"{number}.parquet", row_group_size=400)
    return root


@pytest.fixture(scope="module")
def layout(folder: Path) -> Layout:
    return layout_of_files(folder, "gender", LABELS, vocabulary={"gender": ["woman", "man"]})


@pytest.fixture(scope="module")
def fitted(folder: Path, layout: Layout) -> M4:
    return M4("gender", LABELS).fit(count_cells(folder, layout))


def same(found: CellTable, expected: CellTable) -> None:
    np.testing.assert_array_equal(found.keys, expected.keys)
    np.testing.assert_array_equal(found.counts, expected.counts)
    assert found.set_aside == expected.set_aside
    assert found.layout == expected.layout


def test_files_and_datasets_have_the_cells_of_one_machine(
    cluster, folder: Path, layout: Layout, tmp_path: Path
) -> None:
    here = count_cells(folder, layout)
    assert len(here.set_aside) >= 3
    told: list[tuple[int, int]] = []
    there = count_cells_ray(
        folder, layout, piece_rows=800, progress=lambda what, done, total: told.append((done, total))
    )
    same(there, here)
    assert told[-1] == (len(told), len(told)) == (10, 10)
    there.to_parquet(tmp_path / "there")
    here.to_parquet(tmp_path / "here")
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
    found = count_cells_ray(read_parquet(str(folder)), layout, unknown="neutral")
    same(found, count_cells(folder, layout, unknown="neutral"))


def test_the_error_of_a_worker_is_the_error_here(cluster, folder: Path, layout: Layout) -> None:
    with pytest.raises(VocabularyError, match="'gender' is missing or undeclared"):
        count_cells_ray(folder, layout, unknown="error")


def test_weights_are_those_of_one_machine(cluster, folder: Path, fitted: M4, tmp_path: Path) -> None:
    fitted.save(tmp_path / "duals.json")
    out = tmp_path / "out"
    written = apply_ray(folder, tmp_path / "duals.json", out, piece_rows=1000)
    found = pa.concat_tables(pq.read_table(path) for path in sorted(out.glob("part-*.parquet")))
    rows = pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*.parquet")))
    assert found.select(rows.column_names).equals(rows)
    weights, status = fitted.weights(rows), np.array(fitted.status(rows))
    np.testing.assert_array_equal(found["m4_status"].to_numpy(), status)
    mine = found["m4_weight"].to_numpy()
    np.testing.assert_array_equal(np.isnan(mine), status != "")
    np.testing.assert_allclose(mine[status == ""], weights[status == ""], rtol=0, atol=1e-9)
    assert written.rows_in == ROWS
    assert written.rows_in == written.rows_used + sum(written.set_aside.values())
    assert written.total == pytest.approx(np.nansum(mine), rel=1e-12)


def test_a_killed_run_is_taken_up_and_another_is_not_overwritten(
    cluster, folder: Path, fitted: M4, tmp_path: Path
) -> None:
    save_mitigation(fitted, tmp_path / "mitigation")
    out = tmp_path / "out"
    first = apply_ray(folder, tmp_path / "mitigation", out, piece_rows=2000)
    before = {path.name: path.read_bytes() for path in out.glob("*.parquet")}
    kept = (out / "part-000000.parquet").stat().st_mtime_ns
    (out / "part-000001.parquet").unlink()
    (out / "weights.json").unlink()
    again = apply_ray(folder, fitted, out, piece_rows=2000)
    assert again.resumed == len(before) - 1
    assert (again.total, again.set_aside) == (first.total, first.set_aside)
    assert {path.name: path.read_bytes() for path in out.glob("*.parquet")} == before
    assert (out / "part-000000.parquet").stat().st_mtime_ns == kept
    assert apply_ray(folder, fitted, out, piece_rows=2000).resumed == -1
    with pytest.raises(OutputExistsError):
        apply_ray(folder, fitted, out, piece_rows=800)
    with pytest.raises(InputError, match="already"):
        apply_ray(out, fitted, tmp_path / "twice")
    with pytest.raises(InputError, match="table itself"):
        apply_ray(folder, fitted, folder)


def test_stages_alone(folder: Path, layout: Layout) -> None:
    """What a worker does, in this process: rows are counted piece by piece, keys of two words too."""
    wide = Layout((*layout.variables, Variable("id", "label", "values", tuple(str(i) for i in range(70)))))
    for kind in (layout, wide):
        sent = {"layout": kind.to_dict(), "layout_id": kind.id, "unknown": "neutral"}
        total = CellTable.from_batches([], kind)
        for item in pieces(folder, None, 800):
            batch = {"number": [item["number"]], "piece": [item["piece"]]}
            for packed in tag_and_pack(batch, **sent):
                row = count_keys(packed, **sent)
                total = total + CellTable.from_arrow(pa.ipc.open_stream(row["cells"][0].as_py()).read_all(), kind)
        same(total, count_cells(folder, kind, unknown="neutral"))


def test_a_worker_with_another_layout_says_so(folder: Path, layout: Layout) -> None:
    item = pieces(folder, None, 800)[0]
    sent = {"layout": layout.to_dict(), "layout_id": "0" * 64}
    packed = next(tag_and_pack({"number": [0], "piece": [item["piece"]]}, **sent))
    assert b"another layout" in count_keys(packed, **sent)["error"][0].as_py()


def test_a_worker_that_cannot_write_says_so(folder: Path, fitted: M4, tmp_path: Path) -> None:
    from equipoise.mitigate.data.apply_ray import _sent

    item = pieces(folder, None, 800)[0]
    batch = {"number": [0], "piece": [item["piece"]]}
    row = weigh_piece(batch, _sent(fitted), str(tmp_path / "absent"), "m4_weight", "m4_status")
    assert b"absent" in row["error"][0].as_py()


def test_the_verb_on_ray_writes_what_one_machine_writes(cluster, tmp_path: Path, capsys) -> None:
    from equipoise.cli import main

    rng = np.random.default_rng(0)
    gender = rng.choice(["woman", "man"], 3000, p=[0.3, 0.7])
    nurse = rng.random(3000) < np.where(gender == "woman", 0.4, 0.1)
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"gender": gender, "nurse": nurse}), source, row_group_size=700)
    words = ["balance", str(source), "--attribute", "gender", "--labels", "nurse", "--no-controls"]
    assert main([*words, "--out", str(tmp_path / "one.parquet")]) == 0
    assert main([*words, "--engine", "ray", "--out", str(tmp_path / "many")]) == 0
    one, many = (
        pq.read_table(tmp_path / "one.parquet"),
        pq.read_table(sorted((tmp_path / "many").glob("part-*.parquet"))),
    )
    np.testing.assert_allclose(one["m4_weight"].to_numpy(), many["m4_weight"].to_numpy(), atol=1e-9)
    assert main([*words, "--engine", "ray", "--by", "nurse", "--out", str(tmp_path / "other")]) == 2
    assert "--by is for one machine" in capsys.readouterr().err
