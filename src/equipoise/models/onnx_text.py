"""The text tower of an ONNX encoder: a tokenizer of the library ``tokenizers``, and a network that takes its numbers.

Notation: m texts, t tokens, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.checksums import sha256_of
from equipoise.errors import EmbeddingError, InputError, listed
from equipoise.models.onnx_card import TextCard
from equipoise.models.onnx_files import needed

BATCH = 64
INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
USUAL = {"input_ids": "ids", "ids": "ids", "tokens": "ids", "text": "ids", "attention_mask": "mask", "mask": "mask",
         "token_type_ids": "types"}  # fmt: skip
"""What inputs are usually called, and what they take."""


class TextTower:
    """A network for texts.

    Parameters
    ----------
    network : equipoise.models.onnx.Network
    card : TextCard

    Attributes
    ----------
    max_length : int or None
        Tokens of the context: of the card, else of the network's fixed shape, else of the tokenizer.
    padding : str
        ``longest`` of a batch where the network takes a mask, else ``max_length``: without a mask padding is read as text,
        and a text's vector must not depend on the texts beside it.
    width : int or None
        Columns that the network says it gives.
    """

    def __init__(self, network: Any, card: TextCard) -> None:
        self.network, self.card = network, card
        self.inputs = _assigned(network, card)
        self.output = network.output(card.output)
        shape = network.inputs[self.inputs["ids"]].shape
        fixed = shape[1] if len(shape) == 2 and isinstance(shape[1], int) else None
        self.batch = shape[0] if isinstance(shape[0], int) else None
        self.tokenizer = _tokenizer(card)
        own = self.tokenizer.truncation
        self.max_length: int | None = card.max_length or fixed or (own["max_length"] if own else None)
        if fixed is not None and self.max_length != fixed:
            raise InputError(
                f"'{network.file.path}' takes {fixed} tokens, and max_length is {self.max_length}.",
                "Write the same number, or leave max_length out.",
                value=self.max_length,
            )
        default = "longest" if "mask" in self.inputs and fixed is None else "max_length"
        self.padding = "max_length" if fixed is not None else card.padding or default
        if self.padding == "max_length" and self.max_length is None:
            raise InputError(
                f"Nothing says how many tokens '{network.file.path}' takes.", "Write max_length into model.json.",
                value=str(card.file),
            )  # fmt: skip
        self.pad = self._prepare()
        columns = self.output.shape
        self.width = columns[1] if len(columns) == 2 and isinstance(columns[1], int) else None

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What decides the vectors of texts."""
        return {
            "weights": self.network.file.sha256(),
            "tokenizer": sha256_of(self.card.tokenizer),
            "output": str(self.output.name),
            "max_length": self.max_length,
            "padding": self.padding,
            "pad": self.pad,
        }

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, d) float32; EmbeddingError where the network gives another shape."""
        step = self.batch or BATCH
        made = []
        for start in range(0, len(texts), step):
            part = list(texts[start : start + step])
            filled = part + part[-1:] * (self.batch - len(part) if self.batch else 0)
            coded = self.tokenizer.encode_batch(filled)
            feeds = {
                name: np.array([_numbers(one, what) for one in coded], INTEGERS[self.network.inputs[name].type])
                for what, name in self.inputs.items()
            }
            found = self.network.session.run([self.output.name], feeds)[0]
            if np.ndim(found) != 2 or len(found) != len(filled):
                raise EmbeddingError(
                    f"'{self.network.file.path}' gave the shape {np.shape(found)} for {len(filled)} texts.",
                    "Name an output of the shape (m, d) in model.json.",
                    value=list(np.shape(found)),
                )
            made.append(np.asarray(found[: len(part)], np.float32))
        return np.concatenate(made)

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return which texts have more tokens than the context."""
        return [bool(one.overflowing) for one in self.tokenizer.encode_batch(list(texts))]

    def _prepare(self) -> int:
        """Set truncation and padding, and return the number that fills."""
        own = self.tokenizer.padding
        pad = self.card.pad if self.card.pad is not None else (own["pad_id"] if own else 0)
        if self.max_length is not None:
            try:
                self.tokenizer.enable_truncation(self.max_length)
            except Exception as error:  # the library raises its own
                raise InputError(
                    f"The tokenizer cannot cut texts to {self.max_length} tokens: {error}.", "Raise max_length.",
                    value=self.max_length,
                ) from error  # fmt: skip
        length = self.max_length if self.padding == "max_length" else None
        self.tokenizer.enable_padding(pad_id=pad, pad_token=(own or {}).get("pad_token", "[PAD]"), length=length)
        return pad


def _assigned(network: Any, card: TextCard) -> dict[str, str]:
    """Return which input takes ids, mask and types."""
    if card.inputs:
        found = {what: str(network.input(name).name) for what, name in card.inputs.items()}
    else:
        found = {USUAL[name]: name for name in network.inputs if name in USUAL}
        if len(network.inputs) == 1:
            found = {"ids": next(iter(network.inputs))}
    unknown = [name for name in network.inputs if name not in found.values()]
    if "ids" not in found or unknown:
        raise InputError(
            f"'{network.file.path}' takes {listed(network.inputs)}; it is not known what enters {listed(unknown or ['it'])}.",
            'Say so in model.json: {"text": {"inputs": {"ids": ..., "mask": ..., "types": ...}}}.',
            value=list(network.inputs),
        )
    for name in found.values():
        if network.inputs[name].type not in INTEGERS or len(network.inputs[name].shape) != 2:
            raise InputError(
                f"The input '{name}' of '{network.file.path}' is {network.inputs[name].type} of the shape "
                f"{network.inputs[name].shape}.",
                "Numbers of tokens enter as integers (m, t).",
                value=name,
            )
    return found


def _tokenizer(card: TextCard) -> Any:
    library = needed("tokenizers")
    try:
        return library.Tokenizer.from_file(str(card.tokenizer))
    except Exception as error:  # the library raises plain Exception
        raise InputError(
            f"'{card.tokenizer}' is no tokenizer: {error}.", "It is the tokenizer.json of the library tokenizers.",
            value=str(card.tokenizer),
        ) from error  # fmt: skip


def _numbers(coded: Any, what: str) -> list[int]:
    return {"ids": coded.ids, "mask": coded.attention_mask, "types": coded.type_ids}[what]
