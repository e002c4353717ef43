"""equipoise: audit bias in vision models, mitigate it, and see what else moved.

    audit -> mitigate -> compare -> gate -> report

Names are imported when they are first used, so ``import equipoise`` costs next to nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from equipoise._version import __version__

if TYPE_CHECKING:
    from equipoise.audit import Audit, audit
    from equipoise.compare import Comparison, compare
    from equipoise.data.groups import Vocabulary
    from equipoise.data.queries import Query, read_queries
    from equipoise.data.samples import Samples, read_samples
    from equipoise.embed import embed
    from equipoise.estimate import Estimate
    from equipoise.gate import GateResult, gate
    from equipoise.mitigate.artefact import load_mitigation, save_mitigation
    from equipoise.mitigate.embeddings.noop import NoOp
    from equipoise.mitigate.embeddings.projection import DifferenceProjection, SpanProjection
    from equipoise.mitigate.embeddings.wring import Wring, wring
    from equipoise.models.classifier import torch_classifier
    from equipoise.models.references import load_classifier, load_encoder
    from equipoise.models.zero_shot import ZeroShot
    from equipoise.predict import predict
    from equipoise.report.html import report
    from equipoise.store.embeddings import EmbeddingSet

_HOME = {
    "Audit": "audit", "audit": "audit", "Comparison": "compare", "compare": "compare", "Vocabulary": "data.groups",
    "Query": "data.queries", "read_queries": "data.queries", "Samples": "data.samples", "read_samples": "data.samples",
    "embed": "embed", "Estimate": "estimate", "GateResult": "gate", "gate": "gate",
    "load_mitigation": "mitigate.artefact", "save_mitigation": "mitigate.artefact",
    "NoOp": "mitigate.embeddings.noop", "DifferenceProjection": "mitigate.embeddings.projection",
    "SpanProjection": "mitigate.embeddings.projection", "Wring": "mitigate.embeddings.wring",
    "wring": "mitigate.embeddings.wring", "load_classifier": "models.references",
    "load_encoder": "models.references", "predict": "predict", "torch_classifier": "models.classifier",
    "ZeroShot": "models.zero_shot", "report": "report.html", "EmbeddingSet": "store.embeddings",
}  # fmt: skip

__all__ = [
    "Audit", "Comparison", "DifferenceProjection", "EmbeddingSet", "Estimate", "GateResult", "NoOp", "Query", "Samples",
    "SpanProjection", "Vocabulary", "Wring", "ZeroShot", "__version__", "audit", "compare", "embed", "gate",
    "load_classifier", "load_encoder", "load_mitigation", "predict", "read_queries", "read_samples", "report",
    "save_mitigation", "torch_classifier", "wring",
]  # fmt: skip


class _Package(ModuleType):
    """``eq.audit`` is the function, also after something imported the module ``equipoise.audit``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'equipoise' has no attribute '{name}'")
    value = getattr(import_module(f"equipoise.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
