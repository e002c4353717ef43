"""Pictures as people have them: read without hanging, decoded under limits, or refused with a reason that can be counted.

Only formats whose decoders are part of Pillow itself are opened; none starts another program. Everything here may be
called from many threads at once.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import warnings
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from typing import Any
from zlib import crc32

from PIL import (  # the plugins register what Image.open may open
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from equipoise.data.image_policy import ImagePolicy
from equipoise.data.pixels import Layout, layout_of, to_rgb
from equipoise.errors import BadImageError, InputError, listed

__all__ = ["FORMATS", "BadImageError", "ImagePolicy", "decode", "read_image_bytes"]

with suppress(ImportError):  # Pillow before 11.3, or built without it
    import_module("PIL.AvifImagePlugin")
FORMATS = tuple(name for name in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF") if name in Image.OPEN)
"""What is opened; MPO, the pictures of some telephones, is a kind of JPEG."""

BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
MAX_SCANS = 100
"""Scans of one JPEG: each costs a pass over all pixels, and honest files have about ten."""
CHEAP = 10**10
"""Pixels times bytes of a JPEG below which no number of scans takes long, so that they need no counting."""

READ_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))
REASONS = {
    errno.ENOENT: "missing",
    errno.ENOTDIR: "missing",
    errno.ELOOP: "loop of links",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.ENAMETOOLONG: "name too long",
}
REMEDIES = {
    "missing": "Check the path, and the folder that relative paths start from.",
    "no permission": "Give this user the right to read it.",
    "file too large": "Make it smaller, or allow it (max_bytes).",
    "too large": "Make it smaller, or allow it (max_pixels).",
    "too long and thin": "Crop it, or allow it (max_aspect).",
    "changed while it was read": "Run again when nobody writes it.",
    "not an image": f"Give {listed(FORMATS)}.",
    "several frames": "Save one of them, or allow the first (frames='first').",
}
LOCK = threading.Lock()


def read_image_bytes(path: str | bytes | os.PathLike[Any], policy: ImagePolicy | None = None) -> bytes:
    """Return the bytes of a picture's file; never waits for a pipe or a device.

    Parameters
    ----------
    path : path
        Any name that the system takes, also one that is not UTF-8.
    policy : ImagePolicy, optional
        ``max_bytes`` is used.

    Raises
    ------
    BadImageError
        ``missing``, ``dangling link``, ``loop of links``, ``no permission``, ``a folder``, ``not a regular file``
        (pipe, socket, device), ``name too long``, ``impossible name``, ``empty file``, ``file too large``, ``changed
        while it was read`` or ``unreadable``.
    """
    try:
        return _read(path, (policy or ImagePolicy()).max_bytes)
    except BadImageError as error:
        raise _named(error, path) from error.__cause__
    except ValueError as error:  # a zero byte in the name
        raise _named(BadImageError("impossible name", str(error)), path) from error
    except OSError as error:
        reason = REASONS.get(error.errno or 0, "unreadable")
        if error.errno == errno.ENOENT and os.path.islink(path):
            reason = "dangling link"
        raise _named(BadImageError(reason, error.strerror or ""), path) from error


def decode(data: bytes, policy: ImagePolicy | None = None, where: Any = None) -> Image.Image:
    """Return the picture in a file's bytes as RGB, 8 bits per channel, upright.

    Parameters
    ----------
    data : bytes
    policy : ImagePolicy, optional
    where : path, optional
        What a message calls the picture.

    Returns
    -------
    PIL.Image.Image
        Mode ``RGB``, without metadata.

    Raises
    ------
    BadImageError
        ``empty file``, ``not an image``, ``unreadable header``, ``truncated``, ``damaged``, ``too large`` (more pixels
        than the policy allows, known from the header), ``too long and thin``, ``too many scans``, ``several frames``,
        ``16-bit: no policy`` and the like, ``CMYK: refused by the policy``, ``colour profile cannot be applied``,
        ``out of memory``.
    InputError
        If ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES`` is set in this process.
    """
    policy = policy or ImagePolicy()
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise InputError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is set in this process: cut pictures would come out grey, unnoticed.",
            "Leave it False.",
            value=True,
        )
    _hush_this_thread()
    HUSHED.active = True
    try:
        image, layout = _opened(data, policy)
        image.load()
        _check_size(image.size, policy)
        return to_rgb(image, layout, policy)
    except BadImageError as error:
        raise _named(error, where) from error.__cause__
    except Exception as error:  # decoders meet hostile bytes with exceptions of every kind
        raise _named(_failed(error, data), where) from error
    finally:
        HUSHED.active = False


def _read(path: str | bytes | os.PathLike[Any], max_bytes: int) -> bytes:
    _check_regular(os.stat(path))  # before it is opened: opening a device can act on it
    with open(os.open(path, READ_FLAGS), "rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        _check_regular(before)
        if before.st_size > max_bytes:
            raise BadImageError("file too large", f"{before.st_size:,} bytes, allowed {max_bytes:,}")
        chunks: list[bytes] = []
        left = before.st_size + 1  # one more than it had: a file that grows is noticed
        while left and (chunk := file.read(left)):
            chunks.append(chunk)
            left -= len(chunk)
        after = os.fstat(file.fileno())
    if left != 1 or after.st_mtime_ns != before.st_mtime_ns:
        raise BadImageError("changed while it was read")
    if not chunks:
        raise BadImageError("empty file")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise BadImageError("a folder")
    if not stat.S_ISREG(status.st_mode):
        raise BadImageError("not a regular file")


def _opened(data: bytes, policy: ImagePolicy) -> tuple[Image.Image, Layout]:
    """Return the picture with its header read and checked, no pixel decoded."""
    if not data:
        raise BadImageError("empty file")
    try:
        image = Image.open(BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError as error:
        if data.startswith(BEGINNINGS) or data[8:12] == b"WEBP" or data[4:8] == b"ftyp":
            raise BadImageError("unreadable header", "damaged, or of a kind that Pillow cannot read") from error
        raise BadImageError("not an image", f"it begins with {data[:16]!r}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadImageError("too large", str(error)) from error
    _check_size(image.size, policy)
    layout = layout_of(image, data)
    if layout.tile[0] * layout.tile[1] > policy.max_pixels:
        raise BadImageError("too large", "tiles of {} x {} pixels".format(*layout.tile))
    if image.format in ("JPEG", "MPO") and not _jpeg_ends(data):
        raise BadImageError("truncated", "no end of image; libjpeg would fill the rest with grey")
    if image.format == "PNG" and not _png_sums_right(data):
        raise BadImageError("damaged", "the checksum of its pixels is wrong")
    dear = image.format in ("JPEG", "MPO") and image.width * image.height * len(data) > CHEAP
    if dear and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise BadImageError("too many scans", f"{scans}, allowed {MAX_SCANS}")
    if policy.frames == "refuse" and getattr(image, "is_animated", False):
        raise BadImageError("several frames")
    return image, layout


def _jpeg_ends(data: bytes) -> bool:
    """Return whether an end of image follows the first scan: a download that was cut and padded has none."""
    if data.endswith(b"\xff\xd9"):
        return True
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")  # a thumbnail inside of a segment has an end too
    return data.find(b"\xff\xd9", at) >= 0


def _png_sums_right(data: bytes) -> bool:
    """Return whether the pixels of a PNG have their checksums, which Pillow does not look at."""
    at = 8
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if kind == b"IEND" or end + 4 > len(data):  # what is cut is found when it is decoded
            return True
        if kind == b"IDAT" and crc32(memoryview(data)[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            return False
        at = end + 4
    return True


def _check_size(size: tuple[int, int], policy: ImagePolicy) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise BadImageError("no pixels", f"{width} x {height}")
    if width * height > policy.max_pixels:
        raise BadImageError("too large", f"{width} x {height} pixels, allowed {policy.max_pixels:,} in all")
    if policy.max_aspect is not None and max(size) > policy.max_aspect * min(size):
        raise BadImageError("too long and thin", f"{width} x {height}, allowed 1 to {policy.max_aspect:g}")


def _failed(error: Exception, data: bytes) -> BadImageError:
    """Return what an exception of a decoder means."""
    if isinstance(error, MemoryError):
        return BadImageError("out of memory")
    said = str(error) or type(error).__name__
    cut = isinstance(error, EOFError) or any(text in said.lower() for text in ("truncated", "cannot load this image"))
    if data[8:12] == b"WEBP":
        cut = int.from_bytes(data[4:8], "little") + 8 > len(data)
    return BadImageError("truncated" if cut else "damaged", f"Pillow says: {said}")


def _named(error: BadImageError, where: Any) -> BadImageError:
    """Return the error with the picture's name and the details in its message."""
    reason, detail, remedy = error.args
    name = "A picture" if where is None else f"The picture {os.fspath(where)!r}"
    what = f"{name} cannot be used: {reason}{f' ({detail})' if detail else ''}."
    return BadImageError(reason, what, remedy or REMEDIES.get(reason, "Leave it out, or replace it."), value=where)


class _Hushed(threading.local):
    """Stands where a warnings filter has its pattern, and matches only in threads that decode."""

    active = False

    def match(self, text: str) -> bool:
        return self.active


HUSHED = _Hushed()
FILTER: Any = ("ignore", HUSHED, Warning, None, 0)


def _hush_this_thread() -> None:
    """See to it that Pillow's warnings stay silent here: what they warn of is checked, and is a reason.

    ``warnings.catch_warnings`` would change the filters of all threads. This filter stays, and does nothing outside of
    :func:`decode`.
    """
    if not warnings.filters or warnings.filters[0] is not FILTER:
        with LOCK:
            filters: Any = warnings.filters
            filters[:] = [FILTER, *(entry for entry in filters if entry is not FILTER)]
