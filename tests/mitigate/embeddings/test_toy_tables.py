"""Two toy experiments: how much each method amplifies, and what that does to a search.

The toys are rebuilt from their description (queries share a base vector with the groups); directions of effects are
asserted, and for the first table its figures within .06.
"""

from __future__ import annotations

import numpy as np
import pytest
from mitigate.embeddings.spaces import groups_around, projector, unit

from equipoise.mitigate.embeddings.projection import project_differences, project_span
from equipoise.mitigate.embeddings.wring import rotation_target, wring

METHODS = {"none": lambda v, _: v, "span": project_span, "difference": project_differences, "wring": wring}


def draw(m: int, cosine: float, seed: int):
    """Return a query, groups, and a direction orthogonal to them; 256 dimensions."""
    rng = np.random.default_rng([m, int(100 * cosine), seed])
    groups, shared = groups_around(rng, m, 256, cosine)
    known = 0.46 * shared + 0.34 * groups[0]
    noise = unit(rng.standard_normal(256))
    noise -= (noise @ shared) * shared
    v = unit(known + np.sqrt(max(0.0, 1 - known @ known)) * unit(noise))
    d = rng.standard_normal(256)
    return v[None], groups, d - d @ projector(groups)


@pytest.mark.parametrize(
    ("m", "cosine", "p", "theta", "span", "difference"),
    [
        (2, 0.20, 0.57, 24, 1.22, 1.028),
        (2, 0.80, 0.76, 8, 1.54, 1.007),
        (2, 0.95, 0.78, 4, 1.61, 1.002),
        (7, 0.50, 0.75, 17, 1.52, 1.026),
        (7, 0.95, 0.80, 8, 1.65, 1.007),
    ],
)
def test_amplification_by_method(m, cosine, p, theta, span, difference):
    found = []
    for seed in range(50):
        v, groups, d = draw(m, cosine, seed)
        inside = (v @ projector(groups))[0]
        share = np.linalg.norm(inside)
        angle = np.degrees(np.arccos(inside @ rotation_target(groups) / share))
        ratios = [(unit(METHODS[name](v, groups)) @ d / (v @ d))[0] for name in ("span", "difference", "wring")]
        found.append([share, angle, *ratios])
    mean = np.mean(found, axis=0)
    assert mean[0] == pytest.approx(p, abs=0.03)
    assert mean[1] == pytest.approx(theta, abs=4)
    assert mean[2] == pytest.approx(span, abs=0.06)
    assert mean[3] == pytest.approx(difference, abs=0.01)
    np.testing.assert_allclose(np.array(found)[:, 4], 1, rtol=1e-9)


def search(seed: int) -> dict[str, dict[str, float]]:
    """Return, by method, the gaps in selection rate by target C and by unconsidered D, and the content of the top 500."""
    rng = np.random.default_rng(seed)
    base, c_axis, d_axis, content = np.linalg.qr(rng.standard_normal((64, 4)))[0].T
    n = 20_000
    c, d, k = rng.integers(0, 2, n), rng.integers(0, 2, n), rng.standard_normal(n)
    signs = np.outer(2 * c - 1, c_axis) + np.outer(2 * d - 1, d_axis)
    parts = 0.8 * base + 0.25 * signs + 0.25 * np.outer(k, content) + 0.5 * np.outer(rng.standard_normal(n), base)
    images = unit(parts + rng.standard_normal((n, 64)) / 8)
    query = unit(0.75 * base + 0.16 * c_axis + 0.08 * d_axis + 0.35 * content)[None]
    texts = unit(base + 0.3 * np.outer([-1, 1], c_axis) + 0.05 * rng.standard_normal((2, 64)) / 8)
    out = {}
    for name, method in METHODS.items():
        edited = unit(method(query, texts))[0]
        top = np.argsort(-(images @ edited))[:500]
        chosen = np.zeros(n, bool)
        chosen[top] = True
        gap = {key: abs(chosen[code == 1].mean() - chosen[code == 0].mean()) for key, code in (("C", c), ("D", d))}
        bias = edited @ unit(images[d == 1].mean(axis=0)) - edited @ unit(images[d == 0].mean(axis=0))
        out[name] = gap | {"cosine D": abs(bias), "content": k[top].mean()}
    return out


def test_search_by_method():
    runs = [search(seed) for seed in range(4)]
    mean = {name: {key: np.mean([run[name][key] for run in runs]) for key in runs[0][name]} for name in METHODS}
    plain, span, wrung, difference = (mean[name] for name in ("none", "span", "wring", "difference"))
    for method in (span, wrung, difference):
        assert method["C"] < 0.35 * plain["C"]
    assert span["D"] > 1.3 * plain["D"]
    assert span["cosine D"] > 2 * plain["cosine D"]
    assert span["content"] > 1.2 * plain["content"]
    for method in (wrung, difference):
        assert method["D"] == pytest.approx(plain["D"], rel=0.12)
        assert method["cosine D"] == pytest.approx(plain["cosine D"], rel=0.05)
        assert method["content"] == pytest.approx(plain["content"], rel=0.1)
    for key in plain:
        assert wrung[key] == pytest.approx(difference[key], rel=0.1, abs=1e-3)
