"""Sessions of onnxruntime, and the network that takes pictures.

Notation: n pictures, d dimensions, h rows, w columns.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from equipoise.errors import EmbeddingError, InputError, listed
from equipoise.models.onnx_files import OnnxFile, needed
from equipoise.models.preprocessing import Preprocessing

FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}
VECTORS = ("image_embeds", "text_embeds", "embedding", "embeddings", "sentence_embedding", "pooler_output", "logits")
"""Outputs that are taken, in this order, where there are several and none is named."""


class Network:
    """A session of onnxruntime over a file that was checked.

    Parameters
    ----------
    file : OnnxFile
    device : str
        ``"auto"`` (CUDA where the runtime has it), ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.
    threads : int, optional
        Of one operator; ``OMP_NUM_THREADS``, else the runtime's own choice, unless given.
    """

    def __init__(self, file: OnnxFile, device: str = "auto", threads: int | None = None) -> None:
        runtime = needed("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 3
        if threads is None and os.environ.get("OMP_NUM_THREADS", "").isdecimal():
            threads = int(os.environ["OMP_NUM_THREADS"])
        if threads is not None:
            options.intra_op_num_threads = _count(threads)
        self.file = file
        try:
            self.session = runtime.InferenceSession(str(file.path), options, providers=_providers(runtime, device))
        except Exception as error:  # the runtime's own kinds of error
            raise InputError(
                f"onnxruntime cannot use '{file.path}': {str(error)[:400]}.",
                "Export it for an operator set that this onnxruntime knows, or update onnxruntime.",
                value=str(file.path),
            ) from error
        self.inputs: dict[str, Any] = {item.name: item for item in self.session.get_inputs()}
        self.outputs: dict[str, Any] = {item.name: item for item in self.session.get_outputs()}

    def input(self, name: str | None) -> Any:
        """Return the description of the named input, or of the only one."""
        return self._one(self.inputs, name, "input", ())

    def output(self, name: str | None) -> Any:
        """Return the description of the named output, of the only one, or of one with a usual name."""
        return self._one(self.outputs, name, "output", VECTORS)

    def _one(self, known: dict[str, Any], name: str | None, noun: str, usual: Sequence[str]) -> Any:
        if name is None:
            name = next((one for one in usual if one in known), next(iter(known)) if len(known) == 1 else None)
        if name not in known:
            what = f"has no {noun} '{name}'" if name else f"has {len(known)} {noun}s, and none is named"
            raise InputError(
                f"'{self.file.path}' {what}.", f"Name one in model.json: {listed(known)}.", value=list(known)
            )
        return known[name]


class ImageTower:
    """A network that takes pictures.

    Attributes
    ----------
    dtype : numpy dtype
        Of its input.
    size : tuple
        Rows and columns that it takes; None where any.
    """

    def __init__(self, network: Network, input: str | None, output: str | None) -> None:
        self.network = network
        taken, given = network.input(input), network.output(output)
        self.input, self.output = str(taken.name), str(given.name)
        if taken.type not in FLOATS or len(taken.shape) != 4:
            raise InputError(
                f"The input '{self.input}' of '{network.file.path}' is {taken.type} of the shape {taken.shape}.",
                "Pictures enter as floats, (n, 3, h, w) or (n, h, w, 3).",
                value=list(taken.shape),
            )
        self.dtype = FLOATS[taken.type]
        self.channels_last = taken.shape[3] == 3 and taken.shape[1] != 3
        if not self.channels_last and isinstance(taken.shape[1], int) and taken.shape[1] != 3:
            raise InputError(
                f"'{network.file.path}' takes {taken.shape[1]} channels.", "It must take 3: red, green and blue.",
                value=list(taken.shape),
            )  # fmt: skip
        edges = taken.shape[1:3] if self.channels_last else taken.shape[2:4]
        self.size = tuple(edge if isinstance(edge, int) else None for edge in edges)
        self.batch = taken.shape[0] if isinstance(taken.shape[0], int) else None
        self.width = given.shape[1] if len(given.shape) == 2 and isinstance(given.shape[1], int) else None

    def check(self, preprocessing: Preprocessing) -> None:
        """Refuse a preprocessing of another size than the network takes."""
        if any(edge not in (None, made) for edge, made in zip(self.size, preprocessing.size, strict=True)):
            raise InputError(
                f"'{self.network.file.path}' takes pictures of {self.size[0]} x {self.size[1]}, and the preprocessing makes "
                f"{preprocessing.size[0]} x {preprocessing.size[1]}.",
                "Name the preprocessing that the weights were trained with.",
                value=list(preprocessing.size),
            )

    def __call__(self, x: NDArray[np.float32]) -> NDArray[Any]:
        """Return what the network gives for (n, 3, h, w) normalised pixels; n is at least 1."""
        x = x.transpose(0, 2, 3, 1) if self.channels_last else x
        x = np.ascontiguousarray(x, self.dtype)
        step = self.batch or len(x)
        made = []
        for start in range(0, len(x), step):
            part = x[start : start + step]
            whole = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            found = self.network.session.run([self.output], {self.input: whole})[0]
            if np.ndim(found) == 0 or len(found) != step:
                raise EmbeddingError(
                    f"'{self.network.file.path}' gave the shape {np.shape(found)} for {step} pictures.",
                    "Its output has a row a picture.",
                    value=list(np.shape(found)),
                )
            made.append(found[: len(part)])
        return np.concatenate(made)


def _providers(runtime: Any, device: str) -> list[Any]:
    name, _, number = str(device).partition(":")
    there = "CUDAExecutionProvider" in runtime.get_available_providers()
    if name not in ("auto", "cpu", "cuda") or (number and not number.isdecimal()):
        raise InputError(f"There is no device '{device}' for ONNX.", "Use auto, cpu, cuda or cuda:1.", value=device)
    if name == "cuda" and not there:
        raise InputError("This onnxruntime has no CUDA.", "pip install onnxruntime-gpu, or use cpu.", value=device)
    cuda = ("CUDAExecutionProvider", {"device_id": int(number or 0)})
    return [*([cuda] if there and name != "cpu" else []), "CPUExecutionProvider"]


def _count(threads: Any) -> int:
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads is {threads!r}.", "Give a whole number of 1 or more.", value=threads)
    return threads
