"""Files of the Hugging Face hub: from the cache first, else over the network, with an early answer where there is none.

Without a network, ``huggingface_hub`` tries again for minutes (5 times, up to 60 seconds each); here one request of at most
10 seconds decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from equipoise.errors import InputError

TIMEOUT = 10.0
"""Seconds that the hub has to answer."""


def hub_file(repository: str, filename: str, *, local_files_only: bool = False) -> Path:
    """Return the local path of a file of a repository on the hub; it is fetched unless the cache has it.

    Parameters
    ----------
    repository, filename : str
    local_files_only : bool
        Whether the cache alone is asked.

    Raises
    ------
    InputError
        If it is not in the cache and the hub cannot be reached, or has no such file.
    """
    import huggingface_hub as hub

    try:
        return Path(hub.hf_hub_download(repository, filename, local_files_only=True))
    except Exception as error:  # not cached; its own kinds of errors change from version to version
        cached: Exception = error
    if local_files_only:
        raise InputError(
            f"'{filename}' of '{repository}' is not in the cache, and no network is used here.",
            "Load the model once by its name, or name its files by their path.",
            value=f"{repository}/{filename}",
        ) from cached
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, filename), timeout=TIMEOUT)
        return Path(hub.hf_hub_download(repository, filename))
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"'{filename}' of '{repository}' is not in the cache, and the hub cannot give it: {said[0].rstrip('.')}.",
            "Check the network and the name, or fetch the files elsewhere and name them by their path.",
            value=f"{repository}/{filename}",
        ) from cached


@contextmanager
def offline() -> Iterator[None]:
    """Take what is loaded inside from local files or the cache, and never wait for a network."""
    try:
        from huggingface_hub import constants
    except ImportError:
        yield
        return
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
