"""What rooms promise one another: encoders, classifiers, five kinds of mitigation, metrics.

``audit``, ``compare``, ``gate`` and ``report`` know these types and no concrete method. A plug-in implements one of them.
"""

from __future__ import annotations

from equipoise.protocols.metrics import (
    Counts,
    Floats,
    Metric,
    MetricDescriptor,
    Moments,
    Pairs,
    Preferences,
    TopCounts,
)
from equipoise.protocols.mitigations import (
    DataMitigation,
    EmbeddingMitigation,
    Mitigation,
    OutputMitigation,
    TrainingMitigation,
    WeightMitigation,
)
from equipoise.protocols.models import (
    Classifier,
    Encoder,
)

__all__ = [
    "Classifier",
    "Counts",
    "DataMitigation",
    "EmbeddingMitigation",
    "Encoder",
    "Floats",
    "Metric",
    "MetricDescriptor",
    "Mitigation",
    "Moments",
    "OutputMitigation",
    "Pairs",
    "Preferences",
    "TopCounts",
    "TrainingMitigation",
    "WeightMitigation",
]
