"""Where a model of timm comes from: an architecture, a safetensors file with ``config.json`` beside it, a published tag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from equipoise.errors import InputError, UnknownNameError, did_you_mean, listed
from equipoise.models.hub import hub_file
from equipoise.models.weight_files import read_weights

SOURCES = {"url", "file", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load"}
"""Keys of a ``pretrained_cfg`` that name weights: those of a file beside the weights are not followed."""


@dataclass(frozen=True)
class Source:
    """A model before it is built.

    Attributes
    ----------
    ref, name : str
    model, architecture : str
        Name for ``timm.create_model``, and the same without its tag.
    options, shape : dict
        For ``timm.create_model``, and those of them that change the network.
    labels : tuple of str
    weights : Path or None
    state : dict or None
        Weights to put in place; None if timm loads them, or they are random.
    sha256 : str
        Of the file; empty for random weights.
    fixed : (int, int) or None
        Rows and columns where the network takes no others.
    notes : tuple of str
    """

    ref: str
    name: str
    model: str
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    shape: dict[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    weights: Path | None = None
    state: dict[str, Any] | None = None
    sha256: str = ""
    fixed: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> int:
        """How many outputs the head has; 0 without a head."""
        return len(self.labels)

    def noted(self, *notes: str) -> Source:
        """Return the same with more notes."""
        return replace(self, notes=(*self.notes, *notes))

    def sized(self, size: tuple[int, int]) -> Source:
        """Return the same for a network that takes no other size."""
        return replace(self, fixed=size)


def source_of(timm: Any, argument: str, local_files_only: bool = False) -> Source:
    """Return what ``timm:ARGUMENT`` names; ``local_files_only``: files and the hub's cache must do.

    Raises
    ------
    MissingFileError, UnknownNameError, InputError
    """
    name, at, file = argument.partition("@")
    if not name or (at and not file) or ":" in name or "/" in name:
        raise InputError(
            f"'timm:{argument}' names no model.",
            "Write timm:NAME.TAG, timm:NAME@file.safetensors, or timm:NAME for random weights.",
            value=argument,
        )
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        known = timm.list_models()
        raise UnknownNameError(
            f"timm has no model '{architecture}'.{did_you_mean(architecture, known)}",
            "`timm.list_models()` lists them.",
            value=architecture,
        )
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{architecture}.*")]
    if tag and tag not in tags:
        raise UnknownNameError(
            f"timm has no weights '{tag}' of '{architecture}'.{did_you_mean(tag, tags)}",
            f"Its tags: {listed(tags, 20)}." if tags else "It has no published weights.",
            value=tag,
        )
    source = Source(f"timm:{argument}", f"timm:{name}", name, architecture)
    card = timm.get_pretrained_cfg(name).to_dict()
    if file:
        return _from_file(replace(source, name=f"timm:{name}@{Path(file).name}"), Path(file), card)
    source = replace(source, labels=_labels(card, bool(tag)))
    return _published(source, card, local_files_only) if tag else source.noted(
        f"The weights of '{source.name}' are random: neither a file nor a tag was named, and nothing was trained."
        + (f" Published weights: timm:{architecture}.TAG with {listed(tags, 5)}." if tags else "")
    )  # fmt: skip


def _published(source: Source, card: Mapping[str, Any], local_files_only: bool) -> Source:
    """Fetch published weights; timm reads them, since some of them must be converted."""
    repository = card.get("hf_hub_id")
    if not repository:
        raise InputError(
            f"'{source.name}' is published as a pickled checkpoint only, which is not read: it can run code.",
            "Convert it where you trust it, and name timm:NAME@file.safetensors.",
            value=source.ref,
        )
    filename = str(card.get("hf_hub_filename") or "model.safetensors")
    safe = f"{Path(filename).stem}.safetensors"
    path = hub_file(str(repository).rstrip("/"), safe, local_files_only=local_files_only)
    _, digest = read_weights(path)
    overlay = {"file": str(path), "hf_hub_id": None, "hf_hub_filename": None, "url": None}
    return replace(source, weights=path, sha256=digest, options={"pretrained": True, "pretrained_cfg_overlay": overlay})


def _from_file(source: Source, path: Path, card: Mapping[str, Any]) -> Source:
    """Read a safetensors file and the ``config.json`` beside it."""
    state, digest = read_weights(path)
    config = _config(path.with_name("config.json"), source.architecture)
    beside = {key: value for key, value in (config.get("pretrained_cfg") or {}).items() if key not in SOURCES}
    card = {**card, **_checked_card(beside, path)}
    heads = card.get("classifier") or ()
    head = next((f"{one}.weight" for one in ([heads] if isinstance(heads, str) else heads)), "")
    classes = int(state[head].shape[0]) if head in state else 0
    shape = dict(config.get("model_args") or {})
    if config.get("global_pool"):
        shape["global_pool"] = config["global_pool"]
    shape["num_classes"] = classes
    names = config.get("label_names") or beside.get("label_names")
    labels = _named(names, classes, path) if names and classes else ()
    return replace(
        source,
        options={"pretrained": False, "pretrained_cfg_overlay": {**beside, "num_classes": classes}, **shape},
        shape=shape,
        labels=labels or tuple(f"class {place}" for place in range(classes)),
        weights=path,
        state=state,
        sha256=digest,
    )


def _config(path: Path, architecture: str) -> dict[str, Any]:
    """Return timm's ``config.json``, or nothing where there is none."""
    if not path.is_file():
        return {}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path}' cannot be read: {error}.", "Mend it or remove it.", value=str(path)) from error
    if not isinstance(config, dict) or "architecture" not in config:
        return {}  # somebody else's
    for key in ("pretrained_cfg", "model_args"):
        if not isinstance(config.get(key) or {}, dict):
            raise InputError(f"'{key}' of '{path}' is no object.", "Mend it or remove the file.", value=str(path))
    if config["architecture"] != architecture:
        raise InputError(
            f"'{path}' is of the architecture '{config['architecture']}', and '{architecture}' was named.",
            f"Write timm:{config['architecture']}@...",
            value=config["architecture"],
        )
    return config


def _checked_card(beside: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    from timm.models import PretrainedCfg

    known = {item.name for item in fields(PretrainedCfg)}
    strange = [key for key in beside if key not in known]
    if strange:
        raise InputError(
            f"The pretrained_cfg of '{path.with_name('config.json')}' has the unknown key '{strange[0]}'.",
            "Update timm, or mend the file.",
            value=strange[0],
        )
    return beside


def _named(names: Any, classes: int, path: Path) -> tuple[str, ...]:
    """Return the ``label_names`` of a ``config.json``: a list, or an object by number that may have gaps."""
    if isinstance(names, dict):
        names = [names.get(str(place), f"class {place}") for place in range(classes)]
    if not isinstance(names, list) or len(names) != classes:
        raise InputError(
            f"The label_names of '{path.with_name('config.json')}' are not {classes} names, one an output of the head.",
            "Mend them.",
            value=str(path),
        )
    return tuple(str(name) for name in names)


def _labels(card: Mapping[str, Any], published: bool) -> tuple[str, ...]:
    """Return the names of ImageNet's classes where published weights have as many outputs, else numbers."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    classes = int(card.get("num_classes") or 0)
    subset = infer_imagenet_subset(dict(card)) if published else None
    if subset == "imagenet-1k":
        from equipoise.models.efficientnet_lite import imagenet_classes

        return tuple(name for _, name in imagenet_classes())
    if subset is not None:
        return tuple(ImageNetInfo(subset).label_descriptions())
    return tuple(f"class {place}" for place in range(classes))
