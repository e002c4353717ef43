"""A classifier on pictures from the command line, end to end, with models in plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from brightness import HALF, write_pictures
from PIL import Image

from equipoise.audit import Audit
from equipoise.compare import Comparison
from equipoise.registry import CLASSIFIERS, ENCODERS

QUICK = ("--bootstrap", "100", "--by", "group,side,group:side")
WORDS = """\
[colour]
values = ["red", "blue"]
templates = ["{}", "a photo of {}"]
[colour.prompts]
red = ["red"]
blue = ["blue"]
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLASSIFIERS._builtin, "brightness", "brightness:brightness")
    monkeypatch.setitem(ENCODERS._builtin, "colours", "brightness:colours")


@pytest.fixture
def audit(run: Callable[..., Any], table: Path) -> Callable[..., Any]:
    def call(*more: object) -> Any:
        return run("audit", table, "--image", "image", "--label", "y", "--model", "brightness", *QUICK, *more)

    return call


def accuracy(folder: Path) -> dict[tuple[str, str], float]:
    rows = Audit.load(folder).estimates.to_pylist()
    return {(row["attribute"], row["group"]): row["value"] for row in rows if row["metric"] == "accuracy"}


def preprocessing(folder: Path, mean: float) -> Path:
    path = folder / f"mean{mean}.toml"
    lines = "size = [8, 8]\nstd = [0.25, 0.25, 0.25]\nresize = 'exact'\ninterpolation = 'nearest'\n"
    path.write_text(f"{lines}mean = [{mean}, {mean}, {mean}]\n", "utf-8")
    return path


def wanted(table: Path, mean: float = 0.5) -> pd.DataFrame:
    frame = pd.read_csv(table)
    grey = np.array([np.asarray(Image.open(table.parent / name)).mean() / 255 for name in frame["image"]])
    return frame.assign(right=np.where(grey > mean, "bright", "dark") == frame["y"])


def test_a_classifier_is_audited_end_to_end(audit: Any, table: Path, tmp_path: Path) -> None:
    ran = audit("--positive", "bright", "--out", tmp_path / "audit", "--json")
    assert ran.code == 0, ran.err
    assert ran.json["rows"] == {"in": 240, "used": 240, "set_aside": 0}
    assert ran.json["result"]["model"]["name"] == "brightness"
    assert ran.json["result"]["preprocessing"]["name"] == "half"
    found, frame = accuracy(tmp_path / "audit"), wanted(table)
    assert found["", ""] == pytest.approx(frame["right"].mean())
    for group, value in frame.groupby("group")["right"].mean().items():
        assert found["group", group] == pytest.approx(value)
    for (group, side), value in frame.groupby(["group", "side"])["right"].mean().items():
        assert found["group:side", f"{group}:{side}"] == pytest.approx(value)
    document = Audit.load(tmp_path / "audit").document
    assert document.encoder["ref"] == "brightness"
    assert document.encoder["labels"] == ["dark", "bright"]
    assert document.encoder["fingerprint"]["kind"] == "brightness"
    assert (tmp_path / "audit" / "evidence" / "predictions.parquet").is_file()


