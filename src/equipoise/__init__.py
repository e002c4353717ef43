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
    from equipoise.annotate.tagging import tag_captions
    from equipoise.audit import Audit, audit
    from equipoise.audit.cells import audit_cells
    from equipoise.compare import Comparison, compare
    from equipoise.compare.cells import compare_cells
    from equipoise.compare.encoders import compare_encoders
    from equipoise.data.cell_stream import count_cells, layout_of_files
    from equipoise.data.cell_table import CellTable
    from equipoise.data.groups import Vocabulary
    from equipoise.data.queries import Query, read_queries
    from equipoise.data.samples import Samples, read_samples
    from equipoise.embed import embed
    from equipoise.estimate import Estimate
    from equipoise.gate import GateResult, gate
    from equipoise.metrics.balance import association_bias, representation_bias
    from equipoise.mitigate.artefact import load_mitigation, save_mitigation
    from equipoise.mitigate.data.first_order import FirstOrder
    from equipoise.mitigate.data.keep_lists import webdataset_filter, write_list
    from equipoise.mitigate.data.m4 import M4
    from equipoise.mitigate.data.raking import Rake
    from equipoise.mitigate.data.reweigh import Reweigh
    from equipoise.mitigate.data.sampler import BalancedSampler
    from equipoise.mitigate.data.subsample import RandomSubsample
    from equipoise.mitigate.data.weights_file import write_weights
    from equipoise.mitigate.embeddings.noop import NoOp
    from equipoise.mitigate.embeddings.projection import DifferenceProjection, SpanProjection
    from equipoise.mitigate.embeddings.wring import Wring, wring
    from equipoise.mitigate.training.contrastive import ContrastiveFineTune
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
    "tag_captions": "annotate.tagging", "audit_cells": "audit.cells", "compare_cells": "compare.cells",
    "compare_encoders": "compare.encoders", "count_cells": "data.cell_stream", "layout_of_files": "data.cell_stream",
    "CellTable": "data.cell_table", "association_bias": "metrics.balance", "representation_bias": "metrics.balance",
    "BalancedSampler": "mitigate.data.sampler", "FirstOrder": "mitigate.data.first_order", "M4": "mitigate.data.m4",
    "Rake": "mitigate.data.raking", "RandomSubsample": "mitigate.data.subsample", "Reweigh": "mitigate.data.reweigh",
    "webdataset_filter": "mitigate.data.keep_lists", "write_list": "mitigate.data.keep_lists",
    "write_weights": "mitigate.data.weights_file", "ContrastiveFineTune": "mitigate.training.contrastive",
    "NoOp": "mitigate.embeddings.noop",
    "DifferenceProjection": "mitigate.embeddings.projection",
    "SpanProjection": "mitigate.embeddings.projection", "Wring": "mitigate.embeddings.wring",
    "wring": "mitigate.embeddings.wring", "load_classifier": "models.references",
    "load_encoder": "models.references", "predict": "predict", "torch_classifier": "models.classifier",
    "ZeroShot": "models.zero_shot", "report": "report.html", "EmbeddingSet": "store.embeddings",
}  # fmt: skip

__all__ = [
    "M4", "Audit", "BalancedSampler", "CellTable", "Comparison", "ContrastiveFineTune", "DifferenceProjection",
    "EmbeddingSet", "Estimate", "FirstOrder", "GateResult", "NoOp", "Query", "Rake", "RandomSubsample",
    "Reweigh", "Samples", "SpanProjection", "Vocabulary", "Wring", "ZeroShot", "__version__", "association_bias",
    "audit", "audit_cells", "compare", "compare_cells", "compare_encoders", "count_cells", "embed", "gate",
    "layout_of_files", "load_classifier", "load_encoder", "load_mitigation", "predict", "read_queries",
    "read_samples", "report", "representation_bias", "save_mitigation", "tag_captions", "torch_classifier",
    "webdataset_filter", "wring", "write_list", "write_weights",
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
