"""Contract checks for our own methods and for plug-ins: call them in your tests."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from equipoise.checks import CheckFailed
    from equipoise.checks.classifiers import check_classifier
    from equipoise.checks.encoders import check_encoder
    from equipoise.checks.metrics import check_metric
    from equipoise.checks.mitigations import check_mitigation

_HOME = {
    "CheckFailed": "equipoise.checks",
    "check_classifier": "equipoise.checks.classifiers",
    "check_encoder": "equipoise.checks.encoders",
    "check_metric": "equipoise.checks.metrics",
    "check_mitigation": "equipoise.checks.mitigations",
}

__all__ = ["CheckFailed", "check_classifier", "check_encoder", "check_metric", "check_mitigation"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'equipoise.testing' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
