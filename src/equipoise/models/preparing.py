"""Preprocessing: the one description of how a picture becomes what a network takes.

Geometry (resize, centre crop) works on the decoded picture and gives 8-bit pixels; normalisation works on pixels in
[0, 1]. Both are data, so that a description can be printed, compared and recorded in a fingerprint.

Resizing is Pillow's, which is antialiased; that is what the reference processors of CLIP, SigLIP and ViT do on pictures.
``resize="shortest"`` brings the short edge to ``resize_to`` and the long edge to ``int(resize_to * long / short)``, cut
and not rounded: transformers (``get_resize_output_image_size``) and torchvision (``Resize(int)``) both do so.
The centre crop is where these two part: ``crop="floor"`` begins at ``(edge - size) // 2`` (transformers), ``crop="round"``
at ``round((edge - size) / 2)``, halves to even (torchvision, and with it timm and open_clip).

Notation: n pictures, h rows, w columns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import InputError, did_you_mean, listed

if TYPE_CHECKING:
    from PIL.Image import Image

INTERPOLATIONS = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
"""Name to Pillow's number."""
RESIZES = ("shortest", "exact", "pad", "none")
LARGEST = 8192
"""Longest edge that a network may take."""
WHOLE = 2**24
"""Pixels of a resized picture up to which it is made whole and then cropped, as the references do. Of a longer one (a line
of 1 x 20,000 pixels would become 224 x 4,480,000) only the crop is made: it may differ by rounding, 1 of 255."""


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes the input of a network.

    Attributes
    ----------
    size : (int, int)
        Rows and columns that the network takes; one number means a square.
    mean, std : 3 floats
        Of pixels in [0, 1], by channel: the network gets ``(pixel - mean) / std``.
    resize : str
        ``shortest``: the short edge becomes ``resize_to``, then a centre crop. ``exact``: the picture is squeezed to ``size``
        (to a square of ``resize_to`` and cropped, if that is given). ``pad``: the picture fits inside ``size``, the rest is
        ``fill``. ``none``: a centre crop only. A picture smaller than the crop is padded with ``fill``.
    resize_to : int, optional
        Edge before the centre crop; the longer side of ``size`` unless given.
    interpolation : str
        ``bicubic``, ``bilinear``, ``nearest``, ``lanczos``, ``box`` or ``hamming``, antialiased as Pillow does.
    crop : str
        ``floor`` or ``round``: which of two middle pixels the centre crop takes.
    fill : 3 ints
        Colour of what lies outside the picture.
    name : str
        What a person calls it; it decides nothing and takes no part in comparisons.

    Raises
    ------
    InputError
        Naming the field.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    resize: Literal["shortest", "exact", "pad", "none"] = "shortest"
    resize_to: int | None = None
    interpolation: str = "bicubic"
    crop: Literal["floor", "round"] = "floor"
    fill: tuple[int, int, int] = (0, 0, 0)
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        size = (self.size, self.size) if isinstance(self.size, (int, np.integer)) else self.size
        put = object.__setattr__
        put(self, "size", tuple(_whole(edge, "size", 1, LARGEST) for edge in _several(size, 2, "size")))
        put(self, "mean", tuple(_number(value, "mean") for value in _several(self.mean, 3, "mean")))
        put(self, "std", tuple(_number(value, "std") for value in _several(self.std, 3, "std")))
        put(self, "fill", tuple(_whole(value, "fill", 0, 255) for value in _several(self.fill, 3, "fill")))
        if self.resize_to is not None:
            edge = _whole(self.resize_to, "resize_to", 1, LARGEST)
            same = edge == max(self.size) and (self.resize == "shortest" or self.size == (edge, edge))
            put(self, "resize_to", None if same else edge)  # equal meaning, equal digest
        if min(self.std) <= 0:
            raise _wrong("std", self.std, "numbers above 0")
        for key, known in (("resize", RESIZES), ("interpolation", INTERPOLATIONS), ("crop", ("floor", "round"))):
            if getattr(self, key) not in known:
                raise _wrong(key, getattr(self, key), f"one of {', '.join(known)}")
        if self.resize in ("pad", "none") and self.resize_to is not None:
            raise _wrong("resize_to", self.resize_to, f"left out where resize is '{self.resize}'")
        if max(map(abs, self.mean)) > 4 or max(self.std) > 4:
            raise InputError(
                f"mean {self.mean} and std {self.std} are not of pixels in [0, 1].",
                "Divide values for pixels in [0, 255] by 255.",
                value=list(self.mean),
            )

    # ------------------------------------------------------------------------------------------------ pictures

    def picture(self, image: Image) -> NDArray[np.uint8]:
        """Return (h, w, 3) uint8 pixels of an RGB picture: resized and cropped, not normalised.

        Raises
        ------
        InputError
            If the picture is of another mode than RGB.
        """
        if image.mode != "RGB":
            raise InputError(f"The picture is of the mode '{image.mode}'.", "Convert it to RGB.", value=image.mode)
        width, height = image.size
        rows, columns = self.resized(height, width)
        h, w = self.size
        top, left = self._offset(rows, h), self._offset(columns, w)
        inside = top >= 0 and left >= 0 and top + h <= rows and left + w <= columns
        filters = INTERPOLATIONS[self.interpolation]
        if (rows, columns) != (height, width):
            if rows * columns > WHOLE and inside:
                box = (
                    left * width / columns,
                    top * height / rows,
                    (left + w) * width / columns,
                    (top + h) * height / rows,
                )
                return np.asarray(image.resize((w, h), filters, box=box))
            image = image.resize((columns, rows), filters)
        if inside or self.fill == (0, 0, 0):
            return np.asarray(image.crop((left, top, left + w, top + h)))  # outside it is black
        import PIL.Image

        sheet = PIL.Image.new("RGB", (w, h), self.fill)
        sheet.paste(image, (-left, -top))
        return np.asarray(sheet)

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the rows and columns that a picture of ``height`` x ``width`` has before the crop."""
        h, w = self.size
        edge = self.resize_to
        if self.resize == "none":
            return height, width
        if self.resize == "exact":
            return (h, w) if edge is None else (edge, edge)
        if self.resize == "pad":
            ratio = max(height / h, width / w)
            return max(1, round(height / ratio)), max(1, round(width / ratio))
        edge = max(h, w) if edge is None else edge
        long = int(edge * max(height, width) / min(height, width))
        return (long, edge) if width <= height else (edge, long)

    def _offset(self, edge: int, size: int) -> int:
        """Return where the crop of ``size`` begins along an edge; negative where the picture is padded."""
        if self.crop == "floor":
            return (edge - size) // 2
        return round((edge - size) / 2) if edge >= size else -((size - edge) // 2)

    # ---------------------------------------------------------------------------------------------- normalising

    def normalised(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return (n, 3, h, w) float32 input of the network, C order.

        Parameters
        ----------
        pixels : (n, h, w, 3) uint8, or (n, 3, h, w) floats in [0, 1]

        Raises
        ------
        InputError
            If the pixels are of another shape or type.
        """
        if pixels.dtype == np.uint8:
            return _looked_up(pixels, self._table)
        check_unit(pixels)
        x = np.asarray(pixels, np.float32)
        mean, std = (np.asarray(v, np.float32)[:, None, None] for v in (self.mean, self.std))
        return np.ascontiguousarray((x - mean) / std)

    @cached_property
    def _table(self) -> NDArray[np.float32]:
        """(3, 256) float32: what each 8-bit value becomes, computed as transformers does."""
        unit = _unit_levels()
        return np.stack(
            [(unit - np.float32(m)) / np.float32(s) for m, s in zip(self.mean, self.std, strict=True)]
        ).astype(np.float32)

    # ---------------------------------------------------------------------------------------------- description

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the numbers, as JSON values; the name is not among it."""
        return {
            key: list(value) if isinstance(value := getattr(self, key), tuple) else value
            for key in sorted(FIELDS - {"name"})
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        """Return the description that :meth:`to_dict` gave; ``size``, ``mean`` and ``std`` have no default."""
        unknown = [str(key) for key in values if key not in FIELDS]
        if unknown:
            raise InputError(
                f"A preprocessing has no key '{unknown[0]}'.{did_you_mean(unknown[0], FIELDS)}",
                f"Its keys are {listed(sorted(FIELDS), 20)}.",
                value=unknown,
            )
        missing = [key for key in ("size", "mean", "std") if key not in values]
        if missing:
            raise InputError(
                f"The preprocessing does not say {listed(missing)}.",
                "Give all three: a wrong mean and std costs accuracy in silence.",
                value=missing,
            )
        return cls(**dict(values))

    def with_(self, **changes: Any) -> Preprocessing:
        """Return the same with some fields changed; its name tells which."""
        for key in changes:
            if key not in FIELDS:
                raise InputError(
                    f"A preprocessing has no '{key}'.{did_you_mean(key, FIELDS)}",
                    f"It has {listed(sorted(FIELDS), 20)}.",
                    value=key,
                )
        said = ", ".join(f"{key} {value}" for key, value in changes.items())
        return replace(self, **{"name": f"{self.name or 'preprocessing'} with {said}", **changes})

    def digest(self) -> str:
        """Return the SHA-256 of what decides the numbers."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def __str__(self) -> str:
        h, w = self.size
        edge = f" to {self.resize_to}" if self.resize_to else ""
        shape = f"{h} x {w}, resize {self.resize}{edge}, {self.interpolation}, mean {self.mean}, std {self.std}"
        return f"{self.name} ({shape})" if self.name else shape


