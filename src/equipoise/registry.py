"""Lazy names: ``"module:Class"`` strings that are imported when somebody asks for them.

A registry holds names of ours and the entry points of installed plug-ins. A plug-in never hides a name of ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from equipoise.errors import InputError, UnknownNameError, did_you_mean, listed


class Registry:
    """Names of one kind of thing, resolved lazily.

    Parameters
    ----------
    kind : str
        What a message calls it, in the singular: ``"metric"``.
    group : str
        Entry-point group of plug-ins, as ``"equipoise.metrics"``.
    builtin : dict of str to str
        Name to ``"module:attribute"``.
    needs : sequence of str
        What anything of this kind has: a plug-in without it is refused when it is loaded.
    """

    def __init__(self, kind: str, group: str, builtin: dict[str, str], needs: Sequence[str] = ()) -> None:
        self.kind = kind
        self.group = group
        self.needs = tuple(needs)
        self._builtin = dict(builtin)
        self._plugins: dict[str, str] | None = None

    @property
    def plugins(self) -> dict[str, str]:
        """Names that installed plug-ins add, as ``"module:attribute"``; of two with one name the first in order counts."""
        if self._plugins is None:
            found = sorted((point.name, f"{point.module}:{point.attr}") for point in entry_points(group=self.group))
            self._plugins = {name: value for name, value in reversed(found) if name not in self._builtin}
        return dict(sorted(self._plugins.items()))

    def __contains__(self, name: object) -> bool:
        return name in self._builtin or name in self.plugins

    def __iter__(self) -> Iterator[str]:
        yield from sorted({*self._builtin, *self.plugins})

    def path(self, name: str) -> str:
        """Return ``"module:attribute"`` of a name without importing it."""
        found = self._builtin.get(name) or self.plugins.get(name)
        if found is None:
            raise UnknownNameError(
                f"There is no {self.kind} '{name}'.{did_you_mean(str(name), self)}",
                f"Known: {listed(self, 30)}.",
                value=name,
            )
        return found

    def load(self, name: str) -> Any:
        """Import and return what a name stands for.

        Raises
        ------
        UnknownNameError
            If there is no such name; the message proposes a near one.
        InputError
            If it cannot be imported, or lacks what everything of this kind has.
        """
        path = self.path(name)
        module, _, attribute = path.partition(":")
        try:
            found = reduce(getattr, attribute.split("."), import_module(module))
        except Exception as error:  # a plug-in may fail in any way when it is imported
            raise InputError(
                f"The {self.kind} '{name}' cannot be loaded from '{path}': {error or type(error).__name__}.",
                "Install the package that provides it, or mend its entry point.",
                value=name,
            ) from error
        missing = [need for need in self.needs if not hasattr(found, need)]
        if missing:
            raise InputError(
                f"The {self.kind} '{name}' ('{path}') is none: it has no {listed(missing)}.",
                "Mend the package that provides it.",
                value=name,
            )
        return found


METRICS = Registry(
    "metric",
    "equipoise.metrics",
    {
        "accuracy": "equipoise.metrics.classification:Accuracy",
        "accuracy_gap": "equipoise.metrics.classification:AccuracyGap",
        "tpr": "equipoise.metrics.classification:TruePositiveRate",
        "tpr_gap": "equipoise.metrics.classification:TruePositiveRateGap",
        "fpr": "equipoise.metrics.classification:FalsePositiveRate",
        "fpr_gap": "equipoise.metrics.classification:FalsePositiveRateGap",
        "selection_rate": "equipoise.metrics.classification:SelectionRate",
        "selection_rate_gap": "equipoise.metrics.classification:SelectionRateGap",
        "impact_ratio": "equipoise.metrics.classification:ImpactRatio",
        "auc": "equipoise.metrics.classification:Auc",
        "auc_gap": "equipoise.metrics.classification:AucGap",
        "skew": "equipoise.metrics.retrieval:Skew",
        "max_skew": "equipoise.metrics.retrieval:MaxSkew",
        "min_skew": "equipoise.metrics.retrieval:MinSkew",
        "dp": "equipoise.metrics.retrieval:DemographicParity",
        "explicit_share": "equipoise.metrics.retrieval:ExplicitShare",
        "recall": "equipoise.metrics.retrieval:Recall",
        "overlap": "equipoise.metrics.utility:Overlap",
        "query_cosine": "equipoise.metrics.utility:QueryCosine",
        "zero_shot_accuracy": "equipoise.metrics.zero_shot:ZeroShotAccuracy",
        "cosine_bias": "equipoise.metrics.association:CosineBias",
        "score_gap": "equipoise.metrics.association:StandardisedScoreGap",
        "representation_bias": "equipoise.metrics.preference:RepresentationBias",
        "association_bias": "equipoise.metrics.preference:AssociationBias",
        "word_share": "equipoise.metrics.preference:WordShare",
        "pair_preference": "equipoise.metrics.preference:PairPreference",
        "max_association_bias": "equipoise.metrics.preference:MaxAssociationBias",
        "rb": "equipoise.metrics.balance_data:RepresentationBias",
        "ab": "equipoise.metrics.balance_data:AssociationBias",
        "share_error": "equipoise.metrics.balance_data:ShareError",
        "share": "equipoise.metrics.balance_data:Share",
        "share_deviation": "equipoise.metrics.balance_data:ShareDeviation",
        "retention": "equipoise.metrics.balance_data:Retention",
        "ess": "equipoise.metrics.balance_data:EffectiveSampleSize",
        "max_weight": "equipoise.metrics.balance_data:LargestWeight",
        "prevalence": "equipoise.metrics.balance_data:Prevalence",
        "prevalence_factor": "equipoise.metrics.balance_data:PrevalenceFactor",
    },
    needs=("descriptor", "statistic"),
)

MITIGATIONS = Registry(
    "mitigation",
    "equipoise.mitigations",
    {
        "wring": "equipoise.mitigate.embeddings.wring:Wring",
        "span-projection": "equipoise.mitigate.embeddings.projection:SpanProjection",
        "difference-projection": "equipoise.mitigate.embeddings.projection:DifferenceProjection",
        "noop": "equipoise.mitigate.embeddings.noop:NoOp",
        "m4": "equipoise.mitigate.data.m4:M4",
        "reweigh": "equipoise.mitigate.data.reweigh:Reweigh",
        "rake": "equipoise.mitigate.data.raking:Rake",
        "random-subsample": "equipoise.mitigate.data.subsample:RandomSubsample",
        "first-order": "equipoise.mitigate.data.first_order:FirstOrder",
        "noop-data": "equipoise.mitigate.data.noop_data:NoOpData",
        "contrastive": "equipoise.mitigate.training.contrastive:ContrastiveFineTune",
    },
    needs=("name", "kind", "fit"),
)

ENCODERS = Registry(
    "encoder",
    "equipoise.encoders",
    {
        "demo": "equipoise.models.demo:load",
        "onnx": "equipoise.models.onnx:load",
        "open_clip": "equipoise.models.open_clip:load",
        "precomputed": "equipoise.models.precomputed:load",
        "py": "equipoise.models.python:load",
        "timm": "equipoise.models.timm:load",
        "transformers": "equipoise.models.transformers:load",
    },
    needs=("__call__",),
)

CLASSIFIERS = Registry(
    "classifier",
    "equipoise.classifiers",
    {
        "efficientnet-lite0": "equipoise.models.efficientnet_lite:load_classifier",
        "onnx": "equipoise.models.onnx:load_classifier",
        "py": "equipoise.models.python:load_classifier",
        "timm": "equipoise.models.timm:load_classifier",
        "transformers": "equipoise.models.transformers_classifier:load",
    },
    needs=("__call__",),
)