def test_its_audit_is_reported_and_gated_like_any_other(audit: Any, run: Any, tmp_path: Path) -> None:
    assert audit("--positive", "bright", "--out", tmp_path / "audit").code == 0
    assert run("report", tmp_path / "audit", "--out", tmp_path / "report.html").code == 0
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "brightness" in page
    again = audit("--positive", "bright", "--like", tmp_path / "audit", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    assert (
        run("compare", tmp_path / "audit", tmp_path / "again", "--out", tmp_path / "ledger", "--draws", "100").code == 0
    )


def test_labels_in_other_words(audit: Any, table: Path, run: Any, tmp_path: Path) -> None:
    frame = pd.read_csv(table)
    frame["y"] = frame["y"].map({"dark": "Night", "bright": "Day = bright"})
    frame["image"] = [str(table.parent / name) for name in frame["image"]]
    frame.to_csv(tmp_path / "renamed.csv", index=False)
    call = ("audit", tmp_path / "renamed.csv", "--image", "image", "--label", "y", "--model", "brightness", *QUICK)
    ran = run(*call)
    assert ran.code == 2
    assert "can say none of the labels" in ran.err
    ran = run(*call, "--classes", "dark=Night", "--classes", "bright=Day = bright", "--out", tmp_path / "audit")
    assert ran.code == 0, ran.err
    assert accuracy(tmp_path / "audit")["", ""] == pytest.approx(wanted(table)["right"].mean())


def test_quarantined_pictures_are_counted_by_reason(run: Any, tmp_path: Path) -> None:
    table = write_pictures(tmp_path, rows=120)
    (tmp_path / "p0001.png").write_bytes(b"")
    (tmp_path / "p0002.png").unlink()
    (tmp_path / "p0003.png").unlink()
    ran = run("audit", table, "--image", "image", "--label", "y", "--model", "brightness", *QUICK, "--json")
    assert ran.code == 0, ran.err
    assert ran.json["rows"] == {"in": 120, "used": 117, "set_aside": 3}
    assert "120 in = 117 used + 3 set aside (empty file: 1, missing: 2)" in ran.err


def test_two_preprocessings_on_trial(audit: Any, table: Path, tmp_path: Path) -> None:
    other = preprocessing(tmp_path, 0.2)
    ran = audit("--preprocess", other, "--preprocess", "own", "--out", tmp_path / "trial", "--json")
    assert ran.code == 0, ran.err
    was, now = wanted(table, 0.2), wanted(table, 0.5)
    assert accuracy(tmp_path / "trial" / "before")["", ""] == pytest.approx(was["right"].mean())
    assert accuracy(tmp_path / "trial" / "after")["", ""] == pytest.approx(now["right"].mean())
    result = ran.json["result"]
    assert result["preprocessings"] == ["mean0.2.toml", "own"]
    whole = result["accuracy"][0]
    assert (whole["attribute"], whole["verdict"]) == ("", "improved")
    assert whole["change"] == pytest.approx(now["right"].mean() - was["right"].mean())
    assert whole["low"] < whole["change"] < whole["high"]
    assert 0 < whole["low"]
    groups = {row["group"]: row for row in result["accuracy"] if row["attribute"] == "group"}
    for group in "ABC":
        change = now[now["group"] == group]["right"].mean() - was[was["group"] == group]["right"].mean()
        assert groups[group]["change"] == pytest.approx(change)
    lines = [line for line in ran.err.splitlines() if line.startswith(("accuracy", "all rows", "group: A"))]
    assert "mean0.2.toml" in lines[0]
    assert f"{was['right'].mean():.3f}" in lines[1]
    assert "improved" in lines[1]
    ledger = Comparison.load(tmp_path / "trial" / "ledger")
    assert ledger.document.before["preprocessing"]["picture"]["mean"] == [0.2, 0.2, 0.2]
    assert ledger.document.after["preprocessing"]["picture"]["mean"] == list(HALF.mean)


def test_a_model_far_below_its_card_is_warned_of(audit: Any, run: Any, table: Path, tmp_path: Path) -> None:
    bad = preprocessing(tmp_path, 0.2)
    ran = audit("--preprocess", bad, "--card", "accuracy=0.9", "--json")
    warned = [warning for warning in ran.json["warnings"] if warning["code"] == "card"]
    assert len(warned) == 1
    assert "First suspect the preprocessing" in warned[0]["message"]
    assert "mean0.2.toml" in warned[0]["message"]
    assert not [w for w in audit("--card", "accuracy=0.9", "--json").json["warnings"] if w["code"] == "card"]
    assert not [w for w in audit("--preprocess", bad, "--json").json["warnings"] if w["code"] == "card"]
    own = run("audit", table, "--image", "image", "--label", "y", "--model", "brightness:0.99", *QUICK, "--json")
    assert [w for w in own.json["warnings"] if w["code"] == "card"]
    assert audit("--card", "accuracy=75").code == 2
    assert audit("--card", "top5=0.9").code == 2


def test_an_encoder_with_words_for_every_class(run: Any, tmp_path: Path) -> None:
    rng, rows = np.random.default_rng(0), []
    for i in range(120):
        colour = ("red", "blue")[i % 2]
        strength = 200 if i % 4 < 2 else 90
        pixel = np.array([strength, 0, 100] if colour == "red" else [100, 0, strength])
        Image.fromarray(np.broadcast_to(pixel, (9, 9, 3)).astype(np.uint8)).save(tmp_path / f"{i}.png")
        rows.append({"file": f"{i}.png", "colour": colour, "group": "AB"[int(rng.integers(0, 2))]})
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "groups.toml").write_text(WORDS, "utf-8")
    call = (
        "audit",
        tmp_path / "table.csv",
        "--image",
        "file",
        "--label",
        "colour",
        "--model",
        "colours",
        "--by",
        "group",
    )
    ran = run(
        *call, "--vocabulary", tmp_path / "groups.toml", "--bootstrap", "100", "--out", tmp_path / "audit", "--json"
    )
    assert ran.code == 0, ran.err
    assert accuracy(tmp_path / "audit")["", ""] == pytest.approx(0.5), "the weak ones are taken for the other colour"
    document = Audit.load(tmp_path / "audit").document
    assert document.encoder["fingerprint"]["kind"] == "zero-shot"
    assert document.encoder["fingerprint"]["classes"] == {"red": ["red"], "blue": ["blue"]}
    without = run(*call)
    assert without.code == 2
    assert "is an encoder, and no classifier" in without.err


