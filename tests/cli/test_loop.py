"""Every verb of the loop as a user runs it, on a tiny space with a planted bias."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import equipoise
from equipoise.cli import main
from equipoise.schema import ESTIMATES, LEDGER, Result

QUICK = ("--bootstrap", "100")


@dataclass(frozen=True)
class Loop:
    """A finished loop: its folder and what each step printed."""

    folder: Path
    printed: dict[str, tuple[int, str, str]]

    def __getattr__(self, name: str) -> Path:
        return self.folder / name


def call(*arguments: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory, tiny_precomputed: Any) -> Loop:
    at = tmp_path_factory.mktemp("loop")
    tiny = tiny_precomputed
    steps = {
        "embed": ("embed", tiny.table, "--attributes", "gender,race", "--encoder", tiny.reference, "--id", "id", "--split", "split", "--vocabulary", tiny.vocabulary, "--store", at / "store"),
        "before": ("audit", at / "store", "--queries", tiny.queries, "--by", "gender,race,gender:race", *QUICK, "--out", at / "before"),
        "wring": ("mitigate", "wring", at / "store", "--attribute", "gender", "--out", at / "wring"),
        "after": ("audit", at / "store", "--mitigation", at / "wring", "--like", at / "before", "--out", at / "after"),
        "ledger": ("compare", at / "before", at / "after", "--draws", "100", "--margin", "max_skew=0.2", "--out", at / "ledger"),
        "gate": ("gate", at / "ledger"),
        "report": ("report", at / "ledger", "--out", at / "report.html"),
    }  # fmt: skip
    printed = {name: call(*arguments) for name, arguments in steps.items()}
    return Loop(at, printed)


def test_each_step_ends_well_and_prints_one_line(loop: Loop) -> None:
    for name, (code, out, err) in loop.printed.items():
        assert code == 0 if name != "gate" else code in (0, 1, 3), (name, err)
        assert len(out.splitlines()) == 1, (name, out)
    for name in ("wring", "before", "after", "ledger"):
        assert loop.printed[name][1].strip() == str(loop.folder / name)
    assert loop.printed["gate"][1].split(":")[0] in ("pass", "fail", "insufficient")


def test_rows_in_are_rows_used_and_set_aside(loop: Loop) -> None:
    for name in ("embed", "before", "wring", "after"):
        assert "rows: 240 in = 240 used + 0 set aside" in loop.printed[name][2]


def test_the_artefacts_are_those_of_the_contract(loop: Loop) -> None:
    assert {path.name for path in loop.store.iterdir()} >= {"manifest.json", "rows.parquet"}
    assert {path.name for path in loop.wring.iterdir()} >= {"mitigation.json", "arrays.safetensors", "fit_rows.parquet"}
    assert {path.name for path in loop.ledger.iterdir()} >= {"comparison.json", "ledger.parquet", "ledger.csv"}
    assert pq.read_schema(loop.before / "estimates.parquet").names == ESTIMATES.names
    assert pq.read_schema(loop.ledger / "ledger.parquet").names == LEDGER.names
    assert json.loads((loop.ledger / "comparison.json").read_text())["margins"]["max_skew@48"] == 0.2
    page = (loop.folder / "report.html").read_text("utf-8")
    assert "default-src 'none'" in page


def test_wring_lowers_the_planted_bias(loop: Loop) -> None:
    ledger = pq.read_table(loop.ledger / "ledger.parquet").to_pylist()
    rows = [
        r
        for r in ledger
        if r["gated"] and r["metric"] == "cosine_bias" and r["attribute"] == "gender" and r["family"] == "jobs"
    ]
    assert len(rows) == 1
    assert rows[0]["targeted"]
    assert rows[0]["after"] < rows[0]["before"] / 2


def test_the_same_step_again_is_the_same_run(loop: Loop) -> None:
    before = (loop.ledger / "comparison.json").read_bytes()
    code, out, err = call(
        "compare", loop.before, loop.after, "--draws", "100", "--margin", "max_skew=0.2", "--out", loop.ledger
    )
    assert (code, out.strip()) == (0, str(loop.ledger)), err
    assert (loop.ledger / "comparison.json").read_bytes() == before
    assert call("report", loop.ledger, "--out", loop.folder / "report.html")[0] == 0


def test_another_run_is_refused_without_overwrite(loop: Loop, tmp_path: Path) -> None:
    target = tmp_path / "ledger"
    assert call("compare", loop.before, loop.after, "--draws", "100", "--out", target)[0] == 0
    code, out, err = call("compare", loop.before, loop.after, "--draws", "120", "--out", target)
    assert (code, out) == (2, "")
    assert "another run" in err
    assert call("compare", loop.before, loop.after, "--draws", "120", "--out", target, "--overwrite")[0] == 0
    page = tmp_path / "report.html"
    page.write_text("mine")
    code, _, err = call("report", loop.ledger, "--out", page)
    assert code == 2
    assert page.read_text() == "mine"
    assert call("report", loop.ledger, "--out", page, "--overwrite")[0] == 0


def test_json_of_every_step(loop: Loop, tmp_path: Path, tiny_precomputed: Any) -> None:
    tiny = tiny_precomputed
    steps = [
        ("embed", tiny.table, "--attributes", "gender,race", "--encoder", tiny.reference, "--id", "id", "--vocabulary", tiny.vocabulary, "--store", tmp_path / "s"),
        ("audit", tmp_path / "s", "--queries", tiny.queries, "--by", "gender", *QUICK, "--out", tmp_path / "a"),
        ("audit", tmp_path / "s", "--queries", tiny.queries, "--by", "gender", *QUICK),
        ("mitigate", "span-projection", tmp_path / "s", "--attribute", "gender", "--out", tmp_path / "m"),
        ("compare", loop.before, loop.after, "--draws", "100", "--out", tmp_path / "l"),
        ("gate", loop.ledger),
        ("report", loop.ledger, loop.before, "--out", tmp_path / "r.html"),
    ]  # fmt: skip
    for arguments in steps:
        code, out, err = call(*arguments, "--json", "--quiet")
        result = Result.from_json(out)
        assert result.exit_code == code
        assert result.error is None, (arguments, err)
        assert result.command == ("mitigate span-projection" if arguments[0] == "mitigate" else arguments[0])
        assert err == ""
        if arguments[0] in ("embed", "audit", "mitigate"):
            assert result.rows == {"in": 240, "used": 240, "set_aside": 0}
        if "--out" in arguments:
            assert result.out == str(arguments[arguments.index("--out") + 1])
            assert Path(str(result.out)).exists()
    summary = json.loads(call(*steps[2], "--json")[1])["result"]
    assert summary["k"] == 48
    assert {row["metric"] for row in summary["means"]} >= {"max_skew@48", "dp@48", "score_gap", "cosine_bias"}


def test_rows_and_repeated_flags(loop: Loop, tiny_precomputed: Any) -> None:
    code, out, err = call(
        "audit",
        loop.store,
        "--queries",
        tiny_precomputed.queries,
        "--by",
        "gender",
        "--by",
        "race",
        "--rows",
        "split=val",
        "--k",
        "20",
        *QUICK,
        "--json",
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["rows"] == {"in": 120, "used": 120, "set_aside": 0}
    assert found["result"]["k"] == 20
    assert {row["attribute"] for row in found["result"]["means"]} >= {"gender", "race"}
    code, _, err = call(
        "audit",
        loop.store,
        "--queries",
        tiny_precomputed.queries,
        "--by",
        "gender",
        "--rows",
        "split=val",
        "--rows",
        "split=train",
    )
    assert code == 2
    assert "asks for split=val and split=train at once" in err
    code, _, err = call("audit", loop.store, "--queries", tiny_precomputed.queries, "--by", "gender", "--rows", "split")
    assert code == 2
    assert "is not NAME=VALUE" in err


def test_several_lists_and_files_of_queries(loop: Loop, tmp_path: Path, tiny_precomputed: Any) -> None:
    more = tmp_path / "two, more.txt"
    more.write_text("a photo of a nurse\na photo of a doctor\n")
    flags = ("audit", loop.store, "--by", "gender", *QUICK, "--json")
    code, out, err = call(*flags, "--queries", tiny_precomputed.queries, "--queries", more)
    assert code == 0, err
    assert json.loads(out)["result"]["queries"] == 10
    more.rename(tmp_path / "two.txt")
    code, out, err = call(*flags, "--queries", f"{tiny_precomputed.queries},{tmp_path / 'two.txt'}")
    assert code == 0, err
    families = {row["family"] for row in json.loads(out)["result"]["means"]}
    assert families >= {"jobs", "two", "explicit"}


def test_metrics_may_be_chosen(loop: Loop, tiny_precomputed: Any) -> None:
    flags = ("audit", loop.store, "--queries", tiny_precomputed.queries, "--by", "gender", *QUICK, "--json")
    code, out, err = call(*flags, "--metrics", "max_skew,dp")
    assert code == 0, err
    found = {row["metric"] for row in json.loads(out)["result"]["means"] if row["attribute"]}
    assert found == {"max_skew@48", "dp@48"}
    code, _, err = call(*flags, "--metrics", "max_skw")
    assert code == 2
    assert "Did you mean 'max_skew'?" in err


def test_flags_of_a_table_do_not_apply_to_a_store(loop: Loop, tiny_precomputed: Any) -> None:
    for flags in (("--label", "label"), ("--id", "id"), ("--vocabulary", tiny_precomputed.vocabulary)):
        code, _, err = call("audit", loop.store, "--queries", tiny_precomputed.queries, "--by", "gender", *flags)
        assert code == 2
        assert f"{flags[0]} does not apply to a store" in err


def test_image_vectors_and_leakage(loop: Loop, tmp_path: Path, tiny_precomputed: Any) -> None:
    """A method that learned from rows may not be audited on them."""
    arguments = (
        "mitigate",
        "difference-projection",
        loop.store,
        "--attribute",
        "gender",
        "--vectors",
        "image",
        "--k",
        "none",
        "--rows",
        "split=train",
    )
    code, out, err = call(*arguments, "--out", tmp_path / "m", "--json")
    assert code == 0, err
    assert json.loads(out)["result"]["fit_rows"] == 120
    code, _, err = call("audit", loop.store, "--mitigation", tmp_path / "m", "--like", loop.before)
    assert code == 2
    assert "used both to fit and to audit" in err
    code, _, err = call(
        "audit",
        loop.store,
        "--mitigation",
        tmp_path / "m",
        "--queries",
        tiny_precomputed.queries,
        "--by",
        "gender",
        "--rows",
        "split=val",
        *QUICK,
    )
    assert code == 0, err


def test_predictions_alone(tmp_path: Path, tiny_precomputed: Any) -> None:
    flags = (
        "--label",
        "label",
        "--prediction",
        "prediction",
        "--score",
        "score",
        "--positive",
        "1",
        "--by",
        "gender,race",
        "--id",
        "id",
    )
    code, out, err = call("audit", tiny_precomputed.table, *flags, *QUICK, "--out", tmp_path / "a", "--json")
    assert code == 0, err
    assert {row["metric"] for row in json.loads(out)["result"]["means"]} >= {
        "tpr_gap",
        "fpr_gap",
        "auc_gap",
        "impact_ratio",
        "accuracy",
    }
    policy = tmp_path / "policy.toml"
    policy.write_text(
        '[[limit]]\nmetric = "tpr_gap"\nprotocol = "equal_opportunity"\nattribute = "*"\nmax_bias = 1.0\n'
    )
    code, out, err = call("gate", tmp_path / "a", "--policy", policy)
    assert (code, out.split(":")[0]) == (0, "pass"), err
    assert call("gate", tmp_path / "a")[0] == 2
    assert call("report", tmp_path / "a", "--out", tmp_path / "r.html")[0] == 0
    code, _, err = call("audit", tiny_precomputed.table, *flags, "--queries", "occupations")
    assert code == 2
    assert "--queries does not apply" in err
    code, _, err = call("audit", tiny_precomputed.table, *flags, "--rows", "split=val", *QUICK, "--json")
    assert code == 0, err


def test_the_gate_has_three_ends(loop: Loop, tmp_path: Path) -> None:
    limit = '[[limit]]\nmetric = "{metric}"\nprotocol = "{protocol}"\nattribute = "{attribute}"\n{what}\n'
    policies = {
        0: limit.format(metric="max_skew", protocol="pool_prior", attribute="gender", what="max_bias = 4.0"),
        1: limit.format(metric="cosine_bias", protocol="group_mean_cosine", attribute="gender", what="max_bias = 0.01"),
        3: limit.format(metric="dp", protocol="retrieval_parity", attribute="*", what="min_group_n = 100000"),
    }
    for code, text in policies.items():
        path = tmp_path / f"{code}.toml"
        path.write_text(text)
        found = call("gate", loop.before if code == 1 else loop.ledger, "--policy", path)
        assert found[0] == code, found
        assert len(found[1].splitlines()) == 1


def test_a_run_may_be_written_down(loop: Loop, tmp_path: Path, tiny_precomputed: Any) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        f'seed = 5\n[audit]\ndata = "{loop.store}"\nqueries = ["{tiny_precomputed.queries}"]\nby = ["gender"]\nbootstrap = 100\n'
        f'[audit.rows]\nsplit = "val"\n[mitigate]\nattribute = ["gender"]\n[mitigate.wring]\nstrength = 0.5\n'
    )
    code, out, err = call("audit", "--config", config, "--json")
    assert code == 0, err
    assert json.loads(out)["rows"]["in"] == 120
    code, _, err = call("mitigate", "wring", loop.store, "--config", config, "--out", tmp_path / "m")
    assert code == 0, err
    assert json.loads((tmp_path / "m" / "mitigation.json").read_text())["parameters"]["strength"] == 0.5


@pytest.mark.parametrize("verb", ["compare", "gate"])
def test_compare_and_gate_import_no_frames_and_no_charts(loop: Loop, tmp_path: Path, verb: str) -> None:
    arguments = (
        [loop.ledger] if verb == "gate" else [loop.before, loop.after, "--draws", "100", "--out", tmp_path / "l"]
    )
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "equipoise", verb, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1, 3), done.stderr
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "equipoise.cli.app" in loaded
    heavy = ("torch.", "pandas.", "scipy.stats.", "altair.", "polars.")
    assert [name for name in loaded if name.startswith(heavy)] == []


def test_on_a_terminal_progress_is_drawn_on_stderr_alone(loop: Loop, tiny_precomputed: Any) -> None:
    main_end, terminal = os.openpty()
    drawn: list[bytes] = []

    def drain() -> None:
        with contextlib.suppress(OSError):
            while piece := os.read(main_end, 4096):
                drawn.append(piece)

    reader = threading.Thread(target=drain)
    reader.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "equipoise", "audit", loop.store, "--queries", tiny_precomputed.queries, "--by", "gender", *QUICK],
            stdout=subprocess.PIPE, stderr=terminal, text=True, timeout=60, check=False, env={**os.environ, "TERM": "xterm"},
        )  # fmt: skip
    finally:
        os.close(terminal)
        reader.join(timeout=10)
        os.close(main_end)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    text = b"".join(drawn).decode()
    assert "auditing 240 rows" in text
    assert "bootstrap draws" in text


def test_as_a_process_from_another_directory(loop: Loop, tmp_path: Path) -> None:
    """A relative path is relative to the working directory."""
    relative = os.path.relpath(loop.ledger, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "equipoise", "gate", relative, "--json"], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(equipoise.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == json.loads(done.stdout)["exit_code"] == loop.printed["gate"][0]
