"""A model in the format of transformers: where its folder is, and whether its files are whole, safetensors and its own.

A hub name is taken from the local cache if it is there; else the hub is asked once, briefly.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from equipoise.data.checksums import sha256_of
from equipoise.errors import ChecksumError, InputError, MissingFileError, did_you_mean, listed
from equipoise.models.preprocessing import Preprocessing, read_preprocessing

TIMEOUT = 10.0
"""Seconds that the hub may take to answer."""
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".h5", ".msgpack")
WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "README.md")


@dataclass(frozen=True)
class Checkpoint:
    """A folder that holds a model.

    Attributes
    ----------
    folder : Path
    name : str
        What a person calls it: its hub name, or the name of the folder.
    weights : tuple of Path
        Its safetensors files.
    """

    folder: Path
    name: str
    weights: tuple[Path, ...]

    def has(self, *names: str) -> bool:
        """Return whether one of the files is there."""
        return any((self.folder / name).is_file() for name in names)

    def digest(self) -> str:
        """Return a SHA-256 over the weight files.

        Raises
        ------
        ChecksumError
            If a file of the hub's cache is not what the hub gave.
        """
        sums = {path.name: sha256_of(path) for path in self.weights}
        for path in self.weights:
            blob = path.resolve().name  # the cache names a large file by its SHA-256
            if path.is_symlink() and len(blob) == 64 and blob != sums[path.name]:
                raise ChecksumError(
                    f"'{path.name}' of '{self.name}' is damaged: its SHA-256 is {sums[path.name]}, not {blob}.",
                    "Delete it from the cache and download it again.",
                    value=str(path),
                )
        return combined(sums)

    def preprocessing(self, given: Any = None) -> Preprocessing:
        """Return the preprocessing that was given, else that of the processor; MissingFileError if there is neither."""
        if given is not None:
            return read_preprocessing(given)
        if not self.has(*PROCESSORS):
            raise MissingFileError(
                f"'{self.name}' has no preprocessor_config.json: nothing says how its pictures are made.",
                "Name a preprocessing (--preprocess clip), or copy the file into the folder.",
                value=str(self.folder),
            )
        return read_preprocessing(self.folder)


def combined(sums: dict[str, str]) -> str:
    """Return one SHA-256 of many, by name."""
    return hashlib.sha256("".join(f"{name} {sums[name]}\n" for name in sorted(sums)).encode()).hexdigest()


# ------------------------------------------------------------------------------------------------------------ finding


def find(argument: str, *, local: bool = False, needs: Sequence[Sequence[str]] = ()) -> Checkpoint:
    """Return the checkpoint of a folder or a hub name (``OWNER/NAME`` or ``OWNER/NAME@REVISION``).

    Parameters
    ----------
    argument : str
    local : bool
        Whether the hub is left alone: a name is then looked up in the local cache only.
    needs : sequence of sequences of str
        One file of each is wanted too: a folder of the cache without them is completed if the hub can be reached.

    Raises
    ------
    MissingFileError
        If the folder lacks its config or its weights, or nothing of that name is here and the hub has none or is out of
        reach.
    InputError
        If the weights are pickled, or a shard lies outside the folder.
    """
    library()
    if not argument:
        raise InputError(
            "'transformers' names no model.", "Write transformers:FOLDER or transformers:OWNER/NAME.", value=argument
        )
    path = Path(argument).expanduser()
    if path.is_dir():
        return Checkpoint(path, path.resolve().name, _weights(path, argument))
    if path.is_file():
        raise InputError(f"'{argument}' is a file.", "Name the folder that holds config.json.", value=argument)
    if not _may_be_hub_name(argument):
        near = did_you_mean(path.name, os.listdir(path.parent)) if path.parent.is_dir() else ""
        raise MissingFileError(f"There is no folder '{argument}'.{near}", "Check the path.", value=argument)
    folder = _cached(argument)
    if folder is None or not all(any((folder / name).is_file() for name in names) for names in needs):
        try:
            folder = _from_hub(argument, local)
        except MissingFileError:
            if folder is None:
                raise
    return Checkpoint(folder, argument, _weights(folder, argument))


def library() -> Any:
    """Return the module transformers; InputError names the extra where it or torch is not installed."""
    try:
        import_module("torch")
        return import_module("transformers")
    except ImportError as error:
        raise InputError(
            f"This model needs torch and transformers: {error}.", "pip install 'equipoise[transformers]'"
        ) from error


def _may_be_hub_name(argument: str) -> bool:
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(argument.partition("@")[0])
    except HFValidationError:
        return False
    return True


def _cached(argument: str) -> Path | None:
    """Return the folder of a hub name in the local cache, if configuration and weights are there."""
    from huggingface_hub import hf_hub_download

    repo, _, revision = argument.partition("@")
    try:
        folder = Path(hf_hub_download(repo, CONFIG, revision=revision or None, local_files_only=True)).parent
        _weights(folder, argument)
    except (OSError, ValueError, InputError):
        return None
    return folder


def _from_hub(argument: str, local: bool) -> Path:
    from huggingface_hub import HfApi, errors, snapshot_download

    if local:
        raise MissingFileError(
            f"There is no folder '{argument}', and it is not in the local cache.",
            "Name the model yourself, so that it may be downloaded; or name its folder.",
            value=argument,
        )
    repo, _, revision = argument.partition("@")
    try:
        info = HfApi().model_info(repo, revision=revision or None, timeout=TIMEOUT)
        names = [item.rfilename for item in info.siblings or []]
        if not any(name.endswith(".safetensors") for name in names):
            raise _no_weights(argument, names)
        return Path(
            snapshot_download(
                repo,
                revision=revision or None,
                etag_timeout=TIMEOUT,
                allow_patterns=list(WANTED),
                ignore_patterns=["*/*"],
            )
        )
    except InputError:
        raise
    except errors.GatedRepoError as error:
        raise MissingFileError(
            f"'{repo}' is open only to those who accepted its terms.",
            "Accept them, log in, and download it.",
            value=repo,
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise MissingFileError(
            f"There is no folder '{argument}', and the hub has no such model.", "Check the name.", value=argument
        ) from error
    except Exception as error:  # whatever a network does
        raise MissingFileError(
            f"There is no folder '{argument}', it is not in the local cache, and the hub cannot be reached: "
            f"{str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__}.",
            "Check the path; or download the model where there is a network, and name its folder.",
            value=argument,
        ) from error


def _weights(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the weight files of a folder, each inside it and whole by its header."""
    found = [path.name for path in folder.iterdir()]
    if CONFIG not in found:
        near = [path.parent.name for path in sorted(folder.glob(f"*/{CONFIG}"))]
        raise MissingFileError(
            f"'{name}' has no {CONFIG}: it is no model of transformers.",
            f"Name a folder inside it: {listed(near)}." if near else "Name the folder that save_pretrained wrote.",
            value=str(folder),
        )
    if "adapter_config.json" in found:
        raise InputError(
            f"'{name}' is an adapter, which is loaded on another model.",
            "Merge it (merge_and_unload) and save the whole model.",
            value=str(folder),
        )
    if WEIGHTS in found:
        files = [WEIGHTS]
    elif INDEX in found:
        files = _shards(folder, name)
    else:
        raise _no_weights(name, found)
    from safetensors import SafetensorError, safe_open

    for file in files:
        if not (folder / file).is_file():
            raise MissingFileError(f"'{name}' lacks its weights {file}.", "Download it again.", value=str(folder))
        try:
            with safe_open(folder / file, "np"):
                pass
        except (SafetensorError, OSError) as error:
            raise InputError(
                f"'{file}' of '{name}' is no whole safetensors file: {error}.", "Download it again.", value=file
            ) from error
    return tuple(folder / file for file in files)


def _shards(folder: Path, name: str) -> list[str]:
    try:
        files = sorted(set(json.loads((folder / INDEX).read_text("utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise InputError(f"'{INDEX}' of '{name}' cannot be read: {error!r}.", "Download it again.") from error
    for file in files:
        if not isinstance(file, str) or Path(file).name != file or not file.endswith(".safetensors"):
            raise InputError(
                f"'{INDEX}' of '{name}' names {file!r}, which is no safetensors file of the folder.",
                "Do not use this checkpoint.",
                value=file,
            )
    return files


def _no_weights(name: str, files: Sequence[str]) -> InputError:
    pickled = sorted(file for file in files if file.endswith(PICKLED))
    if pickled:
        return InputError(
            f"'{name}' holds its weights as {listed(pickled, 3)}, and not as safetensors. Loading such a file can run "
            "what its maker put into it.",
            "Ask for a safetensors revision; or, if you trust it, load it with transformers and save it again with "
            "model.save_pretrained(FOLDER).",
            value=pickled,
        )
    return MissingFileError(f"'{name}' has no {WEIGHTS}.", "Name the folder that save_pretrained wrote.", value=name)
