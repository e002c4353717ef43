"""Preprocessings by name, and from the files of models and people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from equipoise.errors import InputError, MissingFileError, UnknownNameError, did_you_mean, listed
from equipoise.models.preparing import FIELDS, INTERPOLATIONS, LARGEST, RESIZES, Preprocessing, check_unit, unit_pixels

__all__ = [
    "CLIP_MEAN",
    "CLIP_STD",
    "FIELDS",
    "HALF",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "INTERPOLATIONS",
    "LARGEST",
    "NAMED",
    "RESIZES",
    "Preprocessing",
    "check_unit",
    "named",
    "preprocessing_of_processor",
    "read_preprocessing",
    "unit_pixels",
]

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

NAMED: dict[str, Preprocessing] = {
    item.name: item
    for item in (
        # Radford et al. 2021, and the CLIP processor of transformers
        Preprocessing((224, 224), CLIP_MEAN, CLIP_STD, name="clip"),
        # Zhai et al. 2023: squeezed, not cropped
        Preprocessing((224, 224), HALF, HALF, "exact", name="siglip"),
        # The evaluation transform of torchvision's ImageNet weights, as ResNet-50's first
        Preprocessing(
            (224, 224), IMAGENET_MEAN, IMAGENET_STD, "shortest", 256, "bilinear", crop="round", name="imagenet"
        ),
        # Szegedy et al. 2016 at 299 pixels, 87.5 % of the picture, as timm's inception_v3.tf_in1k
        Preprocessing((299, 299), HALF, HALF, "shortest", 341, "bicubic", crop="round", name="inception"),
        # The ViT processor of transformers
        Preprocessing((224, 224), HALF, HALF, "exact", interpolation="bilinear", name="vit"),
        # (pixel - 127) / 128 on [0, 255], with 32 pixels around the crop
        Preprocessing(
            (224, 224),
            (127 / 255, 127 / 255, 127 / 255),
            (128 / 255, 128 / 255, 128 / 255),
            "shortest",
            256,
            "bicubic",
            crop="round",
            name="efficientnet-lite",
        ),
        Preprocessing((224, 224), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "exact", name="raw"),
    )
}
"""Published preprocessings by name."""


def named(name: str) -> Preprocessing:
    """Return a published preprocessing by its name; UnknownNameError proposes a near one."""
    if name not in NAMED:
        raise UnknownNameError(
            f"There is no preprocessing '{name}'.{did_you_mean(name, NAMED)}",
            f"Known: {listed(NAMED, 20)}; or name a JSON or TOML file.",
            value=name,
        )
    return NAMED[name]


def read_preprocessing(spec: str | Path | Mapping[str, Any] | Preprocessing) -> Preprocessing:
    """Return a preprocessing from its name, a file, a dictionary, or itself.

    Parameters
    ----------
    spec : str, path, mapping or Preprocessing
        A name as ``"clip"``; a JSON or TOML file with the fields of :class:`Preprocessing`; the
        ``preprocessor_config.json`` of a transformers model, or its folder. A text that is a name is that name; a
        ``Path`` of a folder is the folder, whatever it is called.

    Raises
    ------
    UnknownNameError, MissingFileError, InputError
        Naming the key at fault.
    """
    if isinstance(spec, Preprocessing):
        return spec
    if isinstance(spec, Mapping):
        from equipoise.models.processor_config import is_processor

        return preprocessing_of_processor(spec) if is_processor(spec) else Preprocessing.from_dict(spec)
    path = Path(spec)
    a_folder = isinstance(spec, Path) and path.is_dir()
    if (str(spec) in NAMED and not a_folder) or not (path.suffix.lower() in (".json", ".toml") or path.is_dir()):
        return named(str(spec))
    read = read_preprocessing(_read(path))
    return read if read.name else replace(read, name=path.name)


def preprocessing_of_processor(config: Mapping[str, Any]) -> Preprocessing:
    """Return what a transformers image processor does; what cannot be expressed is refused by name.

    Parameters
    ----------
    config : mapping
        Of ``preprocessor_config.json`` (or ``processor_config.json``, which holds it under ``image_processor``).

    Raises
    ------
    InputError
        If the processor is of a kind that is not known, or does something else (patches, padding to a multiple, ...).
    """
    from equipoise.models.processor_config import preprocessing_of

    return preprocessing_of(config)


def _read(path: Path) -> Mapping[str, Any]:
    if path.is_dir():
        for name in ("preprocessor_config.json", "processor_config.json"):
            if (path / name).is_file():
                return _read(path / name)
        raise MissingFileError(
            f"The folder '{path}' has no preprocessor_config.json.", "Name a preprocessing or a file.", value=str(path)
        )
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file '{path}'.", "Check the path.", value=str(path)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{path}' cannot be read: {error}.", "Check it.", value=str(path)) from error
    try:
        if path.suffix.lower() == ".toml":
            import tomllib

            return tomllib.loads(text)
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"'{path}' cannot be read: {error}.", "Mend it.", value=str(path)) from error
    if not isinstance(values, dict):
        raise InputError(f"'{path}' holds no object.", "Write its fields as an object.", value=str(path))
    return values
