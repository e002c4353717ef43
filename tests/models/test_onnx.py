"""ONNX models: equal to numpy, and refused before the runtime sees them where they are not what they seem."""

from __future__ import annotations

import json
import os
import sys

import numpy as np
import pytest

for package in ("onnx", "onnxruntime", "tokenizers"):
    pytest.importorskip(package)

import onnx  # noqa: E402
from models.onnx_tools import DIM, SIZE, expected, image_network, text_network, write_folder  # noqa: E402
from PIL import Image  # noqa: E402

from equipoise.errors import EmbeddingError, InputError, MissingFileError  # noqa: E402
from equipoise.models import onnx_session  # noqa: E402
from equipoise.models.onnx import load, load_classifier  # noqa: E402
from equipoise.models.references import load_classifier as by_reference  # noqa: E402
from equipoise.models.references import load_encoder  # noqa: E402
from equipoise.testing import check_classifier, check_encoder  # noqa: E402

PREPARED = {"size": SIZE, "mean": [0.5] * 3, "std": [0.25] * 3}


def pixels(n=5, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, SIZE, SIZE, 3), dtype=np.uint8)


def saved(path, model):
    onnx.save(model, str(path))
    return path


# -------------------------------------------------------------------------------------------------------- contract


@pytest.mark.parametrize(("mask", "length"), [(True, "t"), (False, "t"), (True, 32)])
def test_a_folder_with_both_towers_keeps_the_contract(tmp_path, mask, length):
    folder = write_folder(tmp_path / "m", mask=mask, length=length)
    encoder = load_encoder(f"onnx:{folder}")
    passed = check_encoder(encoder, ref=f"onnx:{folder}" if mask and length == "t" else None)
    assert {"text_batches", "picture_batches", "long_text", "preprocessing"} <= set(passed)
    assert (encoder.name, encoder.dim) == ("tiny", DIM)


@pytest.mark.parametrize("options", [{}, {"channels_last": True}, {"batch": 1}, {"batch": 4}, {"kind": "h"}])
def test_pictures_are_what_numpy_says(tmp_path, options):
    encoder = load(str(write_folder(tmp_path / "m", **options)))
    x = (pixels().transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25
    found = encoder.encode_image(pixels())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(x), atol=2e-2 if options.get("kind") else 1e-5)
    assert encoder.fingerprint["dtype"] == ("float16" if options.get("kind") else "float32")


def test_texts_are_what_numpy_says_and_cut_where_the_context_ends(tmp_path):
    encoder = load(str(write_folder(tmp_path / "m")))
    table = np.random.default_rng(1).normal(size=(300, DIM)).astype(np.float32)
    tokenizer = encoder.text.tokenizer
    ids = [1, *(tokenizer.token_to_id(letter) for letter in "nurse")]
    np.testing.assert_allclose(encoder.encode_text(["nurse"])[0], table[ids].mean(0), atol=1e-6)
    assert encoder.truncated(["nurse", "n" * 31, "n" * 32]) == [False, False, True]
    np.testing.assert_array_equal(encoder.encode_text(["n" * 500]), encoder.encode_text(["n" * 31]))
    assert encoder.encode_text([f"text {n}" for n in range(150)]).shape == (150, DIM)


def test_without_a_mask_padding_does_not_depend_on_the_neighbours(tmp_path):
    encoder = load(str(write_folder(tmp_path / "m", mask=False)))
    assert encoder.text.padding == "max_length"
    together = encoder.encode_text(["a", "a much longer text"])
    np.testing.assert_allclose(together[0], encoder.encode_text(["a"])[0], atol=1e-6)


def test_a_single_file_has_pictures_and_no_words(tmp_path):
    path = saved(
        tmp_path / "net.onnx", image_network(metadata={"name": "alone", "preprocessing": json.dumps(PREPARED)})
    )
    encoder = load_encoder(f"onnx:{path}")
    assert encoder.name == "alone"
    assert encoder.encode_image(pixels(2)).shape == (2, DIM)
    with pytest.raises(InputError, match=r"has no text tower. Put text.onnx"):
        encoder.encode_text(["a"])


