"""The demo encoder is a precomputed folder with its rows and its vocabulary."""

import numpy as np

from equipoise.data.queries import builtin_lists, read_queries
from equipoise.embed import embed
from equipoise.models import demo


def test_every_built_in_query_and_prompt_has_a_vector():
    faces = embed("demo", demo.samples())
    assert faces.set_aside == {}
    assert faces.rows_in == len(faces) == 3000
    texts = [query.text for query in read_queries(list(builtin_lists()), faces.vocabulary)]
    np.testing.assert_allclose(np.linalg.norm(faces.text(texts), axis=1), 1, atol=1e-6)
    for name in demo.ATTRIBUTES:
        assert faces.group_text_vectors(name).shape == (len(faces.vocabulary.groups(name)), faces.dim)


def test_groups_are_recognised():
    faces = embed("demo", demo.samples())
    for name, least in (("gender", 0.8), ("race", 0.4)):
        guess = (faces.vectors() @ faces.group_text_vectors(name).T).argmax(axis=1)
        assert (guess == faces.samples.codes(name)).mean() > least


def test_a_split_for_fitting_and_one_for_auditing():
    samples = demo.samples()
    assert set(samples.column("split")) == {"reference", "measured"}
    assert samples.unknown() == {"gender": 0, "race": 0, "age": 0}
