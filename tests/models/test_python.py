"""Somebody's own factory: py:package.module:factory."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import equipoise as eq
from equipoise.data.model_output import checked_images
from equipoise.errors import EmbeddingError, InputError
from equipoise.models.preprocessing import named
from equipoise.models.python import load, load_classifier
from equipoise.models.references import load_classifier as classifier_of
from equipoise.models.references import load_encoder
from equipoise.store.opening import open_store
from equipoise.testing import check_classifier, check_encoder

COUNT = count()
ENCODER = """
import numpy as np

class Net:
    def encode_image(self, pictures):
        return np.stack([np.asarray(one.resize((4, 4)), np.float32).ravel() / 255 for one in pictures])
    def encode_text(self, texts):
        return np.stack([np.bincount(np.frombuffer(text.encode()[:300] + b"x", np.uint8) % 48, minlength=48) for text in texts]).astype(np.float32)

class Prepared(Net):
    name, dim, preprocessing, fingerprint = "prepared", 48, {"size": 4, "mean": [0, 0, 0], "std": [1, 1, 1]}, {"weights": "abc"}
    notes = ("made up",)
    def encode_image(self, pixels):
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 255

class Changed(Prepared):
    def with_preprocessing(self, preprocessing):
        changed = Changed()
        changed.preprocessing = preprocessing
        return changed
"""
CLASSIFIER = """
import numpy as np

class Net:
    labels, preprocessing, card = ["red", "green", "blue"], "raw", {"accuracy": 0.5}
    def scores(self, pixels):
        return pixels.mean((2, 3))

class Bare:
    labels = ["red", "green", "blue"]
    def scores(self, pixels):
        return pixels.mean((2, 3))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module into the working directory and return its name, another at each call."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(code: str) -> str:
        name = f"somebodys_net_{next(COUNT)}"
        Path(f"{name}.py").write_text(code)
        return name

    return write


def test_what_is_absent_is_filled_in(module):
    name = module(ENCODER)
    encoder = load_encoder(f"py:{name}:Net")
    assert (encoder.name, encoder.dim) == (f"py:{name}:Net", 48)
    assert encoder.fingerprint["kind"] == "py"
    assert encoder.fingerprint["ref"] == f"py:{name}:Net"
    assert encoder.fingerprint["source"] == __import__("hashlib").sha256(Path(f"{name}.py").read_bytes()).hexdigest()
    assert not hasattr(encoder, "preprocessing")
    assert "has no fingerprint" in encoder.notes[0]
    passed = check_encoder(encoder, ref=f"py:{name}:Net")
    assert {"fresh", "picture_batches"} <= set(passed)


def test_what_is_said_is_kept(module):
    name = module(ENCODER)
    encoder = load_encoder(f"py:{name}:Prepared")
    assert (encoder.name, encoder.dim, encoder.notes) == ("prepared", 48, ("made up",))
    assert encoder.preprocessing.size == (4, 4)
    assert encoder.fingerprint["model"] == {"weights": "abc"}
    assert encoder.fingerprint["preprocessing"] == encoder.preprocessing.to_dict()
    check_encoder(encoder)


def test_a_classifier(module):
    name = module(CLASSIFIER)
    classifier = classifier_of(f"py:{name}:Net")
    assert classifier.labels == ("red", "green", "blue")
    assert classifier.card == {"accuracy": 0.5}
    assert classifier.preprocessing == named("raw")
    check_classifier(classifier, ref=f"py:{name}:Net")
    with pytest.raises(InputError, match="does not say how pictures are prepared"):
        classifier_of(f"py:{name}:Bare")
    assert classifier_of(f"py:{name}:Bare", preprocessing="clip").preprocessing == named("clip")


def test_another_preprocessing(module):
    name = module(ENCODER)
    encoder = load(f"{name}:Prepared")
    other = encoder.with_preprocessing(encoder.preprocessing.with_(resize="exact"))
    assert other.preprocessing.resize == "exact"
    assert other.fingerprint != encoder.fingerprint
    with pytest.raises(InputError, match="normalises pictures itself"):
        encoder.with_preprocessing(encoder.preprocessing.with_(mean=(0.5, 0.5, 0.5)))
    with pytest.raises(InputError, match="normalises pictures itself"):
        load(f"{name}:Net", preprocessing="clip")
    changed = load(f"{name}:Changed", preprocessing=encoder.preprocessing.with_(mean=(0.5, 0.5, 0.5)))
    assert changed.preprocessing.mean == changed.model.preprocessing.mean == (0.5, 0.5, 0.5)


def test_the_source_is_part_of_the_fingerprint(module):
    one, two = module(ENCODER), module(ENCODER + "\n# changed\n")
    assert load(f"{one}:Net").fingerprint["source"] != load(f"{two}:Net").fingerprint["source"]
    elsewhere = module(f"from {one} import Net as made")
    assert load(f"{elsewhere}:made").fingerprint["source"] == load(f"{one}:Net").fingerprint["source"]


