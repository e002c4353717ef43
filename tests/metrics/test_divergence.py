"""KL at k and NDKL against scipy and a loop."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy

from equipoise.errors import InputError
from equipoise.metrics.divergence import kl_at_k, ndkl


def test_kl_equals_scipy():
    rng = np.random.default_rng(0)
    shares, prior = rng.dirichlet(np.ones(4), (3, 5)), rng.dirichlet(np.ones(4))
    np.testing.assert_allclose(kl_at_k(shares, prior), entropy(shares, prior, axis=-1), atol=1e-12)
    assert kl_at_k([1.0, 0.0], [0.5, 0.5]) == pytest.approx(np.log(2))
    assert kl_at_k([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert kl_at_k(prior, prior) == 0


def loop(codes, prior):
    codes = [code for code in codes if code >= 0]
    total = weight = 0.0
    for i in range(1, len(codes) + 1):
        shares = [codes[:i].count(g) / i for g in range(len(prior))]
        total += entropy(shares, prior) / np.log2(i + 1)
        weight += 1 / np.log2(i + 1)
    return total / weight


def test_ndkl_equals_a_loop_over_prefixes():
    rng = np.random.default_rng(1)
    codes, prior = rng.integers(-1, 3, (4, 40)), np.array([0.5, 0.3, 0.2])
    np.testing.assert_allclose(ndkl(codes, prior), [loop(list(row), prior) for row in codes], atol=1e-12)
    assert ndkl([0, 1, 0, 1], [0.5, 0.5]) < ndkl([0, 0, 1, 1], [0.5, 0.5])
    assert np.isnan(ndkl([-1, -1], [0.5, 0.5]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: kl_at_k([0.5, 0.5], [0.5, 0.6]), "prior"),
        (lambda: kl_at_k([3.0, 1.0], [0.5, 0.5]), "shares"),
        (lambda: kl_at_k([0.5, 0.5], [1.0]), "2 groups"),
        (lambda: ndkl([0, 2], [0.5, 0.5]), "from 0 to 2"),
        (lambda: ndkl([0.0, 1.0], [0.5, 0.5]), "float64"),
        (lambda: ndkl([0, 1], [-0.5, 1.5]), "prior"),
    ],
)
def test_wrong_input_is_refused(call, words):
    with pytest.raises(InputError, match=words):
        call()