FIELDS = {item.name for item in fields(Preprocessing)}


# ------------------------------------------------------------------------------------------------------------ pixels


def unit_pixels(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (n, 3, h, w) float32 pixels in [0, 1] of (n, h, w, 3) uint8; what a classifier scores."""
    return _looked_up(pixels, np.stack([_unit_levels()] * 3))


def check_unit(pixels: NDArray[Any]) -> None:
    """Refuse what is not (n, 3, h, w) floats in [0, 1]."""
    if pixels.ndim != 4 or pixels.shape[1] != 3 or pixels.dtype.kind != "f":
        raise _not_pixels(pixels)
    if pixels.size:
        low, high = float(pixels.min()), float(pixels.max())
        if not (low >= -1e-6 and high <= 1 + 1e-6):
            raise InputError(
                f"The pixels run from {low:g} to {high:g}.", "Floats are in [0, 1]; 8-bit pixels are uint8.", value=high
            )


def _looked_up(pixels: NDArray[np.uint8], table: NDArray[np.float32]) -> NDArray[np.float32]:
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.dtype != np.uint8:
        raise _not_pixels(pixels)
    out = np.empty((len(pixels), 3, *pixels.shape[1:3]), np.float32)
    for channel in range(3):
        np.take(table[channel], pixels[..., channel], out=out[:, channel], mode="clip")  # "raise" would buffer
    return out


def _unit_levels() -> NDArray[np.float32]:
    """(256,) float32, the 8-bit values in [0, 1]: multiplied in float64 and cut to float32, as transformers does."""
    return (np.arange(256, dtype=np.float64) * (1 / 255)).astype(np.float32)


def _not_pixels(pixels: NDArray[Any]) -> InputError:
    return InputError(
        f"The pixels are {pixels.dtype} of the shape {pixels.shape}.",
        "Give (n, h, w, 3) uint8, or (n, 3, h, w) floats in [0, 1].",
        value=list(pixels.shape),
    )


def _several(values: Any, count: int, key: str) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes, Mapping)) or not hasattr(values, "__len__") or len(values) != count:
        raise _wrong(key, values, f"{count} numbers")
    return tuple(values)


def _whole(value: Any, key: str, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not low <= value <= high:
        raise _wrong(key, value, f"a whole number from {low} to {high}")
    return int(value)


def _number(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not np.isfinite(value):
        raise _wrong(key, value, "finite numbers")
    return float(value)


def _wrong(key: str, value: Any, wanted: str) -> InputError:
    return InputError(f"The preprocessing's '{key}' is {value!r}.", f"It is {wanted}.", value=value)
