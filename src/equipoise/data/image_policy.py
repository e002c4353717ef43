"""What may become of a picture: limits, and one decision for everything that has no single right answer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from equipoise.errors import InputError

PILLOW_LIMIT = 178_956_970
"""Pixels above which Pillow refuses by itself."""

CHOICES = {
    "wide": ("refuse", "scale"),
    "frames": ("first", "refuse"),
    "cmyk": ("convert", "refuse"),
    "icc": ("ignore", "srgb"),
}


@dataclass(frozen=True)
class ImagePolicy:
    """Limits and decisions under which a file becomes an RGB picture of 8 bits per channel.

    Parameters
    ----------
    max_pixels : int
        Width times height that the header may claim, at most 178,956,970; 64 million by default (256 MB decoded).
    max_bytes : int
        Size of the file, in bytes.
    max_aspect : float, optional
        Longer edge over shorter edge; no limit by default.
    background : tuple of 3 int
        RGB colour from 0 to 255 on which pictures with alpha or a transparent colour are laid.
    wide : {"refuse", "scale"}
        What becomes of more than 8 bits per channel (16-bit, 32-bit integer, float) and of signed samples. ``scale``
        maps ``wide_range`` to 0..255, rounded; a sample outside of it sets the picture aside, it is never clipped.
        *Colour* pictures of more than 8 bits are reduced by Pillow from their full range, so that ``wide_range`` must
        be that range (``(0, 65535)`` for 16 bits); their values are then right to one level.
    wide_range : tuple of 2 float, optional
        The samples that mean black and white; needed for ``scale``.
    frames : {"first", "refuse"}
        What becomes of animations and of files with several pages or pictures.
    orientation : bool
        Whether a picture is turned as its EXIF says.
    cmyk : {"convert", "refuse"}
        ``convert`` is the plain formula, R = (1 - C)(1 - K); CMYK in a JPEG is read as Adobe stores it, inverted.
    icc : {"ignore", "srgb"}
        Whether an embedded colour profile is applied. ``ignore`` is what image models are trained with.
    timeout : float
        Seconds that one picture may take in a run; no part of :meth:`to_dict`, for it changes no pixel.

    Raises
    ------
    InputError
        If a value is outside its range.
    """

    max_pixels: int = 64_000_000
    max_bytes: int = 256 * 2**20
    max_aspect: float | None = None
    background: tuple[int, int, int] = (255, 255, 255)
    wide: str = "refuse"
    wide_range: tuple[float, float] | None = None
    frames: str = "first"
    orientation: bool = True
    cmyk: str = "convert"
    icc: str = "ignore"
    timeout: float = 60.0

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            _check(getattr(self, name) in choices, name, getattr(self, name), f"Give one of {', '.join(choices)}.")
        limit = f"Give 1 to {PILLOW_LIMIT}."
        _check(_whole(self.max_pixels) and 1 <= self.max_pixels <= PILLOW_LIMIT, "max_pixels", self.max_pixels, limit)
        _check(_whole(self.max_bytes) and self.max_bytes >= 1, "max_bytes", self.max_bytes, "Give 1 or more.")
        ratio = self.max_aspect is None or self.max_aspect >= 1
        _check(ratio, "max_aspect", self.max_aspect, "Give 1 or more, or None.")
        _check(self.timeout > 0, "timeout", self.timeout, "Give seconds above zero.")
        object.__setattr__(self, "background", tuple(self.background))
        colour = len(self.background) == 3 and all(_whole(value) and 0 <= value <= 255 for value in self.background)
        _check(colour, "background", self.background, "Give three numbers from 0 to 255.")
        if self.wide_range is not None:
            object.__setattr__(self, "wide_range", tuple(map(float, self.wide_range)))
        _check(
            (self.wide_range is None) == (self.wide == "refuse"),
            "wide_range",
            self.wide_range,
            "Give it with wide='scale', and only then.",
        )
        if self.wide_range is not None:
            finite = len(self.wide_range) == 2 and all(map(math.isfinite, self.wide_range))
            _check(
                finite and self.wide_range[0] < self.wide_range[1],
                "wide_range",
                self.wide_range,
                "Give (low, high), finite, low below high.",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return what decides pixels and refusals, as JSON values."""
        return {
            "max_pixels": int(self.max_pixels),
            "max_bytes": int(self.max_bytes),
            "max_aspect": None if self.max_aspect is None else float(self.max_aspect),
            "background": [int(value) for value in self.background],
            "wide": self.wide,
            "wide_range": None if self.wide_range is None else list(self.wide_range),
            "frames": self.frames,
            "orientation": bool(self.orientation),
            "cmyk": self.cmyk,
            "icc": self.icc,
        }


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _check(right: bool, name: str, value: Any, remedy: str) -> None:
    if not right:
        raise InputError(f"The image policy has {name}={value!r}.", remedy, value=value)