def test_wrong_use_is_exit_2(audit: Any, run: Any, table: Path, tmp_path: Path) -> None:
    call = ("audit", table, "--by", "group")
    for more, said in (
        (("--model", "brightness", "--label", "y"), "Name it (--image)"),
        (("--model", "brightness", "--image", "image"), "Name it (--label)"),
        (("--model", "brigthness", "--label", "y", "--image", "image"), "Did you mean 'brightness'"),
        (("--model", "brightness", "--label", "y", "--image", "image", "--prediction", "y"), "--prediction does not apply"),
        (("--model", "brightness", "--label", "y", "--image", "image", "--queries", "occupations"), "--queries does not apply"),
        (("--label", "y", "--prediction", "y", "--preprocess", "clip"), "--preprocess does not apply to an audit without --model"),
        (("--label", "y", "--prediction", "y", "--classes", "a=b"), "--classes does not apply"),
    ):  # fmt: skip
        ran = run(*call, *more)
        assert (ran.code, said in ran.err) == (2, True), (more, ran.err)
    for more, said in (
        (("--preprocess", "clip", "--preprocess", "clip"), "2 preprocessings were named"),
        (("--preprocess", "clip", "--preprocess", "raw", "--preprocess", "vit"), "3 preprocessings were named"),
        (("--preprocess", "clipp"), "Did you mean 'clip'"),
        (("--classes", "dark"), "is not NAME=VALUE"),
        (("--positive", "brihgt"), "Did you mean 'bright'"),
    ):
        ran = audit(*more)
        assert (ran.code, said in ran.err) == (2, True), (more, ran.err)


def test_a_store_keeps_the_logits_and_rules_decide_about_pictures(audit: Any, run: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = audit("--store", store, "--out", tmp_path / "a", "--positive", "bright")
    assert first.code == 0, first.err
    again = audit("--store", store, "--out", tmp_path / "b", "--positive", "dark", "--workers", "1")
    assert again.code == 0, again.err
    assert accuracy(tmp_path / "a") == accuracy(tmp_path / "b")
    refused = run("audit", store, "--queries", "occupations", "--by", "group")
    assert (refused.code, "holds the logits of a classifier" in refused.err) == (2, True)
    assert audit("--store", store, "--max-pixels", "100").code == 2
    small = audit("--max-pixels", "100")
    assert (small.code, "240 too large" in small.err) == (2, True), small.err
    both = ("--preprocess", "own", "--preprocess", preprocessing(tmp_path, 0.4), "--store", tmp_path / "two")
    assert audit(*both).code == 0
    assert {path.name for path in (tmp_path / "two").iterdir()} == {"before", "after"}
    assert run("audit", tmp_path, "--label", "y", "--prediction", "p", "--by", "g", "--max-pixels", "9").code == 2


def test_the_same_call_twice_is_the_same_audit(audit: Any, tmp_path: Path) -> None:
    call = ("--store", tmp_path / "store", "--out", tmp_path / "audit")
    assert audit(*call).code == 0
    before = {path: path.read_bytes() for path in sorted((tmp_path / "audit").rglob("*.*")) if path.is_file()}
    assert audit(*call).code == 0
    assert {path: path.read_bytes() for path in before} == before


def test_a_clip_with_words_for_every_class_answers_as_transformers_does(run: Any, tmp_path: Path) -> None:
    for package in ("torch", "transformers", "tokenizers"):
        pytest.importorskip(package)
    import tiny_transformers
    import torch
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    folder = tiny_transformers.clip(tmp_path / "clip")
    shown = tiny_transformers.pictures(24)
    rows = []
    for i, picture in enumerate(shown):
        picture.save(tmp_path / f"{i:02d}.png")
        rows.append({"file": f"{i:02d}.png", "what": ("woman", "man")[i % 2], "group": "AB"[i % 4 < 2]})
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "groups.toml").write_text(
        '[what]\nvalues = ["woman", "man"]\ntemplates = ["a photo of {}", "{}"]\n'
        '[what.prompts]\nwoman = ["a woman", "a female person"]\nman = ["a man"]\n',
        "utf-8",
    )
    call = ("audit", tmp_path / "table.csv", "--image", "file", "--label", "what", "--by", "group", "--min-group", "5")
    model = ("--model", f"transformers:{folder}", "--bootstrap", "0")
    ran = run(*call, *model, "--vocabulary", tmp_path / "groups.toml", "--positive", "man", "--out", tmp_path / "audit")
    assert ran.code == 0, ran.err
    found = Audit.load(tmp_path / "audit").evidence.rows

    net, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)

    def unit(x: Any) -> Any:
        return x / x.norm(dim=-1, keepdim=True)

    with torch.no_grad():
        out = {}
        for label, words in {"woman": ["a woman", "a female person"], "man": ["a man"]}.items():
            texts = [t.format(w) for t in ("a photo of {}", "{}") for w in words]
            tokens = tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
            out[label] = unit(unit(pooled(net.get_text_features(**tokens))).mean(0))
        images = unit(pooled(net.get_image_features(**processor(images=shown, return_tensors="pt"))))
        logits = net.logit_scale.exp() * images @ torch.stack(list(out.values())).T
    wanted = [list(out)[k] for k in logits.argmax(1)]
    assert found["prediction"].to_pylist() == wanted
    assert found["score"].to_numpy() == pytest.approx(logits.softmax(1)[:, 1].numpy(), abs=2e-4)
    without = run(*call, *model)
    assert (without.code, "is no image classifier" in without.err) == (2, True), without.err


def pooled(out: Any) -> Any:
    """What transformers 5 gives is an object, before it was the tensor."""
    return getattr(out, "pooler_output", out)