@pytest.mark.parametrize(
    ("code", "path", "said"),
    [
        ("1 / 0", "make", r"cannot be imported: ZeroDivisionError: division by zero \(somebodys_net_\d+.py, line 1\)"),
        ("def make(:", "make", "cannot be imported: SyntaxError"),
        ("import nothing_of_that_name", "make", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("raise SystemExit('usage: x')", "make", "cannot be imported: SystemExit: usage: x"),
        ("def build(): pass", "make", r"has no 'make'\. It has build"),
        ("make = 3", "make", "'make' is a int and cannot be called"),
        ("def make(path): pass", "make", r"calling make\(\) failed: TypeError: make\(\) missing 1 required"),
        (
            "def make():\n    return {}['weights.pt']",
            "make",
            r"calling make\(\) failed: KeyError: 'weights.pt' .*line 2",
        ),
        ("def make(): pass", "make", "gives a NoneType, which is no encoder: it has no encode_image, encode_text"),
        ("class A: pass\ndef make(): return A", "make", "gives the class A, which is no encoder"),
        (CLASSIFIER, "Net", "is no encoder: it has no encode_image, encode_text. It is a classifier"),
        (ENCODER + "\nclass Bad(Net):\n    dim = 'x'", "Bad", "has dim = 'x'"),
        (ENCODER + "\nclass Bad(Net):\n    fingerprint = {1: np}", "Bad", "fingerprint of .* is not JSON"),
        (ENCODER + "\nclass Bad(Net):\n    preprocessing = 3", "Bad", "preprocessing of .* is a int"),
        (
            ENCODER + "\nclass Bad(Net):\n    preprocessing = 'clipp'",
            "Bad",
            "no preprocessing 'clipp'. Did you mean 'clip'",
        ),
        (
            ENCODER + "\nclass Bad(Net):\n    def encode_text(self, t): return np.zeros(3)",
            "Bad",
            r"gave the shape \(3,\)",
        ),
    ],
)
def test_what_the_user_wrote_is_the_users_error(module, code, path, said):
    with pytest.raises(InputError, match=said) as caught:
        load_encoder(f"py:{module(code)}:{path}")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "argument", ["", "net", "net.py", "net.py:make", "a b:make", "net:", ":make", "net:make()", "/x/net.py:f"]
)
def test_what_names_no_factory(argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"names no factory|cannot be imported"):
        load(argument)


def test_a_width_is_found_from_a_picture_where_there_are_no_words(module):
    code = ENCODER + "\nclass Mute(Net):\n    def encode_text(self, texts): raise NotImplementedError('no words')"
    encoder = load(f"{module(code)}:Mute")
    assert encoder.dim == 48
    with pytest.raises(EmbeddingError, match="failed on 1 texts: NotImplementedError: no words"):
        encoder.encode_text(["a"])


def test_wrong_answers_name_the_encoder(module):
    code = (
        ENCODER
        + """
class Nan(Net):
    def encode_image(self, pictures): return np.full((len(pictures), 48), np.nan)
class Wide(Net):
    def encode_image(self, pictures): return np.ones((len(pictures), 50), np.float32)
"""
    )
    name = module(code)
    picture = [Image.new("RGB", (9, 9))]
    with pytest.raises(EmbeddingError, match="NaN or infinity"):
        checked_images(load(f"{name}:Nan"), picture)  # by whoever knows what the pictures are called
    with pytest.raises(EmbeddingError, match=r"the shape \(1, 50\)"):
        load(f"{name}:Wide").encode_image(picture)
    assert load(f"{name}:Net").encode_image([]).shape == (0, 48)


def test_a_classifier_without_labels(module):
    with pytest.raises(InputError, match="no classifier: it has no scores, labels. It is an encoder"):
        load_classifier(f"{module(ENCODER)}:Net")
    with pytest.raises(InputError, match="has the label 'red' 2 times"):
        load_classifier(f"{module(CLASSIFIER.replace('green', 'red'))}:Net")


def test_the_command_line_uses_the_working_directory(module, tmp_path):
    name = module(ENCODER)
    for place in range(4):
        Image.fromarray(np.random.default_rng(place).integers(0, 256, (9, 9, 3), dtype=np.uint8)).save(f"{place}.png")
    Path("t.csv").write_text("file,gender\n" + "".join(f"{n}.png,{'FM'[n % 2]}\n" for n in range(4)))
    code = "import sys; from equipoise.cli import main; sys.exit(main())"
    command = ["embed", "t.csv", "--image", "file", "--attributes", "gender", "--store", "s", "--encoder"]
    env = os.environ | {"PYTHONPATH": str(Path(eq.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import sys; sys.argv[0] = 'x'\n" + code, *command, f"py:{name}:Net"],
        capture_output=True, text=True, env=env, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 2, "with a safe path the working directory is not searched"
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.remove('')\n" + code, *command, f"py:{name}:Net"],
        capture_output=True, text=True, env=env, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert open_store(tmp_path / "s").vectors().shape == (4, 48)
