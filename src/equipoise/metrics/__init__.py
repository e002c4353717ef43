"""Metrics: one family a file, each metric a descriptor and a statistic; their definitions are in docs/metrics.md.

Names resolve through :data:`equipoise.registry.METRICS`; nothing is imported before somebody asks for it.
"""

from __future__ import annotations

from equipoise.errors import InputError
from equipoise.protocols import Metric
from equipoise.registry import METRICS


def load_metric(name: str) -> Metric:
    """Return the metric that a table calls ``name``, as ``"tpr_gap"`` or ``"max_skew@200"``.

    Raises
    ------
    UnknownNameError
        If no metric has this name; the message proposes a near one.
    InputError
        If a plug-in's name stands for something that is not a metric.
    """
    plain = name.partition("@")[0]
    metric = METRICS.load(plain)()
    if not isinstance(metric, Metric):
        raise InputError(
            f"The metric '{plain}' is a {type(metric).__name__}.",
            "A plug-in names a class that extends equipoise.protocols.Metric.",
            value=name,
        )
    return metric


def all_metrics() -> dict[str, Metric]:
    """Return every metric by name, plug-ins included."""
    return {name: load_metric(name) for name in METRICS}
