"""Text towers of transformers: tokenised once, sorted by length, padded no further than the model needs.

CLIP was trained on texts padded to 77 tokens, yet what stands behind the end of a text changes nothing: attention looks
back only. Where that holds, a batch is padded to its longest text. Whether it holds is measured when a model is loaded:
SigLIP, for one, looks at the padding.

Notation: m texts, d dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence
from inspect import signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import EmbeddingError, InputError, MissingFileError, expect
from equipoise.models.checkpoint import Checkpoint, library
from equipoise.models.pretrained import readable

EXACT = 1e-5
"""Largest difference of a unit vector's entry between trimmed and full padding, for trimming to be used."""
PROBES = ("a", "a photo of a cat", "two people who talk to each other on a bridge at night, seen from far away")
LONGEST = 512
"""Tokens of a text where neither the model nor its tokenizer sets a limit, and up to which trimming is checked."""
TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
    "vocab.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
)  # fmt: skip
VOCABULARIES = tuple(
    name for name in TOKENIZER_FILES if name.startswith("vocab") or name.endswith((".model", "izer.json"))
)

Row = dict[str, list[int]]


class Texts:
    """The text tower of a model with its tokenizer.

    Parameters
    ----------
    model : PreTrainedModel
        With ``get_text_features``.
    tokenizer : PreTrainedTokenizerBase
    name : str
        What messages call the model.

    Attributes
    ----------
    context : int
        Tokens of the longest text that the model takes.
    trimmed : bool
        Whether a batch is padded to its longest text, and no further; False until :meth:`prove` has measured it.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str) -> None:
        self.name = name
        self.context = context_of(model, tokenizer)
        self.trimmed = False
        self._model, self._tokenizer = model, tokenizer
        self._known: int | None = getattr(_text_config(model), "vocab_size", None)
        self._takes = set(signature(model.get_text_features).parameters)
        if tokenizer.pad_token_id is None:
            raise InputError(
                f"The tokenizer of '{name}' has no padding token.",
                "Set pad_token in tokenizer_config.json.",
                value=name,
            )
        # transformers would advise, at every batch, to tokenise and pad in one call
        tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True

    def encode(self, texts: Sequence[str], batch_size: int) -> NDArray[np.float32]:
        """Return (m, d) float32 vectors, in the order of the texts."""
        rows = self.tokens(texts)
        order = np.argsort([len(row["input_ids"]) for row in rows], kind="stable")
        out: NDArray[np.float32] | None = None
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            batch = [rows[place] for place in chosen]
            found = self._forward(batch, _longest(batch) if self.trimmed else self.context)
            out = np.empty((len(rows), found.shape[1]), np.float32) if out is None else out
            out[chosen] = found
        return np.empty((0, 0), np.float32) if out is None else out

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return of each text whether it is longer than the context, and was cut."""
        return [len(ids) > self.context for ids in self._tokenise(texts)["input_ids"]] if len(texts) else []

    def tokens(self, texts: Sequence[str]) -> list[Row]:
        """Return the tokens of each text, at most ``context`` of them, with whatever else the model takes of them."""
        rows = _rows(self._tokenise(texts)) if len(texts) else []
        long = [place for place, row in enumerate(rows) if len(row["input_ids"]) > self.context]
        if long:  # the tokenizer cuts, since it knows which tokens end a text
            cut = self._tokenise([texts[place] for place in long], truncation=True, max_length=self.context)
            for place, row in zip(long, _rows(cut), strict=True):
                rows[place] = row
        if rows:
            self._check_ids(rows)
        return rows

    def padded(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Return the tensors that the model's text tower takes of rows of :meth:`tokens`, padded as :meth:`encode` pads."""
        return self._padded(rows, _longest(rows) if self.trimmed else self.context)

    def prove(self) -> str:
        """Measure on three texts whether padding matters, set ``trimmed``, and return what a person must know of it.

        Raises
        ------
        EmbeddingError
            If all texts get one vector, or the model takes its vector from another place than the end of the text.
        """
        rows = self.tokens(PROBES)
        self._check_end(rows)
        full = min(self.context, LONGEST)
        padded = _unit(self._forward(rows, full))
        if np.abs(padded[1:] - padded[0]).max() < 1e-6:
            raise EmbeddingError(
                f"'{self.name}' gives every text the same vector.",
                "Its tokenizer or its configuration (eos_token_id, pad_token_id) is of another model.",
                value=self.name,
            )
        parts = (rows[:2], rows[2:], rows[:1])
        trimmed = [_unit(self._forward(part, _longest(part))) for part in parts]
        apart = max(
            float(np.abs(found - padded[of]).max())
            for found, of in zip(trimmed, (slice(2), slice(2, 3), slice(1)), strict=True)
        )
        self.trimmed = apart <= EXACT
        if self.trimmed:
            return ""
        return (
            f"Texts are padded to all {self.context} tokens: padding less would change their vectors (by {apart:.2g})."
        )

    def keeps_case(self) -> bool:
        """Return whether upper and lower case give different tokens."""
        upper, lower = self._tokenise(["A Photo", "a photo"])["input_ids"]
        return list(upper) != list(lower)

    # ------------------------------------------------------------------------------------------------------ inside

    def _tokenise(self, texts: Sequence[str], **options: Any) -> Any:
        for text in texts:
            expect(text, str, "A text", "Give a list of str.")
        try:
            return self._tokenizer(
                list(texts),
                padding=False,
                return_attention_mask=False,
                verbose=False,
                **{"truncation": False, **options},
            )
        except (UnicodeError, TypeError) as error:  # a lone surrogate, as of a file name that is no UTF-8
            bad = [text for text in texts if not _is_unicode(text)]
            raise InputError(
                f"The tokenizer of '{self.name}' cannot read {bad[:1] or list(texts)[:1]!r}: {error}.",
                "Write it in Unicode.",
                value=bad[:10],
            ) from error

    def _forward(self, rows: Sequence[Row], length: int) -> NDArray[np.float32]:
        import torch

        given = self._padded(rows, length)
        with torch.inference_mode():
            return vectors(self._model.get_text_features(**given), self.name, "text")

    def _padded(self, rows: Sequence[Row], length: int) -> dict[str, Any]:
        batch = self._tokenizer.pad(list(rows), padding="max_length", max_length=length, return_tensors="pt")
        return {key: value.to(self._model.device) for key, value in batch.items() if key in self._takes}

    def _check_ids(self, rows: Sequence[Row]) -> None:
        """Refuse tokens that the model does not know, which would end a GPU's process."""
        highest = max(max(row["input_ids"], default=0) for row in rows)
        if self._known is not None and highest >= self._known:
            raise InputError(
                f"The tokenizer of '{self.name}' writes token {highest}, and the model knows {self._known}.",
                "The tokenizer is of another model.",
                value=highest,
            )

    def _check_end(self, rows: Sequence[Row]) -> None:
        """Refuse a CLIP that would take its vector elsewhere than at the end of the text.

        Its towers look for ``eos_token_id``, or, where that is 2, for the highest token (an error of old files that
        transformers keeps alive); if there is none, they take the first place, which every text has in common.
        """
        ends = [getattr(module, "eos_token_id", None) for module in self._model.modules()]
        end = next((value for value in ends if isinstance(value, int)), None)
        if end is None or self._tokenizer.eos_token_id is None:
            return
        for row in rows:
            ids = np.asarray(row["input_ids"])
            real = np.flatnonzero(ids == self._tokenizer.eos_token_id)
            place = int(ids.argmax()) if end == 2 else int((ids == end).argmax())
            if real.size and place not in (int(real[0]), int(real[-1])):
                raise EmbeddingError(
                    f"'{self.name}' takes the vector of a text at token {place + 1} of {len(ids)}: its configuration has "
                    f"eos_token_id {end}, its tokenizer ends a text with {self._tokenizer.eos_token_id}.",
                    "Set text_config.eos_token_id in config.json to that of the tokenizer.",
                    value=end,
                )


def load_tokenizer(found: Checkpoint) -> Any:
    """Return the tokenizer of a checkpoint; MissingFileError where there is none."""
    if not found.has(*VOCABULARIES):
        raise MissingFileError(
            f"'{found.name}' has no tokenizer: none of {', '.join(VOCABULARIES)}.",
            "Copy the tokenizer's files into the folder, or save it there with tokenizer.save_pretrained(FOLDER).",
            value=str(found.folder),
        )
    with readable(found.name, "tokenizer"):
        return library().AutoTokenizer.from_pretrained(found.folder, local_files_only=True, trust_remote_code=False)


def context_of(model: Any, tokenizer: Any) -> int:
    """Return how many tokens a text may have: what positions there are, and what the tokenizer says."""
    limits = []
    positions = getattr(_text_config(model), "max_position_embeddings", None)
    if isinstance(positions, int) and positions > 0:
        # RoBERTa and its kin count positions from behind the padding token
        offset = [
            module.padding_idx + 1
            for name, module in model.named_modules()
            if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
        ]
        limits.append(positions - max(offset, default=0))
    said = getattr(tokenizer, "model_max_length", None)
    if isinstance(said, (int, float)) and 0 < said < 1e6:  # a tokenizer without a limit says 1e30
        limits.append(int(said))
    return min(limits, default=LONGEST)


def vectors(out: Any, name: str, noun: str) -> NDArray[np.float32]:
    """Return (n, d) float32 vectors of what ``get_*_features`` gave: a tensor, or, since transformers 5, an object."""
    found: Any = out if hasattr(out, "ndim") else getattr(out, "pooler_output", None)
    if getattr(found, "ndim", 0) != 2:
        shape = tuple(found.shape) if hasattr(found, "shape") else type(out).__name__
        raise EmbeddingError(
            f"'{name}' gives {shape} for a {noun}, and not one vector.",
            "It is no encoder of pictures and texts into one space; use one like CLIP or SigLIP.",
            value=name,
        )
    return found.float().cpu().numpy()


def _text_config(model: Any) -> Any:
    return getattr(model.config, "text_config", None) or model.config


def _rows(encoded: Any) -> list[Row]:
    keys = [key for key in encoded if key != "attention_mask"]
    return [{key: list(encoded[key][place]) for key in keys} for place in range(len(encoded["input_ids"]))]


def _longest(rows: Sequence[Row]) -> int:
    return max(1, *(len(row["input_ids"]) for row in rows))


def _unit(x: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-30)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True
