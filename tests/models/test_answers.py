"""What a model says, in the words of a table: against scipy's softmax and pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from equipoise.errors import InputError, UnknownNameError
from equipoise.models.answers import Wording, check_strangers

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(0, 3, (500, 4)).astype(np.float32)
LABELS = ("cat", "lynx", "dog", "wolf")


def test_each_label_by_its_own_name_is_the_largest_logit() -> None:
    said, score = Wording.of(LABELS).answers(LOGITS)
    assert (said == LOGITS.argmax(1)).all()
    assert score == pytest.approx(softmax(LOGITS.astype(np.float64), axis=1).max(1))


def test_probabilities_of_labels_that_become_one_are_added() -> None:
    wording = Wording.of(LABELS, {"cat": "feline", "lynx": "feline", "dog": "canine", "wolf": "canine"})
    frame = pd.DataFrame(softmax(LOGITS.astype(np.float64), axis=1), columns=["feline", "feline", "canine", "canine"])
    oracle = frame.T.groupby(level=0).sum().T
    said, score = wording.answers(LOGITS)
    assert [wording.called[k] for k in said] == oracle.idxmax(axis=1).tolist()
    assert score == pytest.approx(oracle.max(axis=1).to_numpy())
    assert wording.changed["wolf"] == "canine"
    some = LOGITS.argmax(1) != np.array([0, 0, 2, 2])[said]
    assert some.any(), "adding probabilities changes some answers, else this test shows nothing"


def test_the_score_is_that_of_the_positive_label_if_there_is_one() -> None:
    p = softmax(LOGITS.astype(np.float64), axis=1)
    wording = Wording.of(LABELS, {"cat": "pet", "dog": "pet"}, "pet")
    assert wording.answers(LOGITS)[1] == pytest.approx(p[:, 0] + p[:, 2])
    two = Wording.of(("no", "yes"))
    assert two.positive == "yes"
    assert two.answers(LOGITS[:, :2])[1] == pytest.approx(softmax(LOGITS[:, :2].astype(np.float64), axis=1)[:, 1])
    assert Wording.of(("Male", "Female")).positive is None
    assert Wording.of(("0", "1"), positive="0").positive == "0"


def test_ties_go_to_the_first_and_large_logits_do_not_overflow() -> None:
    said, score = Wording.of(("a", "b")).answers(np.array([[5.0, 5.0], [1e4, -1e4], [-3e38, 3e38]], np.float32))
    assert said.tolist() == [0, 0, 1]
    assert score.tolist() == [0.5, 1.0, 1.0]


def test_wrong_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"no label 'cta'.*Did you mean 'cat'"):
        Wording.of(LABELS, {"cta": "Cat"})
    with pytest.raises(UnknownNameError, match="cannot say the positive label 'Cat'"):
        Wording.of(LABELS, None, "Cat")
    with pytest.raises(InputError, match="All labels of the model would be called 'x'"):
        Wording.of(("a", "b"), {"a": "x", "b": "x"})
    with pytest.raises(InputError, match="called nothing"):
        Wording.of(LABELS, {"cat": ""})


def test_labels_that_the_model_cannot_say() -> None:
    wording = Wording.of(("male", "female"))
    with pytest.raises(InputError, match="can say none of the labels") as caught:
        check_strangers(wording, ["Male", "Female", "Male", ""])
    assert "--classes male=Male --classes female=Female" in caught.value.remedy
    assert check_strangers(wording, ["male", "x", "x", "z", ""]) == {"x": 2, "z": 1}
    assert check_strangers(wording, ["", ""]) == {}
