"""Contract checks of a mitigation that is saved and loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from equipoise.checks.cases import Make, cases, need, same_bytes
from equipoise.schema import plain

FRESH = """
import pickle, sys
def refuse(*args, **kwargs):
    raise RuntimeError("something was unpickled")
pickle.load = pickle.loads = pickle.Unpickler = refuse
import numpy as np
from equipoise.mitigate.artefact import load_mitigation
folder, rows, out, modality = sys.argv[1:5]
queries = sys.argv[5:] or None
np.save(out, load_mitigation(folder).transform(np.load(rows), modality=modality, queries=queries))
"""


def check_state(make: Make, attribute: str) -> None:
    """Require that JSON values and arrays rebuild it bit for bit."""
    from safetensors.numpy import load, save

    for case in cases(make, attribute):
        parameters, arrays = case.method.state()
        text = json.dumps(plain(parameters), allow_nan=False)
        again = type(case.method).from_state(json.loads(text), load(save(arrays)))
        found = again.transform(case.x, modality=case.modality, queries=case.queries)
        same_bytes(found, case.edit(case.x), "rebuilt from its state")
        need(again.guarantees == case.method.guarantees, f"rebuilt, it declares {again.guarantees}")
        need(json.dumps(plain(again.state()[0])) == text, "its state rebuilt is another state")


def check_saved(make: Make, attribute: str) -> None:
    """Require that it loads in a fresh process, without pickle, bit for bit; and that saving again gives the same bytes."""
    from equipoise.mitigate.artefact import save_mitigation

    for case in cases(make, attribute):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            first = save_mitigation(case.method, folder / "m", encoder={})
            need(first == save_mitigation(case.method, folder / "n", encoder={}), "saving again gives another artefact")
            np.save(folder / "x.npy", case.x)
            command = [sys.executable, "-c", FRESH, "m", "x.npy", "y.npy", case.modality, *(case.queries or ())]
            paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)
            done = subprocess.run(  # noqa: S603 - our own code, and no shell
                command, cwd=folder, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=120
            )
            need(done.returncode == 0, f"a fresh process cannot load it: {done.stderr.strip()[-300:]}")
            same_bytes(np.load(folder / "y.npy"), case.edit(case.x), "loaded in a fresh process")
