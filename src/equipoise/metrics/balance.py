"""RB and AB of an image-text model: what it prefers where nothing calls for it, and with whom it associates what.

:func:`representation_bias` and :func:`association_bias` are the model's side of Alabdulmohsin et al. (2024), ICLR ("CLIP
the Bias"), protocols ``clip-the-bias/rb`` and ``clip-the-bias/ab``; :func:`label_association` is the form of the same paper
for many labels. RB and AB of a data set are in ``balance_data.py``.
"""

from __future__ import annotations

from equipoise.metrics.association_bias import Association, association_bias
from equipoise.metrics.label_association import LabelAssociation, label_association
from equipoise.metrics.preference import expected_bias, expected_gap
from equipoise.metrics.representation_bias import Representation, representation_bias

__all__ = [
    "Association",
    "LabelAssociation",
    "Representation",
    "association_bias",
    "expected_bias",
    "expected_gap",
    "label_association",
    "representation_bias",
]
