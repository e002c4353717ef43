"""How numbers, metrics, methods and families are said to people, the same in every sentence, table and chart."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from equipoise.errors import EquipoiseError
from equipoise.protocols import MetricDescriptor
from equipoise.registry import METRICS

MINUS = "\N{MINUS SIGN}"

SHAPES = {
    "improved": "\N{BLACK DOWN-POINTING TRIANGLE}",
    "worse": "\N{BLACK UP-POINTING TRIANGLE}",
    "unchanged": "\N{BLACK SQUARE}",
    "insufficient": "\N{WHITE CIRCLE}",
}
"""A verdict is a word and a shape, never a colour alone."""

OTHER_SHARES = "not judged: other shares are wanted inside some labels, so that these are to depend on the attribute"
"""Why the association of labels is not gated where shares differ by label."""

_METHODS = {
    "main": "The mitigation",
    "noop": "Doing nothing",
    "contrastive": "Contrastive fine-tuning",
    "no-op": "Doing nothing",
    "noop-data": "Doing nothing",
    "random-subsample": "A random subsample",
    "first-order": "Balancing shares alone",
    "reweigh": "Reweighing",
    "rake": "Raking",
    **{name: name.upper() for name in ("wring", "leace", "inlp", "bmft", "m4", "ffr", "dfr", "jtt")},
}
_FAMILIES = {
    "occupations": "occupation searches",
    "clinical-staff": "clinical staff searches",
    "traits": "trait searches",
    "adjectives": "adjective searches",
    "stereotypes": "stereotype searches",
    "explicit": "searches that name a group",
    "data": "",
    "proxies": "proxies",
    "pairs": "pairs of attributes",
    "exempt": "labels that were exempt",
}
_MEASURES = {
    "max_skew": "largest {a} skew in the top {k}",
    "min_skew": "most negative {a} skew in the top {k}",
    "skew": "{a} skew in the top {k}",
    "dp": "{a} gap in the rate of reaching the top {k}",
    "cosine_bias": "{a} cosine bias",
    "score_gap": "standardised {a} score gap",
    "accuracy_gap": "accuracy gap by {a}",
    "tpr_gap": "true positive rate gap by {a}",
    "fpr_gap": "false positive rate gap by {a}",
    "selection_rate_gap": "selection rate gap by {a}",
    "auc_gap": "AUC gap by {a}",
    "impact_ratio": "impact ratio by {a}",
    "rb": "distance of {a} shares from those wanted (RB)",
    "ab": "association of labels with {a} (AB)",
    "share_error": "largest error of {a} shares inside a label",
    "share_deviation": "distance of {a} shares from those wanted",
    "retention": "rows kept by {a}",
}


_UNSEEN = {code: chr(0x2400 + code) for code in range(32)} | {127: "\N{SYMBOL FOR DELETE}"}
_UNSEEN |= dict.fromkeys(
    [*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\N{REPLACEMENT CHARACTER}"
)


def visible(text: str) -> str:
    """Return text from data with control characters, direction overrides and lone surrogates made visible.

    A terminal cannot be steered by it, a line stays a line, and what follows can be written as XML.
    """
    return text.translate(_UNSEEN).encode("utf-8", "replace").decode("utf-8")


def number(value: float | None) -> str:
    """Return three significant digits with a minus sign that is one; ``""`` where there is no number.

    >>> number(-0.1234), number(1234567.0), number(0.1)
    ('−0.123', '1,230,000', '0.1')
    """
    if value is None or not math.isfinite(value):
        return ""
    text = f"{value:.3g}"
    if "e" in text and abs(float(text)) >= 1e-6:
        text = f"{float(text):,.0f}" if abs(value) >= 1 else f"{float(text):.9f}".rstrip("0")
    elif abs(value) >= 1000 and "e" not in text:
        text = f"{float(text):,.0f}"
    return "0" if text == "-0" else text.replace("-", MINUS)


def whole(value: int | None) -> str:
    """Return a count with thousands separators; ``""`` where there is none."""
    return "" if value is None else f"{int(value):,}".replace("-", MINUS)


def split_metric(name: str) -> tuple[str, int | None]:
    """Return the base name and k: ``"max_skew@200"`` gives ``("max_skew", 200)``."""
    base, _, k = name.partition("@")
    return base, int(k) if k.isdecimal() else None


@lru_cache(maxsize=256)
def descriptor(metric: str) -> MetricDescriptor | None:
    """Return what is known of a metric by its name in a table, or None when nothing installed knows it."""
    try:
        found: Any = METRICS.load(split_metric(metric)[0])
    except EquipoiseError:
        return None
    found = getattr(found, "descriptor", None)
    return found if isinstance(found, MetricDescriptor) else None


def capital(text: str) -> str:
    """Return the text with its first letter raised and the others left alone."""
    return text[:1].upper() + text[1:]


def method_title(name: str) -> str:
    """Return what a person calls a method or an arm: ``"difference-projection"`` is "Difference projection"."""
    return _METHODS.get(name, capital(name.replace("-", " ").replace("_", " ")))


def family_title(family: str) -> str:
    """Return what a person calls a family of queries; ``""`` for none."""
    return _FAMILIES.get(family, f"searches of '{family}'") if family else ""


def metric_title(metric: str) -> str:
    """Return what a person calls a metric: ``"max_skew@200"`` is "largest skew in the top 200"."""
    base, k = split_metric(metric)
    if base in _MEASURES:
        text = _MEASURES[base].replace(" by {a}", "").replace(" with {a}", "").replace("{a} ", "")
        return text.format(k="k" if k is None else k)
    known = descriptor(metric)
    title = (
        known.title.removesuffix(f" ({known.unit})") if known is not None and known.title else base.replace("_", " ")
    )
    if k is None:
        return title
    return title.replace("top k", f"top {k}") if "top k" in title else f"{title} in the top {k}"


def measure(metric: str, attribute: str, family: str) -> str:
    """Return one measured quantity in words.

    >>> measure("max_skew@200", "gender", "occupations")
    'largest gender skew in the top 200 of occupation searches'
    """
    base, k = split_metric(metric)
    worded = base in _MEASURES and bool(attribute)
    if family == "pairs" and base == "ab":
        one, _, two = attribute.partition(":")
        return f"association of {two} with {one} (AB)"
    if worded:
        text = _MEASURES[base].format(a=attribute, k="k" if k is None else k)
    else:
        text = metric_title(metric) + (f" by {attribute}" if attribute else "")
    if not family_title(family):
        return text
    if base == "zero_shot_accuracy":  # its family is the attribute that is classified
        return f"{text} of {family}"
    return f"{text} {'of' if worded else 'in'} {family_title(family)}"
