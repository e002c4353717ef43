"""A policy to start from, with the protocols of the registered metrics."""

from __future__ import annotations

from equipoise.registry import METRICS

_EXAMPLE = """\
# A policy for `equipoise gate LEDGER --policy policy.toml`.
# `equipoise ls metrics` lists the metrics with their protocols. Shares are fractions: 0.05 is 5 %.

schema = "equipoise.policy/1"

# What too little evidence means: "exit3" (exit code 3, the default) or "fail" (exit code 1). It never passes.
insufficient = "exit3"

# Every limit names a metric and its protocol, an attribute (or "*" for all audited ones) and, if wanted, a family of queries.
#   max_increase   largest growth of harm from before to after; judged on the 95 % interval of the change; needs a ledger
#   max_bias       largest bias of the model as it is now; judged on its 95 % interval and against chance; an audit is enough
#   min_group_n    the smallest group must have this many rows, else the evidence is insufficient
[[limit]]
metric = "max_skew"                 # any k; "max_skew@200" for one
protocol = "{max_skew}"
attribute = "*"
max_increase = 0.10                 # natural log
min_group_n = 30

[[limit]]
metric = "cosine_bias"
protocol = "{cosine_bias}"
attribute = "gender"
family = "occupations"
max_bias = 0.10                     # a difference of cosines

# Utilities have no attribute. A loss of more than this fails the gate.
[[limit]]
metric = "zero_shot_accuracy"
protocol = "{zero_shot_accuracy}"
attribute = ""
max_increase = 0.02

# A limit that is known to be broken and accepted for a while. After its last day the waiver is not applied, and the gate says so.
[[waiver]]
metric = "cosine_bias"
attribute = "gender"
reason = "The query list of occupations is under review."
until = 2026-12-31
"""


def example_policy() -> str:
    """Return a commented policy in TOML that :func:`equipoise.gate.policy.read_policy` accepts."""
    return _EXAMPLE.format(**{name: protocol_of(name) for name in ("max_skew", "cosine_bias", "zero_shot_accuracy")})


def protocol_of(name: str) -> str:
    """Return the protocol of a registered metric."""
    return METRICS.load(name).descriptor.protocol
