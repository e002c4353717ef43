"""Weights beside the rows: columns, nulls, whole or absent, taken up again after SIGKILL with the same bytes."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from equipoise.data.cell_stream import layout_of_files
from equipoise.data.samples import read_samples
from equipoise.errors import InputError, LockedError, MissingColumnError
from equipoise.mitigate.data import weights_file
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.reweigh import Reweigh
from equipoise.mitigate.data.selection import copies, keep
from equipoise.mitigate.data.weights_file import webdataset_filter, write_list, write_weights
from equipoise.protocols import DataMitigation
from equipoise.store.files import lock

N = 3000


def people(n: int = N, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    gender = np.array(["woman", "man", None], object)[rng.choice(3, n, p=[0.4, 0.5, 0.1])]
    nurse = rng.random(n) < np.where(gender == "woman", 0.4, 0.1)
    return pa.table(
        {
            "url": [f"https://x/{i}.jpg" for i in range(n)], "caption": [f"über {i}\n“two lines”" for i in range(n)],
            "gender": pa.array(gender, pa.string()), "nurse": pa.array(nurse.astype(int)),
        }
    )  # fmt: skip


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    pq.write_table(people(), path, row_group_size=500)
    return path


@pytest.fixture(scope="module")
def m4() -> M4:
    return M4("gender", "nurse").fit(people())


def small(monkeypatch, rows: int = 700) -> None:
    """Cut parts small, so that there are several."""
    monkeypatch.setattr(weights_file, "PART_ROWS", rows)
    monkeypatch.setattr(weights_file, "READ_ROWS", 100)


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".") or path.name.endswith(".partial")]


def test_the_columns(table, m4, tmp_path):
    seen = []
    out = write_weights(table, tmp_path / "out.parquet", m4, progress=lambda *said: seen.append(said))
    found, rows = pq.read_table(out.path), pq.read_table(table)
    assert found.column_names == [*rows.column_names, "m4_weight", "m4_status"]
    assert [name for name in found.column_names if "weight" in name] == ["m4_weight"]
    assert found.select(rows.column_names).equals(rows)
    assert found["m4_weight"].type == pa.float64()
    unknown = [value is None for value in rows["gender"].to_pylist()]
    assert [value is None for value in found["m4_weight"].to_pylist()] == unknown
    assert found["m4_status"].to_pylist() == ["gender is unknown" if none else "" for none in unknown]
    weights = found["m4_weight"].drop_null().to_numpy()
    assert weights.tolist() == m4.weights(rows)[~np.array(unknown)].tolist()
    assert weights.min() >= 0
    assert weights.max() <= 1
    assert out.rows_in == N == out.rows_used + sum(out.set_aside.values())
    assert out.set_aside == {"gender is unknown": sum(unknown)}
    assert out.total == pytest.approx(weights.sum())
    assert seen[-1][1] == seen[-1][2] == table.stat().st_size
    assert not hidden(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "arrow", "folder", "several"])
def test_every_kind_of_file(kind, table, m4, tmp_path):
    rows = people()
    wanted = m4.weights(rows)
    source = tmp_path / f"rows.{kind}"
    if kind in ("csv", "tsv"):
        options = pa_csv.WriteOptions(delimiter="," if kind == "csv" else "\t")
        pa_csv.write_csv(rows, source, write_options=options)
        layout = layout_of_files(source, "gender", "nurse")
        assert layout.variable("nurse").kind == "flag"
    elif kind == "arrow":
        with pa.OSFile(str(source), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
            writer.write_table(rows)
    else:
        source.mkdir()
        for i in range(3):
            pq.write_table(rows.slice(1000 * i, 1000), source / f"part_{i}.parquet")
        source = source if kind == "folder" else sorted(source.iterdir())
    out = write_weights(source, tmp_path / "out.parquet", m4)
    found = pq.read_table(out.path)
    assert found["url"].to_pylist() == rows["url"].to_pylist()
    assert found["caption"].to_pylist() == rows["caption"].to_pylist()
    assert np.nan_to_num(found["m4_weight"].to_numpy()).tolist() == wanted.tolist()


def test_parts_are_the_same_as_one(table, m4, tmp_path, monkeypatch):
    one = pq.read_table(write_weights(table, tmp_path / "one.parquet", m4).path)
    small(monkeypatch)
    out = write_weights(table, tmp_path / "many.parquet", m4)
    assert pq.read_table(out.path).equals(one)
    assert pq.ParquetFile(out.path).num_row_groups == 5
    assert not hidden(tmp_path)


def test_the_same_run_is_done_and_another_replaces(table, m4, tmp_path, monkeypatch):
    dst = tmp_path / "out.parquet"
    first = write_weights(table, dst, m4)
    before = dst.stat().st_mtime_ns
    left = tmp_path / ".out.parquet.parts"  # of a run that was killed after its file was there
    left.mkdir()
    (left / "000000.arrow").write_bytes(b"half")
    again = write_weights(table, dst, m4)
    assert again.resumed == -1
    assert not hidden(tmp_path)
    assert dst.stat().st_mtime_ns == before
    assert (again.rows_used, again.total, again.set_aside) == (first.rows_used, first.total, first.set_aside)
    other = write_weights(table, dst, Reweigh("gender", "nurse").fit(people()))
    assert other.total != first.total
    pq.write_table(people(50), table)
    assert write_weights(table, dst, m4).rows_in == 50
    dst.write_bytes(b"PAR1 broken")
    assert write_weights(table, dst, m4).rows_in == 50


class Counting(Reweigh):
    """Counts the rows it weighs, and gives up after some."""

    weighed = 0
    most = 10**9

    def weights(self, samples):
        Counting.weighed += len(samples)
        if Counting.weighed > Counting.most:
            raise KeyboardInterrupt
        return super().weights(samples)


def test_what_is_done_is_not_done_again(table, tmp_path, monkeypatch):
    small(monkeypatch)
    method = Counting("gender", "nurse").fit(people())
    whole = write_weights(table, tmp_path / "whole.parquet", method).path.read_bytes()
    Counting.weighed, Counting.most = 0, 1500
    with pytest.raises(KeyboardInterrupt):
        write_weights(table, tmp_path / "out.parquet", method)
    assert not (tmp_path / "out.parquet").exists()
    assert hidden(tmp_path) == [".out.parquet.parts"]
    Counting.weighed, Counting.most = 0, 10**9
    out = write_weights(table, tmp_path / "out.parquet", method)
    assert out.resumed == 2
    assert Counting.weighed == N - 1400
    assert out.path.read_bytes() == whole
    assert not hidden(tmp_path)
    Counting.weighed, Counting.most = 0, 1500
    with pytest.raises(KeyboardInterrupt):
        write_weights(table, tmp_path / "next.parquet", method)
    Counting.most = 10**9
    other = write_weights(table, tmp_path / "next.parquet", method, column="q_weight")  # another run: from the start
    assert other.resumed == 0
    assert pq.read_schema(other.path).names[-2:] == ["q_weight", "q_status"]


CHILD = """
import sys, time
from equipoise.mitigate.data import weights_file
from equipoise.mitigate.data.reweigh import Reweigh
weights_file.PART_ROWS, weights_file.READ_ROWS = 700, 100
class Slow(Reweigh):
    def weights(self, samples):
        time.sleep(0.04)
        return super().weights(samples)