@pytest.mark.parametrize("how", ["file", "json", "property", "lines", "id2label"])
def test_labels_are_found(tmp_path, how):
    labels = ["cat", "dog", "a b"]
    metadata = {"labels": json.dumps(labels)} if how == "property" else {}
    folder = tmp_path / "m"
    folder.mkdir()
    saved(folder / "model.onnx", image_network(3, metadata=metadata))
    card = {"preprocessing": PREPARED, "classifier": True, "card": {"accuracy": 0.75}}
    if how == "file":
        (folder / "labels.txt").write_text("cat\r\ndog\na b\n")
    elif how == "json":
        card["labels"] = labels
    elif how == "lines":
        (folder / "names.txt").write_text("cat\ndog\na b")
        card["labels"] = "names.txt"
    elif how == "id2label":
        (folder / "config.json").write_text(json.dumps({"id2label": {"1": "dog", "0": "cat", "2": "a b"}}))
    (folder / "model.json").write_text(json.dumps(card))
    classifier = by_reference(f"onnx:{folder}")
    assert classifier.labels == tuple(labels)
    assert classifier.card == {"accuracy": 0.75}
    x = np.random.default_rng(3).random((4, 3, SIZE, SIZE), np.float32)
    np.testing.assert_allclose(classifier.scores(x), expected((x - 0.5) / 0.25, width=3), atol=1e-5)
    if how == "file":
        check_classifier(classifier, ref=f"onnx:{folder}")


def test_files_beside_a_single_file(tmp_path):
    path = saved(tmp_path / "net.onnx", image_network(2))
    (tmp_path / "net.json").write_text(json.dumps({"preprocessing": PREPARED, "drop": [0]}))
    (tmp_path / "net.labels.txt").write_text("a\nb")
    with pytest.raises(InputError, match="has 4 outputs, 1 of them dropped, and 2 labels"):
        load_classifier(str(saved(path, image_network(4))))
    assert load_classifier(str(saved(path, image_network(3)))).labels == ("a", "b")


# ---------------------------------------------------------------------------------------------------- fingerprint


def test_the_fingerprint_follows_weights_external_data_words_and_preprocessing(tmp_path):
    prints = []
    for change in range(5):
        folder = write_folder(tmp_path / str(change), seed=int(change == 1))
        model = image_network(seed=int(change == 1))
        if change >= 2:
            matrix = np.array(onnx.numpy_helper.to_array(model.graph.initializer[0]))
            matrix[0, 0] += change == 3
            external(model, folder, matrix)
        if change == 4:
            (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text().replace("[PAD]", "[FIL]"))
        saved(folder / "image.onnx", model)
        encoder = load(str(folder))
        prints.append(json.dumps(encoder.fingerprint, sort_keys=True))
        assert encoder.fingerprint["kind"] == "onnx"
        other = encoder.with_preprocessing(encoder.preprocessing.with_(mean=(0.4, 0.4, 0.4)))
        assert other.fingerprint != encoder.fingerprint
        assert np.abs(other.encode_image(pixels(1)) - encoder.encode_image(pixels(1))).max() > 0.01
    assert len(set(prints)) == 5
    again = load(str(write_folder(tmp_path / "again")))
    assert json.dumps(again.fingerprint, sort_keys=True) == prints[0]


def external(model, folder, matrix=None, location="weights.bin", **keys):
    """Move the matrix of a model into a file beside it."""
    tensor = model.graph.initializer[0]
    values = matrix if matrix is not None else onnx.numpy_helper.to_array(tensor)
    if location == "weights.bin":
        (folder / location).write_bytes(values.tobytes())
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.add(key=key, value=str(value))
    return model


