"""equipoise.testing: the way in to the contract checks, and light until used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import equipoise.testing as testing


def test_every_name_is_there():
    for name in testing.__all__:
        assert callable(getattr(testing, name))
        assert name in dir(testing)
    with pytest.raises(AttributeError, match="no attribute 'check_everything'"):
        _ = testing.check_everything


def test_importing_it_imports_no_check():
    code = "import sys, equipoise.testing; print([m for m in sys.modules if m.startswith('equipoise.checks')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
