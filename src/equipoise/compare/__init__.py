"""Comparisons: two audits of the same rows become the ledger."""

from equipoise.compare.result import Comparison
from equipoise.compare.run import compare

__all__ = ["Comparison", "compare"]
