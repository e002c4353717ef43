"""The face branch in training form, its folding, and the text head."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.models.demo_towers import DIM, FACE_BLOCKS, SPLIT, FaceBranch, native_padding

DROP_CONNECT = 0.1
DROPOUT = 0.3
MOMENTUM = 0.05
POOLED = 384

M = TypeVar("M", bound=nn.Module)


class FaceTrainer(nn.Module):
    """Blocks 8-14 with their batch normalisation, then [mean, max] pooling, BatchNorm1d, dropout and projection."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        source: Any = net
        self.blocks = nn.ModuleList(copy.deepcopy(source._blocks[SPLIT : SPLIT + FACE_BLOCKS]))
        for module in self.blocks.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = MOMENTUM
            elif isinstance(module, nn.Conv2d):
                native_padding(module)
        self.norm = nn.BatchNorm1d(POOLED, momentum=MOMENTUM)
        self.projection = nn.Linear(POOLED, DIM)
        nn.init.normal_(self.projection.weight, std=POOLED**-0.5)
        nn.init.zeros_(self.projection.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """(n, 80, 14, 14), the output of block 7 -> (n, 256) unit embeddings."""
        for i, block in enumerate(self.blocks):
            x = block(x, drop_connect_rate=DROP_CONNECT * i / FACE_BLOCKS)
        x = self.norm(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))
        return F.normalize(self.projection(F.dropout(x, DROPOUT, self.training)), dim=1)


def fold(trainer: FaceTrainer, net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a FaceBranch with the trainer's running statistics folded in."""
    holder: Any = copy.deepcopy(net)
    for i, block in enumerate(trainer.blocks):
        holder._blocks[SPLIT + i] = block
    branch = FaceBranch(holder)
    norm: Any = trainer.norm
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    with torch.no_grad():
        branch.projection.weight.copy_(trainer.projection.weight * scale)
        branch.projection.bias.copy_(
            trainer.projection.bias + trainer.projection.weight @ (norm.bias - norm.running_mean * scale)
        )
    return {name: value.contiguous() for name, value in branch.state_dict().items()}


class TextHead(nn.Module):
    """norm((t - mu) W), W started at the top right singular vectors of the centred texts, with the learned scale."""

    mean: Tensor

    def __init__(self, texts: Tensor, start_scale: float = 20.0) -> None:
        super().__init__()
        self.register_buffer("mean", texts.mean(0))
        _, _, vt = torch.linalg.svd(texts - self.mean, full_matrices=False)
        self.projection = nn.Parameter(vt[:DIM].T.contiguous())
        self.log_scale = nn.Parameter(torch.tensor(start_scale).log())

    def forward(self, t: Tensor) -> Tensor:
        """(n, 384) MiniLM embeddings -> (n, 256) unit embeddings."""
        return F.normalize((t - self.mean) @ self.projection, dim=1)


class Ema(Generic[M]):
    """Running average min(.99, (1 + t) / (10 + t)) of parameters and float buffers."""

    def __init__(self, module: M) -> None:
        self.module: M = copy.deepcopy(module)
        self.module.requires_grad_(False)
        self.steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the module."""
        decay = min(0.99, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        mine, theirs = self.module.state_dict(), module.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - decay)
