"""Rows as keys, against loops."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from equipoise.data.cell_table import unpacked
from equipoise.data.layout import Layout, Variable
from equipoise.data.layout_of import layout_of
from equipoise.data.packing import checked_utility, numbers_of, pack, text_of
from equipoise.errors import InputError, MissingColumnError, VocabularyError

RNG = np.random.default_rng(0)
N = 300


def random_table():
    return pa.table(
        {
            "gender": pa.array(RNG.choice(["man", "woman", "both", "", "x"], N).tolist()),
            "y": pa.array([[True, False, None][v] for v in RNG.integers(0, 3, N)]),
            "tags": pa.array([RNG.choice(["sea", "sky", "cat", "new"], k, replace=True).tolist() if k < 4 else None
                              for k in RNG.integers(0, 5, N)]),
            "u": RNG.choice([0.1, 0.5, 0.9], N),
        }
    )  # fmt: skip


LAYOUT = Layout(
    (
        Variable("gender", "attribute", "values", ("man", "woman", "both"), ("man", "woman"), ("", "unknown")),
        Variable("y", "label", "flag"),
        Variable("tags", "label", "tags", ("sea", "sky", "cat")),
    ),
    "u", (0.0, 0.5, 1.0),
)  # fmt: skip


def by_hand(row):
    bits = {bit.name: False for bit in LAYOUT.names}
    if row["gender"] in ("man", "woman"):
        bits[f"gender={row['gender']}"] = True
    if row["y"]:
        bits["y"] = True
    for tag in row["tags"] or ():
        if f"tags={tag}" in bits:
            bits[f"tags={tag}"] = True
    number = int(np.argmin([abs(row["u"] - b) for b in LAYOUT.utility_bins]))
    for place in range(4):
        bits[f"u#{place}"] = bool(number >> place & 1)
    reason = ""
    for name, missing, outside in (
        ("gender", row["gender"] in (None, "", "unknown"), row["gender"] == "x"),
        ("y", row["y"] is None, False), ("tags", row["tags"] is None, False),
    ):  # fmt: skip
        if not reason and missing:
            reason = f"{name} is unknown"
        if not reason and outside:
            reason = f"{name} is outside its vocabulary"
    return list(bits.values()), reason


def test_keys_and_statuses_against_a_loop():
    table = random_table()
    keys, status = pack(table, LAYOUT)
    for row, bits, code in zip(table.to_pylist(), unpacked(keys, LAYOUT), status, strict=True):
        wanted, reason = by_hand(row)
        assert LAYOUT.reasons[code] == reason
        assert bits.tolist() == wanted
    neutral, none = pack(table, LAYOUT, unknown="neutral")
    assert np.array_equal(neutral, keys)
    assert not none.any()


def test_chunks_batches_dictionaries_and_large_types_pack_alike():
    table = random_table()
    keys, status = pack(table, LAYOUT)
    chunked = pa.concat_tables([table.slice(0, 10), table.slice(10, 0), table.slice(10)])
    encoded = table.set_column(0, "gender", table["gender"].dictionary_encode())
    wide = table.set_column(0, "gender", table["gender"].cast(pa.large_string()))
    wide = wide.set_column(2, "tags", wide["tags"].cast(pa.large_list(pa.large_string())))
    sliced = table.slice(50, 100)
    for other in (chunked, encoded, wide, pa.concat_tables([table])):
        found = pack(other, LAYOUT)
        assert np.array_equal(found[0], keys)
        assert np.array_equal(found[1], status)
    assert np.array_equal(pack(sliced, LAYOUT)[0], keys[50:150])
    assert np.array_equal(pack(sliced.combine_chunks().to_batches()[0], LAYOUT)[0], keys[50:150])
    assert len(pack(table.slice(0, 0), LAYOUT)[0]) == 0


@pytest.mark.parametrize("bits", [64, 65, 130])
def test_keys_of_several_words(bits):
    y = RNG.random((50, bits - 2)) < 0.3
    table = pa.table({"g": ["a", "b"] * 25, **{f"y{r:03d}": y[:, r] for r in range(bits - 2)}})
    layout = layout_of(table, "g", [f"y{r:03d}" for r in range(bits - 2)])
    keys, _ = pack(table, layout)
    assert keys.shape == ((50,) if bits == 64 else (50, -(-bits // 64)))
    found = unpacked(keys, layout)
    assert np.array_equal(found[:, :-2], y)
    assert np.array_equal(found[:, -2], np.arange(50) % 2 == 0)


def test_text_of_any_script():
    values = ["نساء", "女性", "👩🏽‍🔬", "é", "e\u0301", "a" * 1_000_000]
    table = pa.table({"g": values})
    layout = layout_of(table, "g")
    assert len(layout.variables[0].values) == 6  # é written in two ways stays two values: no text is changed
    assert unpacked(pack(table, layout)[0], layout).sum() == 6


def test_refusals():
    table = random_table()
    with pytest.raises(InputError, match="unknown is 'skip'"):
        pack(table, LAYOUT, unknown="skip")
    with pytest.raises(VocabularyError, match=r"'gender' is missing or undeclared in \d+ rows: .*'x'"):
        pack(table, LAYOUT, unknown="error")
    with pytest.raises(MissingColumnError, match="no column 'tags'"):
        pack(table.drop_columns(["tags"]), LAYOUT)
    with pytest.raises(InputError, match="'tags' holds string, not lists"):
        pack(table.set_column(2, "tags", table["gender"]), LAYOUT)
    with pytest.raises(InputError, match="'y' holds string, not numbers"):
        pack(table.set_column(1, "y", table["gender"]), LAYOUT)
    with pytest.raises(InputError, match="'y' holds 0.5, a score"):
        pack(table.set_column(1, "y", pa.array([0.5] * N)), LAYOUT)
    with pytest.raises(InputError, match="'s' is a score"):
        pack(pa.table({"s": [0.5]}), layout_of(pa.table({"s": [0.5]}), "s"))
    with pytest.raises(InputError, match="'g' holds float"):
        text_of(pa.array([0.5], pa.float32()), "g")


def test_small_conversions():
    assert text_of(pa.array([True, False, None]), "g").to_pylist() == ["True", "False", None]
    assert text_of(pa.array([3, None], pa.int8()), "g").to_pylist() == ["3", None]
    assert numbers_of(pa.array([True, None]), "g").tolist()[0] == 1.0
    assert np.isnan(numbers_of(pa.array([None], pa.float32()), "g")).all()
    assert checked_utility(pa.array([0, 2]), "u").tolist() == [0.0, 2.0]
    with pytest.raises(InputError, match="inf in row 2"):
        checked_utility(pa.array([0, float("inf")]), "u")
