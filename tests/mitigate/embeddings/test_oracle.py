"""Side effects against theory: on made-up vectors, and on the shipped demo embeddings where they are installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mitigate.embeddings.spaces import groups_around, projector, spread, unit

import equipoise
from equipoise.mitigate.embeddings.projection import (
    DifferenceProjection,
    SpanProjection,
    project_differences,
    project_span,
)
from equipoise.mitigate.embeddings.wring import Wring, rotation_target, wring

DEMO = Path(equipoise.__file__).parent / "models" / "demo_data"


def ratios(v, edited, others):
    """Spread of cosines over other groups (raw vectors, so that no length enters), after over before."""
    before, after = (np.ptp(unit(x.astype(float)) @ others.T, axis=1) for x in (v, edited))
    return after / before


def assert_theory(v, groups, others, found):
    """Compare measured ratios of methods, for other groups without a part in the span, with theory;
    difference projection has 1/sqrt(1 - p^2 sin^2 theta)."""
    inside = unit(v.astype(float)) @ projector(groups)
    p = np.linalg.norm(inside, axis=1)
    across = np.sqrt(p**2 - (inside @ rotation_target(groups)) ** 2)
    np.testing.assert_allclose(ratios(v, found["span"], others), 1 / np.sqrt(1 - p**2), rtol=1e-4)
    np.testing.assert_allclose(ratios(v, found["wring"], others), 1, rtol=1e-4)
    difference = ratios(v, found["difference"], others)
    np.testing.assert_allclose(difference, 1 / np.sqrt(1 - across**2), rtol=1e-4)
    return p, difference


@pytest.mark.parametrize("m", [2, 4])
def test_theory_on_made_up_vectors(m):
    rng = np.random.default_rng(m)
    groups, shared = groups_around(rng, m, 128, 0.85)
    races = unit(shared + 0.5 * unit(rng.standard_normal((7, 128))))
    races = races - races @ projector(groups)
    v = unit(0.6 * shared + 0.15 * groups[:1] + unit(rng.standard_normal((50, 128))))
    found = {"span": project_span(v, groups), "wring": wring(v, groups), "difference": project_differences(v, groups)}
    p, difference = assert_theory(v, groups, races, found)
    assert p.min() > 0.3
    assert difference.mean() < 1.02


@pytest.fixture(scope="module")
def demo():
    """Reference and measured faces of the demo, half of the rows each, and the occupations of its texts."""
    if not (DEMO / "image.npy").is_file():
        pytest.skip("the demo embeddings are not installed")
    from equipoise.data.queries import read_queries
    from equipoise.data.samples import read_samples
    from equipoise.embed import embed
    from equipoise.models.references import load_encoder

    samples = read_samples(
        DEMO / "rows.parquet", id="id", attributes=["gender", "race"], vocabulary=DEMO / "groups.toml"
    )
    data = embed(load_encoder("demo"), samples)
    queries = [query.text for query in read_queries("occupations", data.vocabulary) if not query.explicit]
    return data, queries


@pytest.mark.parametrize(
    "options", [{"vectors": "text"}, {"vectors": "image", "k": None}, {"vectors": "image", "k": 100}]
)
def test_theory_on_the_demo(demo, options):
    data, queries = demo
    v = data.text(queries)
    method = Wring("gender", **options, leave_explicit=False).fit(data)
    span, difference, _ = method.controls()
    means, _ = data.group_means("race")
    groups = method.vectors_.at(v)
    measured = []
    for i, row in enumerate(v):
        own = groups if groups.ndim == 2 else groups[i]
        races = unit(means) - unit(means) @ projector(own)
        found = {
            name: m.transform(row[None]) for name, m in (("span", span), ("wring", method), ("difference", difference))
        }
        p, ratio = assert_theory(row[None], own, races, found)
        measured.append([p[0], ratio[0]])
    p, ratio = np.array(measured).T
    assert ratio.mean() < 1.007
    assert 0.1 < p.mean() < 0.6


def test_gender_spread_falls_on_the_demo_and_wring_is_difference_projection(demo):
    data, queries = demo
    v, means = data.text(queries), data.group_means("gender")[0]
    before = spread(v, means).mean()
    for options in ({"vectors": "text"}, {"vectors": "image", "k": None}):
        wrung = Wring("gender", **options).fit(data).transform(v)
        removed = DifferenceProjection("gender", **options).fit(data).transform(v)
        assert spread(wrung, means).mean() < 0.7 * before
        assert np.einsum("nd,nd->n", unit(wrung), unit(removed)).min() > 0.99
        assert spread(SpanProjection("gender", **options).fit(data).transform(v), means).mean() < 0.8 * before
