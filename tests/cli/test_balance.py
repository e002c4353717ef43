"""``equipoise balance``: from a table to weights, duals, cells and a ledger that the other verbs read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from shared_data import DATA

from equipoise.cli import main
from equipoise.compare import Comparison
from equipoise.data.cell_table import CellTable
from equipoise.mitigate.artefact import load_mitigation
from equipoise.mitigate.data.m4 import M4
from equipoise.mitigate.data.selection import keep
from equipoise.mitigate.data.weights_file import fit_of

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
    assert ledger.headline.startswith("M4 lowered the largest error of gender shares inside a label from")
    assert "Also targeted: " in " ".join(ledger.document.sentences)
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
    dearest = [(row["constraint"], pytest.approx(row["price"], abs=6e-5)) for row in balance["dearest"][:2]]
    assert dearest == [("share(gender=Female)", 0.0679), ("share(gender=Female | race=Middle Eastern)", 0.0665)]
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
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert (one["parameters"], one["arrays"]) == (two["parameters"], two["arrays"])
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
    assert "from 0.185 to 0.05." in names["ledger"].headline
    assert "(AB) 0.0666 to 0.014 (improved)" in " ".join(names["ledger"].document.sentences)


def unknown_rows(path):
    """Write 600 rows of which every tenth has no gender."""
    rows = people()
    gender = [None if i % 10 == 0 else value for i, value in enumerate(rows["gender"].to_pylist())]
    pq.write_table(rows.set_column(1, "gender", pa.array(gender)), path)
    return path


def test_duals_say_what_becomes_of_unknown_values(run, tmp_path):
    table = unknown_rows(tmp_path / "t.parquet")
    flags = ("--duals-out", tmp_path / "d.json", "--mitigation-out", tmp_path / "m", "--json", "--quiet")
    ran = run("balance", table, *BASIC, "--unknown", "neutral", "--out", tmp_path / "w.parquet", *flags)
    assert ran.json["rows"] == {"in": 600, "used": 600, "set_aside": 0}
    for given in ("d.json", "m"):
        out = tmp_path / f"{given}.parquet"
        ran = run("balance", table, "--apply", tmp_path / given, "--out", out, "--json", "--quiet")
        assert ran.json["rows"] == {"in": 600, "used": 600, "set_aside": 0}, given
        assert pq.read_table(out)["m4_weight"].null_count == 0
        assert np.array_equal(weights_in(out), weights_in(tmp_path / "w.parquet"))
    ran = run("balance", table, "--apply", tmp_path / "d.json", "--unknown", "neutral", "--out", tmp_path / "x.parquet")
    assert (ran.code, "--unknown does not apply where duals are given" in ran.err) == (2, True)


def test_the_file_tells_which_rows_were_fitted_on(run, tmp_path):
    marks = pa.array(["val" if i % 4 == 0 else "train" for i in range(600)])
    pq.write_table(people().append_column("split", marks), tmp_path / "t.parquet")
    ran = run(
        "balance", tmp_path / "t.parquet", *BASIC, "--out", tmp_path / "w.parquet", "--duals-out", tmp_path / "d.json"
    )
    assert fit_of(tmp_path / "w.parquet") == {"rows": {}, "split": "split", "values": ["train", "val"]}
    assert "fitted on rows marked val too" in ran.err
    ran = run("balance", tmp_path / "t.parquet", *BASIC, "--rows", "split=train", "--out", tmp_path / "v.parquet")
    assert fit_of(tmp_path / "v.parquet") == {"rows": {"split": "train"}, "split": "split", "values": ["train"]}
    assert "fitted on rows marked" not in ran.err
    run("balance", tmp_path / "t.parquet", "--apply", tmp_path / "d.json", "--out", tmp_path / "a.parquet")
    assert fit_of(tmp_path / "a.parquet") is None


def test_a_tolerance_stands_beside_the_share_that_it_is_of(run, table, tmp_path):
    flags = ("--keep", "1", "--cap", "10", "--tolerance", "0.002")
    ran = run("balance", table, *BASIC, *flags, "--out", tmp_path / "w.parquet")
    assert "(wanted 0.5 ± 0.002), price" in ran.err
    # at 0.002 of all rows a label's share is off by 0.002 divided by its prevalence
    ran = run("balance", table, *BASIC, *flags, "--tolerance-kind", "absolute", "--out", tmp_path / "a.parquet")
    assert "(wanted 0.5), price" in ran.err
    assert "±" not in ran.err
    assert re.search(r"; the mean weight could be up to \d", ran.err)
    assert "could be kept" not in ran.err


def test_other_weights_are_said_to_be_without_cap_and_tolerance(run, table, tmp_path):
    ran = run("balance", table, *BASIC, "--out", tmp_path / "w.parquet")
    assert "Raking reached 0: its weights have neither cap nor tolerance." in ran.err
    assert "did better" not in ran.err
    assert re.search(r"Raking: RB 0, AB 0,", ran.err)


def test_a_control_that_refuses_is_said_and_the_others_stay(run, tmp_path):
    """60 % of the rows are nurses, all of them to be women: half of all rows cannot be men and as many nurses stay."""
    rows = pa.table({"gender": ["woman", "man"] * 50, "job": ["nurse"] * 60 + ["pilot"] * 40})
    pq.write_table(rows, tmp_path / "t.parquet")
    (tmp_path / "s.toml").write_text(
        '[gender]\nwoman = 0.5\nman = 0.5\n["gender | job=nurse"]\nwoman = 1.0\nman = 0.0\n'
    )
    flags = ("--attribute", "gender", "--labels", "job:nurse", "--shares", tmp_path / "s.toml")
    ran = run("balance", tmp_path / "t.parquet", *flags, "--out", tmp_path / "w.parquet", "--json")
    assert ran.code == 0, ran.err
    arms = [control["arm"] for control in ran.json["result"]["controls"]]
    assert arms == ["main", "noop-data", "random-subsample", "first-order", "reweigh"]
    assert "A control is left out. Raking refuses: The shares wanted in" in ran.err


def test_lists_without_ids_have_a_note(run, table, tmp_path):
    ran = run("balance", table, *BASIC, "--out", tmp_path / "w.parquet", "--list-out", tmp_path / "k.txt")
    assert "drawn by their number" in ran.err
    ran = run("balance", table, *BASIC, "--out", tmp_path / "v.parquet", "--list-out", tmp_path / "l.txt", "--id", "id")
    assert "drawn by their number" not in ran.err


def duals_of(path):
    return json.loads(path.read_text())["parameters"]["options"]


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (("--mask", "none", "--tolerance-first", "0.02", "--min-retention", "0.1"), {"mask": "none", "tolerance_first": 0.02, "min_retention": 0.1}),
        (("--solver", "rows"), {"solver": "rows"}),
        (("--max-cells", "3"), {"max_cells": 3}),
        (("--utility", "web", "--bins", "0.5,1", "--keep", "0.6"), {"utility": "web", "bins": [0.5, 1.0], "keep": 0.6}),
    ],
)  # fmt: skip
def test_every_option_of_the_method_is_a_flag(run, table, tmp_path, flags, options):
    ran = run("balance", table, *BASIC, *flags, "--out", tmp_path / "w.parquet", "--duals-out", tmp_path / "d.json")
    assert ran.code == 0, ran.err
    found = duals_of(tmp_path / "d.json")
    assert {name: found[name] for name in options} == options
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    wanted = M4("gender", ["job"], **given).fit(people()).weights(people())
    assert np.allclose(weights_in(tmp_path / "w.parquet"), wanted, atol=1e-6)
    assert "M4 lowered" in ran.err  # rows that cells can hold have a ledger, whoever solves


def test_the_published_form_and_the_stream_are_those_of_python(run, table, tmp_path):
    ran = run(
        "balance",
        table,
        *BASIC,
        "--faithful",
        "--price",
        "50",
        "--out",
        tmp_path / "w.parquet",
        "--ledger-out",
        tmp_path / "l",
    )
    assert ran.code == 0, ran.err
    wanted = M4.faithful("gender", ["job"], price=50).fit(people()).weights(people())
    assert np.allclose(weights_in(tmp_path / "w.parquet"), wanted, atol=1e-12)
    assert Comparison.load(tmp_path / "l").headline.startswith("M4")
    ran = run("balance", table, *BASIC, "--solver", "online", "--out", tmp_path / "o.parquet")
    wanted = M4("gender", ["job"], solver="online").fit(people()).weights(people())
    assert np.allclose(weights_in(tmp_path / "o.parquet"), wanted, atol=1e-12)
    for flags, words in (
        (("--faithful", "--cap", "2"), "--cap is not of the published form"),
        (("--faithful", "--keep", "auto"), "--keep auto"),
        (("--utility", "web", "--keep", "0.5", "--bins", "few"), "--bins is 'few'"),
        (("--apply", tmp_path / "none.json", "--faithful"), "--attribute does not apply"),
    ):
        ran = run("balance", table, *BASIC, *flags, "--out", tmp_path / "n.parquet")
        assert (ran.code, words in ran.err) == (2, True), ran.err


def test_pairings_of_texts_and_images(run, tmp_path):
    rows = people()
    twice = pa.table({"gender_text": rows["gender"], "gender_image": rows["gender"], "job_text": rows["job"]})
    pq.write_table(twice, tmp_path / "t.parquet")
    flags = ("--pairings", "image-text", "--out", tmp_path / "w.parquet", "--duals-out", tmp_path / "d.json")
    ran = run("balance", tmp_path / "t.parquet", *BASIC, *flags)
    assert ran.code == 0, ran.err
    assert duals_of(tmp_path / "d.json")["pairings"] == "image-text"
    wanted = M4("gender", ["job"], pairings="image-text").fit(twice).weights(twice)
    assert np.allclose(weights_in(tmp_path / "w.parquet"), wanted, atol=1e-9)


def test_margins_are_those_of_the_ledger(run, table, tmp_path):
    flags = ("--out", tmp_path / "w.parquet", "--ledger-out", tmp_path / "l", "--json", "--quiet")
    ran = run("balance", table, *BASIC, "--margin", "ab=0.5", *flags)
    assert ran.code == 0, ran.err
    rows = [row for row in Comparison.load(tmp_path / "l").ledger.to_pylist() if row["metric"] == "ab"]
    assert {row["margin"] for row in rows} == {0.5}
    assert {row["verdict"] for row in rows if row["arm"] == "main"} == {"unchanged"}
    ran = run("balance", table, *BASIC, "--margin", "abc=0.5", "--out", tmp_path / "n.parquet")
    assert (ran.code, "no metric 'abc'" in ran.err) == (2, True)


def test_cells_of_several_days_add_up(run, table, tmp_path):
    days = tmp_path / "days"
    days.mkdir()
    rows = people()
    for number in range(3):
        pq.write_table(rows.slice(200 * number, 200), tmp_path / f"rows{number}.parquet")
        flags = ("--out", tmp_path / f"w{number}.parquet", "--cells-out", days / f"day{number}.parquet")
        assert run("balance", tmp_path / f"rows{number}.parquet", *BASIC, *flags).code == 0
    files = [days / f"day{number}.parquet" for number in range(3)]
    assert (
        run("balance", table, *BASIC, "--out", tmp_path / "all.parquet", "--cells-out", tmp_path / "c.parquet").code
        == 0
    )
    assert run("balance", tmp_path / "c.parquet", "--cells", *BASIC, "--out", tmp_path / "one.parquet").code == 0
    for given, out in ((files, "several"), ([days], "folder")):
        ran = run("balance", *given, "--cells", *BASIC, "--out", tmp_path / f"{out}.parquet", "--json", "--quiet")
        assert ran.code == 0, ran.err
        assert ran.json["rows"]["used"] == 600
        assert pq.read_table(tmp_path / f"{out}.parquet").equals(pq.read_table(tmp_path / "one.parquet"))
    run("balance", tmp_path / "rows1.parquet", "--attribute", "gender", "--labels", "old", "--out", tmp_path / "x.parquet",
        "--cells-out", tmp_path / "other.parquet")  # fmt: skip
    ran = run("balance", files[0], tmp_path / "other.parquet", "--cells", *BASIC, "--out", tmp_path / "y.parquet")
    assert (ran.code, "'job' is only in the first" in ran.err, "other.parquet" in ran.err) == (2, True, True), ran.err
    ran = run("balance", *files, *BASIC, "--out", tmp_path / "y.parquet")
    assert (ran.code, "only cells add up" in ran.err) == (2, True)


def test_duals_of_another_vocabulary_do_not_weigh_cells(tmp_path: Path, capsys) -> None:
    jobs = ["nurse", "chef", "cook"] * 100
    rows = {"gender": (["man"] * 2 + ["woman"] * 3) * 60, "occupation": jobs}
    pq.write_table(pa.table(rows), tmp_path / "all.parquet")
    pq.write_table(pa.table(rows).filter(pa.array([job != "nurse" for job in jobs])), tmp_path / "some.parquet")
    words = ["--attribute", "gender", "--labels", "occupation", "--no-controls"]
    duals, cells = tmp_path / "duals.json", tmp_path / "cells.parquet"
    some = ["balance", str(tmp_path / "some.parquet"), *words, "--out", str(tmp_path / "a.parquet")]
    whole = ["balance", str(tmp_path / "all.parquet"), *words, "--out", str(tmp_path / "b.parquet")]
    assert main([*some, "--duals-out", str(duals)]) == 0
    assert main([*whole, "--cells-out", str(cells)]) == 0
    capsys.readouterr()
    assert main(["balance", str(cells), "--cells", "--apply", str(duals), "--out", str(tmp_path / "c.parquet")]) == 2
    assert "nurse only in the second" in capsys.readouterr().err.replace("'", "")
