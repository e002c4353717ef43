"""The loss of a batch of pairs under a model of transformers, in the manner in which the model was made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from equipoise.errors import InputError
from equipoise.mitigate.training.pairs import Batch, Pairs
from equipoise.train.losses import clip_loss, siglip_loss

LARGEST_SCALE = 100.0
"""Largest factor of CLIP's cosines (Radford et al. 2021, section 2.5)."""


def loss_of(encoder: Any, asked: str) -> str:
    """Return ``clip`` or ``siglip``; InputError if the model has not what the loss takes."""
    model = encoder.model
    if getattr(model, "logit_scale", None) is None:
        raise InputError(
            f"'{encoder.name}' has no logit_scale: it was not trained to compare pictures and texts by cosine.",
            "Use a model like CLIP or SigLIP.",
            value=encoder.name,
        )
    biased = getattr(model, "logit_bias", None) is not None
    if asked == "siglip" and not biased:
        raise InputError(f"'{encoder.name}' has no logit_bias.", "Use the loss of CLIP (--loss clip).", value=asked)
    return ("siglip" if biased else "clip") if asked == "auto" else asked


def objective_of(encoder: Any, pairs: Pairs, kind: str) -> Callable[[Batch], tuple[Any, Mapping[str, float]]]:
    """Return the function from a batch to (loss, numbers to note of it)."""
    import torch
    from torch.nn.functional import normalize

    model, texts, preprocessing = encoder.model, encoder.texts, encoder.preprocessing
    tokens = texts.tokens(pairs.captions)

    def unit(out: Any) -> Any:
        found = out if torch.is_tensor(out) else out.pooler_output
        return normalize(found.float(), dim=-1)

    def objective(batch: Batch) -> tuple[Any, Mapping[str, float]]:
        pixels = torch.from_numpy(preprocessing.normalised(batch.pixels)).to(model.device, model.dtype)
        image = unit(model.get_image_features(pixel_values=pixels))
        text = unit(model.get_text_features(**texts.padded([tokens[row] for row in batch.rows])))
        same = torch.from_numpy(batch.same).to(model.device)
        with torch.autocast(model.device.type, enabled=False):
            scale = model.logit_scale.float().exp()
            value = (
                clip_loss(image, text, scale, same)
                if kind == "clip"
                else siglip_loss(image, text, scale, model.logit_bias.float(), same)
            )
        return value, {"scale": float(scale.detach()), "twins": float((batch.same.sum() - len(batch.rows)) / 2)}

    return objective


def held_scale(model: Any, kind: str) -> Callable[[int], None] | None:
    """Return what holds CLIP's scale at 100 or below after each step; None where it is not trained, or began above."""
    scale = model.logit_scale
    if kind != "clip" or not scale.requires_grad or float(scale.detach()) > math.log(LARGEST_SCALE) + 1e-4:
        return None

    def hold(_: int) -> None:
        scale.data.clamp_(max=math.log(LARGEST_SCALE))

    return hold
