"""Outputs of ``equipoise balance``: never over an input, and another run's are refused before anything is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.cli.balance_run import BalanceRun
from equipoise.mitigate.data.m4 import M4

BASIC = ("--attribute", "gender", "--labels", "job")
READ = ("shares", "vocabulary", "apply", "config")


def people(seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    woman = rng.random(400) < 0.4
    job = np.where(woman ^ (rng.random(400) < 0.3), "nurse", "judge")
    return pa.table({"id": [f"r{i}" for i in range(400)], "gender": np.where(woman, "woman", "man"), "job": job})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    pq.write_table(people(), tmp_path / "people.parquet")
    return tmp_path / "people.parquet"


@pytest.fixture
def uncomputed(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr(BalanceRun, "fit", never)
    monkeypatch.setattr(BalanceRun, "load", never)


FLAGS = ("--out", "--duals-out", "--cells-out", "--list-out", "--ledger-out", "--mitigation-out")


@pytest.mark.usefixtures("uncomputed")
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize("read", ["table", *READ])
@pytest.mark.parametrize("flag", FLAGS)
def test_no_output_is_an_input(run, table, tmp_path, flag, read, overwrite):
    files = {"table": table, **{name: tmp_path / f"{name}.parquet" for name in READ}}
    files["shares"].write_text("[gender]\nwoman = 0.5\nman = 0.5\n")
    files["vocabulary"].write_text('[gender]\nvalues = ["woman", "man"]\n')
    files["config"].write_text("controls = true\n")
    M4("gender", ["job"]).fit(people()).save(files["apply"])
    before = {path: path.read_bytes() for path in files.values()}
    fitted = () if read == "apply" else BASIC
    given = () if read == "table" else (f"--{read}", files[read])
    out = () if flag == "--out" else ("--out", tmp_path / "w.parquet")
    ran = run("balance", table, *fitted, *given, *out, flag, files[read], *overwrite)
    assert (ran.code, f"{flag} '{files[read]}' is read: it would be written over" in ran.err) == (2, True), ran.err
    assert {path: path.read_bytes() for path in files.values()} == before
    assert len(list(tmp_path.iterdir())) == len(files)


@pytest.mark.usefixtures("uncomputed")
@pytest.mark.parametrize("flag", FLAGS)
def test_no_output_lies_in_a_table_that_is_a_folder(run, tmp_path, flag):
    folder = tmp_path / "rows"
    folder.mkdir()
    pq.write_table(people(), folder / "part_0.parquet")
    out = () if flag == "--out" else ("--out", tmp_path / "w.parquet")
    ran = run("balance", folder, *BASIC, *out, flag, folder / "new.parquet", "--overwrite")
    assert (ran.code, f"lies in '{folder}', which is read" in ran.err) == (2, True), ran.err
    ran = run("balance", folder, *BASIC, "--out", tmp_path / "w.parquet", "--ledger-out", tmp_path, "--overwrite")
    assert (ran.code, f"holds '{folder}', which is read" in ran.err) == (2, True), ran.err
    assert [path.name for path in folder.iterdir()] == ["part_0.parquet"]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("table", "another run wrote it, of another table"),
        (("--attribute", "job", "--labels", "gender"), "attributes gender, not job"),
        ((*BASIC, "--tolerance", "0.01"), "tolerance 0.05, not 0.01"),
        ((*BASIC, "--seed", "3"), "seed 0, not 3"),
    ],
)
@pytest.mark.parametrize("flag", ["--ledger-out", "--mitigation-out"])
def test_the_folder_of_another_run_is_refused_before_anything_is_written(
    run, table, tmp_path, monkeypatch, flag, changed, says
):
    folder = tmp_path / "folder"
    assert run("balance", table, *BASIC, "--no-controls", "--out", tmp_path / "a.parquet", flag, folder).code == 0
    before = {path: path.read_bytes() for path in folder.iterdir()}
    if changed == "table":
        pq.write_table(people(seed=1), table)
    flags = BASIC if changed == "table" else changed
    new = ("--out", tmp_path / "b.parquet", "--duals-out", tmp_path / "d.json", flag, folder)
    with monkeypatch.context() as patch:
        patch.setattr(BalanceRun, "fit", None)
        ran = run("balance", table, *flags, "--no-controls", *new)
    assert (ran.code, says in ran.err) == (2, True), ran.err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert not list(tmp_path.glob("[bd].*"))
    assert run("balance", table, *flags, "--no-controls", *new, "--overwrite").code == 0


@pytest.mark.usefixtures("uncomputed")
def test_what_no_run_wrote_is_refused_first(run, table, tmp_path):
    folder, file = tmp_path / "mine", tmp_path / "file"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    file.write_text("mine")
    common = ("balance", table, *BASIC, "--out", tmp_path / "w.parquet")
    for flag, path, says in (
        ("--ledger-out", folder, "holds other files (notes.txt)"),
        ("--mitigation-out", file, "is a file"),
        ("--duals-out", folder, "is in the way"),
        ("--list-out", folder, "is in the way"),
    ):
        ran = run(*common, flag, path)
        assert (ran.code, says in ran.err) == (2, True), ran.err


def test_the_same_run_again_is_no_other_run(run, table, tmp_path):
    outs = ("--ledger-out", tmp_path / "l", "--mitigation-out", tmp_path / "m", "--tolerance", "0.02", "--keep", "0.5")
    for _ in range(2):
        ran = run("balance", table, *BASIC, "--no-controls", "--out", tmp_path / "w.parquet", *outs)
        assert ran.code == 0, ran.err
    stale = tmp_path / ".w.parquet.999999999.partial"
    stale.write_bytes(b"half")
    assert run("balance", table, *BASIC, "--no-controls", "--out", tmp_path / "w.parquet", *outs).code == 0
    assert not stale.exists()
