"""Contrastive losses of n pairs of a picture and a text.

Notation: x (n, d) unit picture vectors, t (n, d) unit text vectors, z = x t' the cosines (n, n), s the scale, b the bias.
Pair (i, i) belongs together, all others are negatives, but for those that ``same`` marks: a picture or a caption that
stands in a batch twice would else be pushed away from itself.
"""

from __future__ import annotations

from typing import Any

Tensor = Any
"""A tensor of torch, which is imported inside the functions."""


def clip_loss(image: Tensor, text: Tensor, scale: Tensor | float, same: Tensor | None = None) -> Tensor:
    """Return the symmetric cross-entropy of CLIP, a scalar tensor.

    L = (CE(s z, i) + CE(s z', i)) / 2, i the number of the row; the mean over rows.
    Source: Radford et al. (2021), ICML, figure 3; without ``same`` it is the loss of ``transformers.CLIPModel``.

    Parameters
    ----------
    image, text : tensor (n, d)
        Of unit length.
    scale : tensor or float
        s, the factor of the cosines (the exponential of ``logit_scale``).
    same : bool tensor (n, n), optional
        Pairs that are no negatives of each other; the diagonal is of no matter.
    """
    import torch
    from torch.nn.functional import cross_entropy

    logits = scale * image @ text.T
    rows = torch.arange(len(logits), device=logits.device)
    if same is not None:
        logits = logits.masked_fill(_off_diagonal(same), float("-inf"))
    return (cross_entropy(logits, rows) + cross_entropy(logits.T, rows)) / 2


def siglip_loss(
    image: Tensor, text: Tensor, scale: Tensor | float, bias: Tensor | float, same: Tensor | None = None
) -> Tensor:
    """Return the sigmoid loss of SigLIP, a scalar tensor.

    L = -1/n sum_i sum_j log sigmoid(y_ij (s z_ij + b)), y_ij = 1 for i = j, else -1.
    Source: Zhai et al. (2023), ICCV, equation 1; without ``same`` it is the loss of ``transformers.SiglipModel``.

    Parameters
    ----------
    image, text : tensor (n, d)
        Of unit length.
    scale, bias : tensor or float
        s and b.
    same : bool tensor (n, n), optional
        Pairs that are no negatives of each other; the diagonal is of no matter.
    """
    import torch
    from torch.nn.functional import logsigmoid

    logits = scale * image @ text.T + bias
    signs = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
    found = logsigmoid(signs * logits)
    if same is not None:
        found = found.masked_fill(_off_diagonal(same), 0.0)
    return -found.sum() / len(logits)


def _off_diagonal(same: Tensor) -> Tensor:
    import torch

    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
