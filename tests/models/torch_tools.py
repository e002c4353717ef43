"""Small pictures, and weights that look trained, for tests of models of torch."""

from __future__ import annotations

import numpy as np
from PIL import Image

SHAPES = ((50, 71), (97, 33), (32, 32), (9, 200), (161, 160), (7, 5))


def pictures(shapes=SHAPES):
    """RGB pictures, (h, w) each: smooth waves with some noise, so that a shift by one pixel changes them."""
    rng = np.random.default_rng(11)
    out = []
    for place, (h, w) in enumerate(shapes):
        y, x = np.mgrid[0:h, 0:w]
        wave = np.stack([np.sin(x / (3 + c + place)) + np.cos(y / (4 + c)) for c in range(3)], -1)
        noisy = 127 + 50 * wave + rng.normal(0, 9, wave.shape)
        out.append(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)))
    return out


def trained(module, seed=5):
    """Move every weight a little, also those of normalisations, as a step of training does."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.is_floating_point():
                noise = torch.rand(value.shape, generator=generator) * 0.1
                value.add_(noise if name.endswith("running_var") else noise - 0.05)
    return module.eval()
