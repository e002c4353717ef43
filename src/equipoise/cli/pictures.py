"""Flags of whatever reads pictures: limits, and one decision for everything that has no single right answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from equipoise.cli.common import Whole
from equipoise.errors import InputError

if TYPE_CHECKING:
    from equipoise.data.image_policy import ImagePolicy


@Parameter(name="*", group="Pictures")
@dataclass(frozen=True)
class PictureRules:
    """What becomes of a picture is decided by rules, which a store records."""

    max_pixels: Whole = None
    """Width times height that a picture may have, 64,000,000 unless given."""
    max_bytes: Whole = None
    """Size that a file may have, 268,435,456 unless given."""
    max_aspect: float | None = None
    """Longer edge over shorter edge that a picture may have; no limit unless given."""
    background: str | None = None
    """R,G,B from 0 to 255 on which transparent pictures are laid; white unless given."""
    wide_range: str | None = None
    """LOW,HIGH: the samples of 16-bit, 32-bit and float pictures that mean black and white. Without it they are set aside."""
    frames: str | None = None
    """first: of animations and files of several pages the first is taken (so it is unless given); refuse: they are set aside."""
    ignore_orientation: Annotated[bool, Parameter(negative="", show_default=False)] = False
    """Leave pictures as they are stored, and not as their EXIF says."""
    cmyk: str | None = None
    """convert (unless given) or refuse."""
    icc: str | None = None
    """ignore (unless given): colour profiles are not applied, as image models are trained; srgb: they are."""
    timeout: float | None = None
    """Seconds that one picture may take, 60 unless given."""

    def given(self) -> dict[str, Any]:
        """Return the flags, None where one was not given."""
        return {f"--{name.replace('_', '-')}": value or None for name, value in vars(self).items()}

    def policy(self) -> ImagePolicy:
        """Return the policy that the flags make."""
        from equipoise.data.image_policy import ImagePolicy

        given: dict[str, Any] = {
            "max_pixels": self.max_pixels,
            "max_bytes": self.max_bytes,
            "max_aspect": self.max_aspect,
            "background": _numbers(self.background, 3, "--background", whole=True),
            "wide_range": _numbers(self.wide_range, 2, "--wide-range"),
            "wide": None if self.wide_range is None else "scale",
            "frames": self.frames,
            "orientation": False if self.ignore_orientation else None,
            "cmyk": self.cmyk,
            "icc": self.icc,
            "timeout": self.timeout,
        }
        return ImagePolicy(**{name: value for name, value in given.items() if value is not None})


def _numbers(text: str | None, count: int, flag: str, *, whole: bool = False) -> Sequence[float] | None:
    if text is None:
        return None
    try:
        found = tuple(int(part) if whole else float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if len(found) != count:
        example = "--background 255,255,255" if whole else "--wide-range 0,65535"
        raise InputError(f"{flag} '{text}' is not {count} numbers.", f"Write {example}, say.", value=text)
    return found
