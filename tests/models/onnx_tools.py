"""Small ONNX models for tests, made with onnx alone: an image tower, a text tower, a classifier, a folder of both towers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

DIM, SIZE, WORDS = 6, 8, 300


def network(nodes, inputs, outputs, weights, *, metadata=None) -> Any:
    from onnx import TensorProto, helper, numpy_helper

    types = {"f": TensorProto.FLOAT, "h": TensorProto.FLOAT16, "i": TensorProto.INT64}
    infos = [
        [helper.make_tensor_value_info(name, types[kind], shape) for name, kind, shape in part]
        for part in (inputs, outputs)
    ]
    initialisers = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", *infos, initializer=initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    return model


def image_network(width=DIM, *, batch="n", size=SIZE, channels_last=False, norm=False, metadata=None, seed=0, kind="f"):
    """Mean, maximum and a corner of each channel, times a random matrix; the exact answer is :func:`expected`."""
    from onnx import helper

    axes = [1, 2] if channels_last else [2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("ReduceMax", ["pixels"], ["max"], axes=axes, keepdims=0),
        helper.make_node("Concat", ["mean", "max"], ["both"], axis=1),
    ]
    inner = "both"
    matrix = np.random.default_rng(seed).normal(size=(6, width)).astype(np.float16 if kind == "h" else np.float32)
    weights = {"matrix": matrix}
    if norm:
        weights |= {"ln.weight": np.ones(6, np.float32), "ln.bias": np.zeros(6, np.float32)}
        nodes.append(helper.make_node("LayerNormalization", ["both", "ln.weight", "ln.bias"], ["normed"], axis=-1))
        inner = "normed"
    nodes.append(helper.make_node("MatMul", [inner, "matrix"], ["vectors"]))
    shape = [batch, size, size, 3] if channels_last else [batch, 3, size, size]
    return network(nodes, [("pixels", kind, shape)], [("vectors", kind, [batch, width])], weights, metadata=metadata)


def expected(x: np.ndarray, seed=0, width=DIM) -> np.ndarray:
    """The answer of :func:`image_network` for (n, 3, h, w) normalised pixels, by numpy."""
    matrix = np.random.default_rng(seed).normal(size=(6, width)).astype(np.float32)
    return np.concatenate([x.mean((2, 3)), x.max((2, 3))], axis=1) @ matrix


def text_network(width=DIM, *, length="t", mask=True):
    """Mean of random word vectors over the tokens that the mask keeps."""
    from onnx import helper

    table = np.random.default_rng(1).normal(size=(WORDS, width)).astype(np.float32)
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["words"])]
    inputs = [("input_ids", "i", ["m", length])]
    weights = {"table": table}
    if mask:
        inputs.append(("attention_mask", "i", ["m", length]))
        weights |= {"last": np.array([-1], np.int64), "axis": np.array([1], np.int64)}
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["kept"], to=1),
            helper.make_node("Unsqueeze", ["kept", "last"], ["column"]),
            helper.make_node("Mul", ["words", "column"], ["masked"]),
            helper.make_node("ReduceSum", ["masked", "axis"], ["sum"], keepdims=0),
            helper.make_node("ReduceSum", ["column", "axis"], ["count"], keepdims=0),
            helper.make_node("Div", ["sum", "count"], ["text_embeds"]),
        ]
    else:
        nodes.append(helper.make_node("ReduceMean", ["words"], ["text_embeds"], axes=[1], keepdims=0))
    return network(nodes, inputs, [("text_embeds", "f", ["m", width])], weights)


def write_tokenizer(path: Path) -> None:
    """A byte-level tokenizer: every byte is a token (hashed into the table), after a first token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"[PAD]": 0, "[CLS]": 1} | {letter: 2 + place for place, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 1)])
    tokenizer.save(str(path))


def write_folder(folder: Path, *, card=None, mask=True, length="t", **options) -> Path:
    """Both towers with their card."""
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(image_network(**options), str(folder / "image.onnx"))
    model = text_network(mask=mask, length=length)
    onnx.save(model, str(folder / "text.onnx"))
    write_tokenizer(folder / "tokenizer.json")
    said = {"name": "tiny", "classifier": False, "preprocessing": {"size": SIZE, "mean": [0.5] * 3, "std": [0.25] * 3},
            "text": {"max_length": 32}}  # fmt: skip
    (folder / "model.json").write_text(json.dumps(said | (card or {})))
    return folder
