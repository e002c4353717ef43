"""The random-concept control against theory, and false alarms of a ledger of embeddings."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import answers, one, queries, space

from equipoise import EmbeddingSet, NoOp, SpanProjection, Wring, audit, compare

DIM = 24


@pytest.fixture(scope="module")
def orthogonal() -> EmbeddingSet:
    """Pictures that share one part and else differ only in directions orthogonal to every group's words."""
    rng = np.random.default_rng(0)
    data = space(300, DIM)
    axes = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0].T
    image = rng.normal(size=(300, DIM - 6)) @ axes[6:]
    texts = [
        text
        for name in ("gender", "race")
        for g in data.vocabulary.groups(name)
        for text in data.vocabulary.attributes[name].prompt_texts(g)
    ]
    words = {text: axes[0] + 0.5 * axes[1 + i // 2] for i, text in enumerate(texts)}
    for query in queries():
        words[query.text] = 0.8 * axes[0] + 0.3 * rng.normal() * axes[1] + 0.3 * rng.normal(size=DIM - 6) @ axes[6:]
    return EmbeddingSet.from_arrays(
        image.astype(np.float32),
        data.samples,
        texts=list(words),
        text=np.stack(list(words.values())).astype(np.float32),
    )


def test_span_projection_amplifies_as_theory_says_and_wring_does_not(orthogonal) -> None:
    before = audit(orthogonal, queries=queries(), by=["gender"], k=50, bootstrap=100)
    after = audit(orthogonal, like=before, mitigation=Wring("gender").fit(orthogonal))
    controls = {control["arm"]: control for control in compare(before, after, draws=100).document.controls}
    wring, span, noop = (controls[arm] for arm in ("main", "span_projection", "noop"))
    assert wring["measured"] == pytest.approx(1, abs=1e-5)
    assert wring["theoretical"] == pytest.approx(1, abs=1e-6)
    vectors = orthogonal.text([query.text for query in queries()[:-1]]).astype(np.float64)
    basis = np.linalg.svd(orthogonal.group_text_vectors("gender").astype(np.float64), full_matrices=False)[2]
    share = np.linalg.norm(vectors @ basis.T, axis=1)
    assert span["theoretical"] == pytest.approx((1 / np.sqrt(1 - share**2)).mean(), rel=1e-5)
    assert span["measured"] == pytest.approx(span["theoretical"], rel=1e-4)
    assert span["measured"] > 1.15
    assert span["low"] <= span["measured"] <= span["high"]
    assert (noop["measured"], noop["low"], noop["high"]) == (1.0, 1.0, 1.0)
    assert span["pairs"] == 100
    assert wring["bound_mean"] <= wring["bound_max"]


def test_measured_ratio_equals_a_plain_loop(orthogonal) -> None:
    before = audit(orthogonal, queries=queries(), by=["gender"], k=50, bootstrap=100)
    after = audit(orthogonal, like=before, mitigation=SpanProjection("gender").fit(orthogonal))
    found = compare(before, after, draws=100, seed=3).document.controls[0]["measured"]
    n = len(orthogonal)
    rng = np.random.default_rng([3, 41])
    first = rng.integers(0, n, 100)
    second = (first + rng.integers(1, n, 100)) % n
    assert (first != second).all()
    ratios = []
    for q in range(6):
        old, new = (found_.evidence.scores["main"][q].astype(float) for found_ in (before, after))
        ratios.append(np.std(new[first] - new[second]) / np.std(old[first] - old[second]))
    assert found == pytest.approx(np.mean(ratios))


def test_no_controls_without_a_mitigation(orthogonal) -> None:
    before = audit(orthogonal, queries=queries(), by=["gender"], k=50, bootstrap=100)
    assert compare(before, before, draws=100).document.controls == []
    alone = audit(orthogonal, like=before, mitigation=NoOp("gender"))
    assert [one_["theoretical"] for one_ in compare(before, alone, draws=100).document.controls] == [None]
    predictions = audit(answers(), by=["group"], bootstrap=100)
    assert compare(predictions, predictions, draws=100).document.controls == []


def noisy(seed: int, side: int) -> EmbeddingSet:
    """Pictures whose groups mean nothing; each side reads the same queries with noise of its own."""
    rng = np.random.default_rng([seed, 0])
    data = space(400, 12, seed)
    image = 1.0 + rng.normal(size=(400, 12))
    text = 1.0 + rng.normal(size=(8, 12))
    own = np.random.default_rng([seed, 1 + side])
    return EmbeddingSet.from_arrays(
        image.astype(np.float32), data.samples, texts=[f"q{i}" for i in range(8)],
        text=(text + 0.4 * own.normal(size=text.shape)).astype(np.float32),
    )  # fmt: skip


def test_false_alarms_of_a_whole_ledger() -> None:
    """Both sides are the same queries with noise of one size, groups are noise: a bias that "changed" is a false alarm."""
    alarms, trials = 0, 40
    for seed in range(trials):
        first, second = (
            audit(
                noisy(seed, side),
                queries=[f"q{i}" for i in range(8)],
                by=["gender", "race", "gender:race"],
                k=60,
                bootstrap=0,
            )
            for side in (0, 1)
        )
        rows = compare(first, second, draws=150, seed=seed).ledger.to_pylist()
        alarms += any(row["gated"] and row["attribute"] and row["verdict"] in ("worse", "improved") for row in rows)
    assert alarms / trials <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / trials)


def test_the_interval_of_a_change_covers_the_mean_over_queries() -> None:
    """Score shifts drawn with mean zero over queries: the family's change of cosine bias is zero in expectation."""
    inside = total = 0
    for seed in range(25):
        first, second = (
            audit(
                noisy(seed, side),
                queries=[f"q{i}" for i in range(8)],
                by=["gender", "race"],
                k=60,
                bootstrap=0,
                metrics=["cosine_bias", "max_skew"],
            )
            for side in (0, 1)
        )
        for attribute in ("gender", "race"):
            for metric in ("cosine_bias", "max_skew@60"):
                row = one(
                    compare(first, second, draws=120, seed=seed).ledger, attribute=attribute, metric=metric, query=""
                )
                inside, total = inside + (row["change_low"] <= 0 <= row["change_high"]), total + 1
    assert inside / total >= 0.93