def test_weights_in_a_file_beside_are_used(tmp_path):
    saved(tmp_path / "net.onnx", external(image_network(), tmp_path))
    x = (pixels().transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25
    found = load(str(tmp_path / "net.onnx"), preprocessing=PREPARED).encode_image(pixels())
    np.testing.assert_allclose(found, expected(x), atol=1e-5)


# --------------------------------------------------------------------------------------------------------- attacks


@pytest.fixture
def no_runtime(monkeypatch):
    """Fail when the runtime is asked to open anything."""

    def opened(*_, **__):
        pytest.fail("the runtime was asked to open it")

    monkeypatch.setattr(sys.modules["onnxruntime"], "InferenceSession", opened)


@pytest.mark.usefixtures("no_runtime")
@pytest.mark.parametrize(
    "location",
    [
        "../secret.bin",
        "/etc/passwd",
        "sub/../../secret.bin",
        "..\\secret.bin",
        "C:\\secret.bin",
        "link.bin",
        "linked/secret.bin",
        "",
    ],
)
@pytest.mark.parametrize("place", ["initialiser", "constant", "subgraph"])
def test_external_data_outside_the_folder_is_refused(tmp_path, location, place):
    folder = tmp_path / "m"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(bytes(4 * 36))
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    (folder / "linked").symlink_to(tmp_path)
    model = image_network()
    if place == "initialiser":
        external(model, folder, location=location)
    else:
        tensor = onnx.helper.make_tensor("w", onnx.TensorProto.FLOAT, [36], bytes(4 * 36), raw=True)
        holder = onnx.helper.make_model(onnx.helper.make_graph([], "h", [], [], initializer=[tensor]))
        tensor = external(holder, folder, location=location).graph.initializer[0]
        node = onnx.helper.make_node("Constant", [], ["w"], value=tensor)
        if place == "subgraph":
            graph = onnx.helper.make_graph([node], "inner", [], [])
            node = onnx.helper.make_node("If", ["c"], ["w"], then_branch=graph, else_branch=graph)
        model.graph.node.append(node)
    saved(folder / "net.onnx", model)
    with pytest.raises(InputError, match="external data of 'net.onnx'.*lies outside the model's folder"):
        load(str(folder / "net.onnx"), preprocessing=PREPARED)


@pytest.mark.usefixtures("no_runtime")
@pytest.mark.parametrize(
    ("location", "keys", "said"),
    [
        ("none.bin", {}, "external data .* is missing: there is no"),
        ("*/_ORT_MEM_ADDR_/*", {"offset": 140000, "length": 144}, "is missing"),
        ("loop.bin", {}, "cannot be followed|is missing"),
        ("folder.bin", {}, "no regular file"),
        ("pipe.bin", {}, "no regular file"),
        ("weights.bin", {"offset": 100}, "cut short, or belongs|lies at 100"),
        ("weights.bin", {"offset": 0, "length": 1000}, "has 144 bytes"),
        ("weights.bin", {"offset": -4, "length": 4}, "lies at -4"),
        ("weights.bin", {"offset": "x"}, "lies at x"),
    ],
)
def test_external_data_that_is_not_there(tmp_path, location, keys, said):
    (tmp_path / "loop.bin").symlink_to(tmp_path / "loop.bin")
    (tmp_path / "folder.bin").mkdir()
    os.mkfifo(tmp_path / "pipe.bin")
    if "length" not in keys and location == "weights.bin":
        keys = keys | {"length": 144}
    saved(tmp_path / "net.onnx", external(image_network(), tmp_path, location=location, **keys))
    with pytest.raises(InputError, match=said):
        load(str(tmp_path / "net.onnx"), preprocessing=PREPARED)


@pytest.mark.usefixtures("no_runtime")
def test_a_tensor_that_names_two_files(tmp_path):
    model = external(image_network(), tmp_path)
    model.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")
    saved(tmp_path / "net.onnx", model)
    with pytest.raises(InputError, match="names its file 2 times"):
        load(str(tmp_path / "net.onnx"), preprocessing=PREPARED)


@pytest.mark.usefixtures("no_runtime")
@pytest.mark.parametrize("file", ["image", "tokenizer", "text", "labels", "preprocessing"])
def test_a_card_names_files_of_its_folder_only(tmp_path, file):
    folder = write_folder(tmp_path / "m")
    away = {"image": {"image": {"file": "../x.onnx"}}, "tokenizer": {"text": {"tokenizer": "/etc/passwd"}},
            "text": {"text": {"file": "../t.onnx"}}, "labels": {"labels": "../labels.txt"},
            "preprocessing": {"preprocessing": "../p.json"}}[file]  # fmt: skip
    write_folder(folder, card=away)
    with pytest.raises(InputError, match="lies outside the model's folder"):
        load(str(folder))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x08\x07", os.urandom(4096)])
def test_what_is_no_model(tmp_path, content):
    (tmp_path / "net.onnx").write_bytes(content)
    with pytest.raises(InputError, match="is no ONNX model, or is cut short"):
        load(str(tmp_path / "net.onnx"), preprocessing=PREPARED)


def test_a_model_cut_anywhere_is_refused_or_is_none(tmp_path):
    whole = image_network().SerializeToString()
    for end in range(0, len(whole), 17):
        (tmp_path / "net.onnx").write_bytes(whole[:end])
        with pytest.raises(InputError):
            load(str(tmp_path / "net.onnx"), preprocessing=PREPARED)


def test_a_giant_file_is_not_read(tmp_path):
    with open(tmp_path / "net.onnx", "wb") as file:
        file.truncate(3 * 2**30)
    with pytest.raises(InputError, match=r"has 3\.0 GiB; an ONNX file holds at most 2"):
        load(str(tmp_path / "net.onnx"), preprocessing=PREPARED)


def test_an_operator_that_the_runtime_does_not_know(tmp_path):
    model = image_network()
    model.graph.node[0].op_type = "Nonsense"
    saved(tmp_path / "net.onnx", model)
    with pytest.raises(InputError, match="onnxruntime cannot use"):
        load(str(tmp_path / "net.onnx"), preprocessing=PREPARED)


# -------------------------------------------------------------------------------------------------------- wrong use


def test_encoder_and_classifier_are_told_apart(tmp_path):
    folder = write_folder(tmp_path / "m")
    with pytest.raises(InputError, match="says that it is an encoder, and is used as a classifier"):
        load_classifier(str(folder))
    write_folder(folder, card={"classifier": True})
    with pytest.raises(InputError, match="says that it is a classifier, and is used as an encoder"):
        load(str(folder))


def test_what_is_not_said(tmp_path):
    path = str(saved(tmp_path / "net.onnx", image_network()))
    with pytest.raises(InputError, match="does not say how pictures are prepared"):
        load_encoder(f"onnx:{path}")
    assert load_encoder(f"onnx:{path}", preprocessing=PREPARED).preprocessing.size == (SIZE, SIZE)
    with pytest.raises(InputError, match="does not say what its outputs mean"):
        load_classifier(path, preprocessing=PREPARED)
    with pytest.raises(InputError, match="takes pictures of 8 x 8, and the preprocessing makes 224 x 224"):
        load(path, preprocessing="clip")
    with pytest.raises(InputError, match="names no file"):
        load("")
    with pytest.raises(MissingFileError, match="There is no file"):
        load(str(tmp_path / "none.onnx"))
    with pytest.raises(MissingFileError, match=r"has no image.onnx"):
        load(str(tmp_path.joinpath("empty")) if tmp_path.joinpath("empty").mkdir() is None else "")


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"nmae": "x"}, "a key 'nmae', which is not known. Did you mean 'name'"),
        ({"classifier": "yes"}, "'classifier' .* is 'yes'. It is true or false"),
        ({"image": {"input": "pixls"}}, "has no input 'pixls'. Name one in model.json: pixels"),
        ({"image": {"output": "x"}}, "has no output 'x'"),
        ({"text": {"max_length": 0}}, "'max_length' .* is 0"),
        ({"text": {"padding": "left"}}, "'padding' .* is 'left'"),
        ({"text": {"inputs": {"ids": "input_ids"}}}, "not known what enters attention_mask"),
        ({"labels": ["a", "a"]}, "has the label 'a' 2 times"),
        ({"labels": {"0": "a", "2": "b"}}, "keys are not 0 to 1"),
        ({"preprocessing": "clipp"}, "no preprocessing 'clipp'"),
        ({"card": {"accuracy": 75}}, "accuracy is 75"),
    ],
)
def test_a_card_with_a_mistake(tmp_path, card, said):
    with pytest.raises(InputError, match=said):
        load(str(write_folder(tmp_path / "m", card=card)))


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_card_that_is_none(tmp_path, text):
    folder = write_folder(tmp_path / "m")
    (folder / "model.json").write_text(text)
    with pytest.raises(InputError, match=r"model\.json"):
        load(str(folder))


