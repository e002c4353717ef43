"""One block: the same rows give the same bytes, whoever reads them; memory that runs out halves the batch."""

import numpy as np
import pytest
from patches import SMALL, Patches, write_images

from equipoise.data.image_policy import ImagePolicy
from equipoise.errors import EmbeddingError
from equipoise.pictures import Picture, Reader, Row, run_block
from equipoise.pictures.block import out_of_memory
from equipoise.pictures.encoding import directions, encoder_work


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    write_images(folder, 20)
    (folder / "p0004.png").write_bytes(b"junk")
    return folder


ROWS = [Row(f"r{i}", f"p{i:04d}.png") for i in range(20)]


def run(folder, encode, batch_size=8, workers=2, rows=ROWS, **options):
    with Reader(folder, ImagePolicy(), SMALL.picture, workers=workers, ahead=16) as reader:
        return run_block(rows, encode, reader.read, batch_size, width=32, **options)


def plain(pictures, names):
    return Patches().encode_image(np.stack(pictures))


def test_batches_are_the_next_usable_pictures(folder):
    sizes, told = [], []

    def encode(pictures, names):
        sizes.append(names)
        return plain(pictures, names)

    block = run(folder, encode, tick=told.append)
    usable = [row.row_id for row in ROWS if row.row_id != "r4"]
    assert [name for names in sizes for name in names] == [repr(name) for name in usable]
    assert [len(names) for names in sizes] == [8, 8, 3]
    assert sum(told) == 20
    assert (block.vectors.shape, block.vectors.dtype, block.batch_size) == ((19, 32), np.float32, 8)
    assert block.record["reason"].to_pylist() == ["not an image" if i == 4 else "" for i in range(20)]


def test_threads_change_nothing(folder):
    one, three = run(folder, plain, workers=1), run(folder, plain, workers=3)
    assert one.vectors.tobytes() == three.vectors.tobytes()
    assert one.record == three.record


def test_vectors_that_cannot_be_used_set_their_rows_aside(folder):
    def encode(pictures, names):
        vectors = plain(pictures, names)
        vectors[[name in ("'r0'", "'r9'") for name in names]] = 0
        return vectors

    block = run(folder, encode, judge=directions)
    reasons = dict(zip([row.row_id for row in ROWS], block.record["reason"].to_pylist(), strict=True))
    assert {key: reason for key, reason in reasons.items() if reason} == {
        "r0": "embedding: zero length", "r4": "not an image", "r9": "embedding: zero length",
    }  # fmt: skip
    assert len(block.vectors) == 17
    assert len(run(folder, encode).vectors) == 19  # logits of zero are logits


class Limited:
    """Holds at most so many pictures, as an accelerator does."""

    def __init__(self, most, error):
        self.most, self.error, self.sizes = most, error, []

    def __call__(self, pictures, names):
        self.sizes.append(len(pictures))
        if len(pictures) > self.most:
            raise self.error
        return plain(pictures, names)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")])
def test_memory_that_runs_out_halves_the_batch_and_is_recorded(folder, error):
    limited = Limited(3, error)
    block = run(folder, limited)
    assert limited.sizes == [8, 4, 2, 2, 2, 2, *([2] * 5), 1]
    assert block.batch_size == 2
    np.testing.assert_array_equal(block.vectors, run(folder, plain).vectors)


def test_no_memory_for_one_picture(folder):
    with pytest.raises(EmbeddingError, match=r"not enough memory for one picture \('r0'\)"):
        run(folder, Limited(0, MemoryError()))


def test_other_errors_of_a_model_stay_what_they_are(folder):
    with pytest.raises(ValueError, match="shape"):
        run(folder, Limited(3, ValueError("shape")))
    assert not out_of_memory(ValueError("shape"))


def test_what_a_model_answers_is_checked_and_named(folder):
    class Broken(Patches):
        def encode_image(self, images):
            out = super().encode_image(images)
            return change(out)

    def nan(x):
        x[2, 1] = np.nan
        return x

    for change, said in (
        (nan, r"'broken' returned NaN or infinity for 1 of 8 pictures: 'r2'"),
        (lambda x: x[:, :3], r"'broken' returned the shape \(8, 3\) for 8 pictures of 32 columns"),
        (lambda x: x[:-1], r"returned the shape \(7, 32\) for 8 pictures"),
        (lambda x: x.astype(int), r"returned int64 for 8 pictures"),
    ):
        with pytest.raises(EmbeddingError, match=said):
            run(folder, encoder_work(Broken(name="broken"), "x").encode)


def test_an_encoder_without_preprocessing_gets_pictures(folder):
    class Looks:
        name, dim, fingerprint = "looks", 2, {}

        def encode_text(self, texts):
            return np.ones((len(texts), 2), np.float32)

        def encode_image(self, images):
            assert all(image.mode == "RGB" for image in images)
            return np.array([image.size for image in images], np.float32)

    work = encoder_work(Looks(), "looks")
    with Reader(folder, ImagePolicy(), work.prepare, workers=1, ahead=4) as reader:
        block = run_block(ROWS[:3], work.encode, reader.read, 2, width=2)
    assert block.vectors.tolist() == [[20, 18], [21, 19], [22, 20]]


def test_a_reader_that_loses_a_row_is_an_error_of_ours():
    with pytest.raises(RuntimeError, match="2 rows went into a block and 1 came out"):
        run_block(ROWS[:2], plain, lambda rows: [Picture(rows[0], reason="x")], 2, width=32)
