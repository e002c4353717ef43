"""Reading ahead: in order, bounded, with a reason for what is bad, and never waiting for what hangs."""

import hashlib
import os
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from patches import SMALL, write_images
from PIL import Image

from equipoise.data.image_policy import ImagePolicy
from equipoise.errors import InputError
from equipoise.pictures import reading
from equipoise.pictures.reading import STUCK, TIMED_OUT, Reader, Row, rows_of

POLICY = ImagePolicy()


def read(root, names, prepare=SMALL.picture, policy=POLICY, workers=2, ahead=8):
    with Reader(root, policy, prepare, workers=workers, ahead=ahead) as reader:
        return list(reader.read(Row(name, name) for name in names))


def test_pictures_come_in_order_with_the_checksum_of_their_bytes(tmp_path):
    names = write_images(tmp_path, 30)
    order = [names[i] for i in np.random.default_rng(0).permutation(30)]
    for workers in (1, 3):
        found = read(tmp_path, order, workers=workers)
        assert [picture.row.row_id for picture in found] == order
        for picture in found:
            path = tmp_path / picture.row.image
            content = path.read_bytes()
            assert picture.sha256 == hashlib.sha256(content).hexdigest()
            assert (picture.size, picture.mtime_ns) == (len(content), path.stat().st_mtime_ns)
            assert (picture.content == SMALL.picture(Image.open(path))).all()


def test_without_decoding_only_checksums_are_taken(tmp_path):
    (tmp_path / "x").write_bytes(b"no picture at all")
    (found,) = read(tmp_path, ["x"], prepare=None)
    assert (found.content, found.reason) == (None, "")
    assert found.sha256 == hashlib.sha256(b"no picture at all").hexdigest()


def test_bad_pictures_have_a_reason(tmp_path):
    write_images(tmp_path, 1)
    (tmp_path / "text.jpg").write_text("<html>")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "cut.png").write_bytes((tmp_path / "p0000.png").read_bytes()[:-300])
    (tmp_path / "dangling.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.png")
    names = [
        "p0000.png",
        "",
        "text.jpg",
        "empty.png",
        "folder.png",
        "cut.png",
        "dangling.png",
        "pipe.png",
        "gone.png",
        "a\0b",
    ]
    began = time.monotonic()
    found = read(tmp_path, names)
    assert time.monotonic() - began < 5
    assert [picture.reason for picture in found] == [
        "", "no image path", "not an image", "empty file", "a folder", "truncated", "dangling link", "not a regular file",
        "missing", "impossible name",
    ]  # fmt: skip
    assert [bool(picture.sha256) for picture in found] == [
        name in ("p0000.png", "text.jpg", "cut.png") for name in names
    ]


def test_absolute_paths_and_a_table_without_a_folder(tmp_path, monkeypatch):
    write_images(tmp_path, 1)
    monkeypatch.chdir(tmp_path)
    found = read(None, [str(tmp_path / "p0000.png"), "p0000.png"]) + read(tmp_path / "x", [str(tmp_path / "p0000.png")])
    assert {picture.reason for picture in found} == {""}


def test_no_more_is_read_than_may_wait(tmp_path):
    names = write_images(tmp_path, 40)
    begun = []

    def prepare(image):
        begun.append(1)
        return SMALL.picture(image)

    with Reader(tmp_path, POLICY, prepare, workers=2, ahead=6) as reader:
        pictures = reader.read(Row(name, name) for name in names)
        next(pictures)
        time.sleep(0.3)
        assert len(begun) <= 7


def test_large_pictures_wait_by_their_bytes(tmp_path, monkeypatch):
    names = write_images(tmp_path, 30)
    monkeypatch.setattr(reading, "HELD", 3 * 16 * 16 * 3)
    begun = []

    def prepare(image):
        begun.append(1)
        return SMALL.picture(image)

    with Reader(tmp_path, POLICY, prepare, workers=2, ahead=30) as reader:
        pictures = reader.read(Row(name, name) for name in names)
        order = [next(pictures).row.row_id]
        time.sleep(0.3)
        assert len(begun) <= 1 + 3 + 2
        order += [picture.row.row_id for picture in pictures]
    assert order == names


@pytest.fixture
def hanging(monkeypatch):
    """Reading a name that begins with ``stuck`` hangs until the test is over."""
    release, real = threading.Event(), reading.read_image_bytes

    def hang(path, policy):
        if os.path.basename(path).startswith("stuck"):
            release.wait(30)
        return real(path, policy)

    monkeypatch.setattr(reading, "read_image_bytes", hang)
    yield
    release.set()


def test_what_hangs_is_set_aside_and_the_rest_goes_on(tmp_path, hanging):
    names = write_images(tmp_path, 12)
    for i in (0, 1, 5, 9):
        (tmp_path / names[i]).rename(tmp_path / f"stuck{i}.png")
        names[i] = f"stuck{i}.png"
    began = time.monotonic()
    found = read(tmp_path, names, policy=ImagePolicy(timeout=0.2), workers=2)
    assert time.monotonic() - began < 5
    assert [picture.row.row_id for picture in found] == names
    assert [picture.reason for picture in found] == [TIMED_OUT if name.startswith("stuck") else "" for name in names]
    assert all(picture.size > 0 for picture in found)


def test_a_disk_that_does_not_answer_is_no_bad_picture(tmp_path, hanging):
    names = [f"stuck{i}.png" for i in range(3 * STUCK)]
    with pytest.raises(InputError, match=f"{STUCK + 1} pictures hang at once.*Look whether the disk answers"):
        read(tmp_path, names, policy=ImagePolicy(timeout=0.05), workers=8)


def test_an_error_of_ours_reaches_the_caller(tmp_path):
    names = write_images(tmp_path, 3)

    def prepare(image):
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        read(tmp_path, names, prepare=prepare)


def test_rows_of_a_table():
    table = pa.table({"row_id": ["a", "b"], "other": [1, 2], "image": ["x.png", ""]})
    assert list(rows_of(table)) == [Row("a", "x.png"), Row("b", "")]
