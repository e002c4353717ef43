"""Does balancing help at once, or only with exposure? A small model trained on unbalanced and on M4-balanced pairs.

python examples/m4_exposure.py --data ../shared/data --out runs/exposure [--write-docs | --check] [--seeds 8] [--steps 800]

Needs the extra ``demo`` (torch) and the folders ``fairface`` and ``imagenet_samples_1000``. One seed takes some minutes on a
core; seeds that ran are kept in --out and not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import exposure_data as data
import gallery_page as gallery
import numpy as np
import torch
from exposure_model import State, Words
from exposure_page import figures, page, summary
from numpy.typing import NDArray

from equipoise.synthesis import badges
from equipoise.synthesis.badges import SHAPES, make_scenes, wear

NAME = "m4_exposure"
SEEDS, STEPS, BATCH = 8, 800, 128
LAST = (0.9, 0.5, 0.1)
UNSEEN = 1000
PEOPLE = ("a photo of a man", "a photo of a woman")
OTHER = {"unbalanced": "m4", "m4": "unbalanced"}


def trained(faces: data.Faces, photos: data.Pixels, seed: int, steps: int) -> dict[str, Any]:
    """Train every arm of one seed and return what each does; a stage that arms have in common is trained once."""
    pairs = data.unbalanced(faces, seed)
    rows = data.drawn(pairs, seed)
    words = Words(pairs.captions)
    tokens = words.tokens(pairs.captions)
    arms: dict[str, Any] = {}

    def stage(state: State, name: str, count: int) -> State:
        rng = np.random.default_rng((seed, len(arms)))
        state.train(pairs.pixels, tokens, data.batches(rows[name][0], BATCH, rng), count, rng)
        return state

    for name in rows:
        state, done = State.new(len(words), seed), 0
        for last in LAST if name in OTHER else ():
            until = round((1 - last) * steps)
            state, done = stage(state, name, until - done), until
            ended = stage(state.copy(), OTHER[name], steps - until)
            arms[f"{name}, then {OTHER[name]} {last:g}"] = results(ended, words, faces, photos, seed)
        arms[name] = results(stage(state, name, steps - done), words, faces, photos, seed)
    return {"data": {name: found for name, (_, found) in rows.items()}, "arms": arms}


def results(state: State, words: Words, faces: data.Faces, photos: data.Pixels, seed: int) -> dict[str, float]:
    """Return RB on pictures without people, AB on held-out faces without badges, and accuracies."""
    person = state.words(words.tokens(PEOPLE))
    job = state.words(words.tokens([f"a photo of a {name}" for name in data.OCCUPATIONS]))
    held, man = faces.pixels[~faces.train], faces.man[~faces.train]
    vectors = state.embed(held)
    found: dict[str, float] = {}
    scenes = make_scenes(UNSEEN, data.SIZE, np.random.default_rng((seed, 1))).pixels
    for name, pictures in (("scenes", scenes), ("photos", photos)):
        prefers, softly = preferred(state.embed(pictures) @ person.T, state.scale)
        found |= {f"men_{name}": prefers.mean(), f"rb_{name}": abs(prefers.mean() - 0.5)}
        found |= {f"rb_{name}_soft": abs(softly.mean() - 0.5)}
    gaps = []
    for first, second in data.PAIRS:
        places = [data.OCCUPATIONS.index(first), data.OCCUPATIONS.index(second)]
        both = preferred(vectors @ job[places].T, state.scale)
        gaps.append([answers[man].mean() - answers[~man].mean() for answers in both])
    hard, soft = np.array(gaps).T
    found |= {
        "ab": abs(hard).mean(),
        "ab_max": abs(hard).max(),
        "ab_soft": abs(soft).mean(),
        "toward_plan": hard.mean(),
    }
    said, _ = preferred(vectors @ person.T, state.scale)
    found["gender_accuracy"] = float(np.where(man, said, 1 - said).mean())
    rng = np.random.default_rng((seed, 2))
    worn = rng.permutation(np.arange(UNSEEN) % len(SHAPES))
    badged = state.embed(wear(held[:UNSEEN], [SHAPES[number] for number in worn[: len(held)]], rng))
    found["badge_accuracy"] = float(((badged @ job.T).argmax(1) == worn[: len(held)]).mean())
    return {name: float(value) for name, value in found.items()}


def preferred(scores: NDArray[np.float32], scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return whether the first of two texts is nearer, a tie being one half, and the same through a sigmoid."""
    difference = scores[:, 0] - scores[:, 1]
    return (np.sign(difference) + 1) / 2, 1 / (1 + np.exp(-scale * difference))


def code_digest() -> str:
    """Return eight digits of what a run depends on: another code has other files."""
    found = hashlib.sha256()
    for file in (__file__, data.__file__, sys.modules[State.__module__].__file__, badges.__file__):
        found.update(Path(str(file)).read_bytes())
    return found.hexdigest()[:8]


def measured(folder: Path, out: Path, seeds: int, steps: int, limit: int | None = None) -> dict[str, Any]:
    """Return what every seed gave; one that is in ``out`` is not run again."""
    torch.set_num_threads(1)  # sums are added in one order, and seeds may run side by side
    faces: data.Faces | None = None
    photos = np.zeros(0, np.uint8)
    runs, code = [], code_digest()
    for seed in range(seeds):
        path = out / f"seed-{seed}-{steps}-{limit or 'all'}-{code}.json"
        if not path.is_file():
            if faces is None:
                faces = data.read_faces(folder / "fairface", limit)
                photos = np.stack(
                    [data.small(file) for file in data.photographs(folder / "imagenet_samples_1000", limit)]
                )
            text = json.dumps(trained(faces, photos, seed, steps))
            path.write_text(text, encoding="utf-8")
            print(f"seed {seed} done", flush=True)
        runs.append(json.loads(path.read_text("utf-8")))
    return {"steps": steps, "batch": BATCH, "seeds": runs}


def main(words: list[str] | None = None) -> int:
    """Run, then write or check the page."""
    parser: argparse.ArgumentParser = gallery.arguments(__doc__ or "")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many times everything is drawn and trained")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of every arm")
    parser.add_argument("--limit", type=int, help="faces and photographs that are read, for a trial")
    given = parser.parse_args(words)
    given.out.mkdir(parents=True, exist_ok=True)
    found = summary(measured(given.data, given.out, given.seeds, given.steps, given.limit))
    return gallery.finish(NAME, found, page, figures, given)


if __name__ == "__main__":
    sys.exit(main())
