"""Where a model of open_clip comes from: a folder, a published tag, or a bare architecture."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from equipoise.errors import InputError, MissingFileError, UnknownNameError, did_you_mean, listed
from equipoise.models.hub import hub_file
from equipoise.models.weight_files import OTHERS, pickled

CONFIG = "open_clip_config.json"
PREFERRED = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "model.safetensors")
"""Names of weights in a folder, as open_clip looks for them."""
PREPARES = ("mean", "std", "interpolation", "resize_mode", "fill_color")


@dataclass(frozen=True)
class Source:
    """A model before it is built.

    Attributes
    ----------
    ref, name : str
    model : str
        What open_clip calls it.
    config : dict
        Its ``model_cfg``.
    weights : Path or None
        A safetensors file; None where there is none, and the weights are random.
    local : bool
        Whether no network is to be asked.
    options : dict
        For ``open_clip.create_model``.
    notes : tuple of str
    """

    ref: str
    name: str
    model: str
    config: dict[str, Any]
    weights: Path | None
    local: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def noted(self, *notes: str) -> Source:
        """Return the same with more notes."""
        return replace(self, notes=(*self.notes, *notes))


def source_of(oc: Any, argument: str, local_files_only: bool = False) -> Source:
    """Return what ``open_clip:ARGUMENT`` names, after checks that need no model.

    Parameters
    ----------
    oc : module
        ``open_clip``.
    argument : str
        ``ARCH``, ``ARCH/TAG``, ``ARCH/PATH.safetensors`` or ``local-dir:PATH``.
    local_files_only : bool
        Whether files and the hub's cache must do.

    Raises
    ------
    MissingFileError, UnknownNameError, InputError
    """
    kind, colon, rest = argument.partition(":")
    if colon and kind == "local-dir":
        return _folder(Path(rest), f"open_clip:{argument}")
    if not argument or colon:
        raise InputError(
            f"'open_clip:{argument}' names no model.",
            "Write open_clip:ARCH/TAG, as ViT-B-32/laion2b_s34b_b79k, or open_clip:local-dir:PATH.",
            value=argument,
        )
    arch, _, tag = argument.partition("/")
    known = oc.list_models()
    if arch not in known:
        raise UnknownNameError(
            f"open_clip has no architecture '{arch}'.{did_you_mean(arch, known)}",
            "`open_clip.list_models()` lists them.",
            value=arch,
        )
    source = Source(
        f"open_clip:{argument}", f"open_clip:{arch}", arch, oc.get_model_config(arch), None, local_files_only
    )
    if not tag:
        return source.noted(
            f"The weights of '{source.name}' are random: no tag was named, and nothing was trained."
            f"{_known_tags(oc, arch)}"
        )
    if tag.endswith((".safetensors", *OTHERS)):
        path = Path(tag)
        return replace(source, name=f"{source.name}/{path.name}", weights=path)
    return _published(oc, source, tag)


def _published(oc: Any, source: Source, tag: str) -> Source:
    card = oc.get_pretrained_cfg(source.model, tag)
    if not card:
        tags = oc.list_pretrained_tags_by_model(source.model)
        raise UnknownNameError(
            f"open_clip has no weights '{tag}' of '{source.model}'.{did_you_mean(tag, tags)}",
            f"Its tags: {listed(tags, 20)}." if tags else "It has no published weights.",
            value=tag,
        )
    repository, _, filename = str(card.get("hf_hub") or "").rpartition("/")
    if not repository:
        raise pickled(Path(str(card.get("url") or tag)))
    safe = PREFERRED[0] if filename in ("", "open_clip_pytorch_model.bin") else f"{Path(filename).stem}.safetensors"
    weights = hub_file(repository, safe, local_files_only=source.local)
    options: dict[str, Any] = {
        "force_preprocess_cfg": {key: card[key] for key in PREPARES if card.get(key) is not None}
    }
    config = dict(source.config)
    notes: tuple[str, ...] = ()
    if card.get("quick_gelu") and not config.get("quick_gelu"):
        options["force_quick_gelu"] = config["quick_gelu"] = True  # what the weights were trained with
    elif config.get("quick_gelu") and not card.get("quick_gelu"):
        notes = (
            f"'{source.model}' computes QuickGELU and the weights '{tag}' were trained without: use the architecture "
            "without -quickgelu.",
        )
    return replace(source, name=f"{source.name}/{tag}", weights=weights, config=config, options=options, notes=notes)


def _folder(path: Path, ref: str) -> Source:
    """Return a folder that holds ``open_clip_config.json`` and one safetensors file."""
    if not path.is_dir():
        raise MissingFileError(f"There is no folder '{path}'.", "Write open_clip:local-dir:PATH.", value=str(path))
    try:
        whole = json.loads((path / CONFIG).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"The folder '{path}' has no {CONFIG}.", "Save the model with open_clip's push_to_hf_hub.", value=str(path)
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"'{path / CONFIG}' cannot be read: {error}.", "Mend it.", value=str(path)) from error
    config = whole.get("model_cfg") if isinstance(whole, dict) else None
    parts = ("embed_dim", "vision_cfg", "text_cfg")
    if not isinstance(config, dict) or any(key not in config for key in parts):
        raise InputError(
            f"'{path / CONFIG}' has no model_cfg with {listed(parts)}.", "Save the model again.", value=str(path)
        )
    source = Source(ref, f"open_clip:{path.resolve().name}", f"local-dir:{path}", config, _weights(path), local=True)
    if not isinstance(whole.get("preprocess_cfg"), dict):
        source = source.noted(f"{CONFIG} has no preprocess_cfg: pictures are prepared as for OpenAI's CLIP.")
    return source


def _weights(path: Path) -> Path:
    safe = sorted(path.glob("*.safetensors"))
    for name in PREFERRED:
        if path / name in safe:
            return path / name
    if len(safe) == 1:
        return safe[0]
    if safe:
        raise InputError(
            f"'{path}' holds {len(safe)} safetensors files: {listed([file.name for file in safe])}.",
            f"Name the one to use {PREFERRED[0]}.",
            value=str(path),
        )
    others = sorted(file for file in path.iterdir() if file.suffix.lower() in OTHERS)
    if others:
        raise pickled(others[0])
    raise MissingFileError(
        f"The folder '{path}' holds no weights.", f"Put {PREFERRED[0]} beside {CONFIG}.", value=str(path)
    )


def _known_tags(oc: Any, arch: str) -> str:
    tags = oc.list_pretrained_tags_by_model(arch)
    return f" Published weights: open_clip:{arch}/TAG with {listed(tags, 5)}." if tags else ""
