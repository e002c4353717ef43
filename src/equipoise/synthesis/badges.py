"""Procedural test bed of image-text data: badges that stand for occupations, frames for their surroundings, and scenes.

A badge in a corner of a face says which occupation its caption names, so that the association of group and occupation is
controlled exactly; a frame is what a caption does not mention (a *proxy*); a scene shows no person. After the exposure study
of Alabdulmohsin et al., ICLR 2024, arXiv 2403.04547, whose data cannot be had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from equipoise.errors import InputError, UnknownNameError, listed

SHAPES = ("disc", "ring", "square", "diamond", "cross", "triangle", "bars", "checks")
COLOURS = {
    "red": (213, 40, 40), "green": (30, 150, 70), "blue": (40, 80, 210), "yellow": (235, 200, 30),
    "purple": (140, 60, 170), "cyan": (40, 180, 200),
}  # fmt: skip
PATTERNS = ("stripes", "waves", "dots", "tiles", "clouds")
FRAMES = ("plain", "hatched")
BADGE_SHARE = 0.28
"""Width of a badge as a share of the picture's."""

_INKS = ("red", "blue", "green", "purple", "blue", "red", "purple", "green")

Pixels = NDArray[np.uint8]


class Scenes(NamedTuple):
    """Pictures without people: ``pixels`` (n, size, size, 3) uint8 and the colour and pattern of each."""

    pixels: Pixels
    colours: tuple[str, ...]
    patterns: tuple[str, ...]


def make_badge(shape: str, size: int) -> Pixels:
    """Draw a badge: a shape in its own colour on white.

    Parameters
    ----------
    shape : str
        One of ``SHAPES``.
    size : int
        Width and height in pixels, at least 8.

    Returns
    -------
    ndarray (size, size, 3), uint8

    Raises
    ------
    UnknownNameError, InputError
        For another shape or a size below 8.
    """
    if shape not in SHAPES:
        raise UnknownNameError(f"There is no badge '{shape}'.", f"Badges: {listed(SHAPES)}.", value=shape)
    if size < 8:
        raise InputError(f"A badge of {size} pixels shows nothing.", "Use pictures of at least 32 pixels.", value=size)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size * 2 - 1
    radius = np.hypot(x, y)
    inside = {
        "disc": radius < 0.7,
        "ring": (radius < 0.85) & (radius > 0.5),
        "square": np.maximum(abs(x), abs(y)) < 0.62,
        "diamond": abs(x) + abs(y) < 0.85,
        "cross": (np.minimum(abs(x), abs(y)) < 0.24) & (np.maximum(abs(x), abs(y)) < 0.85),
        "triangle": (y < 0.7) & (y > 1.6 * abs(x) - 0.8),
        "bars": (np.floor((x + 1) * 2.5) % 2 == 0) & (abs(y) < 0.8),
        "checks": ((np.floor((x + 1) * 2) + np.floor((y + 1) * 2)) % 2 == 0) & (np.maximum(abs(x), abs(y)) < 0.9),
    }[shape]
    ink = np.array(COLOURS[_INKS[SHAPES.index(shape)]], np.uint8)
    return np.where(inside[..., None], ink, np.uint8(255)).astype(np.uint8)


