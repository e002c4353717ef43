"""Image classifiers of transformers, against transformers' own forward with its own processor. Skipped without torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

for package in ("torch", "transformers"):
    pytest.importorskip(package)

import tiny_transformers as tiny  # noqa: E402
import torch  # noqa: E402
from safetensors.numpy import load_file, save_file  # noqa: E402
from tiny_transformers import pictures  # noqa: E402

from equipoise.errors import InputError, MissingFileError  # noqa: E402
from equipoise.models.guard import prove  # noqa: E402
from equipoise.models.preprocessing import unit_pixels  # noqa: E402
from equipoise.models.references import load_classifier  # noqa: E402
from equipoise.models.transformers_classifier import TransformersClassifier, load  # noqa: E402
from equipoise.testing import check_classifier  # noqa: E402

LABELS = ["cat", "crane", "dog", "crane"]
CARD = """\
---
license: mit
model-index:
- name: tiny
  results:
  - task: {type: image-classification}
    dataset: {name: Faces, type: faces}
    metrics:
    - {type: f1, value: 0.5}
    - {type: accuracy, value: %s}
---
# A model
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.classifier(tmp_path_factory.mktemp("models") / "vit", LABELS)


@pytest.fixture(scope="module")
def model(folder: Path) -> TransformersClassifier:
    return load(str(folder), device="cpu")


@pytest.fixture
def own(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "vit"))


def pixels(model: TransformersClassifier) -> np.ndarray:
    return unit_pixels(np.stack([model.preprocessing.picture(picture) for picture in pictures()]))


def test_scores_equal_those_of_transformers(folder, model):
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    seen = AutoImageProcessor.from_pretrained(folder, backend="pil")(pictures(), return_tensors="pt")
    with torch.inference_mode():
        expected = AutoModelForImageClassification.from_pretrained(folder).eval()(**seen).logits.numpy()
    found = model.scores(pixels(model))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    prove(model, pictures())


def test_contract(folder, model):
    check_classifier(model, ref=f"transformers:{folder}")


def test_labels_that_repeat_are_numbered(model):
    assert model.labels == ("cat", "crane #1", "dog", "crane #3")
    assert model.notes == ()


def test_bfloat16(folder, model):
    half = load(str(folder), dtype="bfloat16")
    found, expected = half.scores(pixels(model)), model.scores(pixels(model))
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05 * np.abs(expected).max()
    assert half.fingerprint["dtype"] == "bfloat16"


def test_pixels_that_are_normalised_already(model):
    with pytest.raises(InputError, match="before normalisation"):
        model.scores(pixels(model) * 4 - 2)
    assert model.scores(np.empty((0, 3, 32, 32), np.float32)).shape == (0, 4)


def test_another_preprocessing(model, own):
    other = model.with_preprocessing(model.preprocessing.with_(mean=(0.1, 0.2, 0.3)))
    assert np.abs(other.scores(pixels(model)) - model.scores(pixels(model))).max() > 1e-3
    assert other.fingerprint != model.fingerprint
    with pytest.raises(InputError, match="takes no pictures of 40 x 40"):
        model.with_preprocessing(model.preprocessing.with_(size=(40, 40)))
    (own / "preprocessor_config.json").unlink()
    with pytest.raises(MissingFileError, match="--preprocess clip"):
        load_classifier(f"transformers:{own}")
    given = load_classifier(f"transformers:{own}", preprocessing=model.preprocessing)
    np.testing.assert_array_equal(given.scores(pixels(model)), model.scores(pixels(model)))


@pytest.mark.parametrize(
    ("value", "share"), [("0.87", 0.87), ("87.5", 0.875), ("'0.9'", 0.9), ("1", 1.0), ("870", None), ("high", None), ("-1", None)]
)  # fmt: skip
def test_the_card_says_what_its_makers_measured(value, share, own):
    (own / "README.md").write_text(CARD % value, "utf-8")
    assert load(str(own)).card == ({} if share is None else {"accuracy": share, "dataset": "Faces"})


@pytest.mark.parametrize(
    "text",
    [
        "# A model without a card", "---\nlicense: [\n---\n", "---\nmodel-index: 3\n---\n", "---\nmodel-index:\n- name: x\n---\n", "",
        "---\nx: !!python/object/apply:os.system ['exit 1']\n---\n", "---\n- a\n- b\n---\n",
        (CARD % "0.9").replace("image-classification", "text-classification"),
    ],
)  # fmt: skip
def test_a_card_that_says_nothing(text, own):
    (own / "README.md").write_text(text, "utf-8")
    assert load(str(own)).card == {}


def test_no_card(model):
    assert model.card == {}


def test_an_untrained_classifier_and_one_without_names_are_noticed(tmp_path):
    model = load(str(tiny.classifier(tmp_path / "fresh", trained=False)))
    assert model.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    assert model.notes[0].startswith("The weights look untrained")
    assert "no names" in model.notes[1]


def test_a_head_that_is_not_in_the_files_is_said(own):
    state = load_file(own / "model.safetensors")
    save_file(
        {k: v for k, v in state.items() if "classifier" not in k}, own / "model.safetensors", metadata={"format": "pt"}
    )
    model = load(str(own))
    assert "2 weights are not in the files" in model.notes[0]
    assert "classifier.weight" in model.notes[0]
    np.testing.assert_array_equal(model.scores(pixels(model)), load(str(own)).scores(pixels(model)))


@pytest.mark.parametrize(("names", "said"), [({"0": "a", "2": "b"}, "are numbered"), ({"0": "only"}, "1 labels")])
def test_labels_that_cannot_be_used(names, said, own):
    config = json.loads((own / "config.json").read_text("utf-8"))
    config["id2label"] = names
    config["label2id"] = {name: int(place) for place, name in names.items()}
    (own / "config.json").write_text(json.dumps(config), "utf-8")
    state = load_file(own / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        state[name] = state[name][: len(names)].copy()
    save_file(state, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=said):
        load(str(own))


def test_what_is_no_classifier(tmp_path):
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(vocab_size=20, **tiny.TOWER)).save_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match=r"\(bert\) is no image classifier"):
        load(str(tmp_path / "bert"))


def test_pickled_weights_are_refused(own):
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin, and not as safetensors"):
        load(str(own))
