"""Write docs/metrics.md from the descriptors and docstrings of the metrics.

python scripts/write_metric_docs.py            # write it
python scripts/write_metric_docs.py --check    # exit 1 if it is not up to date
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from equipoise.metrics import load_metric
from equipoise.protocols import Metric, MetricDescriptor
from equipoise.registry import METRICS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "metrics.md"

INTRODUCTION = """\
# Metrics

<!-- Written by scripts/write_metric_docs.py from the metrics themselves; edit their docstrings, not this page. -->

Every number names its metric *and* its protocol, because fields disagree on what "demographic parity" or "equalised
odds" is; a policy names both. This page is the list of both.

- **Groups** are values of a declared attribute. A value *per group* is printed for each; a value *over groups* compares
  those that take part: at least 30 rows, and a defined value. With fewer than two of them there is no value
  (`insufficient` or `not_estimable`), never a 0.
- **Better** says which side is less harm. *Nearer to 0* marks signed metrics: what grows is the distance from 0.
- **Margin**: a change is called `unchanged` when its 90 % interval lies inside ± margin. Each can be set.
- **Role**: a *bias* metric has a row per attribute; a *utility* metric says what the model or search is still good for.
- **Positive**: for more than two labels, true and false positive rates and selection rates are those of the positive
  label against the rest. Without one they are `not_estimable`.
- A gap over groups is never negative, so chance alone gives more than 0: each is printed with the value expected
  when there is no disparity and its permutation p.
- **Intervals** over more than two groups rest on limits of all groups that hold together (Bonferroni): if they all
  hold, the true gap lies inside. They are conservative. Where a metric has no closed form, the bootstrap serves.

Notation: y label, p prediction, a group; T_a rows of group a among the k with the highest score, N_a rows of group a in
the searched pool, p_a and pi_a their shares of the known rows; n_a, m_a, v_a number, mean and variance of a query's
cosines in group a.
"""

SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Retrieval: who is found",
        "Read from the k rows with the highest cosine to a query. k is `min(200, n // 5)` unless given, and printed; "
        "ties are broken by row id. The prior is the searched pool's own shares.",
        ("max_skew", "min_skew", "skew", "dp", "explicit_share", "recall"),
    ),
    (
        "Association: how scores lean",
        "Read from all cosines of a query, without a cut at k, on rows that no method was fitted on.",
        ("cosine_bias", "score_gap"),
    ),
    (
        "Preference: which words a model prefers",
        "Read from queries that stand against each other: `--queries association-pairs,representation-prompts --metrics "
        "association_bias,representation_bias`; never part of a default audit. How the numbers are made: "
        "[RB and AB of a model](statistics.md#rb-and-ab-of-a-model).",
        ("representation_bias", "word_share", "association_bias", "max_association_bias", "pair_preference"),
    ),
    (
        "Balance: what weights make of a data set",
        "Read from counts and weights of rows by group and label; exact numbers of the rows at hand.",
        (
            "rb",
            "ab",
            "share",
            "share_deviation",
            "share_error",
            "retention",
            "ess",
            "max_weight",
            "prevalence",
            "prevalence_factor",
        ),
    ),
    (
        "Classification: gaps over groups",
        "Read from one table of counts by group, label and prediction; max - min over groups, as in fairlearn.",
        ("accuracy_gap", "tpr_gap", "fpr_gap", "selection_rate_gap", "impact_ratio", "auc_gap"),
    ),
    (
        "Classification: each group",
        "The rates behind the gaps, a value per group.",
        ("accuracy", "tpr", "fpr", "selection_rate", "auc"),
    ),
    (
        "Utility: what an edit leaves",
        "Untargeted by definition; measured on the same rows and queries before and after.",
        ("zero_shot_accuracy", "overlap", "query_cosine"),
    ),
)

EVIDENCE = {
    "counts": "counts by group, label and prediction",
    "top": "groups among the top k, and in the pool",
    "moments": "mean and variance of scores by group",
    "auc": "scores ranked within groups",
    "paired": "a value of each query, or pair of queries",
    "ranks": "rank of the right row",
    "pairs": "rows of each group that are nearer to the first of two texts",
    "preferences": "rows that are nearest to each group's text",
    "cells": "weight of the rows of each group inside each label",
    "weights": "sums over weighted rows",
}


def better(descriptor: MetricDescriptor) -> str:
    """Return which side is less harm, in words."""
    return "nearer to 0" if descriptor.signed else descriptor.direction


def scope(descriptor: MetricDescriptor) -> str:
    """Return what one value is of, in words."""
    if descriptor.per_group:
        return "per group"
    if descriptor.evidence in ("paired", "ranks"):
        return "over queries"
    return "over groups" if descriptor.role == "bias" else "over all rows"


def interval(metric: Metric) -> str:
    """Return where the interval of a single number comes from."""
    return "bootstrap" if type(metric).interval is Metric.interval else "closed form"


def called(descriptor: MetricDescriptor) -> str:
    """Return the name as tables show it, with ``@k`` where it carries one."""
    return f"{descriptor.name}@k" if descriptor.at_k else descriptor.name


def cell(text: str) -> str:
    """Escape what would end a table cell."""
    return text.replace("|", "\\|")


def overview(metrics: list[Metric]) -> str:
    """Return the table of a section."""
    lines = ["| metric | what it is | protocol | better | margin |", "|---|---|---|---|---|"]
    for descriptor in (metric.descriptor for metric in metrics):
        name = called(descriptor)
        lines.append(
            f"| [`{name}`](#{descriptor.name.replace('_', '-')}) | {cell(descriptor.title)} | `{descriptor.protocol}` "
            f"| {better(descriptor)} | {descriptor.margin:g} |"
        )
    return "\n".join(lines)


def definition(metric: Metric) -> str:
    """Return the definition list of one metric."""
    descriptor = metric.descriptor
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", inspect.getdoc(type(metric)) or "").replace("``", "`")
    lines = [
        f"({descriptor.name.replace('_', '-')})=",
        f"### `{called(descriptor)}`",
        text,
        "\n".join(
            [
                f"- Formula: `{descriptor.formula}`",
                f"- Source: {descriptor.source}",
                f"- Protocol: `{descriptor.protocol}`; role: {descriptor.role}; a value {scope(descriptor)}",
                f"- Better: {better(descriptor)}; unit: {descriptor.unit}; default margin: {descriptor.margin:g}",
                f"- Computed from: {EVIDENCE[descriptor.evidence]}; interval of one number: {interval(metric)}",
            ]
        ),
    ]
    return lines[0] + "\n" + "\n\n".join(lines[1:])


def page() -> str:
    """Return the whole page."""
    own = {name for name in METRICS if name not in METRICS.plugins}
    listed = [name for _, _, names in SECTIONS for name in names]
    if own != set(listed) or len(listed) != len(own):
        sys.exit(f"SECTIONS and the registry differ: {', '.join(sorted(own ^ set(listed)))}")
    parts = [INTRODUCTION.strip()]
    for title, lead, names in SECTIONS:
        metrics = [load_metric(name) for name in names]
        parts += [f"## {title}", lead, overview(metrics), *(definition(metric) for metric in metrics)]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write the page, or say whether it is up to date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is not up to date")
    text = page()
    if not parser.parse_args().check:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text, encoding="utf-8")
        return 0
    if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text:
        return 0
    print(f"{PAGE.relative_to(ROOT)} is not up to date: run python scripts/write_metric_docs.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
