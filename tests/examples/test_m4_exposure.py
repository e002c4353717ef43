"""The exposure study: its data have the planted bias, its measures are those of the library, its page says what was seen."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from shared_data import DATA

pytest.importorskip("torch")
ROOT = Path(__file__).resolve().parents[2]
FACES = pytest.mark.skipif(
    not (DATA / "fairface" / "labels.csv").is_file() or not (DATA / "imagenet_samples_1000").is_dir(),
    reason="needs the FairFace data and the ImageNet samples",
)
MODULES = ("m4_exposure", "exposure_data", "exposure_model", "exposure_page", "gallery_page")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    yield importlib.import_module
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def faces(script):
    data = script("exposure_data")
    rng = np.random.default_rng(0)
    man = np.arange(1200) % 2 == 0
    return data.Faces(rng.integers(0, 256, (1200, 64, 64, 3), np.uint8), man, np.arange(1200) % 10 != 9)


def test_the_planted_bias_is_there_and_each_way_to_balance_takes_it_out(script, faces) -> None:
    data = script("exposure_data")
    pairs = data.unbalanced(faces, 3)
    found = {name: (rows, row) for name, (rows, row) in data.drawn(pairs, 3).items()}
    assert len(pairs) == len(pairs.captions) == pairs.table.num_rows
    assert found["unbalanced"][1]["men"] == pytest.approx(0.7, abs=0.01)
    assert found["unbalanced"][1]["ab"] > 0.12
    assert found["random"][1]["ab"] > 0.1
    for name in ("m4", "m4+proxies", "reweigh"):
        assert found[name][1]["men"] == pytest.approx(0.5, abs=0.06), name
        assert found[name][1]["ab"] < 0.09, name
    assert found["m4+proxies"][1]["ab_frame"] < 0.6 * found["m4"][1]["ab_frame"]
    assert len(found["random"][0]) == pytest.approx(len(found["m4"][0]), rel=0.1)


def test_captions_of_scenes_name_nobody_and_those_of_faces_their_own(script, faces) -> None:
    data = script("exposure_data")
    pairs = data.unbalanced(faces, 1)
    for caption, gender, job in zip(
        pairs.captions, pairs.table["gender"].to_pylist(), pairs.table["occupation"].to_pylist(), strict=True
    ):
        words = set(caption.split())
        if gender == "nobody":
            assert not words & {"man", "woman", *data.OCCUPATIONS}
        else:
            assert words & {gender, job}
            assert not words & ({"man", "woman", *data.OCCUPATIONS} - {gender, job})


def test_no_batch_holds_a_row_twice_and_an_epoch_holds_most_once(script) -> None:
    draws = script("exposure_data").batches(np.arange(0, 100, 2), 8, np.random.default_rng(0))
    epoch = [next(draws) for _ in range(6)]
    assert len(set(np.concatenate(epoch))) == 48
    assert all(len(set(next(draws))) == 8 for _ in range(20))


def test_a_copy_of_a_model_goes_its_own_way(script) -> None:
    model = script("exposure_model")
    state = model.State.new(5, 0)
    pixels = np.random.default_rng(0).integers(0, 256, (32, 64, 64, 3), np.uint8)
    tokens = model.Words(["a b", "c d"]).tokens(["a b", "c d"] * 16)
    other, before = state.copy(), state.embed(pixels)

    def draws():
        while True:
            yield np.arange(32)

    other.train(pixels, tokens, draws(), 3, np.random.default_rng(1))
    np.testing.assert_array_equal(state.embed(pixels), before)
    assert np.abs(other.embed(pixels) - before).max() > 1e-3


def test_the_measures_are_those_of_the_library(script) -> None:
    from equipoise.metrics.balance import association_bias, representation_bias

    study = script("m4_exposure")
    rng = np.random.default_rng(2)
    images, words, man = rng.normal(size=(400, 8)), rng.normal(size=(2, 8)), rng.random(400) < 0.5
    images[man, 0] += 1
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    hard, soft = study.preferred(units @ words.T, 5.0)
    library = representation_bias(images, words, groups=("man", "woman"), draws=50)
    assert library.shares[0].value == pytest.approx(hard.mean(), abs=1e-12)
    softly = representation_bias(images, words, groups=("man", "woman"), soft=True, scale=5.0, draws=50)
    assert softly.shares[0].value == pytest.approx(soft.mean(), abs=1e-6)
    ab = association_bias(images, man.astype(int), words, draws=50)
    assert ab.bias[0].value == pytest.approx(abs(hard[man].mean() - hard[~man].mean()), abs=1e-12)


def test_paired_contrasts_are_those_of_scipy(script) -> None:
    from scipy import stats

    page = script("exposure_page")
    one, two = np.random.default_rng(0).normal(size=(2, 8))
    found = page.contrast(one, two)
    low, high = stats.ttest_rel(one, two).confidence_interval()
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert found["p"] == pytest.approx(stats.wilcoxon(one, two).pvalue)


def test_a_share_of_the_drop_has_an_interval(script) -> None:
    rng = np.random.default_rng(1)
    start = 0.2 + 0.01 * rng.normal(size=8)
    values = {"unbalanced": {"ab": start}, "m4": {"ab": start - 0.1 + 0.001 * rng.normal(size=8)}}
    values |= {f"unbalanced, then m4 {last}": {"ab": start - 0.1 * float(last)} for last in ("0.1", "0.5", "0.9")}
    for last, row in script("exposure_page").shares_of_the_drop(values).items():
        assert row["low"] < row["value"] < row["high"]
        assert row["value"] == pytest.approx(float(last), abs=0.02)


@FACES
def test_the_whole_script_on_a_few_faces(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script("exposure_data"), "SCENES", 60)
    monkeypatch.setattr(script("m4_exposure"), "UNSEEN", 40)
    words = ["--data", str(DATA), "--out", str(tmp_path), "--seeds", "1", "--steps", "10", "--limit", "180"]
    assert script("m4_exposure").main(words) == 0
    found = json.loads((tmp_path / "m4_exposure.json").read_text("utf-8"))
    assert set(found["arms"]) == set(script("exposure_page").ORDER)
    (run,) = tmp_path.glob("seed-0-10-180-*.json")
    kept = run.stat().st_mtime_ns
    assert script("m4_exposure").main(words) == 0
    assert run.stat().st_mtime_ns == kept


@pytest.mark.slow
@FACES
def test_balanced_from_the_start_has_less_association_bias(script, tmp_path: Path) -> None:
    words = ["--data", str(DATA), "--out", str(tmp_path), "--seeds", "6", "--steps", "300"]
    assert script("m4_exposure").main(words) == 0
    runs = [json.loads(path.read_text("utf-8"))["arms"] for path in tmp_path.glob("seed-*.json")]
    assert len(runs) == 6
    assert np.mean([run["m4"]["ab"] - run["unbalanced"]["ab"] for run in runs]) < 0
