"""Audits: measuring bias with intervals, chance levels and evidence by row."""

from equipoise.audit.result import Audit, Settings
from equipoise.audit.run import audit, refuse_leakage

__all__ = ["Audit", "Settings", "audit", "refuse_leakage"]
