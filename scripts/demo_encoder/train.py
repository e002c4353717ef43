"""The training run: caches, 10 epochs of AdamW with an average of the weights, the gate, the parts."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from demo_encoder import losses
from demo_encoder.cache import build_cache, build_text_cache
from demo_encoder.captions import Bank, build_bank, class_captions
from demo_encoder.data import VIEWS, class_names, read_faces
from demo_encoder.gate import fit_gate
from demo_encoder.net import Ema, FaceTrainer, TextHead, fold
from equipoise.models.demo_towers import load_trunk

BANK_SIZE = 8204
CENTRE_CAPTIONS = 3000
BATCH = 64
WARMUP = 0.05
WEIGHT_DECAY = 0.05
CLIP = 2.0


def optimiser(face: FaceTrainer, head: TextHead) -> torch.optim.AdamW:
    """AdamW with the rates and decays of each part; only convolution weights and the projection decay."""
    blocks = list(face.blocks.parameters())
    groups = [
        {"params": [p for p in blocks if p.ndim == 4], "lr": 7e-4, "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in blocks if p.ndim != 4], "lr": 7e-4},
        {"params": [face.projection.weight], "lr": 2e-3, "weight_decay": WEIGHT_DECAY},
        {"params": [face.projection.bias, *face.norm.parameters()], "lr": 2e-3},
        {"params": [head.projection], "lr": 5e-4},
        {"params": [head.log_scale], "lr": 1e-3},
    ]
    return torch.optim.AdamW(groups, weight_decay=0.0)


def schedule(step: int, total: int) -> float:
    """Linear warm-up over the first 5 % of the steps, then cosine to 0."""
    warm = WARMUP * total
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (total - warm)))


def embed_captions(bank: Bank, names: list[str], work: Path) -> tuple[np.ndarray, np.ndarray]:
    """MiniLM embeddings of the bank (8204, 384) and of the class captions (3000, 384)."""
    if len(bank.texts) != BANK_SIZE or len(set(bank.texts)) != BANK_SIZE:
        raise SystemExit(f"the caption bank holds {len(bank.texts)} texts instead of {BANK_SIZE}")
    return build_text_cache(bank.texts, work / "bank.npy"), build_text_cache(
        class_captions(names), work / "classes.npy"
    )


def class_matrix(head: TextHead, class_embeddings: np.ndarray) -> Tensor:
    """(1000, 256): the normalised mean of each class name's three captions."""
    with torch.inference_mode():
        return F.normalize(
            head(torch.from_numpy(class_embeddings)).view(-1, 3, head.projection.shape[1]).mean(1), dim=1
        )


def fit(
    net: Any,
    maps: np.ndarray,
    labels: np.ndarray,
    texts: losses.Texts,
    centre: Tensor,
    seed: int,
    epochs: int,
    max_steps: int | None,
) -> tuple[FaceTrainer, TextHead, list[float]]:
    """Train; return the averaged face branch and text head and the mean loss of each epoch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 3])
    face, head = FaceTrainer(net).train(), TextHead(centre)
    ema_face, ema_head = Ema(face), Ema(head)
    adam = optimiser(face, head)
    rates = [group["lr"] for group in adam.param_groups]
    targets = losses.soft_targets(labels)
    all_labels = torch.from_numpy(labels)
    per_epoch = len(labels) // BATCH
    total, step, begin, history = per_epoch * epochs, 0, time.time(), []
    for epoch in range(epochs):
        order, running = rng.permutation(len(labels))[: per_epoch * BATCH].reshape(per_epoch, BATCH), []
        for rows in order:
            factor = schedule(step, total)
            for group, rate in zip(adam.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            x = torch.from_numpy(maps[rows, rng.integers(0, VIEWS, BATCH)].astype(np.float32)).permute(0, 3, 1, 2)
            scale = head.log_scale.exp()
            images = face(x)
            parts = (
                losses.prompt_loss(images, texts.prompts(head, rng), {k: v[rows] for k, v in targets.items()}, scale),
                losses.contrastive_loss(images, all_labels[rows], texts, head, scale, rng),
                losses.geometry_loss(texts, head, rng),
            )
            loss = torch.stack(parts).sum()
            adam.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(face.parameters(), CLIP)
            adam.step()
            ema_face.update(face)
            ema_head.update(head)
            running.append(loss.item())
            step += 1
            if step % 20 == 0:
                pieces = " ".join(f"{part.item():.3f}" for part in parts)
                print(
                    f"step {step}/{total} loss {np.mean(running[-20:]):.3f} ({pieces}) scale {scale.item():.2f} "
                    f"{time.time() - begin:.0f} s",
                    flush=True,
                )
            if step == max_steps:
                return ema_face.module.eval(), ema_head.module, history
        history.append(float(np.mean(running)))
        print(f"epoch {epoch + 1}/{epochs} mean loss {history[-1]:.4f}", flush=True)
    return ema_face.module.eval(), ema_head.module, history


def run(data: Path, seed: int, work: Path, out: Path, epochs: int, max_steps: int | None) -> None:
    """Everything from the pictures to the trained parts."""
    begin = time.time()
    build_cache(data, work)
    bank = build_bank()
    bank_embeddings, class_embeddings = embed_captions(bank, class_names(data), work)
    print(f"caches ready, {time.time() - begin:.0f} s", flush=True)
    torch.set_num_threads(1)
    net, faces = load_trunk(), read_faces(data, "train")
    rng = np.random.default_rng([seed, 4])
    sample = bank_embeddings[np.sort(rng.choice(BANK_SIZE, CENTRE_CAPTIONS, replace=False))]
    centre = torch.from_numpy(np.concatenate([sample, class_embeddings]))
    texts = losses.Texts(bank, bank_embeddings, class_embeddings)
    maps = np.load(work / "maps.npy", mmap_mode="r")
    face, head, history = fit(net, maps, faces.labels, texts, centre, seed, epochs, max_steps)
    pooled = {name: np.load(work / f"pooled_{name}.npy") for name in ("faces", "portraits", "negatives")}
    weights, bias = fit_gate(
        net,
        pooled["faces"].reshape(-1, 1280),
        pooled["portraits"],
        pooled["negatives"],
        np.random.default_rng([seed, 5]),
    )
    parts = {f"face.{name}": value for name, value in fold(face, net).items()}
    parts |= {
        "general.classes": class_matrix(head, class_embeddings),
        "gate.weight": torch.from_numpy(weights),
        "gate.bias": torch.tensor(bias),
        "text.mean": head.mean,
        "text.projection": head.projection.detach(),
    }
    out.mkdir(parents=True, exist_ok=True)
    save_file({k: v.to(torch.float32).contiguous() for k, v in parts.items()}, out / "parts.safetensors")
    facts = {
        "seed": seed,
        "epochs": epochs,
        "steps": len(faces.ids) // BATCH * epochs,
        "train_faces": len(faces.ids),
        "captions": BANK_SIZE,
        "scale": round(float(head.log_scale.exp()), 4),
        "losses": [round(x, 4) for x in history],
    }
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"done, {time.time() - begin:.0f} s in all", flush=True)
