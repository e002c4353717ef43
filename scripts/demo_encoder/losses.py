"""The three losses: soft-target class prompts, batch contrastive captions, geometry of the class names."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from demo_encoder.captions import AGES, GENDERS, RACES, Bank, Key
from demo_encoder.net import TextHead

SMOOTHING = 0.05
AGE_SIGMA = 0.6  # bands
PROMPTS = 8
KEEP = (0.7, 0.6, 0.5)  # how often a caption says gender, race, age
EXTRA_NEGATIVES = 64
GRAM_NAMES = 256
GRAM_WEIGHT = 10.0
TEXT_TO_IMAGE = 0.5
FAMILIES = {"gender": 1.0, "race": 1.0, "age": 0.5, "gender:race": 0.5, "gender:age": 0.25}


def family_keys() -> dict[str, list[Key]]:
    """The classes of each family as caption keys, in the order of the soft targets' columns."""
    g, r, a = range(len(GENDERS)), range(len(RACES)), range(len(AGES))
    return {
        "gender": [(i, -1, -1) for i in g],
        "race": [(-1, i, -1) for i in r],
        "age": [(-1, -1, i) for i in a],
        "gender:race": [(i, j, -1) for i in g for j in r],
        "gender:age": [(i, -1, j) for i in g for j in a],
    }


def soft_targets(labels: np.ndarray) -> dict[str, Tensor]:
    """(n, 3) labels -> for each family (n, classes) float32 rows that sum to 1; joint families are products."""
    smooth = {}
    for column, (name, count) in enumerate((("gender", len(GENDERS)), ("race", len(RACES)))):
        smooth[name] = np.eye(count)[labels[:, column]] * (1 - SMOOTHING) + SMOOTHING / count
    distance = np.arange(len(AGES)) - labels[:, 2:3]
    bell = np.exp(-0.5 * (distance / AGE_SIGMA) ** 2)
    smooth["age"] = bell / bell.sum(1, keepdims=True)
    for other in ("race", "age"):
        joint = smooth["gender"][:, :, None] * smooth[other][:, None, :]
        smooth[f"gender:{other}"] = joint.reshape(len(labels), -1)
    return {name: torch.from_numpy(smooth[name].astype(np.float32)) for name in FAMILIES}


class Texts:
    """The MiniLM embeddings of the bank and of the class names, and how captions are drawn from them."""

    def __init__(self, bank: Bank, bank_embeddings: np.ndarray, class_embeddings: np.ndarray) -> None:
        self.bank = torch.from_numpy(bank_embeddings)
        self.classes = torch.from_numpy(class_embeddings)  # 3 captions a name, name-major
        self.keys = torch.tensor(bank.keys)
        self.rows = {key: np.array(rows) for key, rows in bank.by_key.items()}
        self.families = family_keys()

    def prompts(self, head: TextHead, rng: np.random.Generator) -> dict[str, Tensor]:
        """For each family (classes, 256): normalised means of 8 random captions of each class."""
        keys = [key for family in self.families.values() for key in family]
        rows = np.concatenate([rng.choice(self.rows[key], PROMPTS) for key in keys])
        embedded = head(self.bank[rows]).view(len(keys), PROMPTS, -1)
        means = F.normalize(embedded.mean(1), dim=1)
        sizes = [len(family) for family in self.families.values()]
        return dict(zip(self.families, means.split(sizes), strict=True))

    def captions(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One bank row a face that says a random part of its labels."""
        said = np.where(rng.random(labels.shape) < KEEP, labels, -1)
        return np.array([rng.choice(self.rows[int(g), int(r), int(a)]) for g, r, a in said])


def prompt_loss(images: Tensor, prompts: dict[str, Tensor], targets: dict[str, Tensor], scale: Tensor) -> Tensor:
    """Weighted soft-target cross-entropy of the scaled cosines against the class prompts."""
    loss = images.new_zeros(())
    for name, weight in FAMILIES.items():
        loss = loss + weight * F.cross_entropy(scale * images @ prompts[name].T, targets[name])
    return loss


def contrastive_loss(
    images: Tensor, labels: Tensor, texts: Texts, head: TextHead, scale: Tensor, rng: np.random.Generator
) -> Tensor:
    """Each face against the batch's captions and 64 class names, and back; every caption that holds is a positive."""
    rows = texts.captions(labels.numpy(), rng)
    extra = rng.choice(len(texts.classes), EXTRA_NEGATIVES, replace=False)
    embedded = head(torch.cat([texts.bank[rows], texts.classes[extra]]))
    logits = scale * images @ embedded.T
    said = texts.keys[rows]
    holds = ((said[None] == -1) | (said[None] == labels[:, None])).all(2).float()
    to_text = F.pad(holds / holds.sum(1, keepdim=True), (0, EXTRA_NEGATIVES))
    to_image = holds.T / holds.sum(0)[:, None]
    return F.cross_entropy(logits, to_text) + TEXT_TO_IMAGE * F.cross_entropy(logits[:, : len(rows)].T, to_image)


def geometry_loss(texts: Texts, head: TextHead, rng: np.random.Generator) -> Tensor:
    """Keep the cosines between 256 random class names as MiniLM (centred) has them."""
    names = rng.choice(len(texts.classes) // 3, GRAM_NAMES, replace=False)
    t = texts.classes[names * 3 + rng.integers(0, 3, GRAM_NAMES)]
    h, g = head(t), F.normalize(t - head.mean, dim=1)
    return GRAM_WEIGHT * (h @ h.T - g @ g.T).square().mean()
