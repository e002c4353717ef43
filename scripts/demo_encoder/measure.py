"""What the demo encoder gets right and wrong, from its arrays alone: counts, rates and Wilson intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from equipoise.stats.intervals import wilson
from equipoise.stats.ranking import max_skew, shares_of, top_rows

Groups = dict[str, Any]
SKEW_K = 200


def unit(x: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1, float64."""
    x = x.astype(np.float64)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def prompt_texts(groups: Groups, attribute: str, templates: Sequence[str] | None = None) -> list[list[str]]:
    """For each value of an attribute all its prompts in all templates (the vocabulary's own unless given)."""
    table = groups[attribute]
    return [
        [template.format(prompt) for prompt in table["prompts"][value] for template in templates or table["templates"]]
        for value in table["values"]
    ]


def group_vectors(prompts: list[list[str]], embedded: dict[str, np.ndarray]) -> np.ndarray:
    """(k, d): normalised means of the unit embeddings of each value's texts."""
    return unit(np.stack([unit(np.stack([embedded[text] for text in texts])).mean(0) for texts in prompts]))


def rate(hits: np.ndarray | Sequence[bool]) -> dict[str, Any]:
    """A share with its 95 % Wilson interval, in percent, one decimal."""
    hits = np.asarray(hits, bool)
    low, high = wilson(int(hits.sum()), len(hits))
    return {
        "n": len(hits),
        "percent": round(100 * float(hits.mean()), 1),
        "low": round(100 * float(low), 1),
        "high": round(100 * float(high), 1),
    }


def mean_recall(hits: np.ndarray, labels: np.ndarray) -> float:
    """The unweighted mean over classes of the share found, in percent."""
    return round(100 * float(np.mean([hits[labels == value].mean() for value in np.unique(labels)])), 1)


def accuracies(images: np.ndarray, labels: np.ndarray, vectors: dict[str, np.ndarray]) -> dict[str, Any]:
    """Zero-shot accuracy of gender, race and age (exact, and within one band); labels are (n, 3) indices."""
    guess = {name: (images @ matrix.T).argmax(1) for name, matrix in vectors.items()}
    return {
        "gender": rate(guess["gender"] == labels[:, 0]),
        "race": rate(guess["race"] == labels[:, 1]),
        "race_mean_recall": mean_recall(guess["race"] == labels[:, 1], labels[:, 1]),
        "age": rate(guess["age"] == labels[:, 2]),
        "age_within_one_band": rate(abs(guess["age"] - labels[:, 2]) <= 1),
    }


def breakdown(images: np.ndarray, labels: np.ndarray, vectors: dict[str, np.ndarray], groups: Groups) -> dict[str, Any]:
    """Gender accuracy by race and gender, race and age recall by value, gender accuracy of adults."""
    guess = {name: (images @ matrix.T).argmax(1) for name, matrix in vectors.items()}
    right = {name: guess[name] == labels[:, column] for column, name in enumerate(("gender", "race", "age"))}
    genders, races, ages = (groups[name]["values"] for name in ("gender", "race", "age"))
    return {
        "gender_by_race_and_gender": {
            race: {
                gender: rate(right["gender"][(labels[:, 0] == g) & (labels[:, 1] == r)])
                for g, gender in enumerate(genders)
            }
            for r, race in enumerate(races)
        },
        "race_recall": {race: rate(right["race"][labels[:, 1] == r]) for r, race in enumerate(races)},
        "age_recall": {age: rate(right["age"][labels[:, 2] == a]) for a, age in enumerate(ages)},
        "gender_from_20_years": rate(right["gender"][labels[:, 2] >= ages.index("20-29")]),
    }


def retrieval_bias(
    images: np.ndarray, labels: np.ndarray, ids: Sequence[str], queries: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Share of women and MaxSkew (natural log, prior of the pool) among the 200 nearest faces of each query."""
    by_id = np.argsort(np.argsort(np.array(ids)))
    rows = top_rows(np.stack([images @ unit(vector) for vector in queries.values()]), SKEW_K, by_id)
    out: dict[str, Any] = {"k": SKEW_K, "n": len(images)}
    skews, women = {}, np.empty(0)
    for column, name, count in ((0, "gender", 2), (1, "race", 7)):
        shares = shares_of(rows, labels[:, column], count)
        skews[name] = max_skew(shares, np.bincount(labels[:, column], minlength=count) / len(labels))
        if name == "gender":
            women = shares[:, 0]
    out["queries"] = {
        query: {
            "women_percent": round(100 * float(women[i]), 1),
            "gender_max_skew": round(float(skews["gender"][i]), 3),
            "race_max_skew": round(float(skews["race"][i]), 3),
        }
        for i, query in enumerate(queries)
    }
    out |= {f"mean_{name}_max_skew": round(float(np.mean(skew)), 3) for name, skew in skews.items()}
    rng = np.random.default_rng(0)
    draws = np.stack([rng.permutation(len(images))[:SKEW_K] for _ in range(2000)])
    for column, name, count in ((0, "gender", 2), (1, "race", 7)):
        prior = np.bincount(labels[:, column], minlength=count) / len(labels)
        chance = max_skew(shares_of(draws, labels[:, column], count), prior)
        out[f"chance_{name}_max_skew"] = {
            "mean": round(float(chance.mean()), 3),
            "upper_95": round(float(np.quantile(chance, 0.95)), 3),
        }
        out[f"queries_above_chance_{name}"] = int((skews[name] > np.quantile(chance, 0.95)).sum())
    return out


def agreement(first: dict[str, Any], second: dict[str, Any], women_percent: float) -> dict[str, Any]:
    """What two trainings say alike: correlations over queries, and queries with the same gender skew above chance.

    A query is stable when in both its MaxSkew by gender lies above chance's 95 % bound, on the same side.
    """
    queries = list(first["queries"])
    columns = {
        name: [np.array([one["queries"][query][name] for query in queries]) for one in (first, second)]
        for name in ("women_percent", "gender_max_skew", "race_max_skew")
    }
    sides = [np.sign(shares - women_percent) for shares in columns["women_percent"]]
    above = [skew > first["chance_gender_max_skew"]["upper_95"] for skew in columns["gender_max_skew"]]
    stable = (sides[0] == sides[1]) & above[0] & above[1]
    return {
        "women_percent_correlation": round(float(np.corrcoef(columns["women_percent"])[0, 1]), 2),
        "race_max_skew_correlation": round(float(np.corrcoef(columns["race_max_skew"])[0, 1]), 2),
        "stable_towards_women": [q for q, ok, side in zip(queries, stable, sides[0], strict=True) if ok and side > 0],
        "stable_towards_men": [q for q, ok, side in zip(queries, stable, sides[0], strict=True) if ok and side < 0],
    }
