"""Two layouts of folders of embeddings."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from equipoise.data.precomputed_folder import read_folder
from equipoise.errors import EmbeddingError, InputError, MissingColumnError, MissingFileError

RNG = np.random.default_rng(0)


@pytest.fixture
def plain(tmp_path):
    np.save(tmp_path / "image.npy", RNG.standard_normal((3, 4)))
    pq.write_table(pa.table({"id": [3, 1, 2]}), tmp_path / "rows.parquet")
    np.save(tmp_path / "text.npy", RNG.standard_normal((2, 4)))
    (tmp_path / "texts.csv").write_text('text\n"a, b"\nNA\n')
    return tmp_path


@pytest.fixture
def clip_retrieval(tmp_path):
    for folder in ("img_emb", "text_emb", "metadata"):
        (tmp_path / folder).mkdir()
    start = 0
    for number, rows in ((0, 2), (2, 1), (10, 3)):
        np.save(tmp_path / f"img_emb/img_emb_{number}.npy", np.full((rows, 2), number, "f2"))
        np.save(tmp_path / f"text_emb/text_emb_{number}.npy", np.full((rows, 2), -number - 1, "f2"))
        names = [f"{i}.jpg" for i in range(start, start + rows)]
        table = {"image_path": names, "caption": [f"caption of {name}" for name in names]}
        pq.write_table(pa.table(table), tmp_path / f"metadata/metadata_{number}.parquet")
        start += rows
    return tmp_path


def test_plain_layout(plain):
    folder = read_folder(plain)
    vectors = folder.images.open()
    assert folder.images.ids(vectors).to_pylist() == ["3", "1", "2"]
    assert folder.texts.texts(folder.texts.open()) == ["a, b", "NA"]
    assert folder.card is None


def test_clip_retrieval_layout_in_numeric_order(clip_retrieval):
    folder = read_folder(clip_retrieval)
    vectors = folder.images.open()
    assert vectors.take(np.arange(6))[:, 0].tolist() == [0, 0, 2, 10, 10, 10]
    assert folder.images.ids(vectors).to_pylist() == [f"{i}.jpg" for i in range(6)]
    assert folder.texts.texts(folder.texts.open())[3] == "caption of 3.jpg"


def test_texts_may_be_added_to_clip_retrieval(clip_retrieval):
    np.save(clip_retrieval / "text.npy", np.ones((1, 2)))
    (clip_retrieval / "texts.csv").write_text("text\na nurse\n")
    texts = read_folder(clip_retrieval).texts
    assert texts.texts(texts.open())[-1] == "a nurse"


@pytest.mark.parametrize("missing", ["rows.parquet", "texts.csv", "text.npy", "image.npy"])
def test_one_of_a_pair_is_missing(plain, missing):
    (plain / missing).unlink()
    with pytest.raises(MissingFileError, match=missing):
        read_folder(plain)


def test_clip_retrieval_without_a_counterpart(clip_retrieval):
    (clip_retrieval / "metadata/metadata_2.parquet").unlink()
    with pytest.raises(MissingFileError, match=r"img_emb_2.npy' has no counterpart"):
        read_folder(clip_retrieval)


def test_no_folder(tmp_path):
    with pytest.raises(MissingFileError, match="There is no folder"):
        read_folder(tmp_path / "absent")


def test_rows_that_do_not_fit(plain):
    pq.write_table(pa.table({"id": [1, 2]}), plain / "rows.parquet")
    images = read_folder(plain).images
    with pytest.raises(EmbeddingError, match="'image.npy' has 3 rows and 'rows.parquet' 2"):
        images.ids(images.open())
    (plain / "texts.csv").write_text("text\na\nb\nc\n")
    texts = read_folder(plain).texts
    with pytest.raises(EmbeddingError, match="'text.npy' has 2 rows and 'texts.csv' 3"):
        texts.texts(texts.open())


def test_ids_are_needed_once_each(plain):
    pq.write_table(pa.table({"id": ["a", "b", "a"]}), plain / "rows.parquet")
    images = read_folder(plain).images
    with pytest.raises(InputError, match=r"'a' \(rows 1, 3\)"):
        images.ids(images.open())
    pq.write_table(pa.table({"key": ["a", "b", "c"]}), plain / "rows.parquet")
    with pytest.raises(MissingColumnError, match="no column 'id'"):
        images.ids(images.open())


def test_metadata_that_identifies_nothing(clip_retrieval):
    for number, rows in ((0, 2), (2, 1), (10, 3)):
        pq.write_table(pa.table({"x": [1] * rows}), clip_retrieval / f"metadata/metadata_{number}.parquet")
    with pytest.raises(InputError, match="no column that identifies an image"):
        read_folder(clip_retrieval)
