"""What an ONNX model does not say by itself: how pictures are prepared, what its outputs mean, how texts become numbers.

In a folder, ``model.json`` says it (every key may be left out)::

    {"name": "my-clip", "classifier": false, "preprocessing": "clip",
     "image": {"file": "image.onnx", "input": "pixel_values", "output": "image_embeds"},
     "text": {"file": "text.onnx", "tokenizer": "tokenizer.json", "inputs": {"ids": "input_ids", "mask": "attention_mask"},
              "output": "text_embeds", "max_length": 77, "padding": "max_length", "pad": 0},
     "labels": "labels.txt", "drop": [0], "card": {"accuracy": 0.751, "n": 50000}}

Beside a single ``x.onnx`` it is ``x.json``. What is left out is looked for in ``preprocessor_config.json``, in ``labels.txt``,
``labels.json`` or the ``id2label`` of ``config.json``, and in the properties ``name``, ``preprocessing`` and ``labels`` that the
model file itself may carry.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.errors import InputError, MissingFileError, did_you_mean, listed
from equipoise.models.classifier import checked_card, checked_labels
from equipoise.models.onnx_files import inside
from equipoise.models.preprocessing import NAMED, Preprocessing, named, read_preprocessing

KEYS = ("name", "classifier", "preprocessing", "image", "text", "labels", "drop", "card")
IMAGE_KEYS = ("file", "input", "output")
TEXT_KEYS = ("file", "tokenizer", "inputs", "output", "max_length", "padding", "pad")
INPUTS = ("ids", "mask", "types")
PADDINGS = ("longest", "max_length")
LARGEST_JSON = 64 * 2**20


@dataclass(frozen=True)
class TextCard:
    """How texts enter a network; what is None is found out from the network or the tokenizer."""

    file: Path
    tokenizer: Path
    inputs: Mapping[str, str]
    output: str | None
    max_length: int | None
    padding: str | None
    pad: int | None


@dataclass(frozen=True)
class OnnxCard:
    """What was found about a model; ``classifier`` is None where nothing says what it is."""

    ref: str
    name: str
    image: Path
    image_input: str | None
    image_output: str | None
    classifier: bool | None
    preprocessing: Preprocessing | None
    labels: tuple[str, ...] | None
    drop: tuple[int, ...]
    text: TextCard | None
    card: dict[str, float] = field(default_factory=dict)


def read_card(argument: str, metadata: Callable[[Path], Mapping[str, str]]) -> OnnxCard:
    """Return what is known about ``onnx:argument``.

    Parameters
    ----------
    argument : str
        An ``.onnx`` file or a folder.
    metadata : callable
        Gives the properties that a model file carries.

    Raises
    ------
    MissingFileError
        If the model, or a file that the card names, is missing.
    InputError
        If the card cannot be used; the message names the key.
    """
    if not argument:
        raise InputError("'onnx' names no file.", "Write onnx:PATH, an .onnx file or a folder.")
    path = Path(argument)
    whole = path.is_dir()
    folder = path if whole else path.parent
    beside = folder / "model.json" if whole else path.with_suffix(".json")
    said = _object(beside) if beside.is_file() else {}
    where = str(beside)
    _known(said, KEYS, where)
    image, text = (_part(said, key, keys, where) for key, keys in (("image", IMAGE_KEYS), ("text", TEXT_KEYS)))
    file = _model(path, image.get("file"), folder, where) if whole else path
    carried = metadata(file)
    return OnnxCard(
        ref=f"onnx:{argument}",
        name=_text(said, "name", where) or carried.get("name") or (path.resolve().name if whole else path.stem),
        image=file,
        image_input=_text(image, "input", where),
        image_output=_text(image, "output", where),
        classifier=_flag(said, where),
        preprocessing=_preprocessing(said.get("preprocessing"), folder, whole, carried, where),
        labels=_labels(said.get("labels"), folder, whole, carried, where),
        drop=tuple(_whole(place, "drop", 0, where) for place in _list(said, "drop", where)),
        text=_text_card(text, folder, where) if whole else None,
        card=checked_card(_mapping(said.get("card", {}), "card", where)),
    )


def _model(path: Path, named: Any, folder: Path, where: str) -> Path:
    if named is not None:
        return inside(folder, str(named), f"The model that '{where}' names")
    for name in ("image.onnx", "model.onnx"):
        if (folder / name).exists():
            return inside(folder, name, "The model")
    found = sorted(item.name for item in folder.glob("*.onnx"))
    if len(found) == 1:
        return inside(folder, found[0], "The model")
    raise MissingFileError(
        f"The folder '{path}' has no image.onnx{f', but {listed(found)}' if found else ''}.",
        'Name the file in model.json: {"image": {"file": ...}}.',
        value=str(path),
    )


def _text_card(text: Mapping[str, Any], folder: Path, where: str) -> TextCard | None:
    if not text and not (folder / "text.onnx").exists():
        return None
    padding = text.get("padding")
    if padding not in (None, *PADDINGS):
        raise _wrong("padding", padding, f"one of {', '.join(PADDINGS)}", where)
    inputs = _mapping(text.get("inputs", {}), "inputs", where)
    _known(inputs, INPUTS, where)
    for key in inputs:
        _text(inputs, key, where)
    length, pad = text.get("max_length"), text.get("pad")
    return TextCard(
        inside(folder, str(text.get("file", "text.onnx")), "The text tower"),
        inside(folder, str(text.get("tokenizer", "tokenizer.json")), "The tokenizer"),
        inputs,
        _text(text, "output", where),
        None if length is None else _whole(length, "max_length", 1, where),
        padding,
        None if pad is None else _whole(pad, "pad", 0, where),
    )


def _preprocessing(
    said: Any, folder: Path, whole: bool, carried: Mapping[str, str], where: str
) -> Preprocessing | None:
    if said is None and whole and (folder / "preprocessor_config.json").is_file():
        return read_preprocessing(inside(folder, "preprocessor_config.json", "The preprocessing"))
    if said is None and (prop := carried.get("preprocessing")):
        # a property names no file: it is part of what is not trusted
        return read_preprocessing(_json(prop, "The property 'preprocessing'")) if prop[:1] == "{" else named(prop)
    if said is None:
        return None
    if isinstance(said, str) and said not in NAMED and Path(said).suffix in (".json", ".toml"):
        return read_preprocessing(inside(folder, said, f"The preprocessing that '{where}' names"))
    if not isinstance(said, (str, dict)):
        raise _wrong("preprocessing", said, "a name, a file in the folder, or an object", where)
    return read_preprocessing(said)


def _labels(said: Any, folder: Path, whole: bool, carried: Mapping[str, str], where: str) -> tuple[str, ...] | None:
    if said is None and whole:
        said = next((name for name in ("labels.txt", "labels.json") if (folder / name).is_file()), None)
        if said is None and (folder / "config.json").is_file():
            said = _object(folder / "config.json").get("id2label")
    elif said is None:
        said = next((n for n in (f"{Path(where).stem}.labels.txt", "labels.txt") if (folder / n).is_file()), None)
    if said is None and carried.get("labels"):
        return checked_labels(labels_in(carried["labels"], "The property 'labels'"), where)
    if said is None:
        return None
    if isinstance(said, str):
        file = inside(folder, said, "The file of labels")
        return checked_labels(labels_in(_read(file), f"'{file}'"), str(file))
    if not isinstance(said, (list, dict)):
        raise _wrong("labels", said, "a list, or a file in the folder", where)
    return checked_labels(labels_in(json.dumps(said), f"'labels' in '{where}'"), where)


def labels_in(text: str, what: str) -> list[str]:
    """Return labels from a JSON list, a JSON object by output number, or lines."""
    if not text.lstrip().startswith(("[", "{")):
        return [line.strip() for line in text.strip().splitlines()]
    values = _json(text, what)
    if isinstance(values, dict):
        if sorted(values) != sorted(map(str, range(len(values)))):
            raise InputError(
                f"{what}: the keys are not 0 to {len(values) - 1}.", "Number every output.", value=list(values)
            )
        values = [values[str(place)] for place in range(len(values))]
    return values


# ------------------------------------------------------------------------------------------------------------- values


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST_JSON:
            raise InputError(f"'{path}' is too large.", "It holds a few lines.", value=path.stat().st_size)
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read: {error}.", "Check it.", value=str(path)) from error


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{what} is not JSON: {error}.", "Mend it.", value=what) from error


def _object(path: Path) -> dict[str, Any]:
    return dict(_mapping(_json(_read(path), f"'{path}'"), "all of it", str(path)))


def _mapping(value: Any, key: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(key, value, "an object", where)
    return value


def _part(said: Mapping[str, Any], key: str, known: tuple[str, ...], where: str) -> Mapping[str, Any]:
    part = _mapping(said.get(key, {}), key, where)
    _known(part, known, where)
    return part


def _known(values: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in values:
        if key not in known:
            raise InputError(
                f"'{where}' has a key '{key}', which is not known.{did_you_mean(key, known)}",
                f"Known: {listed(known)}.",
                value=key,
            )


def _text(values: Mapping[str, Any], key: str, where: str) -> str | None:
    value = values.get(key)
    if value is not None and (not isinstance(value, str) or not value):
        raise _wrong(key, value, "a text", where)
    return value


def _flag(values: Mapping[str, Any], where: str) -> bool | None:
    value = values.get("classifier")
    if value is not None and not isinstance(value, bool):
        raise _wrong("classifier", value, "true or false", where)
    return value


def _list(values: Mapping[str, Any], key: str, where: str) -> list[Any]:
    value = values.get(key, [])
    if not isinstance(value, list):
        raise _wrong(key, value, "a list", where)
    return value


def _whole(value: Any, key: str, low: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise _wrong(key, value, f"a whole number of {low} or more", where)
    return value


def _wrong(key: str, value: Any, wanted: str, where: str) -> InputError:
    return InputError(f"'{key}' in '{where}' is {value!r}.", f"It is {wanted}.", value=value)
