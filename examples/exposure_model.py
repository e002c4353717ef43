"""A small model of images and texts, like CLIP: a convolutional tower, a bag of tokens, a symmetric contrastive loss."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from equipoise.train.losses import clip_loss

Pixels = NDArray[np.uint8]
WIDTH = 64
RATE = 1e-3
DECAY = 0.98
"""Weights are averaged over about the last 50 steps: at a constant rate the last ones alone depend on the last batches."""


class Small(nn.Module):
    """Image tower of four convolutions and a mean over places, text tower of one vector a token; ``WIDTH`` wide."""

    def __init__(self, tokens: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside, kernel, stride in ((3, 32, 5, 4), (32, 64, 3, 2), (64, 96, 3, 2), (96, 128, 3, 1)):
            layers += [nn.Conv2d(inside, outside, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outside)]
            layers.append(nn.ReLU(inplace=True))
        self.image = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, WIDTH))
        self.text = nn.EmbeddingBag(tokens, WIDTH, mode="mean", padding_idx=0)
        self.scale = nn.Parameter(torch.tensor(np.log(10.0), dtype=torch.float32))

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return (n, WIDTH) unit vectors of (n, 3, size, size) pixels in [-1, 1]."""
        return functional.normalize(self.image(pixels), dim=1)

    def texts(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (n, WIDTH) unit vectors of (n, length) tokens, padded with 0."""
        return functional.normalize(self.text(tokens), dim=1)


class Words:
    """Numbers of the words of some captions; 0 is for padding and for words that were not seen."""

    def __init__(self, captions: Sequence[str]) -> None:
        found = sorted({word for caption in captions for word in caption.split()})
        self.number = {word: place for place, word in enumerate(found, 1)}

    def __len__(self) -> int:
        return len(self.number) + 1

    def tokens(self, captions: Sequence[str]) -> torch.Tensor:
        """Return (n, longest) int64."""
        rows = [[self.number.get(word, 0) for word in caption.split()] for caption in captions]
        longest = max(map(len, rows))
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows])


@dataclass
class State:
    """A model in the middle of its training; what is measured is the running mean of its weights."""

    model: Small
    mean: Any
    optimiser: torch.optim.Optimizer

    @classmethod
    def new(cls, tokens: int, seed: int) -> State:
        """Return an untrained one."""
        torch.manual_seed(seed)
        model = Small(tokens).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
        return cls(model, mean, torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01))

    def copy(self) -> State:
        """Return one that is trained apart."""
        model, mean = copy.deepcopy(self.model), copy.deepcopy(self.mean)
        optimiser = torch.optim.AdamW(model.parameters())
        optimiser.load_state_dict(copy.deepcopy(self.optimiser.state_dict()))
        return State(model, mean, optimiser)

    def train(
        self, pixels: Pixels, tokens: torch.Tensor, batches: Iterator[NDArray[Any]], steps: int,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """Take ``steps`` steps at a constant rate, each on the rows that ``batches`` gives next, mirrored and shifted."""
        self.model.train()
        for _ in range(steps):
            rows = next(batches)
            images = self.model.images(as_floats(varied(pixels[rows], rng)))
            texts = self.model.texts(tokens[torch.from_numpy(rows)])
            loss = clip_loss(images, texts, self.model.scale.exp().clamp(max=100))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.mean.update_parameters(self.model)

    @torch.inference_mode()
    def embed(self, pixels: Pixels, size: int = 512) -> NDArray[np.float32]:
        """Return (n, WIDTH) unit vectors of pictures."""
        model = self.mean.module.eval()
        parts = [model.images(as_floats(pixels[at : at + size])) for at in range(0, len(pixels), size)]
        return torch.cat(parts).numpy()

    @torch.inference_mode()
    def words(self, tokens: torch.Tensor) -> NDArray[np.float32]:
        """Return (n, WIDTH) unit vectors of captions."""
        return self.mean.module.eval().texts(tokens).numpy()

    @property
    def scale(self) -> float:
        """Inverse temperature of the loss."""
        return float(self.mean.module.scale.detach().exp())


def varied(pixels: Pixels, rng: np.random.Generator, most: int = 4) -> Pixels:
    """Return pictures of which half are mirrored, all shifted by up to ``most`` pixels."""
    mirrored = rng.random(len(pixels)) < 0.5
    out = np.where(mirrored[:, None, None, None], pixels[:, :, ::-1], pixels)
    dy, dx = rng.integers(-most, most + 1, 2)
    return np.roll(out, (dy, dx), (1, 2))


def as_floats(pixels: Pixels) -> torch.Tensor:
    """Return (n, 3, size, size) in [-1, 1] of (n, size, size, 3)."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
