"""The gate: pass, fail, or say that the evidence is too thin."""

from equipoise.gate.run import GateResult, gate, load_subject

__all__ = ["GateResult", "gate", "load_subject"]
