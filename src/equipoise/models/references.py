"""References to a model: ``precomputed:DIR``, ``demo``, or the name of a plug-in, with what follows its colon."""

from __future__ import annotations

from equipoise.errors import InputError
from equipoise.protocols import Encoder
from equipoise.registry import ENCODERS


def load_encoder(ref: str) -> Encoder:
    """Return the encoder that a reference names.

    Parameters
    ----------
    ref : str
        ``NAME`` or ``NAME:ARGUMENT``; the loader of that name is called with the argument (``""`` if there is none).

    Raises
    ------
    UnknownNameError
        If no encoder has that name; the message proposes a near one.
    InputError
        If what was loaded is no encoder.
    """
    name, _, argument = ref.partition(":")
    encoder = ENCODERS.load(name)(argument)
    if not isinstance(encoder, Encoder):
        raise InputError(
            f"'{ref}' gives a {type(encoder).__name__}, which is no encoder.",
            "An encoder has name, dim, fingerprint, encode_text and encode_image.",
            value=ref,
        )
    return encoder
