"""Made-up pictures and texts for the contract checks of models, and how such a check asks for and compares answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from equipoise.checks import CheckFailed
from equipoise.checks.cases import need
from equipoise.errors import EquipoiseError
from equipoise.models.guard import HALF_TOLERANCE, TOLERANCE

TEXTS = (
    "a photo of a nurse",
    "a photo of a boss",
    "two dogs play in the snow",
    "red",
    "a very long train of forty two carriages that passes through a village at night",
)
ODD_TEXTS = ("", " ", "zażółć gęślą jaźń", "שלום עולם", "👩🏾‍⚕️", "e\u0301", "{}", "<|endoftext|>", "a\nb\tc")
LONG_TEXT = "a photo of a nurse and " * 400


def pictures(n: int = 5, seed: int = 0) -> list[Image.Image]:
    """Return RGB pictures of various sizes: smooth gradients, blocks and noise, no two alike."""
    rng = np.random.default_rng(seed)
    made = []
    for place in range(n):
        height, width = (int(edge) for edge in rng.integers(40, 300, 2))
        coarse = rng.integers(0, 256, (2 + place % 4, 2 + place % 3, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling(place % 2 * 3))
        noise = rng.integers(-20, 21, (height, width, 3))
        made.append(Image.fromarray(np.clip(np.asarray(smooth, np.int64) + noise, 0, 255).astype(np.uint8)))
    return made


def run_checks(
    who: str, checks: Mapping[str, Callable[[Any], None]], subject: Any, expected_failures: Mapping[str, str] | None
) -> tuple[str, ...]:
    """Return the checks that passed, or raise CheckFailed with a line for each that failed.

    A check that is expected to fail and passes is a failure too, so that the list stays true.
    """
    expected = dict(expected_failures or {})
    problems = [f"{name}: there is no such check" for name in expected if name not in checks]
    passed = []
    for name, check in checks.items():
        try:
            check(subject)
        except Exception as error:  # whatever somebody's model raises
            if name not in expected:
                problems.append(f"{name}: {error if isinstance(error, CheckFailed) else repr(error)}")
        else:
            passed.append(name)
            if name in expected:
                problems.append(f"{name}: passes, though a failure was expected ({expected[name]})")
    if problems:
        raise CheckFailed("\n  ".join([f"{who} breaks its contract:", *problems]))
    return tuple(passed)


def floats(found: Any, rows: int, width: int, what: str) -> NDArray[np.float32]:
    """Require (rows, width) finite float32, an array of its own, and return it."""
    need(isinstance(found, np.ndarray), f"{what} gives a {type(found).__name__}, not a numpy array")
    need(found.dtype == np.float32, f"{what} gives {found.dtype}, not float32")
    need(found.shape == (rows, width), f"{what} gives the shape {found.shape}, not {(rows, width)}")
    need(np.isfinite(found).all(), f"{what} gives NaN or infinity")
    return found


def alike(found: NDArray[Any], wanted: NDArray[Any], what: str, model: Any) -> None:
    """Require equality within what batches of other sizes may cost, over the largest length of a row."""
    half = str(getattr(model, "fingerprint", {}).get("dtype", "")) in ("bfloat16", "float16")
    size = float(np.linalg.norm(wanted, axis=1).max(initial=0)) or 1.0
    worst = float(np.abs(found.astype(np.float64) - wanted).max(initial=0)) / size
    need(worst <= (HALF_TOLERANCE if half else TOLERANCE), f"{what}: the largest difference is {worst:.2g}")


def answers(ask: Callable[[Any], Any], items: Any, width: int, noun: str, model: Any, parts: tuple[str, ...]) -> None:
    """Run the named parts of the contract that texts, pictures and pixels share.

    Parameters
    ----------
    ask : callable
        Takes a slice of ``items``, or a selection of them.
    items : sequence or array
        All different.
    width : int
    noun : str
    model : Encoder or Classifier
    parts : tuple of str
        ``shape``, ``repeatable``, ``batches``, ``order``, ``duplicates``, ``distinct``, ``one``, ``empty``, ``own``.
    """
    n = len(items)

    def asked(rows: Sequence[int]) -> NDArray[np.float32]:
        chosen = items[list(rows)] if isinstance(items, np.ndarray) else [items[row] for row in rows]
        return floats(ask(chosen), len(rows), width, f"{len(rows)} {noun}s")

    whole = asked(range(n))
    if "repeatable" in parts:
        alike(asked(range(n)), whole, f"the same {noun}s again", model)
    if "batches" in parts:
        alike(np.concatenate([asked([row]) for row in range(n)]), whole, f"{noun}s one by one", model)
        alike(np.concatenate([asked(range(2)), asked(range(2, n))]), whole, f"{noun}s in two batches", model)
    if "order" in parts:
        alike(asked(range(n - 1, -1, -1))[::-1], whole, f"{noun}s in reverse", model)
    if "duplicates" in parts:
        alike(asked([0, 1, 0, 1, 1]), whole[[0, 1, 0, 1, 1]], f"a {noun} that occurs twice", model)
    if "distinct" in parts:
        apart = np.abs(whole[:, None] - whole[None]).max(axis=-1) + np.eye(n)
        need(apart.min() > 0, f"two different {noun}s have exactly the same answer")
    if "empty" in parts:
        floats(ask(items[:0]), 0, width, f"no {noun}")
    if "own" in parts:
        kept = whole.copy()
        try:
            whole += 1
        except ValueError as error:
            raise CheckFailed("the answer is read-only") from error
        alike(asked(range(n)), kept, "changing an answer changes the next one", model)


def said(model: Any) -> str:
    """Require a fingerprint of JSON values that stays as it is, and return it as text."""
    found = model.fingerprint
    need(isinstance(found, dict) and found, f"fingerprint is {found!r}, not an object that says something")
    try:
        text = json.dumps(found, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailed(f"fingerprint is not JSON: {error}") from error
    need(json.loads(text) == found, "fingerprint comes back from JSON as something else (tuples, numbers as keys)")
    need(json.dumps(model.fingerprint, sort_keys=True) == text, "fingerprint changes from one look to the next")
    return text


def fresh(code: str, *arguments: str) -> str:
    """Return the last line that code prints in a fresh process; CheckFailed if it fails."""
    paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
    done = subprocess.run(  # noqa: S603 - our own code, and no shell
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    need(done.returncode == 0, f"a fresh process fails: {done.stderr.strip()[-400:]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def survives(call: Callable[[], Any], what: str) -> Any:
    """Return what a call gives, None if it is refused with an error that says why; anything else is a failure."""
    try:
        return call()
    except EquipoiseError as error:
        need(len(error.what) > 10, f"{what} is refused without saying why")
        return None
