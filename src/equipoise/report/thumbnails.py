"""Thumbnails as ``data:`` addresses: a picture is shown only if it still is the one that was measured."""

from __future__ import annotations

import base64
import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from equipoise.compare.wording import visible
from equipoise.data.images import ImagePolicy, decode, read_image_bytes
from equipoise.errors import BadImageError, InputError

EDGE, QUALITY = 72, 78
CHANGED = "changed since"


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG as a ``data:`` address with its size in CSS pixels, or the reason why there is none."""

    source: str = ""
    width: int = EDGE
    height: int = EDGE
    reason: str = ""


@dataclass
class Thumbnails:
    """Reads the pictures of one audit, each once.

    Parameters
    ----------
    root : str
        Folder of relative paths; ``""`` for that in which the program runs.
    preprocessing : mapping
        What the audit records; its ``policy`` decides how a picture is decoded, where there is one.
    """

    root: str = ""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    unchecked: int = 0
    shown: int = 0

    def __post_init__(self) -> None:
        self._known: dict[tuple[str, str], Thumbnail] = {}
        try:
            self._policy = ImagePolicy(**dict(self.preprocessing.get("policy") or {}))
        except (InputError, TypeError, ValueError):
            self._policy = ImagePolicy()

    def of(self, image: str, sha256: str) -> Thumbnail:
        """Return the thumbnail of a picture by its recorded path and SHA-256 (``""`` where none was recorded)."""
        key = (image, sha256)
        if key not in self._known:
            found = self._known[key] = self._made(image, sha256)
            self.shown += not found.reason
            self.unchecked += not (found.reason or sha256)
            self.reasons.update([found.reason] if found.reason else [])
        return self._known[key]

    def _made(self, image: str, sha256: str) -> Thumbnail:
        if not image:
            return Thumbnail(reason="no path")
        try:
            data = read_image_bytes(Path(self.root) / image, self._policy)
            if sha256 and hashlib.sha256(data).hexdigest() != sha256:
                return Thumbnail(reason=CHANGED)
            picture = decode(data, self._policy, image)
        except BadImageError as error:
            return Thumbnail(reason=error.reason)
        picture.thumbnail((EDGE, EDGE))
        content = io.BytesIO()
        picture.save(content, "JPEG", quality=QUALITY, optimize=True)
        source = f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"
        return Thumbnail(source, *picture.size)

    def attribution(self) -> str:
        """Return the first paragraph of a file ``ATTRIBUTION`` (.txt, .md) beside the pictures; ``""`` without one."""
        for name in ("ATTRIBUTION", "ATTRIBUTION.txt", "ATTRIBUTION.md") if self.root else ():
            try:
                text = read_image_bytes(Path(self.root) / name, ImagePolicy(max_bytes=1 << 16)).decode(
                    "utf-8", "replace"
                )
            except BadImageError:
                continue
            paragraph = " ".join(text.strip().split("\n\n")[0].split())
            return visible(paragraph if len(paragraph) <= 300 else f"{paragraph[:299]}…")
        return ""
