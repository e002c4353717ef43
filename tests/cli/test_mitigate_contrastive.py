"""``equipoise mitigate contrastive``: trained, audited before and after, killed and resumed, and refused where it must be."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

for package in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(package, reason="a model of transformers is trained")

import tiny_transformers as tiny  # noqa: E402
import torch  # noqa: E402
from mitigate.training import scene as scenes  # noqa: E402
from mitigate.training.scene import Scene, arguments, write_scene  # noqa: E402

from equipoise.compare import Comparison  # noqa: E402
from equipoise.models.references import load_encoder  # noqa: E402


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return tiny.clip(tmp_path_factory.mktemp("models") / "clip")


def digests(at: Path) -> dict[str, str]:
    return {
        str(path.relative_to(at)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(at.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(at).parts)
    }


@pytest.fixture(scope="module")
def finished(scene: Scene, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of one run; its folder is moved away, so that another may be written in its place."""
    from equipoise.cli import main

    out = tmp_path_factory.mktemp("run") / "out"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    code = main(arguments(scene, model, out))
    torch.set_num_threads(threads)
    assert code == 0
    return out


def test_the_ledger_judges_bias_recognition_and_retrieval_on_held_out_rows(finished, scene) -> None:
    ledger = Comparison.load(finished / "ledger")
    main = [row for row in ledger.ledger.to_pylist() if row["gated"]]
    metrics = {row["metric"].partition("@")[0] for row in main}
    assert {"max_skew", "zero_shot_accuracy", "recall", "association_bias", "representation_bias"} <= metrics
    assert "query_cosine" not in metrics
    assert {row["metric"] for row in main} >= {"recall@1", "recall@5", "recall@10"}
    assert {row["family"] for row in main if row["metric"] == "zero_shot_accuracy"} == {"gender", "light"}
    assert ledger.document.family["targeted"] == ["gender"]
    assert ledger.document.after["mitigation"]["method"] == "contrastive"
    assert ledger.document.before["rows"] == {"in": 64, "used": 64, "set_aside": 0}
    assert ledger.document.before["encoder"]["fingerprint"] != ledger.document.after["encoder"]["fingerprint"]
    held_out = set(scene.samples(split="val").ids)
    assert set(pq.read_table(finished / "after/evidence/rows.parquet")["row_id"].to_pylist()) == held_out
    assert not held_out & set(pq.read_table(finished / "fit_rows.parquet")["row_id"].to_pylist())


def test_other_verbs_take_what_was_written(finished, run, tmp_path) -> None:
    encoder = load_encoder(f"transformers:{finished / 'model'}", device="cpu")
    assert encoder.encode_text(["a nurse"]).shape == (1, 16)
    assert run("report", finished / "ledger", "--out", tmp_path / "report.html", "--quiet").code == 0
    again = run(
        "compare", finished / "before", finished / "after", "--draws", "100", "--out", tmp_path / "again", "--json"
    )
    assert again.code == 0
    assert again.json["result"]["headline"]
    assert run("gate", finished / "ledger", "--quiet").code in (0, 1, 3)


def test_the_same_command_again_changes_nothing_and_other_queries_judge_again(finished, scene, model, run) -> None:
    before = digests(finished)
    found = run(*arguments(scene, model, finished), "--json")
    assert found.code == 0, found.err
    assert digests(finished) == before
    result = found.json["result"]
    assert found.json["rows"] == {"in": 48, "used": 48, "set_aside": 0}
    assert result["encoder"] == f"transformers:{finished / 'model'}"
    assert result["steps"] == 12
    assert result["loss"] == "clip"
    assert "of" in result["trainable"]
    assert result["loss_last"] != result["loss_first"]


@pytest.mark.parametrize("kills", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(kills, finished, scene, model) -> None:
    wanted = digests(finished)
    moved = finished.rename(finished.with_name("clean"))
    try:
        found = subprocess.run(
            [sys.executable, scenes.__file__, str(scene.folder), str(model), str(finished), str(kills)], capture_output=True,
            text=True, timeout=900, env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "src")},
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        assert int(found.stdout.split()[-1]) >= 3, "too few kills met a running process"
        assert digests(finished) == wanted
    finally:
        shutil.rmtree(finished, ignore_errors=True)
        moved.rename(finished)


