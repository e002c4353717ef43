"""``equipoise balance``: from a table to weights, duals, cells and a ledger that the other verbs read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from shared_data import DATA

from equipoise.compare import Comparison
from equipoise.data.cell_table import CellTable
from equipoise.mitigate.artefact import load_mitigation
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.selection import keep

FACES = DATA / "fairface" / "labels_all_45000.csv"


def people(n=600, seed=5):
    """Rows of which women are nurses and men are judges more often, with an age that goes with gender."""
    rng = np.random.default_rng(seed)
    woman = rng.random(n) < 0.4
    as_told = np.where(woman ^ (rng.random(n) < 0.2), "nurse", "judge")
    job = np.where(rng.random(n) < 0.4, as_told, rng.choice(["chef", "pilot"], n))
    old = rng.random(n) < np.where(woman, 0.3, 0.6)
    return pa.table({
        "id": [f"r{i}" for i in range(n)], "gender": np.where(woman, "woman", "man"), "job": job,
        "old": np.where(old, "old", "young"), "fold": rng.choice(["train", "val"], n), "score": rng.random(n).round(3),
        "web": rng.choice([1.0, 0.5], n),
    })  # fmt: skip


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "people.csv"
    pa.csv.write_csv(people(), path)
    return path


def weights_in(path):
    return pq.read_table(path)["m4_weight"].to_numpy()


BASIC = ("--attribute", "gender", "--labels", "job")


def test_everything_is_written_and_read_by_the_other_verbs(run, table, tmp_path):
    outs = {name: tmp_path / f"o.{name}" for name in ("cells", "json", "folder", "ledger", "txt")}
    ran = run(
        "balance", table, *BASIC, "--by", "old", "--out", tmp_path / "w.parquet", "--cells-out", outs["cells"],
        "--duals-out", outs["json"], "--mitigation-out", outs["folder"], "--ledger-out", outs["ledger"],
        "--list-out", outs["txt"], "--id", "id",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert ran.out == f"{tmp_path / 'w.parquet'}\n"
    written = pq.read_table(tmp_path / "w.parquet")
    rows = people()
    m4 = M4("gender", ["job"]).fit(rows)
    assert np.allclose(written["m4_weight"].to_numpy(), m4.weights(rows), atol=1e-9)
    assert set(written["m4_status"].to_pylist()) == {""}
    assert [name for name in written.schema.names if "weight" in name] == ["m4_weight"]
    assert np.allclose(M4.load(outs["json"]).weights(rows), m4.weights(rows), atol=1e-9)
    assert np.allclose(load_mitigation(outs["folder"]).weights(rows), m4.weights(rows), atol=1e-9)
    cells = CellTable.from_parquet(outs["cells"])
    assert cells.total == rows.num_rows
    assert {variable.name for variable in cells.layout.variables} == {"gender", "job", "old"}
    ids = outs["txt"].read_text().split()
    assert ids == [
        i for i, kept in zip(rows["id"].to_pylist(), keep(rows["id"], m4.weights(rows)), strict=True) if kept
    ]
    ledger = Comparison.load(outs["ledger"])
    assert ledger.headline.startswith("M4 lowered the association of labels with gender (AB) from")
    assert "association of old with gender (AB)" in " ".join(ledger.document.sentences)
    assert run("report", outs["ledger"], "--out", tmp_path / "r.html").code == 0
    assert run("gate", outs["ledger"]).code in (0, 1)


def test_the_terminal_says_what_it_cost_and_how_sure_it_is(run, table, tmp_path):
    ran = run("balance", table, *BASIC, "--by", "old", "--out", tmp_path / "w.parquet")
    for words in (
        "RB", "AB", "Kept: ", "Least is kept of ", "effective sample size", "largest weight", "dearest of ",
        "share(gender=", "price ", "exact: duality gap", "Raking: RB", "Reweighing: RB", "rows: 600 in = 600 used",
        "Not balanced: association of old with gender", "Equal shares are a choice",
    ):  # fmt: skip
        assert words in ran.err, words
    assert "nurse" in ran.err


def test_json_holds_the_numbers(run, table, tmp_path):
    ran = run("balance", table, *BASIC, "--out", tmp_path / "w.parquet", "--json", "--quiet")
    found = ran.json
    assert (found["command"], found["exit_code"], found["rows"]) == (
        "balance",
        0,
        {"in": 600, "used": 600, "set_aside": 0},
    )
    balance = found["result"]["balance"]
    report = M4("gender", ["job"]).fit(people()).report_
    assert balance["retention"] == pytest.approx(report.retention)
    assert balance["after"]["ab"] == pytest.approx(report.after["ab"].value)
    assert balance["before"]["rb"] == pytest.approx(0.5 - np.mean(np.array(people()["gender"]) == "woman"))
    assert balance["status"] == "exact"
    assert abs(balance["gap"]) < 1e-6
    assert balance["dearest"][0]["price"] == max(row["price"] for row in balance["dearest"])
    assert balance["worst_group"]["retention"] == pytest.approx(report.worst_retention)
    assert [control["arm"] for control in found["result"]["controls"]] == [
        "main", "noop-data", "random-subsample", "first-order", "reweigh", "rake",
    ]  # fmt: skip


@pytest.mark.skipif(not FACES.is_file(), reason="no FairFace labels")
def test_fairface(run, tmp_path):
    ran = run(
        "balance", FACES, "--attribute", "gender", "--labels", "race", "--by", "age", "--out", tmp_path / "w.parquet",
        "--ledger-out", tmp_path / "ledger", "--json", "--quiet",
    )  # fmt: skip
    balance = ran.json["result"]["balance"]
    assert balance["before"]["ab"] == pytest.approx(0.066637, abs=2e-6)
    assert balance["after"]["ab"] == pytest.approx(0.014035, abs=2e-6)
    assert balance["retention"] == pytest.approx(0.952009, abs=2e-6)
    assert balance["dearest"][0]["constraint"] == "share(gender=Female | race=Middle Eastern)"
    pair = [
        row for row in Comparison.load(tmp_path / "ledger").ledger.to_pylist()
        if (row["attribute"], row["metric"], row["query"], row["arm"]) == ("gender:age", "ab", "", "main")
    ]  # fmt: skip
    assert [(round(row["before"], 6), round(row["after"], 6)) for row in pair] == [(0.100342, 0.097026)]
    assert weights_in(tmp_path / "w.parquet").mean() == pytest.approx(0.952009, abs=2e-6)


def test_duals_are_applied_to_other_rows(run, table, tmp_path):
    run("balance", table, *BASIC, "--out", tmp_path / "w.parquet", "--duals-out", tmp_path / "d.json")
    later = people(200, seed=9)
    pq.write_table(later, tmp_path / "later.parquet")
    ran = run(
        "balance",
        tmp_path / "later.parquet",
        "--apply",
        tmp_path / "d.json",
        "--by",
        "old",
        "--out",
        tmp_path / "l.parquet",
        "--json",
        "--quiet",
    )
    assert ran.code == 0, ran.err
    assert np.array_equal(weights_in(tmp_path / "l.parquet"), M4.load(tmp_path / "d.json").weights(later))
    assert ran.json["rows"]["used"] == 200
    assert "balance" not in ran.json["result"]
    ran = run("balance", table, "--apply", tmp_path / "d.json", "--keep", "0.9", "--out", tmp_path / "x.parquet")
    assert (ran.code, "--keep does not apply" in ran.err) == (2, True)


def test_cells_are_balanced_as_rows_are(run, table, tmp_path):
    run(
        "balance",
        table,
        *BASIC,
        "--by",
        "old",
        "--out",
        tmp_path / "w.parquet",
        "--cells-out",
        tmp_path / "c.parquet",
        "--duals-out",
        tmp_path / "one.json",
    )
    ran = run(
        "balance",
        tmp_path / "c.parquet",
        "--cells",
        *BASIC,
        "--out",
        tmp_path / "wc.parquet",
        "--duals-out",
        tmp_path / "two.json",
    )
    assert ran.code == 0, ran.err
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    found = pq.read_table(tmp_path / "wc.parquet")
    assert found.schema.names == ["key", "count", "m4_weight"]
    mean = (found["m4_weight"].to_numpy() @ found["count"].to_numpy()) / 600
    assert mean == pytest.approx(weights_in(tmp_path / "w.parquet").mean())
    assert (
        run(
            "balance", tmp_path / "c.parquet", "--cells", *BASIC, "--rows", "fold=val", "--out", tmp_path / "n.parquet"
        ).code
        == 2
    )


def test_keep_and_cap_and_shares(run, table, tmp_path):
    (tmp_path / "shares.toml").write_text(
        '[gender]\nwoman = 0.4\nman = 0.6\n["gender | job=nurse"]\nwoman = 0.6\nman = 0.4\n'
    )
    ran = run(
        "balance", table, "--attribute", "gender", "--labels", "job:nurse", "--keep", "1.0", "--cap", "10", "--preserve", "0.2",
        "--tolerance", "0.02", "--shares", tmp_path / "shares.toml", "--out", tmp_path / "w.parquet", "--json", "--quiet",
    )  # fmt: skip
    assert ran.code == 0, ran.json["error"]
    weights, rows = weights_in(tmp_path / "w.parquet"), people().to_pandas()
    assert weights.mean() == pytest.approx(1, abs=1e-6)
    nurse = rows.job == "nurse"
    assert weights[nurse & (rows.gender == "woman")].sum() / weights[nurse].sum() == pytest.approx(0.6, abs=0.02 + 1e-5)
    assert weights[nurse].mean() == pytest.approx(1, abs=0.2 + 1e-5)


def test_infeasible_is_exit_4_with_the_explanation(run, table, tmp_path):
    ran = run("balance", table, *BASIC, "--keep", "0.99", "--tolerance", "0", "--out", tmp_path / "w.parquet", "--json")
    assert ran.code == 4
    assert not (tmp_path / "w.parquet").exists()
    error = ran.json["error"]
    assert error["type"] == "InfeasibleBalance"
    assert "at most 0." in error["message"]
    assert "share(gender=" in error["message"]
    assert "keep='auto'" in error["remedy"]
    ran = run(
        "balance",
        table,
        *BASIC,
        "--keep",
        "0.99",
        "--tolerance",
        "0",
        "--on-infeasible",
        "auto-eta",
        "--out",
        tmp_path / "w.parquet",
    )
    assert ran.code == 0, ran.err


def test_labels_of_one_group_are_exempt_and_said(run, tmp_path):
    rows = people()
    other = {"man": "priest", "woman": "chef"}
    job = [
        other[g] if j == "judge" else j
        for g, j in zip(rows["gender"].to_pylist(), rows["job"].to_pylist(), strict=True)
    ]
    pq.write_table(rows.set_column(2, "job", pa.array(job)), tmp_path / "t.parquet")
    ran = run(
        "balance", tmp_path / "t.parquet", *BASIC, "--out", tmp_path / "w.parquet", "--ledger-out", tmp_path / "l"
    )
    assert ran.code == 0, ran.err
    assert "not balanced, since no weights could: share(gender=man | job=priest)" in ran.err
    assert "all" in ran.err
    assert (
        run("balance", tmp_path / "t.parquet", *BASIC, "--unbalanceable", "error", "--out", tmp_path / "n.parquet").code
        == 4
    )


def test_rows_that_cannot_be_used_are_counted_and_null(run, tmp_path):
    rows = people()
    gender = [None if i % 10 == 0 else value for i, value in enumerate(rows["gender"].to_pylist())]
    pq.write_table(rows.set_column(1, "gender", pa.array(gender)), tmp_path / "t.parquet")
    ran = run(
        "balance", tmp_path / "t.parquet", *BASIC, "--by", "old", "--out", tmp_path / "w.parquet", "--json", "--quiet"
    )
    assert ran.json["rows"] == {"in": 600, "used": 540, "set_aside": 60}
    written = pq.read_table(tmp_path / "w.parquet")
    assert written["m4_weight"].null_count == 60
    assert set(written["m4_status"].to_pylist()) == {"", "gender is unknown"}


def test_rows_marked_test_are_refused(run, tmp_path):
    rows = people()
    held = ["test" if i % 5 == 0 else "train" for i in range(600)]
    pq.write_table(rows.append_column("split", pa.array(held)), tmp_path / "t.parquet")
    ran = run("balance", tmp_path / "t.parquet", *BASIC, "--out", tmp_path / "w.parquet")
    assert (ran.code, "marked 'test'" in ran.err, "--rows split=train" in ran.err) == (2, True, True)
    ran = run(
        "balance",
        tmp_path / "t.parquet",
        *BASIC,
        "--rows",
        "split=train",
        "--out",
        tmp_path / "w.parquet",
        "--json",
        "--quiet",
    )
    assert ran.json["rows"]["used"] == 480
    train = rows.filter(pa.array([word == "train" for word in held]))
    assert np.allclose(weights_in(tmp_path / "w.parquet"), M4("gender", ["job"]).fit(train).weights(rows), atol=1e-9)
    assert (
        run("balance", tmp_path / "t.parquet", *BASIC, "--rows", "split=test", "--out", tmp_path / "n.parquet").code
        == 2
    )


def test_a_utility_and_scores_go_by_rows(run, table, tmp_path):
    ran = run(
        "balance",
        table,
        *BASIC,
        "--utility",
        "web",
        "--keep",
        "0.5",
        "--out",
        tmp_path / "w.parquet",
        "--json",
        "--quiet",
    )
    assert ran.code == 0, ran.json["error"]
    wanted = M4("gender", ["job"], utility="web", keep=0.5).fit(people()).weights(people())
    assert np.allclose(weights_in(tmp_path / "w.parquet"), wanted, atol=1e-9)
    ran = run(
        "balance",
        table,
        *BASIC,
        "--utility",
        "score",
        "--keep",
        "0.4",
        "--out",
        tmp_path / "s.parquet",
        "--ledger-out",
        tmp_path / "l",
    )
    assert (ran.code, "there is no ledger" in ran.err) == (2, True)


def test_the_same_run_again_stays_and_another_is_refused(run, table, tmp_path):
    flags = ("--out", tmp_path / "w.parquet", "--duals-out", tmp_path / "d.json", "--ledger-out", tmp_path / "l")
    assert run("balance", table, *BASIC, *flags).code == 0
    before = {path: path.read_bytes() for path in (tmp_path / "w.parquet", tmp_path / "d.json")}
    assert run("balance", table, *BASIC, *flags).code == 0
    assert {path: path.read_bytes() for path in before} == before
    ran = run("balance", table, *BASIC, "--tolerance", "0.01", *flags)
    assert (ran.code, "in the way" in ran.err) == (2, True)
    assert {path: path.read_bytes() for path in before} == before
    assert run("balance", table, *BASIC, "--tolerance", "0.01", *flags, "--overwrite").code == 0
    assert (tmp_path / "d.json").read_bytes() != before[tmp_path / "d.json"]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--attribute", "gendr", "--labels", "job"), "Did you mean 'gender'"),
        (("--labels", "job"), "No attribute was named"),
        ((*BASIC, "--keep", "most"), "--keep is 'most'"),
        ((*BASIC, "--tolerance", "5"), "write 0.05"),
        ((*BASIC, "--cap", "0.5", "--keep", "0.9"), "below keep"),
        ((*BASIC, "--by", "ag"), "ag"),
        ((*BASIC, "--shares", "none.toml"), "none.toml"),
        ((*BASIC, "--rows", "job"), "not NAME=VALUE"),
    ],
)
def test_wrong_use_is_exit_2(run, table, tmp_path, flags, words):
    ran = run("balance", table, *flags, "--out", tmp_path / "w.parquet")
    assert (ran.code, words in ran.err) == (2, True), ran.err
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_cannot_be_are_refused_first(run, table, tmp_path):
    assert run("balance", table, *BASIC, "--out", tmp_path / "w.csv").code == 2
    (tmp_path / "mine.parquet").write_bytes(b"not yours")
    assert run("balance", table, *BASIC, "--out", tmp_path / "mine.parquet").code == 2
    assert (tmp_path / "mine.parquet").read_bytes() == b"not yours"
    assert (
        run("balance", table, *BASIC, "--out", tmp_path / "a.parquet", "--cells-out", tmp_path / "a.parquet").code == 2
    )
    assert run("balance", tmp_path / "no.csv", *BASIC, "--out", tmp_path / "w.parquet").code == 2


def test_flags_come_from_a_file_too(run, table, tmp_path):
    (tmp_path / "c.toml").write_text('[balance]\nattribute = ["gender"]\nlabels = ["job"]\ntolerance = 0.02\n')
    ran = run("balance", table, "--config", tmp_path / "c.toml", "--out", tmp_path / "w.parquet", "--json", "--quiet")
    assert json.loads(ran.out)["result"]["balance"]["after"]["share_error"] == pytest.approx(0.02, abs=1e-6)


@pytest.mark.skipif(not FACES.is_file(), reason="no FairFace labels")
def test_the_page_of_the_docs_runs(run, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "balance.md").read_text("utf-8")
    shell, code = (re.search(rf"^```{kind}\n(.*?)^```", page, re.M | re.S)[1] for kind in ("sh", "python"))
    faces = pa.csv.read_csv(FACES)
    for name in ("faces.csv", "next-month.csv"):
        pa.csv.write_csv(faces, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    for line in shell.replace("\\\n", " ").splitlines():
        ran = run(*line.split()[1:])
        assert ran.code == 0, (line, ran.err)
    for path in tmp_path.glob("*.parquet"):
        path.unlink()
    names: dict[str, object] = {}
    exec(compile(code, "balance.md", "exec"), names)
    assert "from 0.0666 to 0.014." in names["ledger"].headline
