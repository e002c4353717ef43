"""What the ``preprocessor_config.json`` of a transformers model says, as a Preprocessing.

The processors differ in defaults, which a file may leave out, and in a few steps of their own. Only kinds whose every step
can be expressed are read; the others are refused by name: pixels that are nearly right cost accuracy in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError, listed
from equipoise.models.preprocessing import CLIP_MEAN, CLIP_STD, HALF, INTERPOLATIONS, Preprocessing

Triple = tuple[float, float, float]

_CLIP = {
    "size": {"shortest_edge": 224},
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "resample": INTERPOLATIONS["bicubic"],
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
}
_VIT = {
    "size": {"height": 224, "width": 224},
    "resample": INTERPOLATIONS["bilinear"],
    "image_mean": HALF,
    "image_std": HALF,
}
_BICUBIC = {**_VIT, "resample": INTERPOLATIONS["bicubic"]}
_MOBILE = {
    "size": {"shortest_edge": 256},
    "crop_size": {"height": 224, "width": 224},
    "do_center_crop": True,
    "resample": INTERPOLATIONS["bilinear"],
    "image_mean": HALF,
    "image_std": HALF,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "CLIP": _CLIP,
    "ChineseCLIP": _CLIP,
    "Bit": _CLIP,
    "Siglip": _BICUBIC,
    "ViT": _VIT,
    "Beit": {**_BICUBIC, "crop_size": {"height": 224, "width": 224}},
    "DeiT": {
        **_BICUBIC,
        "size": {"height": 256, "width": 256},
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
    },
    "Blip": {
        **_BICUBIC,
        "size": {"height": 384, "width": 384},
        "image_mean": CLIP_MEAN,
        "image_std": CLIP_STD,
    },
    "MobileNetV1": _MOBILE,
    "MobileNetV2": _MOBILE,
    "ConvNext": {**_BICUBIC, "size": {"shortest_edge": 384}, "crop_pct": 224 / 256},
    "EfficientNet": {
        **_BICUBIC,
        "size": {"height": 346, "width": 346},
        "crop_size": {"height": 289, "width": 289},
        "include_top": True,
    },
}
"""Kind of processor to what its file may leave out."""

GEOMETRY = {"do_resize", "size", "resample", "do_center_crop", "crop_size", "crop_pct"}
VALUES = {
    "do_rescale", "rescale_factor", "rescale_offset", "do_normalize", "image_mean", "image_std", "include_top",
}  # fmt: skip
IDLE = {
    "image_processor_type", "feature_extractor_type", "processor_class", "auto_map", "_processor_class",
    "do_convert_rgb", "default_to_square", "use_square_size", "data_format", "input_data_format", "return_tensors",
    "device", "disable_grouping", "pad_size", "do_reduce_labels", "image_seq_length", "num_channels", "backend",
    "_valid_processor_keys", "name_or_path", "transformers_version",
}  # fmt: skip
"""Keys that change no pixel of an RGB picture."""


def is_processor(config: Mapping[str, Any]) -> bool:
    """Return whether a dictionary is that of a processor, and not of our own fields."""
    return any(key in config for key in ("image_processor", "image_processor_type", "feature_extractor_type")) or any(
        key.startswith(("do_", "image_")) for key in config
    )


def preprocessing_of(config: Mapping[str, Any]) -> Preprocessing:
    """Return what a processor does; see :func:`equipoise.models.preprocessing.preprocessing_of_processor`."""
    nested = config.get("image_processor")
    if isinstance(nested, Mapping):
        config = nested
    kind = _kind(config)
    given = {key: value for key, value in config.items() if value is not None}
    strange = [key for key, value in given.items() if key not in GEOMETRY | VALUES | IDLE and _acts(value)]
    if strange:
        raise _refused(kind, f"has '{strange[0]}': {given[strange[0]]!r}", strange[0])
    values = {
        "do_resize": True, "do_center_crop": False, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, **DEFAULTS[kind], **given,
    }  # fmt: skip
    if config.get("use_square_size") and "shortest_edge" in values["size"]:
        values["size"] = values["size"]["shortest_edge"], values["size"]["shortest_edge"]
    mean, std = _values(values, kind)
    return Preprocessing(mean=mean, std=std, name=f"{kind} processor", **_geometry(values, kind))


def _kind(config: Mapping[str, Any]) -> str:
    named = config.get("image_processor_type") or config.get("feature_extractor_type")
    if not isinstance(named, str):
        raise InputError(
            "The processor's file does not say its kind (image_processor_type).",
            "Name a preprocessing, or write its fields.",
            value=named,
        )
    kind = (
        named.removesuffix("Pil").removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    )
    if kind not in DEFAULTS:
        raise InputError(
            f"The image processor '{named}' is not known here: it may do more than resize, crop and normalise.",
            f"Known are those of {listed(DEFAULTS, 20)}; else name a preprocessing or write its fields.",
            value=named,
        )
    return kind


def _geometry(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    number = {code: name for name, code in INTERPOLATIONS.items()}
    resample = values["resample"]
    if resample not in number:
        raise _refused(kind, f"has the unknown resample {resample!r}", "resample")
    out: dict[str, Any] = {"interpolation": number[resample]}
    crop = _edges(values["crop_size"], kind, "crop_size") if values["do_center_crop"] else None
    if not values["do_resize"]:
        if crop is None:
            raise _refused(kind, "neither resizes nor crops: its pictures have no size", "do_resize")
        return {**out, "size": crop, "resize": "none"}
    size = values["size"]
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if isinstance(size, Mapping) and (more := [key for key in size if key not in ("shortest_edge", "height", "width")]):
        raise _refused(kind, f"has '{more[0]}' in its size", "size")
    if kind == "ConvNext":
        edge = shortest if shortest is not None else size
        if not isinstance(edge, int) or crop is not None:
            raise _refused(kind, f"has the size {size!r} or a crop of its own", "size")
        cropped = (
            {"resize": "shortest", "resize_to": int(edge / values["crop_pct"])} if edge < 384 else {"resize": "exact"}
        )
        return {**out, "size": (edge, edge), **cropped}
    if isinstance(size, int) and "shortest_edge" in DEFAULTS[kind]["size"]:
        shortest = size  # as older files write it
    if shortest is not None:
        if crop is None:
            raise _refused(kind, "keeps the shape of each picture: it resizes the short edge and does not crop", "size")
        return {**out, "size": crop, "resize": "shortest", "resize_to": shortest}
    edges = _edges(size, kind, "size")
    if crop is None or crop == edges:
        return {**out, "size": edges, "resize": "exact"}
    if edges[0] != edges[1]:
        raise _refused(kind, f"crops {crop} of {edges}, which is no square", "size")
    return {**out, "size": crop, "resize": "exact", "resize_to": edges[0]}


def _values(values: Mapping[str, Any], kind: str) -> tuple[Triple, Triple]:
    """Return mean and std of pixels in [0, 1] for ``(x * scale - offset - mean) / std`` of pixels in [0, 255]."""
    scale = 255 * float(values["rescale_factor"]) if values["do_rescale"] else 255.0
    offset = 1.0 if values.get("rescale_offset") and values["do_rescale"] else 0.0
    mean, std = np.zeros(3), np.ones(3)
    if values["do_normalize"]:
        mean, std = (_three(values[key], kind, key) for key in ("image_mean", "image_std"))
    if values.get("include_top"):
        std = std * _three(values["image_std"], kind, "image_std")
    return _triple((mean + offset) / scale), _triple(std / scale)


def _triple(values: NDArray[np.float64]) -> Triple:
    first, second, third = values.tolist()
    return first, second, third


def _three(value: Any, kind: str, key: str) -> NDArray[np.float64]:
    values = [value] * 3 if isinstance(value, (int, float)) else value
    if not isinstance(values, (list, tuple)) or len(values) != 3:
        raise _refused(kind, f"has the {key} {value!r}", key)
    return np.array(values, np.float64)


def _edges(size: Any, kind: str, key: str) -> tuple[int, int]:
    if isinstance(size, Mapping) and {"height", "width"} <= set(size):
        size = size["height"], size["width"]
    elif isinstance(size, Mapping) and "shortest_edge" in size and key == "crop_size":
        size = size["shortest_edge"]
    if isinstance(size, int):
        size = size, size
    if not isinstance(size, (list, tuple)) or len(size) != 2:
        raise _refused(kind, f"has the {key} {size!r}", key)
    return int(size[0]), int(size[1])


def _acts(value: Any) -> bool:
    """Return whether a key of an unknown step may change pixels: a step that is switched off does not."""
    return value not in (False, None, 0, {}, [])


def _refused(kind: str, what: str, key: str) -> InputError:
    return InputError(
        f"The {kind} processor {what}, which a preprocessing cannot express.",
        "Name a preprocessing, or write its fields.",
        value=key,
    )
