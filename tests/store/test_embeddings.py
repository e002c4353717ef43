"""EmbeddingSet in memory: alignment, set-aside rows, streaming, words, groups."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from equipoise.data.groups import Attribute, Vocabulary
from equipoise.data.samples import read_samples
from equipoise.errors import EmbeddingError, InputError, UnknownNameError, VocabularyError
from equipoise.store.embeddings import EmbeddingSet

N, D = 60, 5
RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((N, D))
IDS = RNG.permutation(N)
GENDER = RNG.choice(["Female", "Male", ""], N)
RACE = RNG.choice(["A", "B"], N)
SPLIT = np.where(np.arange(N) % 3, "train", "val")
VOCABULARY = Vocabulary(
    {
        "gender": Attribute(
            "gender",
            ("Female", "Male", "Other"),
            templates=("a {}", "the {}"),
            prompts={"Female": ("woman", "lady"), "Male": ("man",), "Other": ("one",)},
        ),
        "race": Attribute("race", ("A", "B")),
    }
)
TEXTS = ["a woman", "a lady", "the woman", "the lady", "a man", "the man", "a one", "the one", "a nurse"]
TEXT = RNG.standard_normal((len(TEXTS), D)) * 7


def samples(**options):
    table = {"k": IDS, "gender": GENDER, "race": RACE, "part": SPLIT}
    return read_samples(table, id="k", attributes=["gender", "race"], split="part", vocabulary=VOCABULARY, **options)


def embeddings(image=IMAGE, **options):
    return EmbeddingSet.from_arrays(image, samples(**options), texts=TEXTS, text=TEXT)


def normalised(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_vectors_belong_to_their_rows():
    found = embeddings()
    assert len(found) == N
    assert found.dim == D
    assert found.samples.ids == sorted(map(str, IDS))
    place = {str(key): row for row, key in enumerate(IDS)}
    expected = normalised(IMAGE)[[place[key] for key in found.samples.ids]]
    vectors = found.vectors()
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-7)


@given(st.integers(1, 2 * N))
def test_blocks_are_the_whole_in_pieces(size):
    found = embeddings()
    blocks = list(found.blocks(size))
    assert [start for start, _ in blocks] == list(range(0, N, size))
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), found.vectors())


def test_a_block_of_nothing():
    with pytest.raises(InputError, match="holds nothing"):
        next(embeddings().blocks(0))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_dtypes_and_orders(kind, order):
    found = embeddings(np.asarray(IMAGE, kind, order=order)).vectors()
    np.testing.assert_allclose(found, embeddings().vectors(), atol=2e-3 if kind == "float16" else 1e-6)


def test_scale_of_rows_does_not_matter():
    scaled = IMAGE * np.exp(RNG.standard_normal((N, 1)) * 5)
    np.testing.assert_allclose(embeddings(scaled).vectors(), embeddings().vectors(), atol=1e-6)


def test_rows_without_direction_are_set_aside_with_reason_and_row():
    image = IMAGE.copy()
    image[3] = 0
    image[7, 2] = np.nan
    image[9, 0] = -np.inf
    found = embeddings(image)
    assert found.set_aside == {"embedding: not finite": 2, "embedding: zero length": 1}
    assert (found.rows_in, len(found)) == (N, N - 3)
    assert np.isfinite(found.vectors()).all()
    table = found.quarantine().to_pydict()
    assert dict(zip(table["row"], table["reason"], strict=True)) == {
        4: "embedding: zero length",
        8: "embedding: not finite",
        10: "embedding: not finite",
    }
    assert set(table["row_id"]) == {str(IDS[3]), str(IDS[7]), str(IDS[9])}
    split = {name: found.rows(split=name) for name in ("train", "val")}
    assert sum(part.rows_in for part in split.values()) == N
    assert split["val"].set_aside == {"embedding: not finite": 1, "embedding: zero length": 1}


def test_no_row_left():
    with pytest.raises(EmbeddingError, match="No row can be used: 60 embedding: zero length"):
        embeddings(np.zeros((N, D)))


def test_rows_keep_vectors_and_words():
    found = embeddings()
    val = found.rows(split="val")
    keep = np.array(found.samples.column("split")) == "val"
    np.testing.assert_array_equal(val.vectors(), found.vectors()[keep])
    assert val.samples.ids == [key for key, kept in zip(found.samples.ids, keep, strict=True) if kept]
    np.testing.assert_array_equal(val.text(["a nurse"]), found.text(["a nurse"]))
    assert val.vocabulary == found.vocabulary
    with pytest.raises(InputError, match="No row has split=test"):
        found.rows(split="test")


def test_samples_that_were_filtered_when_read():
    part = embeddings(where={"part": "val"})
    np.testing.assert_array_equal(part.vectors(), embeddings().rows(split="val").vectors())


def test_text():
    found = embeddings()
    np.testing.assert_allclose(found.text(["a nurse", "a man"]), normalised(TEXT[[8, 4]]), atol=1e-7)
    assert found.texts == tuple(TEXTS)
    with pytest.raises(InputError, match="no vector for 1 of the texts: 'a nurs'.*Did you mean 'a nurse'"):
        found.text(["a nurs"])
    with pytest.raises(InputError, match="Pass \\[text\\]"):
        found.text("a nurse")
    silent = EmbeddingSet.from_arrays(IMAGE, samples())
    assert silent.texts == ()
    with pytest.raises(InputError, match="have no text vectors"):
        silent.text(["a nurse"])


def test_group_text_vectors_are_means_of_unit_vectors():
    found = embeddings().group_text_vectors("gender")
    unit = normalised(TEXT)
    expected = normalised(np.stack([unit[:4].mean(0), unit[4:6].mean(0), unit[6:8].mean(0)]))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_group_text_vectors_need_words():
    with pytest.raises(VocabularyError, match="'race' has no prompts for A"):
        embeddings().group_text_vectors("race")
    with pytest.raises(UnknownNameError):
        embeddings().group_text_vectors("age")


def test_prompts_that_cancel_out():
    words = Vocabulary({"race": Attribute("race", ("A", "B"), prompts={"A": ("x", "y"), "B": ("z",)})})
    found = EmbeddingSet.from_arrays(
        IMAGE, samples(), texts=["x", "y", "z"], text=np.array([[1.0] * D, [-1.0] * D, [1.0] * D]), vocabulary=words
    )
    with pytest.raises(EmbeddingError, match="prompts of 'A' cancel out"):
        found.group_text_vectors("race")


@pytest.mark.parametrize("key", ["gender", "race", "gender:race"])
def test_group_means_match_a_plain_loop(key):
    found = embeddings()
    means, counts = found.group_means(key)
    vectors, codes = found.vectors().astype("f8"), found.samples.codes(key)
    groups = found.vocabulary.groups(key)
    assert means.dtype == np.float64
    assert counts.dtype == np.int64
    assert counts.tolist() == [int((codes == group).sum()) for group in range(len(groups))]
    for group in range(len(groups)):
        mine = vectors[codes == group]
        np.testing.assert_allclose(means[group], mine.mean(0) if len(mine) else np.full(D, np.nan), atol=1e-12)
    assert counts.sum() == (codes >= 0).sum()


def test_widths_that_differ():
    with pytest.raises(
        EmbeddingError, match="Image embeddings have 5 columns, text embeddings 4: they do not share a space."
    ):
        EmbeddingSet.from_arrays(IMAGE, samples(), texts=["a"], text=np.ones((1, 4)))


@pytest.mark.parametrize(
    ("image", "options", "said"),
    [
        (IMAGE[:-1], {}, "has 59 rows, the table 60"),
        (IMAGE[0], {}, "has the shape"),
        (np.ones((N, D), int), {}, "holds int64"),
        (IMAGE, {"texts": ["a"]}, "come together"),
        (IMAGE, {"texts": ["a"], "text": np.ones((2, D))}, "have 2 vectors and 1 texts"),
    ],
)
def test_arrays_that_do_not_fit(image, options, said):
    with pytest.raises(EmbeddingError, match=said):
        EmbeddingSet.from_arrays(image, samples(), **options)


@pytest.mark.parametrize("width", [1, 200])
def test_one_dimension_and_more_dimensions_than_rows(width):
    image = np.random.default_rng(1).standard_normal((N, width))
    found = EmbeddingSet.from_arrays(image, samples())
    np.testing.assert_allclose(np.linalg.norm(found.vectors(), axis=1), 1, atol=1e-6)


def test_all_rows_equal():
    found = embeddings(np.ones((N, D)))
    assert len(np.unique(found.vectors(), axis=0)) == 1


def test_inputs_are_not_changed():
    image, text = IMAGE.copy(), TEXT.copy()
    image.flags.writeable = text.flags.writeable = False
    found = EmbeddingSet.from_arrays(image, samples(), texts=TEXTS, text=text)
    found.vectors()
    found.group_text_vectors("gender")
    np.testing.assert_array_equal(image, IMAGE)


def test_the_order_of_lines_does_not_matter():
    order = RNG.permutation(N)
    table = {"k": IDS[order], "gender": GENDER[order], "race": RACE[order], "part": SPLIT[order]}
    shuffled = read_samples(table, id="k", attributes=["gender", "race"], split="part", vocabulary=VOCABULARY)
    found = EmbeddingSet.from_arrays(IMAGE[order], shuffled, texts=TEXTS, text=TEXT)
    np.testing.assert_array_equal(found.vectors(), embeddings().vectors())
    np.testing.assert_array_equal(found.group_means("gender:race")[0], embeddings().group_means("gender:race")[0])
