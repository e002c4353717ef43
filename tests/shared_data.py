"""Where the real data lie that some tests need: ``EQUIPOISE_DATA``, else ``../shared/data`` beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

DATA = Path(os.environ.get("EQUIPOISE_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
