"""Slips of people that must not look like a result."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from equipoise import EmbeddingSet, Vocabulary, Wring, audit, compare, gate, read_samples
from equipoise.errors import InputError

N = 400


def table(order: np.ndarray | None = None, **changes: list[str]) -> pa.Table:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, N)
    columns = {
        "id": [f"i{i:03d}" for i in range(N)],
        "y": [str(value) for value in label],
        "yhat": [str(value) for value in np.where(rng.random(N) < 0.8, label, 1 - label)],
        "score": [f"{value:.4f}" for value in rng.random(N)],
        "sex": [("f", "m")[value] for value in rng.integers(0, 2, N)],
        **changes,
    }
    found = pa.table(columns)
    return found if order is None else found.take(pa.array(order))


def read(found: pa.Table, *, id: str | None = "id", prediction: str = "yhat"):
    return read_samples(found, id=id, label="y", prediction=prediction, attributes=["sex"])


def test_scores_given_as_predictions_are_refused() -> None:
    with pytest.raises(InputError, match=r"No prediction is one of the labels.*--score"):
        audit(read(table(), prediction="score"), by="sex")


def test_labels_written_as_floats_have_a_positive_one() -> None:
    floats = {name: [f"{value}.0" for value in table()[name].to_pylist()] for name in ("y", "yhat")}
    assert audit(read(table(**floats)), by="sex").document.positive == "1.0"


def test_without_a_positive_label_the_note_names_the_labels_and_the_flag() -> None:
    words = {name: [f"class{value}" for value in table()[name].to_pylist()] for name in ("y", "yhat")}
    assert any(
        "class0, class1" in note and "--positive" in note
        for note in audit(read(table(**words)), by="sex").document.notes
    )


def test_the_order_of_lines_does_not_matter_to_compare() -> None:
    one, two = audit(read(table()), by="sex"), audit(read(table(np.arange(N)[::-1])), by="sex")
    assert one.document.vocabulary["sex"]["values"] != two.document.vocabulary["sex"]["values"]
    changes = compare(one, two).ledger["change"].to_pylist()
    assert set(changes) == {0.0}


def test_row_numbers_pair_only_within_one_table() -> None:
    numbered = audit(read(table(), id=None), by="sex")
    other = audit(read(table(yhat=table()["y"].to_pylist()), id=None), by="sex")
    with pytest.raises(InputError, match="known by their number"):
        compare(numbered, other)
    assert set(compare(numbered, audit(read(table(), id=None), by="sex")).ledger["change"].to_pylist()) == {0.0}


def space() -> EmbeddingSet:
    rng = np.random.default_rng(1)
    code = np.arange(N) % 2
    image = rng.normal(size=(N, 8)) + 2.0
    image[:, 0] += 2.0 * code
    texts = ["a photo of a nurse", "a photo of an engineer", "a photo of a B", "a photo of A"]
    vocabulary = Vocabulary.from_dict(
        {
            "race": {
                "values": ["A", "B"], "unknown": [""], "templates": ["a photo of {}"], "declared": True,
                "prompts": {"A": ["A"], "B": ["a B"]},
            }
        }
    )  # fmt: skip
    rows = pa.table({"id": [f"i{i:03d}" for i in range(N)], "race": [("A", "B")[value] for value in code]})
    samples = read_samples(rows, id="id", attributes=["race"], vocabulary=vocabulary)
    return EmbeddingSet.from_arrays(image, samples, texts=texts, text=rng.normal(size=(4, 8)) + 2.0)


def test_a_one_letter_group_is_not_found_in_an_article() -> None:
    found = audit(space(), queries=["a photo of a nurse", "a photo of an engineer"], by="race", bootstrap=100)
    assert {query.family for query in found.queries} == {"queries"}


def test_before_and_after_in_the_wrong_order() -> None:
    data = space()
    before = audit(data, queries=["a photo of a nurse", "a photo of an engineer"], by="race", bootstrap=100)
    after = audit(data, mitigation=Wring("race").fit(data), like=before)
    with pytest.raises(InputError, match="baseline first"):
        compare(after, before)


def test_a_damaged_output_of_the_same_run_is_written_again(tmp_path) -> None:
    found = audit(read(table()), by="sex")
    found.save(tmp_path / "audit")
    wanted = (tmp_path / "audit" / "estimates.parquet").read_bytes()
    (tmp_path / "audit" / "estimates.parquet").write_bytes(b"junk")
    (tmp_path / "audit" / "evidence" / "predictions.parquet").unlink()
    found.save(tmp_path / "audit")
    assert (tmp_path / "audit" / "estimates.parquet").read_bytes() == wanted
    assert type(found).load(tmp_path / "audit").estimates.equals(found.estimates)
    ledger = compare(found, found)
    ledger.save(tmp_path / "ledger")
    (tmp_path / "ledger" / "ledger.parquet").unlink()
    ledger.save(tmp_path / "ledger")
    assert type(ledger).load(tmp_path / "ledger").ledger.equals(ledger.ledger)


def test_documents_that_are_no_text_or_nest_too_deeply(tmp_path) -> None:
    found = audit(read(table()), by="sex")
    found.save(tmp_path / "audit")
    for content in (b"\xff", b"[" * 100_000):
        (tmp_path / "audit" / "audit.json").write_bytes(content)
        with pytest.raises(InputError, match="is not JSON"):
            type(found).load(tmp_path / "audit")


def test_groups_whose_names_would_collide_in_an_intersection() -> None:
    vocabulary = Vocabulary.from_dict(
        {
            name: {"values": values, "unknown": [""], "templates": ["{}"], "declared": True, "prompts": {}}
            for name, values in {"g": ["a", "a:b"], "h": ["b:c", "c"]}.items()
        }
    )
    with pytest.raises(InputError, match="would both be called 'a:b:c'"):
        vocabulary.groups("g:h")


def test_levels_that_differ() -> None:
    one, two = audit(read(table()), by="sex"), audit(read(table()), by="sex", level=0.9)
    with pytest.raises(InputError, match="'level' is 0.95 before and 0.9 after"):
        compare(one, two)


def test_a_policy_that_means_four_fifths() -> None:
    limit = {"metric": "impact_ratio", "protocol": "four_fifths", "attribute": "sex", "max_bias": 0.8}
    with pytest.raises(InputError, match="For four fifths give 0.2"):
        gate(audit(read(table()), by="sex"), {"limit": [limit]})


def test_overwrite_leaves_the_files_of_others_alone(tmp_path) -> None:
    mine = tmp_path / "evidence" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(InputError, match="which no run of ours wrote"):
        audit(read(table()), by="sex").save(tmp_path, overwrite=True)
    assert mine.read_text() == "mine"
