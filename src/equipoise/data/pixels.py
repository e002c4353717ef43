"""From whatever Pillow decodes to RGB of 8 bits: depth, transparency, ink, profile and orientation, each by policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base
from PIL.Image import Transpose

from equipoise.data.image_policy import ImagePolicy
from equipoise.errors import BadImageError

TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
BACK = {**TURNS, 6: Transpose.ROTATE_90, 8: Transpose.ROTATE_270}
GREY = ("L", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")
COLOURS = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB")
WITH_ALPHA = {"LA": "L", "La": "L", "PA": "RGB", "RGBA": "RGB", "RGBa": "RGB"}
PROFILED = {"GRAY": ("1", "L"), "RGB": ("1", "L", "P", "RGB", "RGBX", "YCbCr"), "CMYK": ("CMYK",)}
GREY_KEY = {"L;2": 85, "L;4": 17}


@dataclass(frozen=True)
class Layout:
    """How samples are stored, read from the header: Pillow does not say it of the loaded picture.

    Attributes
    ----------
    bits : int
        Per sample, 8 or more.
    kind : str
        ``integer``, ``signed``, ``float`` or ``planar`` (colours one after the other, which Pillow reads as 8 bits).
    inverted : bool
        Whether the lowest sample is white and Pillow leaves it so.
    key_scale : int
        What Pillow multiplies grey samples with, but not the grey that is transparent.
    turn : int
        EXIF orientation of a TIFF, which Pillow applies by itself.
    tile : tuple of 2 int
        Width and height of a TIFF's tiles, each of which is decoded whole; zeros where there is none.
    """

    bits: int = 8
    kind: str = "integer"
    inverted: bool = False
    key_scale: int = 1
    turn: int = 1
    tile: tuple[int, int] = (0, 0)

    @property
    def wide(self) -> bool:
        """Whether 8 bits cannot hold the samples as they are."""
        return self.bits > 8 or self.kind != "integer"

    @property
    def name(self) -> str:
        """What a reason calls it."""
        return self.kind if self.kind == "float" else f"{self.kind} {self.bits}-bit".removeprefix("integer ")


PLAIN = Layout()


def layout_of(image: Image.Image, data: bytes) -> Layout:
    """Return the layout of an opened picture whose pixels are not loaded yet.

    Raises
    ------
    BadImageError
        If the header claims what no file has.
    """
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2")  # noqa: B009 (Pillow's types know it only on the subclass)
        bits = tags.get(Base.BitsPerSample, (1,))
        if max(bits) > 64:
            raise BadImageError("unreadable header", f"{max(bits)} bits per sample")
        covered = sum((right - left) * (lower - upper) for _, (left, upper, right, lower), *_ in image.tile)  # pyright: ignore[reportAttributeAccessIssue]
        if covered < image.width * image.height:
            raise BadImageError("truncated", "its strips do not cover it; Pillow would fill the rest with black")
        kind = {2: "signed", 3: "float"}.get(max(tags.get(Base.SampleFormat, (1,))), "integer")
        if max(bits) > 8 and len(bits) > 1 and tags.get(Base.PlanarConfiguration, 1) == 2:
            kind = "planar"
        turn = tags.get(Base.Orientation, 1)
        found = Layout(max(8, *bits), kind, turn=turn if turn in TURNS else 1, tile=_tile(tags))
        return replace(found, inverted=found.wide and tags.get(Base.PhotometricInterpretation, 0) == 0)
    if image.format == "PNG":
        raw = str(image.tile[0][3]) if image.tile else ""  # pyright: ignore[reportAttributeAccessIssue]
        return Layout(16 if raw.endswith(";16B") else 8, key_scale=GREY_KEY.get(raw, 1))
    if image.format == "AVIF" and (box := data.find(b"av1C")) >= 0 and len(data) > box + 6:
        flags = data[box + 6]  # AV1 in ISOBMFF, 2.3.3: high_bitdepth, twelve_bit
        return Layout(8 if not flags & 0x40 else 12 if flags & 0x20 else 10)
    return PLAIN


def _tile(tags: Any) -> tuple[int, int]:
    return int(tags.get(Base.TileWidth, 0)), int(tags.get(Base.TileLength, 0))


def to_rgb(image: Image.Image, layout: Layout, policy: ImagePolicy) -> Image.Image:
    """Return the RGB picture of a loaded image.

    Raises
    ------
    BadImageError
        If the policy refuses it, with a reason and no name.
    """
    turn = _turn(image, layout, policy)
    profile = image.info.get("icc_profile") if policy.icc == "srgb" else None
    if layout.wide and image.mode in GREY:
        colour, alpha = _narrowed(image, layout, policy)
    else:
        if layout.wide:
            _check_full_range(image, layout, policy)
        colour, alpha = _split(image, layout)
    if colour.mode == "CMYK" and policy.cmyk == "refuse":
        raise BadImageError("CMYK: refused by the policy")
    if profile:
        rgb = _profiled(colour, profile)
    elif image.format == "JPEG" and colour.mode == "RGB":
        rgb = colour  # the common case goes without a copy; a JPEG that is loaded holds no file
    else:
        rgb = colour.convert("RGB")
    if alpha is not None:
        laid = Image.new("RGB", rgb.size, policy.background)
        laid.paste(rgb, mask=alpha)
        rgb = laid
    if turn is not None:
        rgb = rgb.transpose(turn)
    rgb.info = {}  # an orientation left behind would be applied twice
    if rgb is image:
        rgb.getexif().clear()
    return rgb


def _turn(image: Image.Image, layout: Layout, policy: ImagePolicy) -> Transpose | None:
    """Return what is left to do for the orientation that the policy asks for."""
    if image.format == "TIFF":
        return None if policy.orientation else BACK.get(layout.turn)
    if not policy.orientation:
        return None
    try:
        return TURNS.get(image.getexif().get(Base.Orientation, 1))
    except Exception:  # EXIF that cannot be parsed, of any kind, says nothing about orientation
        return None


def _split(image: Image.Image, layout: Layout) -> tuple[Image.Image, Image.Image | None]:
    """Return (colour without alpha, alpha or None)."""
    mode, key = image.mode, image.info.get("transparency")
    if key is not None and mode in ("1", "L", "P", "RGB"):
        if mode == "1":
            image.info["transparency"] = 255 if key else 0
        elif mode == "L":
            image.info["transparency"] = key * layout.key_scale
        image, mode = image.convert("RGBA"), "RGBA"
    if mode == "P" and image.palette is not None and image.palette.mode == "RGBA":
        image, mode = image.convert("RGBA"), "RGBA"
    if mode in WITH_ALPHA:
        if mode in ("PA", "RGBa", "La"):
            image = image.convert("LA" if mode == "La" else "RGBA")
        return image.convert(WITH_ALPHA[mode]), image.getchannel("A")
    if mode not in COLOURS:
        raise BadImageError(f"mode {mode}: no policy")
    return image, None


def _narrowed(image: Image.Image, layout: Layout, policy: ImagePolicy) -> tuple[Image.Image, Image.Image | None]:
    """Return (grey of 8 bits, alpha or None) of a grey picture of more, by the declared range."""
    if policy.wide_range is None:
        raise BadImageError(f"{layout.name}: no policy")
    low, high = policy.wide_range
    samples: NDArray[Any] = np.asarray(image)
    if layout.kind == "signed" and image.mode == "L":
        samples = samples.view(np.int8)
    elif layout.kind == "integer" and layout.bits == 32:
        samples = samples.view(np.uint32)
    values = samples.astype(np.float64)
    if not np.isfinite(values).all():
        raise BadImageError(f"{layout.name}: not finite")
    if values.min() < low or values.max() > high:
        raise BadImageError(
            f"{layout.name}: outside the declared range",
            f"samples from {values.min():g} to {values.max():g}, declared {low:g} to {high:g}",
        )
    grey = np.floor((values - low) * (255.0 / (high - low)) + 0.5).astype(np.uint8)
    key = image.info.get("transparency")
    alpha = None if key is None else Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8))
    return Image.fromarray(255 - grey if layout.inverted else grey), alpha


def _check_full_range(image: Image.Image, layout: Layout, policy: ImagePolicy) -> None:
    """Refuse colour of more than 8 bits unless its full range is declared: Pillow has kept the upper 8 bits."""
    if policy.wide_range is None:
        raise BadImageError(f"{layout.name}: no policy")
    full = (0.0, float(2**layout.bits - 1))
    if layout.kind != "integer" or policy.wide_range != full or "transparency" in image.info:
        raise BadImageError(
            f"{layout.name} colour: only its full range can be scaled",
            f"declared {policy.wide_range}, full {full}",
        )


def _profiled(colour: Image.Image, profile: bytes) -> Image.Image:
    """Return a picture with its embedded profile applied, perceptual intent, in sRGB."""
    try:
        from PIL import ImageCms

        source: Any = ImageCms.ImageCmsProfile(BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if colour.mode not in PROFILED.get(space, ()):
            raise ValueError(f"it is for {space}, the picture is {colour.mode}")
        plain = colour.convert({"GRAY": "L"}.get(space, space))
        target, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.PERCEPTUAL
        found = ImageCms.profileToProfile(plain, source, target, intent, outputMode="RGB")
    except Exception as error:  # damaged profiles raise anything
        raise BadImageError("colour profile cannot be applied", str(error)) from error
    assert found is not None
    return found
