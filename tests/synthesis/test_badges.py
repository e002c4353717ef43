"""Badges, frames and scenes: what is drawn is there, told apart, reproducible, and never in the caller's pictures."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.errors import InputError, UnknownNameError
from equipoise.synthesis.badges import (
    BADGE_SHARE,
    COLOURS,
    FRAMES,
    PATTERNS,
    SHAPES,
    frame,
    make_badge,
    make_scenes,
    wear,
)

GREY = np.full((len(SHAPES), 64, 64, 3), 128, np.uint8)


def test_every_badge_is_another_picture_with_ink_and_paper() -> None:
    drawn = [make_badge(shape, 18) for shape in SHAPES]
    assert len({badge.tobytes() for badge in drawn}) == len(SHAPES)
    for badge in drawn:
        paper = (badge == 255).all(axis=2).mean()
        assert badge.shape == (18, 18, 3)
        assert 0.2 < paper < 0.95
        assert len(np.unique(badge.reshape(-1, 3), axis=0)) == 2


@pytest.mark.parametrize("size", [8, 18, 63, 64])
def test_a_badge_covers_what_its_formula_says(size: int) -> None:
    share = 1 - (make_badge("disc", size) == 255).all(axis=2).mean()
    assert share == pytest.approx(np.pi * 0.7**2 / 4, abs=2.5 / size)


def test_wearing_changes_the_corner_alone_and_not_the_pictures_given() -> None:
    before = GREY.copy()
    worn = wear(GREY, SHAPES, 3)
    np.testing.assert_array_equal(before, GREY)
    side = round(BADGE_SHARE * 64)
    for picture, shape in zip(worn, SHAPES, strict=True):
        changed = np.argwhere((picture != 128).any(axis=2))
        assert changed.min() >= 64 - side - 4
        top, left = changed.min(axis=0)
        np.testing.assert_array_equal(picture[top : top + side, left : left + side], make_badge(shape, side))
    assert len({tuple(np.argwhere((p != 128).any(axis=2)).min(axis=0)) for p in worn}) > 1


def test_no_badge_no_frame_no_change() -> None:
    nothing = [""] * len(SHAPES)
    np.testing.assert_array_equal(wear(GREY, nothing), GREY)
    np.testing.assert_array_equal(frame(GREY, nothing), GREY)


def test_frames_touch_the_border_alone_and_differ() -> None:
    framed = frame(GREY[:2], FRAMES)
    np.testing.assert_array_equal(framed[:, 4:-4, 4:-4], GREY[:2, 4:-4, 4:-4])
    assert (framed[0, :4] == 60).all()
    assert set(np.unique(framed[1, :4])) == {20, 235}


def test_scenes_are_reproducible_and_named() -> None:
    one, two, three = make_scenes(60, 32, 5), make_scenes(60, 32, 5), make_scenes(60, 32, 6)
    np.testing.assert_array_equal(one.pixels, two.pixels)
    assert one.colours == two.colours
    assert not np.array_equal(one.pixels, three.pixels)
    assert one.pixels.shape == (60, 32, 32, 3)
    assert one.pixels.dtype == np.uint8
    assert set(one.patterns) == set(PATTERNS)
    assert set(one.colours) == set(COLOURS)


def test_the_colour_of_a_scene_is_in_it() -> None:
    scenes = make_scenes(40, 32, 0)
    for picture, colour in zip(scenes.pixels, scenes.colours, strict=True):
        near = np.abs(picture.astype(int) - np.array(COLOURS[colour])).max(axis=2) < 30
        assert near.mean() > 0.1


@pytest.mark.parametrize(
    ("call", "kind", "match"),
    [
        (lambda: make_badge("star", 18), UnknownNameError, "star"),
        (lambda: make_badge("disc", 7), InputError, "7 pixels"),
        (lambda: wear(GREY, ["disc"]), InputError, "8 pictures and 1 names"),
        (lambda: wear(GREY.astype(float), SHAPES), InputError, "float64"),
        (lambda: wear(GREY[:, :, :32], SHAPES), InputError, "shape"),
        (lambda: frame(GREY[:1], ["gold"]), UnknownNameError, "gold"),
    ],
)
def test_what_cannot_be_drawn_is_said(call, kind, match) -> None:
    with pytest.raises(kind, match=match):
        call()
