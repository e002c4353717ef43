"""Answers about pictures: a softmax by hand, margins by search, set-aside rows, classifiers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax

from equipoise.annotate.images import annotate_images, band_for, fingerprints_of
from equipoise.annotate.question import Question
from equipoise.data.annotated import read_annotation
from equipoise.data.samples import read_samples
from equipoise.errors import InputError, MissingTextError, UnknownNameError
from equipoise.store.embeddings import EmbeddingSet

QUESTION = Question(
    "gender-1", "gender", ("woman", "man", "none"), ("woman", "man"),
    {"woman": ("a woman", "a girl"), "man": ("a man",), "none": ("nobody",)}, ("a photo of {}", "{}"),
)  # fmt: skip
N, DIM = 60, 8


def words() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {text: rng.normal(size=DIM) for value in QUESTION.values for text in QUESTION.texts(value)}


def pictures() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(N, DIM)).astype(np.float32)


def embedded(image: np.ndarray, **more: object) -> EmbeddingSet:
    samples = read_samples({"id": [f"r{i * 7 % N:02d}" for i in range(N)], "n": list(range(N))}, id="id")
    texts = words()
    return EmbeddingSet.from_arrays(image, samples, texts=list(texts), text=np.array([*texts.values()]), **more)  # type: ignore[arg-type]


def expected(scale: float) -> np.ndarray:
    """Return the probabilities of the answers, in the order of the table as it was given."""

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    known = words()
    means = [np.mean([unit(known[text]) for text in QUESTION.texts(value)], axis=0) for value in QUESTION.values]
    return softmax(scale * unit(pictures().astype(np.float64)) @ unit(np.array(means)).T, axis=1)


@pytest.mark.parametrize("scale", [1.0, 20.0])
def test_answers_are_the_softmax_of_scaled_cosines_with_mean_prompts(scale: float) -> None:
    found = annotate_images(embedded(pictures()), QUESTION, scale=scale)
    share = expected(scale)
    assert (found.answers == share.argmax(1)).all()
    top = np.sort(share, axis=1)
    assert found.margin == pytest.approx(top[:, -1] - top[:, -2], abs=1e-6)
    column = found.columns["gender"].to_pylist()
    assert column == [QUESTION.values[i] for i in share.argmax(1)]
    assert sum(found.counts()["gender"].values()) == N
    assert found.status == ("",) * N


def test_an_encoder_that_tells_no_scale_is_taken_at_100_and_says_so() -> None:
    found = annotate_images(embedded(pictures()), QUESTION)
    assert (found.answers == expected(100).argmax(1)).all()
    assert any("no logit scale" in note for note in found.notes)
    with pytest.raises(InputError, match="The scale is 0"):
        annotate_images(embedded(pictures()), QUESTION, scale=0)


def test_a_row_without_a_vector_is_null_in_its_place() -> None:
    image = pictures()
    image[3], image[40] = np.nan, 0
    found = annotate_images(embedded(image), QUESTION, scale=1.0)
    gone = [i for i, status in enumerate(found.status) if status]
    assert gone == [3, 40]
    column = found.columns["gender"].to_pylist()
    assert [i for i, value in enumerate(column) if value is None] == [3, 40]
    rest = np.delete(np.arange(N), [3, 40])
    assert (found.answers[rest] == expected(1).argmax(1)[rest]).all()
    assert np.isnan(found.margin[[3, 40]]).all()


def test_margins_are_chosen_so_that_answers_reach_the_precision() -> None:
    found = annotate_images(embedded(pictures()), QUESTION, scale=5.0)
    right = found.margin >= np.quantile(found.margin, 0.4)  # an answer is the surer the truer
    truth = [
        QUESTION.values[a] if ok else QUESTION.values[(a + 1) % 3] for a, ok in zip(found.answers, right, strict=True)
    ]
    sure = found.calibrated(range(N), truth, precision=0.8)
    said = sure.columns["gender"].to_pylist()
    assert "ambiguous" in said
    for value, band in sure.bands.items():
        own = [i for i in range(N) if found.answers[i] == QUESTION.values.index(value)]
        kept = [i for i in own if said[i] == value]
        assert kept == [i for i in own if found.margin[i] >= band]
        if not any(f"'{value}'" in note for note in sure.notes):
            assert np.mean([truth[i] == value for i in kept]) >= 0.8
            assert len(kept) >= 10
    assert sum(sure.counts()["gender"].values()) == N
    annotation = read_annotation(sure.field())
    assert annotation is not None
    assert annotation.annotator is not None
    assert annotation.annotator["bands"] == sure.bands
    assert annotation.values == ("woman", "man", "none", "ambiguous")
    before = read_annotation(found.field())
    assert before is not None
    assert before.sha256 != annotation.sha256
    assert before.version != annotation.version


def test_a_precision_out_of_reach_keeps_all_answers_and_says_so() -> None:
    found = annotate_images(embedded(pictures()), QUESTION, scale=5.0)
    wrong = [QUESTION.values[(a + 1) % 3] for a in found.answers]
    sure = found.calibrated(range(N), wrong)
    assert sure.bands == dict.fromkeys(QUESTION.values, 0.0)
    assert sum("where 0.9 was asked for" in note or "labelled" in note for note in sure.notes) == 3
    assert sure.columns["gender"].equals(found.columns["gender"])
    with pytest.raises(InputError, match="precision is 1"):
        found.calibrated(range(N), wrong, precision=1)
    with pytest.raises(InputError, match="60 rows have 3 labels"):
        found.calibrated(range(N), wrong[:3])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(1, 3)), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.75, 0.9]),
)
def test_the_band_is_the_smallest_that_works(rows: list[tuple[int, bool, int]], precision: float) -> None:
    margin = np.array([row[0] / 6 for row in rows])
    right, weight = np.array([float(row[1]) for row in rows]), np.array([float(row[2]) for row in rows])
    band, reached = band_for(margin, right, weight, precision)
    works = []
    for least in sorted(set(margin)):
        keep = margin >= least
        if keep.sum() >= 10 and (right * weight)[keep].sum() / weight[keep].sum() >= precision:
            works.append(least)
    if not works:
        assert band == 0
        assert reached < precision
        return
    keep = margin >= band
    assert (keep == (margin >= works[0])).all()
    assert reached == pytest.approx((right * weight)[keep].sum() / weight[keep].sum())


def test_prompts_without_a_vector_are_listed() -> None:
    strange = replace(QUESTION, prompts={**QUESTION.prompts, "none": ("an empty room",)})
    with pytest.raises(MissingTextError, match="an empty room"):
        annotate_images(embedded(pictures()), strange)


def test_a_model_is_known_by_its_fingerprint_and_by_that_of_an_encoder_in_it() -> None:
    encoder = {"kind": "x", "weights": "abc"}
    own = fingerprints_of({"fingerprint": encoder})
    inside = fingerprints_of({"fingerprint": {"kind": "zero-shot", "encoder": encoder}})
    assert len(own) == 1
    assert own[0] == inside[1]
    assert own[0] != inside[0]
    assert fingerprints_of({"fingerprint": {}}) == fingerprints_of({}) == []


def answered(**model: object):
    samples = read_samples({"id": ["b", "a", "c"], "x": ["1", "2", "3"]}, id="id")  # a, b, c
    table = samples.table.append_column("prediction", pa.array(["man", "woman", ""]))
    table = table.append_column("score", pa.array([0.9, 0.4, np.nan])).append_column(
        "reason", pa.array(["", "", "not found"])
    )
    about = {"name": "net", "ref": "torch:/home/somebody/net", "fingerprint": {"kind": "net"}, **model}
    return replace(samples, table=table, model=about, roles={**samples.roles, "prediction": "p", "score": "s"})


def test_a_classifier_answers_instead() -> None:
    found = annotate_images(answered(), QUESTION)
    assert found.columns["gender"].to_pylist() == ["woman", "man", None]  # the order of the table
    assert found.margin == pytest.approx([0.0, 0.8, np.nan], nan_ok=True)
    assert found.status == ("", "", "not found")
    assert found.annotator["ref"] == "torch:net"
    of_man = annotate_images(answered(score_of="man"), QUESTION)
    assert of_man.margin[:2] == pytest.approx([0.2, 0.8])


def test_a_classifier_that_says_something_else_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="The classifier says 'man', which is no value of 'hat-1'"):
        annotate_images(answered(), Question("hat-1", "hat", ("hat", "woman"), ("hat", "woman")))
    with pytest.raises(InputError, match="no answers of a classifier"):
        annotate_images(read_samples({"id": ["a"]}, id="id"), QUESTION)
    with pytest.raises(InputError, match="Give an EmbeddingSet"):
        annotate_images(Path("x"), QUESTION)  # type: ignore[arg-type]
