"""Files of pictures, built byte by byte or by Pillow at run time: nothing binary is kept in the repository."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

CORNERS = ((220, 30, 40), (40, 200, 60), (50, 60, 230), (240, 230, 20))
"""Red, green, blue, yellow: upper left, upper right, lower left, lower right of :func:`corners`."""


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    """Return the bytes of a file that Pillow writes."""
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def corners(width: int = 48, height: int = 32) -> Image.Image:
    """Return an RGB picture of four colours, one per quarter."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for place, colour in enumerate(CORNERS):
        rows = slice(height // 2, None) if place >= 2 else slice(0, height // 2)
        columns = slice(width // 2, None) if place % 2 else slice(0, width // 2)
        pixels[rows, columns] = colour
    return Image.fromarray(pixels)


def noise(width: int = 40, height: int = 30, mode: str = "RGB") -> Image.Image:
    """Return a picture that does not compress to nothing."""
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).convert(mode)


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    """Return a PNG of unfiltered rows (each begins with a zero); ``extra`` chunks come before the pixels.

    ``colour`` is 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA, as PNG numbers them.
    """
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(extra) + pixels + chunk(b"IEND")


def tiff(tags: dict[int, tuple[int, tuple[int, ...]]], pixels: bytes, order: str = "<") -> bytes:
    """Return a TIFF of one strip; ``tags`` are {number: (type 3 SHORT or 4 LONG, values)}, offsets are filled in."""
    tags = tags | {273: (4, (8,)), 279: (4, (len(pixels),))}
    at = 8 + len(pixels) + len(pixels) % 2
    behind = at + 2 + 12 * len(tags) + 4
    entries, spare = b"", b""
    for number, (kind, values) in sorted(tags.items()):
        body = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(body) > 4:
            place, spare = struct.pack(f"{order}I", behind + len(spare)), spare + body
        else:
            place = body.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", number, kind, len(values)) + place
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", at)
    padded = pixels + b"\0" * (len(pixels) % 2)
    return start + padded + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4 + spare


def grey_tiff(samples: np.ndarray, *, order: str = "<", white_is_low: bool = False, **more: Any) -> bytes:
    """Return an uncompressed grey TIFF of integers or floats, (h, w)."""
    kind = {"u": 1, "i": 2, "f": 3}[samples.dtype.kind]
    height, width = samples.shape
    tags = {
        256: (4, (width,)), 257: (4, (height,)), 258: (3, (8 * samples.dtype.itemsize,)), 259: (3, (1,)),
        262: (3, (0 if white_is_low else 1,)), 277: (3, (1,)), 278: (4, (height,)), 339: (3, (kind,)),
    }  # fmt: skip
    return tiff(tags | more.get("tags", {}), samples.astype(samples.dtype.newbyteorder(order)).tobytes(), order)


def oriented(format: str, turn: int) -> bytes:
    """Return :func:`corners` with an EXIF orientation, and nothing turned."""
    exif = Image.Exif()
    exif[0x0112] = turn
    options: dict[str, Any] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
    return saved(corners(), format, exif=exif, **options)