import pyarrow.parquet as pq
method = Slow("gender", "nurse").fit(pq.read_table(sys.argv[1]))
print("ready", flush=True)
print(weights_file.write_weights(sys.argv[1], sys.argv[2], method).resumed)
"""


def test_killed_and_resumed(table, tmp_path):
    """SIGKILL at random moments, then once more: the bytes of a run that nobody disturbed."""

    def start(dst: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, str(table), str(dst)], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    clean, dst = tmp_path / "clean.parquet", tmp_path / "out.parquet"
    with start(clean) as child:
        assert child.communicate(timeout=60)[0].split() == ["ready", "0"]
    rng = random.Random(0)
    hit = 0
    for _ in range(3):
        with start(dst) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(rng.uniform(0.03, 0.2))
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                hit += 1
        assert not dst.exists() or dst.read_bytes() == clean.read_bytes()
    with start(dst) as child:
        child.communicate(timeout=60)
    assert hit
    assert dst.read_bytes() == clean.read_bytes()
    assert not hidden(tmp_path)


def test_two_processes_do_not_write_one_output(table, m4, tmp_path):
    staging = tmp_path / ".out.parquet.parts"
    staging.mkdir()
    with lock(staging), pytest.raises(LockedError):
        write_weights(table, tmp_path / "out.parquet", m4)


def test_what_cannot_be_written_is_refused(table, m4, tmp_path):
    with pytest.raises(InputError, match="itself"):
        write_weights(table, table, m4)
    (tmp_path / "folder").mkdir()
    pq.write_table(people(10), tmp_path / "folder" / "a.parquet")
    with pytest.raises(InputError, match="itself"):
        write_weights(tmp_path / "folder", tmp_path / "folder" / "out.parquet", m4)
    with pytest.raises(InputError, match=r"\.parquet"):
        write_weights(table, tmp_path / "out.csv", m4)
    write_weights(table, tmp_path / "once.parquet", m4)
    with pytest.raises(InputError, match="already"):
        write_weights(tmp_path / "once.parquet", tmp_path / "twice.parquet", m4)
    pq.write_table(people(10).drop_columns("nurse"), tmp_path / "less.parquet")
    with pytest.raises(MissingColumnError, match="nurse"):
        write_weights(tmp_path / "less.parquet", tmp_path / "out.parquet", m4)
    pq.write_table(people(0), tmp_path / "empty.parquet")
    with pytest.raises(InputError, match="no rows"):
        write_weights(tmp_path / "empty.parquet", tmp_path / "out.parquet", m4)
    with pytest.raises(InputError, match="cannot be written"):
        write_weights(table, tmp_path / "less.parquet" / "out.parquet", m4)


def test_a_plug_in_without_state_and_one_that_fails(table, tmp_path):
    class Half(DataMitigation):
        name = "half"
        value = 0.5
        attributes = ("gender",)

        def fit(self, samples):
            return self

        def weights(self, samples):
            return np.full(samples.num_rows, self.value)

    out = write_weights(table, tmp_path / "out.parquet", Half())
    assert (out.rows_used, out.total, out.set_aside) == (N, N / 2, {})
    bad = Half()
    bad.value = np.nan
    with pytest.raises(InputError, match="finite"):
        write_weights(table, tmp_path / "bad.parquet", bad)


# --------------------------------------------------------------------------------------------------------- lists


def test_a_list_of_what_is_kept(table, m4, tmp_path):
    out = write_weights(table, tmp_path / "out.parquet", m4).path
    rows = pq.read_table(out)
    kept = keep(rows["url"], rows["m4_weight"], 3)
    urls = [url for url, k in zip(rows["url"].to_pylist(), kept, strict=True) if k]
    said = write_list(table, tmp_path / "a.txt", m4, id="url", seed=3)
    assert (said.rows_in, said.rows_kept, said.lines) == (N, len(urls), len(urls))
    assert (tmp_path / "a.txt").read_text("utf-8").splitlines() == urls
    write_list(out, tmp_path / "b.txt", id="url", seed=3)
    assert (tmp_path / "b.txt").read_bytes() == (tmp_path / "a.txt").read_bytes()
    write_list(out, tmp_path / "c.jsonl", id="url", columns=["caption"], seed=3)
    lines = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text("utf-8").splitlines()]
    assert [line["url"] for line in lines] == urls
    assert lines[0]["caption"] == rows["caption"].to_pylist()[rows["url"].to_pylist().index(urls[0])]
    write_list(table, tmp_path / "d.parquet", m4, id="url", columns=["caption"], seed=3)
    assert pq.read_table(tmp_path / "d.parquet").to_pylist() == lines
    halves = []
    for i in range(2):  # a list of parts is the parts of the list
        pq.write_table(people().slice(1500 * i, 1500), tmp_path / f"half{i}.parquet")
        write_list(tmp_path / f"half{i}.parquet", tmp_path / f"half{i}.txt", m4, id="url", seed=3)
        halves.append((tmp_path / f"half{i}.txt").read_text("utf-8"))
    assert "".join(halves) == (tmp_path / "a.txt").read_text("utf-8")


def test_a_row_of_a_great_weight_is_listed_once_a_copy(table, tmp_path):
    method = Reweigh("gender", "nurse", shares="equal").fit(people())
    rows = people()
    times = copies(rows["url"], method.weights(rows), 0)
    said = write_list(table, tmp_path / "a.txt", method, id="url")
    assert said.lines == times.sum() > said.rows_kept == (times > 0).sum()
    lines = (tmp_path / "a.txt").read_text("utf-8").splitlines()
    assert lines == [url for url, k in zip(rows["url"].to_pylist(), times.tolist(), strict=True) for _ in range(k)]


def test_a_list_is_never_written_over_the_table(table, m4, tmp_path):
    before = table.read_bytes()
    (tmp_path / "link.parquet").symlink_to(table)
    for dst in (table, tmp_path / "link.parquet"):
        with pytest.raises(InputError, match="is read: it would be written over"):
            write_list(table, dst, m4, id="url")
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(table, folder / "part_0.parquet")
    with pytest.raises(InputError, match="which is read"):
        write_list(folder, folder / "list.parquet", m4, id="url")
    assert table.read_bytes() == before
    assert [item.name for item in folder.iterdir()] == ["part_0.parquet"]


def test_ids_that_occur_more_than_once_are_refused(m4, tmp_path):
    rows = people(5000)
    urls = rows["url"].to_pylist()
    urls[4321], urls[4999], urls[17] = urls[3], urls[3], urls[5]
    pq.write_table(rows.set_column(rows.schema.get_field_index("url"), "url", pa.array(urls)), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=f"2 of its values occur more than once, as '{urls[3]}' in 3 rows"):
        write_list(tmp_path / "t.parquet", tmp_path / "a.txt", m4, id="url")
    assert [item.name for item in tmp_path.iterdir()] == ["t.parquet"]


def test_rows_without_an_id_have_their_number(table, m4, tmp_path):
    write_list(table, tmp_path / "a.txt", m4)
    kept = keep([str(i + 1) for i in range(N)], m4.weights(people()))
    assert (tmp_path / "a.txt").read_text().split() == [str(i + 1) for i in np.flatnonzero(kept)]
    ids = read_samples(people(), attributes=["gender"]).ids  # as Samples call them
    assert set((tmp_path / "a.txt").read_text().split()) <= set(ids)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dst": "a.csv"}, "txt, jsonl or parquet"), ({"format": "xml"}, "xml"), ({"id": "caption"}, "line break"),
        ({"columns": ["url"]}, "ids alone"), ({"id": "uri"}, "Did you mean 'url'"), ({"id": "gender"}, "absent"),
        ({"mitigation": None, "weight": "m5"}, "no column 'm5'"), ({"mitigation": None, "weight": "url"}, "text"),
    ],
)  # fmt: skip
def test_lists_that_cannot_be_are_refused(options, said, table, m4, tmp_path):
    options = {"mitigation": m4, "dst": "a.txt", **options}
    with pytest.raises(InputError, match=said):
        write_list(table, tmp_path / options.pop("dst"), options.pop("mitigation"), **options)
    assert not list(tmp_path.glob("a.*"))
    assert not hidden(tmp_path)


# ---------------------------------------------------------------------------------------------------- WebDataset


def test_a_filter_of_webdataset(m4):
    def tag(sample):
        return {"gender": sample["json"]["gender"], "nurse": sample["json"]["nurse"]}

    rows = people().select(["gender", "nurse"]).to_pylist()
    samples = [{"__url__": f"shard-{i % 3}.tar", "__key__": f"{i // 3:05d}", "json": row} for i, row in enumerate(rows)]
    kept = list(filter(webdataset_filter(m4, tag, 5), samples))
    wanted = keep([f"{s['__url__']}#{s['__key__']}" for s in samples], m4.weights(people()), 5)
    assert kept == [sample for sample, k in zip(samples, wanted, strict=True) if k]
    assert 0 < len(kept) < N
    with pytest.raises(InputError, match="__url__"):
        webdataset_filter(m4, tag)({"__key__": "1", "json": rows[0]})
    with pytest.raises(InputError, match="mitigation"):
        webdataset_filter(M4, tag)
    heavy = Reweigh("gender", "nurse", shares="equal").fit(people())
    with pytest.raises(InputError, match="more than once"):
        list(filter(webdataset_filter(heavy, tag), samples))


def test_a_filter_takes_tags():
    rows = pa.table({"who": ["woman", "man"] * 50, "tags": [["nurse"], [], ["nurse", "child"], ["child"]] * 25})
    method = M4("who", "tags", on_infeasible="soften", unbalanceable="exempt").fit(rows)
    chosen = webdataset_filter(method, lambda sample: sample["said"])
    for row, weight in zip(rows.to_pylist(), method.weights(rows), strict=True):
        sample = {"__url__": "a.tar", "__key__": "1", "said": row}
        assert chosen(sample) == keep(["a.tar#1"], weight)[0] == chosen(sample)
