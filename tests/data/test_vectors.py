"""Arrays of vectors: opened under checks, read by row, normalised."""

import numpy as np
import pytest

from equipoise.data.vectors import TextVectors, Vectors, open_npy, unit, unusable
from equipoise.errors import EmbeddingError, InputError, MissingFileError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_float_and_order(tmp_path, kind, order):
    array = np.asarray(RNG.standard_normal((30, 5)), kind, order=order)
    np.save(tmp_path / "a.npy", array)
    found = open_npy(tmp_path / "a.npy")
    assert isinstance(found, np.memmap)
    assert not found.flags.writeable
    vectors = Vectors([found], ["a"])
    rows = np.array([7, 3, 29, 0])
    np.testing.assert_array_equal(vectors.take(rows), array[rows])
    np.testing.assert_array_equal(vectors.take(np.arange(4, 9)), array[4:9])
    np.testing.assert_allclose(vectors.lengths(), np.linalg.norm(array.astype("f8"), axis=1), rtol=1e-12)


def test_unit_matches_numpy_whatever_the_scale():
    rows = RNG.standard_normal((3000, 7)).astype(np.float32)
    rows[1] *= 1e30
    rows[2] *= 1e-30
    found, lengths = unit(rows)
    exact = rows.astype("f8") / np.linalg.norm(rows.astype("f8"), axis=1, keepdims=True)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, atol=1e-7)
    np.testing.assert_allclose(lengths, np.linalg.norm(rows.astype("f8"), axis=1))


def test_rows_without_direction():
    rows = RNG.standard_normal((6, 3))
    rows[1], rows[2, 0], rows[4, 1] = 0, np.nan, np.inf
    found, lengths = unit(rows)
    assert {reason: bad.tolist() for reason, bad in unusable(lengths).items()} == {
        "not finite": [2, 4],
        "zero length": [1],
    }
    assert np.isnan(found[[2, 4]]).all()
    assert not found[1].any()
    assert unusable(Vectors([rows], ["rows"]).lengths())["zero length"].tolist() == [1]


def test_several_files_are_one_array():
    parts = [RNG.standard_normal((n, 4)).astype(kind) for n, kind in ((3, "f4"), (5, "f8"), (2, "f2"))]
    whole = np.concatenate(parts)
    vectors = Vectors(parts, ["a", "b", "c"])
    rows = RNG.permutation(10)
    np.testing.assert_array_equal(vectors.take(rows), whole[rows])
    np.testing.assert_allclose(vectors.lengths(), np.linalg.norm(whole, axis=1))
    assert len(vectors) == 10


def test_widths_must_agree():
    with pytest.raises(EmbeddingError, match="b has 3 columns and a 4"):
        Vectors([np.zeros((1, 4)), np.zeros((1, 3))], ["a", "b"])


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros(3), r"has the shape \(3,\)"),
        (np.zeros((2, 2, 2)), "has the shape"),
        (np.zeros((2, 0)), "has the shape"),
        (np.zeros((2, 2), int), "holds int64, not float"),
        (np.zeros((2, 2), complex), "holds complex128"),
        (np.zeros((2, 2), bool), "holds bool"),
    ],
)
def test_arrays_that_are_no_embeddings(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(EmbeddingError, match=said):
        open_npy(tmp_path / "a.npy")


def test_texts_are_looked_up_by_the_exact_string():
    vectors = RNG.standard_normal((3, 4))
    texts = TextVectors(["a doctor", "A doctor", "{x} \u202eשלום 👩‍⚕️"], vectors, "The texts")
    np.testing.assert_allclose(texts(["A doctor", "A doctor"])[0], vectors[1] / np.linalg.norm(vectors[1]), atol=1e-7)
    assert texts(["{x} \u202eשלום 👩‍⚕️"]).shape == (1, 4)
    assert texts([]).shape == (0, 4)
    with pytest.raises(
        InputError, match=r"no vector for 2 of the texts: 'a docto', 'x'.* Did you mean 'a doctor'"
    ) as caught:
        texts(["a docto", "a doctor", "x", "a docto"])
    assert caught.value.value == ["a docto", "x"]


def test_many_missing_texts_are_bounded():
    texts = TextVectors(["a"], np.ones((1, 2)), "The texts")
    with pytest.raises(InputError, match="and 900 more") as caught:
        texts([f"text {i}" for i in range(1000)])
    assert len(caught.value.value) == 1000
    assert len(str(caught.value)) < 2000


def test_a_text_twice():
    same = np.array([[1.0, 2], [3, 4], [1, 2]])
    np.testing.assert_allclose(TextVectors(["a", "b", "a"], same, "T")(["a"]), same[:1] / 5**0.5, atol=1e-7)
    with pytest.raises(EmbeddingError, match=r"'a' occurs twice \(rows 1 and 3\) with different vectors"):
        TextVectors(["a", "b", "a"], same + np.array([[0], [0], [1]]), "T")


def test_texts_without_direction_are_refused_only_when_asked_for():
    texts = TextVectors(["a", "b", "c"], np.array([[1.0, 0], [0, 0], [np.nan, 1]]), "T")
    assert texts(["a"]).tolist() == [[1, 0]]
    with pytest.raises(EmbeddingError, match="the vector of 'b' is zero length"):
        texts(["a", "b"])
    with pytest.raises(EmbeddingError, match="the vector of 'c' is not finite"):
        texts(["c"])


def test_texts_and_vectors_of_unequal_number():
    with pytest.raises(EmbeddingError, match="have 2 vectors and 1 texts"):
        TextVectors(["a"], np.ones((2, 2)), "T")


def test_pickled_and_broken_npy(tmp_path):
    np.save(tmp_path / "object.npy", np.array([[object()]]), allow_pickle=True)
    np.savez(tmp_path / "zip.npz", a=np.ones((1, 1)))
    (tmp_path / "zip.npz").rename(tmp_path / "zip.npy")
    np.save(tmp_path / "cut.npy", np.ones((100, 10)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:500])
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("not an array")
    for name in ("object", "zip", "cut", "empty", "text"):
        with pytest.raises(EmbeddingError, match=f"{name}.npy"):
            open_npy(tmp_path / f"{name}.npy")
    with pytest.raises(MissingFileError):
        open_npy(tmp_path / "absent.npy")


def test_pages_that_were_let_go_are_read_again(tmp_path):
    array = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    vectors = Vectors([open_npy(tmp_path / "a.npy")], ["a"])
    first = vectors.take(np.arange(100, 2000))
    lengths = vectors.lengths()
    assert np.array_equal(first, array[100:2000])
    assert np.array_equal(vectors.take(np.array([4999, 3, 70])), array[[4999, 3, 70]])
    assert np.allclose(lengths, np.linalg.norm(array.astype(np.float64), axis=1))
    assert np.array_equal(vectors.lengths(), lengths)
