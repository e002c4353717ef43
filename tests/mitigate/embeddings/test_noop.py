"""The control that does nothing."""

from __future__ import annotations

import numpy as np
import pytest

from equipoise.errors import EmbeddingError
from equipoise.mitigate.embeddings.noop import NoOp


def test_it_returns_a_copy_and_checks_rows():
    x = np.ones((2, 3), np.float16)
    method = NoOp("gender")
    out = method.fit(None).transform(x)
    np.testing.assert_array_equal(out, x)
    assert out.dtype == np.float16
    assert not np.shares_memory(out, x)
    assert (method.attributes, method.arm, method.controls(), NoOp().attributes) == (("gender",), "noop", [], ())
    with pytest.raises(EmbeddingError, match="Row 1"):
        method.transform(np.array([[1.0], [0.0]]))