def test_weights_are_taken_and_a_note_says_what_they_do_not_show(scene, model, run, tmp_path) -> None:
    columns = scene.columns()
    weights = tmp_path / "weights.parquet"
    q = [1.0 if gender == "Female" else None for gender in columns["gender"]]
    pq.write_table(pa.table({"id": columns["id"], "m4_weight": pa.array(q, pa.float64())}), weights)
    found = run(*arguments(scene, model, tmp_path / "out", weights=weights, batch_size=8), "--json")
    assert found.code == 0, found.err
    assert any("random sub-sample of equal size" in one["message"] for one in found.json["warnings"])
    rows = found.json["rows"]
    assert rows["used"] + rows["set_aside"] == rows["in"] == 48
    assert rows["set_aside"] > 0
    assert found.json["result"]["fit_rows"] == rows["used"]


def test_without_held_out_rows_a_warning_says_that_nothing_was_measured(scene, model, run, tmp_path) -> None:
    table = tmp_path / "bare.parquet"
    columns = {name: values[:20] for name, values in scene.columns().items() if name != "split"}
    columns["image"] = [str(scene.folder / name) for name in columns["image"]]
    pq.write_table(pa.table(columns), table)
    found = run(
        "mitigate", "contrastive", f"transformers:{model}", table, "--image", "image", "--caption", "caption", "--id", "id",
        "--attribute", "gender", "--steps", "1", "--batch-size", "4", "--device", "cpu", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert found.code == 0, found.err
    assert [one["code"] for one in found.json["warnings"] if one["code"] == "no-ledger"]
    assert not (tmp_path / "out" / "ledger").exists()


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ({"rows": "split=val"}, 2, "marked val"),
        ({"rows": "split=holdout"}, 2, "No row has split=holdout"),
        ({"held_out": "split=train"}, 2, "trained on and audited"),
        ({"weights": "nowhere.parquet"}, 2, "There is no file of weights"),
        ({"queries": "ocupations"}, 2, "Did you mean 'occupations'"),
        ({"trainable": "last:9"}, 2, "has 2 blocks"),
        ({"learning_rate": 0}, 2, "learning_rate"),
        ({"learning_rate": 1e30, "warmup": 1, "clip_norm": 1e9}, 4, "Lower the learning rate"),
        ({"batch_size": "many"}, 2, "whole number"),
        ({"by": "gender:nothing"}, 2, "nothing"),
        ({"seed": 1 << 70}, 2, "a seed is at most"),
    ],
)
def test_wrong_use_names_the_value_and_leaves_no_model(more, code, says, scene, model, run, tmp_path) -> None:
    found = run(*arguments(scene, model, tmp_path / "out", **more))
    assert found.code == code, found.err
    assert says in found.err
    assert not (tmp_path / "out" / "mitigation.json").exists()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"bootstrap": 50}, "50 bootstrap draws are too few"),
        ({"min_group": 0}, "'min_group' is 0"),
        ({"k": 65}, "k is 65, and there are 64 rows"),
        ({"margin": "max_scew=0.1"}, "Did you mean 'max_skew'"),
        ({"margin": "max_skew=2"}, "The margin of 'max_skew' is 2"),
    ],
)
def test_what_the_audit_cannot_do_is_refused_before_the_training(
    more, says, scene, model, run, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("equipoise.mitigate.training.contrastive.ContrastiveFineTune.fit", None)
    found = run(*arguments(scene, model, tmp_path / "out", **more))
    assert (found.code, says in found.err) == (2, True), found.err
    assert not (tmp_path / "out").exists()


def test_an_attribute_is_found_where_an_annotation_put_it(scene, model, run, tmp_path) -> None:
    columns = {"gender_text" if name == "gender" else name: values for name, values in scene.columns().items()}
    columns["image"] = [str(scene.folder / path) for path in columns["image"]]
    table = tmp_path / "annotated.parquet"
    pq.write_table(pa.table(columns), table)
    words = arguments(scene, model, tmp_path / "out", steps=1)
    words[words.index(str(scene.table))] = str(table)
    words.remove("--quiet")
    found = run(*words, "--json")
    assert found.code == 0, found.err
    assert any("'gender' is read from the column 'gender_text'" in one["message"] for one in found.json["warnings"])
    assert found.json["result"]["attributes"] == ["gender_text"]
    ledger = Comparison.load(tmp_path / "out" / "ledger").ledger.to_pylist()
    named = {row["attribute"] for row in ledger if "representation_bias" in row["metric"]}
    assert named == {"gender_text"}
    assert {row["targeted"] for row in ledger if "representation_bias" in row["metric"]} == {True}

    columns["gender_image"] = columns["gender_text"]
    pq.write_table(pa.table(columns), table)
    found = run(*words)
    assert (found.code, "'gender_text' and 'gender_image'" in found.err) == (2, True), found.err
