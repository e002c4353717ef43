"""Samples and a classifier become Samples with answers; audited, they give what pandas and scikit-learn give."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from brightness import HALF, LABELS, Brightness, Colours, write_pictures
from PIL import Image
from sklearn.metrics import accuracy_score, roc_auc_score
from synthetic import one

from equipoise import EmbeddingSet, audit, compare, embed, read_samples
from equipoise.data.images import ImagePolicy
from equipoise.errors import InputError, OutputExistsError, SchemaError, UnknownNameError
from equipoise.predict import predict
from equipoise.store.logits import Logits
from equipoise.store.opening import read_manifest

SHIFTED = HALF.with_(mean=(0.4, 0.4, 0.4))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def samples(table: Path) -> Any:
    return read_samples(table, image="image", label="y", attributes=["group", "side"])


def oracle(table: Path, mean: float = 0.5) -> pd.DataFrame:
    """What the model says, from the files, without any of our code."""
    frame = pd.read_csv(table)
    grey = np.array([np.asarray(Image.open(table.parent / name)).mean() / 255 for name in frame["image"]])
    logit = (grey - mean) / 0.25
    return frame.assign(said=np.where(logit > 0, "bright", "dark"), p=1 / (1 + np.exp(-2 * logit)))


def test_answers_and_scores_are_those_of_the_pictures(table: Path, samples: Any) -> None:
    found, wanted = predict(Brightness(), samples, positive="bright"), oracle(table)
    assert found.ids == wanted["image"].tolist()
    assert found.column("prediction") == wanted["said"].tolist()
    assert found.column("score") == pytest.approx(wanted["p"].to_numpy(), abs=1e-6)
    assert set(found.column("reason")) == {""}
    assert found.model["score_of"] == "bright"
    named = predict(Brightness(), samples, positive="dark")
    assert named.column("score") == pytest.approx(1 - wanted["p"].to_numpy(), abs=1e-6)
    sure = predict(Brightness(), samples)
    assert sure.column("score") == pytest.approx(np.maximum(wanted["p"], 1 - wanted["p"]).to_numpy(), abs=1e-6)
    assert sure.model["score_of"] is None


def test_the_audit_is_pandas_and_sklearns(table: Path, samples: Any) -> None:
    wanted = oracle(table)
    found = audit(predict(Brightness(), samples, positive="bright"), by=["group", "group:side"])
    whole = one(found.estimates, metric="accuracy", attribute="")
    assert whole["value"] == pytest.approx(accuracy_score(wanted["y"], wanted["said"]))
    for group, part in wanted.groupby("group"):
        assert one(found.estimates, metric="accuracy", group=group)["value"] == pytest.approx(
            (part["y"] == part["said"]).mean()
        )
        area = roc_auc_score(part["y"] == "bright", part["p"])
        assert one(found.estimates, metric="auc", group=group)["value"] == pytest.approx(area)
    for (group, side), part in wanted.groupby(["group", "side"]):
        row = one(found.estimates, metric="accuracy", group=f"{group}:{side}")
        assert row["value"] == pytest.approx((part["y"] == part["said"]).mean())
    assert (found.document.encoder["name"], found.document.encoder["labels"]) == ("brightness", list(LABELS))
    assert found.document.encoder["fingerprint"] == Brightness().fingerprint
    assert found.document.preprocessing == {
        "name": "half",
        "picture": HALF.to_dict(),
        "policy": ImagePolicy().to_dict(),
    }
    assert found.document.positive == "bright"
    assert one(found.estimates, metric="accuracy_gap", attribute="group")["value"] > 0.15, "group C was made darker"


def test_batches_of_any_size_give_the_same(samples: Any) -> None:
    whole = predict(Brightness(), samples)
    for batch_size in (1, 7, 1000):
        model = Brightness()
        found = predict(model, samples, batch_size=batch_size)
        assert found.table.equals(whole.table)
        assert max(model.calls) <= max(batch_size, 2), "the model is tried on two pictures first"


def test_labels_are_called_as_in_the_table(table: Path) -> None:
    upper = {"dark": "Dark", "bright": "Bright"}
    frame = pd.read_csv(table)
    frame["image"] = [str(table.parent / name) for name in frame["image"]]
    samples = read_samples(frame.assign(y=frame["y"].map(upper)), image="image", label="y", attributes=["group"])
    with pytest.raises(InputError, match="can say none of the labels") as caught:
        predict(Brightness(), samples)
    assert "--classes dark=Dark" in caught.value.remedy or "--classes bright=Bright" in caught.value.remedy
    found = predict(Brightness(), samples, classes=upper, positive="Bright")
    assert found.column("prediction") == oracle(table)["said"].map(upper).tolist()
    assert found.model["classes"] == upper
    with pytest.raises(UnknownNameError, match="no label 'drak'.*Did you mean 'dark'"):
        predict(Brightness(), samples, classes={"drak": "Dark"})


def test_pictures_that_cannot_be_used_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    table = write_pictures(tmp_path, rows=90)
    (tmp_path / "p0003.png").write_bytes(b"")
    (tmp_path / "p0004.png").write_text("<html>", "utf-8")
    (tmp_path / "p0005.png").unlink()
    frame = pd.read_csv(table)
    frame.loc[6, "y"] = None
    frame.to_csv(table, index=False)
    found = predict(Brightness(), read_samples(table, image="image", label="y", attributes=["group"]))
    gone = ["p0003.png", "p0004.png", "p0005.png"]
    for name, prediction, score, reason in zip(
        found.ids, found.column("prediction"), found.column("score"), found.column("reason"), strict=True
    ):
        assert (prediction == "", bool(np.isnan(score)), reason != "") == (name in gone,) * 3
    result = audit(found, by=["group"])
    assert result.document.rows == {"in": 90, "used": 86, "set_aside": 4}
    notes = result.document.notes
    assert {"1 rows set aside: empty file.", "1 rows set aside: missing.", "1 rows set aside: no label."} <= set(notes)
    assert len([note for note in notes if "set aside" in note]) == 4
    for name in frame["image"]:
        (tmp_path / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="No picture of 90 can be used: 90 missing"):
        predict(Brightness(), read_samples(table, image="image", label="y"))


def test_scores_of_another_label_than_the_positive_one_are_refused(samples: Any) -> None:
    with pytest.raises(InputError, match="probabilities of 'dark', not of 'bright'"):
        audit(predict(Brightness(), samples, positive="dark"), by=["group"], positive="bright")
    with pytest.raises(InputError, match="probabilities of the predicted label, not of 'bright'"):
        audit(predict(Brightness(), samples), by=["group"], positive="bright")
    found = audit(predict(Brightness(), samples), by=["group"])
    assert one(found.estimates, metric="auc_gap")["reason"] == "no positive label: name one"
    ledger = compare(found, found, draws=100).ledger.to_pylist()
    assert {row["change"] for row in ledger if row["metric"] == "auc_gap"} == {None}, (
        "confidence is no score of a label"
    )


def test_truth_and_its_opposite_need_no_name(table: Path) -> None:
    frame = pd.read_csv(table)
    frame["image"] = [str(table.parent / name) for name in frame["image"]]
    frame["y"] = (frame["y"] == "bright").astype(int)
    samples = read_samples(frame, image="image", label="y", attributes=["group"])
    found = audit(predict(Brightness(labels=("0", "1")), samples), by=["group"])
    assert found.document.positive == "1"
    assert "taken from the model's labels" in found.document.notes[0]
    wanted = oracle(table)
    assert one(found.estimates, metric="auc", attribute="")["value"] == pytest.approx(
        roc_auc_score(wanted["y"] == "bright", wanted["p"])
    )


def test_two_preprocessings_are_compared_on_the_same_rows(table: Path, samples: Any) -> None:
    before = audit(predict(Brightness(), samples, preprocess="own", positive="bright"), by=["group"])
    after = audit(predict(Brightness(), samples, preprocess=SHIFTED, positive="bright"), by=["group"], like=before)
    ledger = compare(before, after, draws=200)
    was, now = oracle(table), oracle(table, 0.4)
    row = one(ledger.ledger, metric="accuracy", attribute="")
    assert row["before"] == pytest.approx((was["y"] == was["said"]).mean())
    assert row["after"] == pytest.approx((now["y"] == now["said"]).mean())
    assert row["change"] == pytest.approx(row["before"] - row["after"])
    assert after.document.preprocessing["picture"]["mean"] == [0.4, 0.4, 0.4]
    for group in "ABC":
        part = now[now["group"] == group]
        found = one(ledger.ledger, metric="accuracy", attribute="group", group=group)
        assert found["after"] == pytest.approx((part["y"] == part["said"]).mean())


def test_a_finished_store_scores_nothing_again(table: Path, samples: Any, tmp_path: Path) -> None:
    first = predict(Brightness(), samples, store=tmp_path / "s", shard_rows=100, positive="bright")
    assert first.table.equals(predict(Brightness(), samples, positive="bright").table)
    before = {path: path.read_bytes() for path in sorted((tmp_path / "s").rglob("*")) if path.is_file()}
    model = Brightness()
    again = predict(model, samples, store=tmp_path / "s", shard_rows=100, positive="bright")
    assert model.calls == []
    assert again.table.equals(first.table)
    assert audit(again, by=["group"]).document == audit(first, by=["group"]).document
    other = predict(model, samples, store=tmp_path / "s", shard_rows=100, positive="dark")
    assert model.calls == [], "which label is positive is no part of the store"
    assert other.column("score") == pytest.approx(1 - first.column("score"))
    assert {path: path.read_bytes() for path in before} == before


def test_a_store_of_logits_says_so_and_opens_again(table: Path, samples: Any, tmp_path: Path) -> None:
    found = predict(Brightness(), samples, store=tmp_path / "s", shard_rows=64, positive="bright")
    manifest = read_manifest(tmp_path / "s")
    assert (manifest.parameters["holds"], manifest.parameters["labels"]) == ("logits", list(LABELS))
    assert (manifest.dim, len(manifest.images), manifest.encoder) == (2, 4, "brightness")
    logits = Logits.load(tmp_path / "s")
    assert (logits.labels, logits.samples.ids, len(logits)) == (LABELS, found.ids, 240)
    values = np.concatenate([block for _, block in logits.blocks(size=50)])
    p = 1 / (1 + np.exp(values[:, 0] - values[:, 1]))
    assert p == pytest.approx(found.column("score"), abs=1e-6)
    assert logits.model["fingerprint"] == Brightness().fingerprint
    with pytest.raises(SchemaError, match="holds the logits of a classifier, not embeddings"):
        EmbeddingSet.load(tmp_path / "s")
    embed(Colours(), samples, store=tmp_path / "e")
    with pytest.raises(SchemaError, match="holds embeddings, not the logits"):
        Logits.load(tmp_path / "e")
    with pytest.raises(OutputExistsError):
        predict(Brightness(), samples, store=tmp_path / "e")


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(samples: Any, tmp_path: Path) -> None:
    class Dying(Brightness):
        def scores(self, pixels: np.ndarray) -> np.ndarray:
            if sum(self.calls) > 150:
                raise KeyboardInterrupt
            return super().scores(pixels)

    options: dict[str, Any] = {"shard_rows": 50, "batch_size": 20}
    with pytest.raises(KeyboardInterrupt):
        predict(Dying(), samples, store=tmp_path / "s", **options)
    model = Brightness()
    predict(model, samples, store=tmp_path / "s", **options)
    assert 0 < sum(model.calls) < 240, "finished blocks are kept"
    predict(Brightness(), samples, store=tmp_path / "whole", **options)

    def files(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / name / "image").iterdir()}

    assert files("s") == files("whole")
    assert (tmp_path / "s" / "manifest.json").read_bytes() == (tmp_path / "whole" / "manifest.json").read_bytes()


def test_another_model_behind_the_same_store_is_refused(samples: Any, tmp_path: Path) -> None:
    predict(Brightness(), samples, store=tmp_path / "s")
    with pytest.raises(OutputExistsError, match="mean"):
        predict(Brightness(), samples, store=tmp_path / "s", preprocess=SHIFTED)
    with pytest.raises(OutputExistsError, match="labels"):
        predict(Brightness(labels=("dark", "bright", "other")), samples, store=tmp_path / "s")
    found = predict(Brightness(), samples, store=tmp_path / "s", preprocess=SHIFTED, overwrite=True)
    assert found.table.equals(predict(Brightness(), samples, preprocess=SHIFTED).table)


def test_a_picture_that_changed_is_scored_again_and_told(tmp_path: Path) -> None:
    table = write_pictures(tmp_path / "p", rows=90)
    samples = read_samples(table, image="image", label="y", attributes=["group"])
    first = predict(Brightness(), samples, store=tmp_path / "s")
    Image.fromarray(np.full((10, 12, 3), 255, np.uint8)).save(tmp_path / "p" / "p0000.png")
    again = predict(Brightness(), samples, store=tmp_path / "s")
    assert again.column("prediction")[0] == "bright"
    assert again.column("prediction")[1:] == first.column("prediction")[1:]
    assert [note for note in again.notes if "changed" in note]
    assert not [note for note in audit(again, by=["group"]).document.notes if "changed" in note]


def test_rows_can_be_chosen_after_the_answers(samples: Any) -> None:
    found = predict(Brightness(), samples)
    part = found.rows(side="L")
    assert part.model == found.model
    assert len(part) < len(found)
    assert audit(part, by=["group"]).document.encoder["name"] == "brightness"


def test_what_cannot_be_asked(samples: Any, table: Path) -> None:
    with pytest.raises(InputError, match="no column of image paths was named"):
        predict(Brightness(), replace(samples, roles={"label": "y"}))
    with pytest.raises(InputError, match="have predictions or scores already"):
        predict(Brightness(), predict(Brightness(), samples))
    with pytest.raises(InputError, match="is no classifier: it has no labels"):
        predict(type("X", (), {"name": "x", "scores": None, "preprocessing": HALF, "fingerprint": {}})(), samples)
    with pytest.raises(InputError, match="fewer than|1 labels"):
        predict(Brightness(labels=("one",)), samples)
    worded = {"name": "x", "scores": None, "labels": LABELS, "preprocessing": "clip", "fingerprint": {}}
    with pytest.raises(InputError, match="preprocessing of 'x' is a str"):
        predict(type("X", (), worded)(), samples)
    with pytest.raises(UnknownNameError, match="Did you mean 'clip'"):
        predict(Brightness(), samples, preprocess="clipp")

    class Lost(Brightness):
        def scores(self, pixels: np.ndarray) -> np.ndarray:
            return super().scores(pixels) * np.float32(np.nan)

    with pytest.raises(InputError, match="returned NaN or infinity for 2 of 2 pictures"):
        predict(Lost(), samples)