def test_a_tokenizer_that_is_none(tmp_path):
    folder = write_folder(tmp_path / "m")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="is no tokenizer"):
        load(str(folder))


def test_towers_of_two_spaces(tmp_path):
    folder = write_folder(tmp_path / "m")
    saved(folder / "text.onnx", text_network(width=4))
    with pytest.raises(EmbeddingError, match="has 6 columns, the text tower 4"):
        load(str(folder))


def test_an_untrained_network_is_noticed(tmp_path):
    fresh = load(str(write_folder(tmp_path / "m", norm=True)))
    assert fresh.notes == (
        "The weights look untrained: its normalisation layer has weight 1 and bias 0 exactly. (image tower)",
    )
    model = image_network(norm=True)
    moved = onnx.numpy_helper.from_array(np.linspace(0.9, 1.1, 6, dtype=np.float32), "ln.weight")
    model.graph.initializer[1].CopyFrom(moved)
    saved(tmp_path / "m" / "image.onnx", model)
    assert load(str(tmp_path / "m")).notes == ()


def test_threads_and_device(tmp_path, monkeypatch):
    folder = str(write_folder(tmp_path / "m"))
    asked = []
    real = sys.modules["onnxruntime"].InferenceSession

    def session(path, options, providers):
        asked.append((options.intra_op_num_threads, providers))
        return real(path, options, providers=providers)

    monkeypatch.setattr(sys.modules["onnxruntime"], "InferenceSession", session)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    load(folder, device="cpu")
    load(folder, device="cpu", threads=2)
    assert asked == [(1, ["CPUExecutionProvider"])] * 2 + [(2, ["CPUExecutionProvider"])] * 2
    with pytest.raises(InputError, match="threads is 0"):
        load(folder, threads=0)
    with pytest.raises(InputError, match="no device 'tpu'"):
        load(folder, device="tpu")
    runtime = sys.modules["onnxruntime"]
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(InputError, match="has no CUDA"):
        load(folder, device="cuda")
    monkeypatch.setattr(runtime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    assert onnx_session._providers(runtime, "auto")[0] == ("CUDAExecutionProvider", {"device_id": 0})
    assert onnx_session._providers(runtime, "cuda:1")[0][1] == {"device_id": 1}
    assert onnx_session._providers(runtime, "cpu") == ["CPUExecutionProvider"]


def test_without_the_extra(tmp_path, monkeypatch):
    folder = str(write_folder(tmp_path / "m"))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError, match=r"pip install 'equipoise\[onnx\]'"):
        load(folder)


def test_pictures_go_into_a_store(tmp_path):
    import equipoise as eq

    for place, colours in enumerate(pixels(6, seed=4)):
        Image.fromarray(colours).save(tmp_path / f"{place}.png")
    table = tmp_path / "t.csv"
    table.write_text("file,gender\n" + "".join(f"{n}.png,{'FM'[n % 2]}\n" for n in range(6)))
    samples = eq.read_samples(table, image="file", attributes=["gender"])
    encoder = load(str(write_folder(tmp_path / "m")))
    found = eq.embed(encoder, samples, store=tmp_path / "store")
    wanted = expected((pixels(6, seed=4).transpose(0, 3, 1, 2) / 255 - 0.5) / 0.25)
    np.testing.assert_allclose(found.vectors(), wanted / np.linalg.norm(wanted, axis=1, keepdims=True), atol=1e-5)
