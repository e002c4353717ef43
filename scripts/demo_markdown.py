"""The tables of the docs as Markdown, from the numbers of demo_tables.py and of the model card."""

from __future__ import annotations

from typing import Any

BY = ("gender", "race")


def number(value: float, digits: int = 3) -> str:
    """Return a number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\N{MINUS SIGN}")


def bracketed(values: list[Any], digits: int = 3) -> str:
    """Return value and interval."""
    value, low, high = (number(part, digits) for part in values[:3])
    return f"{value} [{low}, {high}]".replace(" ", "\N{NO-BREAK SPACE}")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)) + "\n"


def tables(data: dict[str, Any], encoder: dict[str, Any]) -> dict[str, str]:
    """Return the Markdown of every table, by file name."""
    found = encoder_tables(encoder) | {"occupations.md": occupations(data["bias"])}
    for target in BY:
        other = next(name for name in BY if name != target)
        found |= {
            f"wring_{target}.md": levels(data, target),
            f"wring_{target}_changes.md": changes(data, target),
            f"wring_{target}_theory.md": theory(data, target, other),
        }
    return found


def occupations(data: dict[str, Any]) -> str:
    """Return the table of the bias of each query."""
    rows = [
        [row["query"], bracketed(row["women"], 1), *(f"{bracketed(row[a])}{star(row[a][3])}" for a in BY)]
        for row in data["rows"]
    ]
    rows.append(["**mean**", "", *(f"**{bracketed(data['mean'][a])}**" for a in BY)])
    rows.append(
        [
            "chance alone: a query, the mean",
            str(data["women"]),
            *(f"{number(data['chance'][a])}, {number(data['mean'][a][3])}" for a in BY),
        ]
    )
    return table(["query", "women, %", "MaxSkew gender", "MaxSkew race"], rows)


def star(p: float) -> str:
    """Return a mark where chance alone is not excluded."""
    return "" if p < 0.05 else "\N{NO-BREAK SPACE}(n.s.)"


def levels(data: dict[str, Any], target: str) -> str:
    """Return the table of bias after each method."""
    rows = [["", "none", *map(bracketed, data["none"].values())]]
    rows += [[r["vectors"], r["method"], *map(bracketed, r["levels"].values())] for r in data["treated"][target]]
    rows.append(["", "chance alone, before", *(number(values[3]) for values in data["none"].values())])
    return table(["vectors", "method", *data["none"]], rows)


def changes(data: dict[str, Any], target: str) -> str:
    """Return the table of paired changes."""
    rows = []
    for r in data["treated"][target]:
        cells = [f"{bracketed(r['change'][a])} {r['change'][a][4]}" for a in BY]
        rows.append([r["vectors"], r["method"], *cells, number(1 - r["overlap"][0])])
    return table(["vectors", "method", "change of MaxSkew gender", "change of MaxSkew race", "top 200 kept"], rows)


def theory(data: dict[str, Any], target: str, other: str) -> str:
    """Return the table of amplification, measured and in theory."""
    rows = [
        [
            r["vectors"],
            r["method"],
            number(r["theory"]),
            number(r["oracle"][0]),
            bracketed(r["ratio"]),
            bracketed(r["ratio_of_means"]),
            bracketed(r["random"]),
            number(r["bound"][0]),
        ]
        for r in data["treated"][target]
    ]
    head = [
        "vectors",
        "method",
        "theory",
        f"{other}, span removed",
        f"{other}, mean ratio",
        f"{other}, ratio of means",
        "100 random pairs",
        "bound",
    ]
    return table(head, rows)


def encoder_tables(data: dict[str, Any]) -> dict[str, str]:
    """Return the tables of accuracy."""

    def rate(found: dict[str, Any]) -> str:
        return bracketed([found["percent"], found["low"], found["high"]], 1)

    kinds = {
        "shipped embeddings": "val",
        "templates not trained with": "val_unseen_templates",
        "averaged over the flipped face": "val_flip_averaged",
    }
    accuracy = [
        [
            name,
            *(rate(data[kind][a]) for a in ("gender", "race")),
            str(data[kind]["race_mean_recall"]),
            *(rate(data[kind][a]) for a in ("age", "age_within_one_band")),
        ]
        for name, kind in kinds.items()
    ]
    groups = data["gender_by_race_and_gender"]
    rows = [
        [race, rate(found["Male"]), rate(found["Female"]), rate(data["race_recall"][race])]
        for race, found in groups.items()
    ]
    ages = [[age, rate(found), str(found["n"])] for age, found in data["age_recall"].items()]
    second = data["second_training"]
    seeds = [
        [f"zero-shot {name}, %", *(rate(found["val"][kind]) for found in (data, second))]
        for name, kind in (
            ("gender", "gender"),
            ("race", "race"),
            ("age", "age"),
            ("age within one band", "age_within_one_band"),
        )
    ]
    for attribute in BY:
        found = [one["retrieval"] for one in (data, second)]
        seeds.append([f"mean MaxSkew {attribute}", *(number(one[f"mean_{attribute}_max_skew"]) for one in found)])
        above = [str(one[f"queries_above_chance_{attribute}"]) for one in found]
        seeds.append([f"of 19 queries above the 95 % bound of chance, {attribute}", *above])
    queries = [
        [
            query.removeprefix("a photo of ").split(" ", 1)[1],
            *(number(one["retrieval"]["queries"][query]["women_percent"], 1) for one in (data, second)),
            *(number(one["retrieval"]["queries"][query]["race_max_skew"]) for one in (data, second)),
        ]
        for query in data["retrieval"]["queries"]
    ]
    return {
        "encoder_accuracy.md": table(
            ["in %", "gender", "race (7)", "race, mean recall", "age (9)", "age within one band"], accuracy
        ),
        "encoder_groups.md": table(["in %", "gender, men", "gender, women", "race recall"], rows),
        "encoder_seeds.md": table(["", "shipped", "second training"], seeds),
        "occupations_seeds.md": table(
            ["query", "women, %: shipped", "second", "MaxSkew race: shipped", "second"], queries
        ),
        "encoder_ages.md": table(["age band", "recall, %", "faces"], ages),
    }
