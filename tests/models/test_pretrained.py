"""Without torch, the loaders say which extra they need; with it, nothing imports it before a model is loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

from equipoise.errors import InputError
from equipoise.models import transformers, transformers_classifier


@pytest.mark.parametrize("load", [transformers.load, transformers_classifier.load])
@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_package_that_is_missing_is_named_with_its_extra(load, package, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'equipoise\[transformers\]'"):
        load(str(tmp_path))


def test_the_modules_import_neither_torch_nor_transformers():
    code = (
        "import sys, equipoise.models.transformers, equipoise.models.transformers_classifier; "
        "print([name for name in ('torch', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