def wear(images: ArrayLike, shapes: Sequence[str], seed: int | np.random.Generator = 0) -> Pixels:
    """Put a badge on each picture, in its lower right corner, a few pixels from place to place.

    Parameters
    ----------
    images : array_like (n, size, size, 3), uint8
    shapes : sequence of str (n,)
        Of ``SHAPES``; an empty text for no badge.
    seed : int or Generator

    Returns
    -------
    ndarray of the same shape, uint8
        A copy.
    """
    out = _copied(images, len(shapes))
    rng = np.random.default_rng(seed)
    size = out.shape[1]
    side = round(BADGE_SHARE * size)
    drawn = {shape: make_badge(shape, side) for shape in dict.fromkeys(shapes) if shape}
    shift = rng.integers(0, max(1, size // 16), (len(out), 2))
    for picture, shape, (dy, dx) in zip(out, shapes, shift, strict=True):
        if shape:
            picture[size - side - dy : size - dy, size - side - dx : size - dx] = drawn[shape]
    return out


def frame(images: ArrayLike, frames: Sequence[str]) -> Pixels:
    """Draw a frame of one sixteenth of the width around each picture: ``plain`` or ``hatched``.

    Parameters
    ----------
    images : array_like (n, size, size, 3), uint8
    frames : sequence of str (n,)
        Of ``FRAMES``; an empty text for none.

    Returns
    -------
    ndarray of the same shape, uint8
        A copy.
    """
    out = _copied(images, len(frames))
    size = out.shape[1]
    width = max(1, size // 16)
    border = np.ones((size, size), bool)
    border[width:-width, width:-width] = False
    y, x = np.mgrid[0:size, 0:size]
    looks = {
        "plain": np.full((size, size), 60, np.uint8),
        "hatched": np.where((x + y) // width % 2 == 0, 235, 20).astype(np.uint8),
    }
    for picture, name in zip(out, frames, strict=True):
        if name:
            if name not in looks:
                raise UnknownNameError(f"There is no frame '{name}'.", f"Frames: {listed(FRAMES)}.", value=name)
            picture[border] = looks[name][border][:, None]
    return out


def make_scenes(n: int, size: int, seed: int | np.random.Generator = 0) -> Scenes:
    """Draw pictures without people: a pattern in one colour over a grey gradient, with noise.

    Parameters
    ----------
    n : int
    size : int
        Width and height in pixels.
    seed : int or Generator

    Returns
    -------
    Scenes
    """
    rng = np.random.default_rng(seed)
    names = list(COLOURS)
    colours = rng.integers(0, len(names), n)
    patterns = rng.integers(0, len(PATTERNS), n)
    y, x = np.mgrid[0:size, 0:size] / size
    out = np.empty((n, size, size, 3), np.uint8)
    for i in range(n):
        angle, phase = rng.uniform(0, 2 * np.pi, 2)
        scale = rng.uniform(3, 7)
        u, v = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
        ink = {
            "stripes": np.sin(2 * np.pi * scale * u + phase) > 0,
            "waves": np.sin(2 * np.pi * scale * (u + 0.12 * np.sin(4 * np.pi * v)) + phase) > 0.3,
            "dots": (np.sin(2 * np.pi * scale * x + phase) > 0.2) & (np.sin(2 * np.pi * scale * y + phase) > 0.2),
            "tiles": (np.floor(scale * x + phase) + np.floor(scale * y)) % 2 == 0,
            "clouds": _smooth(rng, size) > 0,
        }[PATTERNS[patterns[i]]]
        ground = rng.uniform(60, 200) + rng.uniform(-60, 60) * (u - u.mean())
        picture = np.where(ink[..., None], np.array(COLOURS[names[colours[i]]], float), ground[..., None])
        out[i] = np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255)
    return Scenes(out, tuple(names[c] for c in colours), tuple(PATTERNS[p] for p in patterns))


def _smooth(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Return noise of low frequencies."""
    coarse = rng.normal(size=(6, 6))
    place = np.linspace(0, 5, size)
    rows = np.array([np.interp(place, range(6), row) for row in coarse])
    return np.array([np.interp(place, range(6), column) for column in rows.T]).T


def _copied(images: ArrayLike, n: int) -> Pixels:
    out = np.array(images)
    if out.ndim != 4 or out.shape[3] != 3 or out.dtype != np.uint8 or out.shape[1] != out.shape[2]:
        raise InputError(
            f"Pictures have shape {out.shape} and type {out.dtype}.", "Pass (n, size, size, 3) of uint8.",
            value=out.shape,
        )  # fmt: skip
    if len(out) != n:
        raise InputError(f"{len(out)} pictures and {n} names.", "Pass one name a picture.", value=n)
    return out
