"""Tagging captions by a word list against a plain regular expression of the same words.

    python benchmarks/tagging.py [--captions 200000] [--file captions.csv --column caption]

Captions are made from a seed, as web pages have them (12 of 100 name a person) and as people write them of photographs
(nearly all do); ``--file`` measures a file of one's own too. The regular expression is the alternation of all words of
people-en-1 between word boundaries, on the caption without case, and each match is looked up; it knows no rule, so it also
says in how many captions the rules change what is tagged. Prints captions per CPU second (best of three) and their ratio.
One thread.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIMIT = 4.0
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
THINGS = [
    "bridge",
    "river",
    "mountain",
    "sofa",
    "lamp",
    "coffee",
    "garden",
    "wooden",
    "table",
    "vintage",
    "poster",
    "summer",
    "dress",
    "sale",
    "house",
    "window",
    "kitchen",
    "recipe",
    "chocolate",
    "cake",
    "train",
    "station",
    "sunset",
    "beach",
    "palm",
    "tree",
    "forest",
    "path",
    "winter",
    "snow",
    "road",
    "city",
    "skyline",
    "night",
    "market",
    "flower",
    "bouquet",
    "laptop",
    "phone",
    "case",
    "review",
    "best",
    "free",
    "download",
    "pattern",
    "texture",
    "background",
    "vector",
    "logo",
    "design",
    "car",
    "engine",
    "wheel",
    "bicycle",
    "boat",
]
JOINS = ["a", "the", "of", "in", "on", "with", "and", "for", "near", "over", "from", "to"]
PEOPLE = [
    "man",
    "woman",
    "boy",
    "girl",
    "men",
    "women",
    "people",
    "child",
    "person",
    "players",
    "crowd",
    "lady",
    "guy",
    "mother",
    "father",
    "doctor",
    "nurse",
    "chef",
    "police",
    "officer",
]
ACTS = ["sits", "stands", "runs", "jumps", "walks", "rides", "holds", "wears", "climbs", "throws", "watches", "plays"]
OTHER = ["no", "not", "men's", "women's", "or", "cook", "baby", "actor"]


def made(count: int, people: float, seed: int) -> list[str]:
    """Return captions of about 77 characters, of which a share names people."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        words = [draw.choice(JOINS if draw.random() < 0.35 else THINGS) for _ in range(draw.randint(8, 18))]
        if draw.random() < people:
            words[draw.randrange(3)] = draw.choice(PEOPLE)
            words[draw.randrange(3, 5)] = draw.choice(ACTS)
            if draw.random() < 0.1:
                words[draw.randrange(5, 8)] = draw.choice(OTHER)
        found.append(" ".join(words).capitalize() + draw.choice([".", "", " ."]))
    return found


def peer(lexicon: Any) -> Callable[[list[str]], list[tuple[Any, ...]]]:
    """Return a tagger that is one alternation of all words, longest first."""
    words = sorted(lexicon.words, key=lambda word: (-len(word), word))
    pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, words)) + r")\b")
    said, variables = lexicon.words, lexicon.variables

    def tag(texts: list[str]) -> list[tuple[Any, ...]]:
        found = []
        for text in texts:
            hits = frozenset(pair for word in pattern.findall(text.casefold()) for pair in said[word])
            found.append(
                tuple(
                    values.combined(frozenset(value for variable, value in hits if variable == name))
                    for name, values in variables.items()
                )
            )
        return found

    return tag


def best(run: Callable[[], Any], rounds: int = 3) -> tuple[float, Any]:
    """Return the least CPU time of a call, and what it returned."""
    times, out = [], None
    for _ in range(rounds):
        start = time.process_time()
        out = run()
        times.append(time.process_time() - start)
    return min(times), out


def main() -> int:
    """Measure, print, and return 1 if a figure misses its limit."""
    from equipoise.annotate.lexicon import load_lexicon
    from equipoise.annotate.tagging import tag_captions

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--captions", type=int, default=200_000)
    parser.add_argument("--file", type=Path)
    parser.add_argument("--column", default="caption")
    options = parser.parse_args()

    lexicon = load_lexicon("people-en-1")
    sets = {"web-like": made(options.captions, 0.12, 0), "of people": made(options.captions, 0.95, 1)}
    if options.file:
        with options.file.open(newline="", encoding="utf-8") as file:
            sets[options.file.name] = [row[options.column] for row in csv.DictReader(file)]
    plain = peer(lexicon)
    worst = float("inf")
    for name, texts in sets.items():
        some = texts[: max(1, len(texts) // 10)]  # the alternation is slow
        slow, found = best(lambda texts=some: plain(texts))
        quick, table = best(lambda texts=texts: tag_captions(texts, lexicon))
        ours = list(zip(*(column.to_pylist() for column in table.columns.values()), strict=True))
        apart = sum(one != (two[0], tuple(two[1])) for one, two in zip(found, ours, strict=False)) / len(some)
        rates = len(texts) / quick, len(some) / slow
        worst = min(worst, rates[0] / rates[1])
        print(
            f"{name}: {len(texts):,} captions of {sum(map(len, texts)) / len(texts):.0f} characters: tagger {rates[0]:,.0f} "
            f"captions/s CPU, regular expression {rates[1]:,.0f}, ratio {rates[0] / rates[1]:.1f}, at least {LIMIT:g}; "
            f"rules change {100 * apart:.1f} % of the captions"
        )
    return int(worst < LIMIT)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)
    raise SystemExit(main())
