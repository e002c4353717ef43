"""Pictures as an attacker, a broken disk or a careless person leaves them: RELIABILITY, images, lines 1 to 7."""

import json
import os
import random
import socket
import struct
import subprocess
import sys
import unicodedata
import zlib
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import chunk, corners, grey_tiff, noise, oriented, png, saved
from PIL import Image

from equipoise.data.duplicates import duplicate_notes, near_duplicates
from equipoise.data.images import FORMATS, BadImageError, ImagePolicy, decode, read_image_bytes

PNG = saved(corners(), "PNG")


def refused(data, policy=None):
    with pytest.raises(BadImageError) as caught:
        decode(data, policy, "x.jpg")
    assert len(caught.value.reason) <= 60
    assert caught.value.remedy
    return caught.value.reason


def unreadable(path):
    with pytest.raises(BadImageError) as caught:
        read_image_bytes(path)
    str(caught.value).encode()
    assert not set(str(caught.value)) & {"\n", "\x1b", "\0"}
    return caught.value.reason


@cache
def valid_files():
    """Small files of every format and of the ways to pack it."""
    files = {
        "jpeg": saved(noise(), "JPEG"),
        "progressive": saved(noise(), "JPEG", progressive=True),
        "cmyk": saved(noise(mode="CMYK"), "JPEG"),
        "png": saved(noise(), "PNG"),
        "palette": saved(noise(mode="P"), "PNG", transparency=3),
        "apng": saved(noise(), "PNG", save_all=True, append_images=[corners(40, 30)]),
        "gif": saved(noise(mode="P"), "GIF", save_all=True, append_images=[noise(mode="L").convert("P")]),
        "webp": saved(noise(), "WEBP"),
        "lossless": saved(noise(mode="RGBA"), "WEBP", lossless=True),
        "bmp": saved(noise(), "BMP"),
        "tiff": saved(noise(), "TIFF"),
        "lzw": saved(noise(), "TIFF", compression="tiff_lzw"),
        "packbits": saved(noise(mode="L"), "TIFF", compression="packbits"),
        "turned": oriented("TIFF", 6),
    }
    if "AVIF" in FORMATS:
        files["avif"] = saved(noise(), "AVIF")
    return files


def outcome(data, policy=None):
    """The only two things that may happen."""
    try:
        image = decode(data, policy)
    except BadImageError as error:
        return error.reason
    assert image.mode == "RGB"
    return image


def test_line_1_zero_bytes_html_and_text(tmp_path):
    empty = tmp_path / "empty.jpg"
    empty.touch()
    assert unreadable(empty) == refused(b"") == "empty file"
    page = b"<!DOCTYPE html><html><title>404 Not Found</title>" + b" " * 5000
    for data in (
        page,
        b"\0" * 1000,
        b"\xff" * 1000,
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"8BPS\0\1" + b"\0" * 50,
        b"<svg/>",
        b"\x00",
    ):
        assert refused(data) == "not an image"
    assert refused(b"\xff\xd8\xff\xe0" + page) in ("unreadable header", "truncated")


@pytest.mark.parametrize("name", sorted(valid_files()))
def test_line_1_a_cut_file_is_refused_or_whole(name):
    data = valid_files()[name]
    whole = outcome(data).tobytes()
    step = 1 if len(data) < 1500 else 7
    reasons = set()
    for length in range(0, len(data), step):
        found = outcome(data[:length])
        reasons.add(found if isinstance(found, str) else "whole")
        assert isinstance(found, str) or found.tobytes() == whole, f"cut at {length} of {len(data)}"
    if name in ("jpeg", "progressive", "cmyk", "png", "webp", "lossless", "bmp"):
        assert reasons <= {"empty file", "not an image", "unreadable header", "truncated", "whole"}
        assert "truncated" in reasons


@pytest.mark.parametrize("name", ["jpeg", "progressive", "cmyk", "png", "palette"])
def test_line_1_a_broken_download_that_ends_in_zeros(name):
    data = valid_files()[name]
    for cut in range(len(data) // 2, len(data) - 2, 13):
        padded = data[:cut] + b"\0" * (len(data) - cut)
        found = outcome(padded)
        assert found in ("truncated", "damaged") or found.tobytes() == outcome(data).tobytes()


def test_line_1_what_follows_the_end_of_a_jpeg_does_not_matter():
    data = valid_files()["jpeg"]
    for tail in (b"\0" * 9, b"ftypmp42" + b"\xff\xda\0" * 40):
        assert outcome(data + tail).tobytes() == outcome(data).tobytes()
    small = b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data  # a thumbnail, which has an end of its own
    whole = data[:2] + small + data[2:]
    assert outcome(whole).tobytes() == outcome(data).tobytes()
    assert outcome(whole[:-300] + b"\0" * 300) == "truncated"


def test_line_1_a_tiff_with_fewer_strips_than_rows():
    assert refused(grey_tiff(np.zeros((4, 4), np.uint8), tags={257: (4, (8,))})) == "truncated"


def test_line_1_one_wrong_bit_in_the_pixels_of_a_png():
    data = bytearray(valid_files()["palette"])
    data[data.index(b"IDAT") + 400] ^= 1
    assert refused(bytes(data)) == "damaged"


def test_line_2_depth_needs_a_policy():
    sixteen = png(2, 1, 16, 0, b"\0" + struct.pack(">2H", 0, 4095))
    assert refused(sixteen) == "16-bit: no policy"
    twelve = decode(sixteen, ImagePolicy(wide="scale", wide_range=(0, 4095)))
    assert [twelve.getpixel((x, 0)) for x in (0, 1)] == [(0, 0, 0), (255, 255, 255)]
    assert refused(grey_tiff(np.ones((2, 2), np.float32))) == "float: no policy"
    assert refused(grey_tiff(np.ones((2, 2), np.int32))) == "signed 32-bit: no policy"
    too_bright = grey_tiff(np.array([[5000]], np.uint16))
    assert refused(too_bright, ImagePolicy(wide="scale", wide_range=(0, 4095))) == "16-bit: outside the declared range"


def test_line_3_modes_come_out_in_the_right_colours():
    left_top = decode(oriented("JPEG", 3)).getpixel((4, 4))
    assert np.abs(np.subtract(left_top, (240, 230, 20))).max() <= 3
    red = decode(saved(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG")).getpixel((4, 4))
    assert np.abs(np.subtract(red, (255, 0, 0))).max() <= 2
    for mode, clear in (("RGBA", (9, 8, 7, 0)), ("LA", (9, 0))):
        assert decode(saved(Image.new(mode, (3, 3), clear), "PNG")).getpixel((1, 1)) == (255, 255, 255)
    palette = Image.new("P", (3, 3))
    palette.putpalette([5, 6, 7, 8, 9, 10])
    assert decode(saved(palette, "PNG")).getpixel((0, 0)) == (5, 6, 7)
    assert decode(saved(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def one_bit(width, height):
    """A PNG of zeros, packed without ever holding them."""
    packer, row = zlib.compressobj(9), b"\0" * (1 + (width + 7) // 8)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND")


def bombs():
    """Small files that claim to be giants."""
    jpeg = bytearray(saved(corners(), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65000, 65000)
    gif = bytearray(saved(corners().convert("P"), "GIF"))
    gif[6:10] = struct.pack("<HH", 65535, 65535)
    frame = gif.index(b",")
    gif_frame = bytearray(saved(corners().convert("P"), "GIF"))
    gif_frame[frame + 5 : frame + 9] = struct.pack("<HH", 65535, 65535)
    bmp = bytearray(saved(corners(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 100_000, 100_000)
    canvas = struct.pack("<I", 16382)[:3] * 2
    still = saved(corners(), "WEBP", lossless=True)[12:]
    body = b"WEBPVP8X" + struct.pack("<IB3x", 10, 2) + canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    body += b"ANMF" + struct.pack("<I", 16 + len(still)) + b"\0" * 6 + canvas + b"\0" * 4 + still
    huge_tile = {322: (4, (65536,)), 323: (4, (65536,)), 324: (4, (8,)), 325: (4, (4,))}
    return {
        "png-13000": one_bit(13000, 13000),
        "png-20000": one_bit(20000, 20000),
        "png-2^31": png(2**31 - 1, 2**31 - 1, 8, 6, b"\0"),
        "jpeg": bytes(jpeg),
        "gif-screen": bytes(gif),
        "gif-frame": bytes(gif_frame),
        "bmp": bytes(bmp),
        "webp": b"RIFF" + struct.pack("<I", len(body)) + body,
        "tiff": grey_tiff(np.zeros((4, 4), np.uint8), tags={256: (4, (200_000,)), 257: (4, (200_000,))}),
        "tiff-tile": grey_tiff(np.zeros((4, 4), np.uint8), tags={**huge_tile, 259: (3, (8,))}),
    }


MEASURE = """
import json, resource, sys, time
from pathlib import Path
from equipoise.data.images import BadImageError, decode, read_image_bytes
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
decode(read_image_bytes(sys.argv[2]))
found, before = {}, peak()
for path in sorted(Path(sys.argv[1]).iterdir()):
    start = time.monotonic()
    try:
        reason = str(decode(read_image_bytes(path)).size)
    except BadImageError as error:
        reason = error.reason
    found[path.name] = [reason, peak() - before, time.monotonic() - start]
print(json.dumps(found))
"""


def test_line_4_bombs_are_refused_by_their_header_without_the_memory(tmp_path):
    folder = tmp_path / "bombs"
    folder.mkdir()
    for name, data in bombs().items():
        (folder / name).write_bytes(data)
        assert len(data) < 100_000
    (tmp_path / "plain.png").write_bytes(PNG)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", MEASURE, folder, tmp_path / "plain.png"],
        capture_output=True, text=True, timeout=100, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    found = json.loads(ran.stdout)
    assert len(found) == 10
    assert {name: reason for name, (reason, _, _) in found.items()} == dict.fromkeys(found, "too large")
    assert max(memory for _, memory, _ in found.values()) < 20, found
    assert max(seconds for _, _, seconds in found.values()) < 10, found


def test_line_4_a_jpeg_of_very_many_scans(monkeypatch):
    data = saved(noise(400, 300), "JPEG", progressive=True, quality=60)
    scan = data.rindex(b"\xff\xda")
    many = data[:-2] + data[scan:-2] * 4000 + b"\xff\xd9"
    assert refused(many) == "too many scans"
    assert isinstance(outcome(data), Image.Image)


def test_line_4_frames_and_odd_shapes():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    for format in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if format == "WEBP" else {}
        data = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert decode(data).getpixel((2, 2)) == (250, 0, 0)
        assert refused(data, ImagePolicy(frames="refuse")) == "several frames"
    assert decode(saved(Image.new("1", (1, 1)), "PNG")).size == (1, 1)
    assert decode(saved(Image.new("1", (1, 20000)), "PNG")).size == (1, 20000)


def test_line_5_what_is_no_regular_file_is_refused_at_once(tmp_path):
    (tmp_path / "x.jpg").mkdir()
    assert unreadable(tmp_path / "x.jpg") == "a folder"
    assert unreadable(tmp_path / "none.jpg") == "missing"
    assert unreadable(tmp_path / "none.jpg" / "below.jpg") == "missing"
    (tmp_path / "dangling.jpg").symlink_to(tmp_path / "none.jpg")
    assert unreadable(tmp_path / "dangling.jpg") == "dangling link"
    (tmp_path / "a.jpg").symlink_to(tmp_path / "b.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    assert unreadable(tmp_path / "a.jpg") == "loop of links"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert unreadable(tmp_path / "pipe.jpg") == "not a regular file"
    (tmp_path / "to_zero.jpg").symlink_to("/dev/zero")
    for device in ("/dev/zero", "/dev/null", tmp_path / "to_zero.jpg"):
        assert unreadable(device) == "not a regular file"
    with socket.socket(socket.AF_UNIX) as listening:
        home = os.getcwd()
        os.chdir(tmp_path)
        try:
            listening.bind("s.jpg")
        finally:
            os.chdir(home)
        assert unreadable(tmp_path / "s.jpg") == "not a regular file"
    (tmp_path / "fine.jpg").symlink_to(tmp_path / "real.png")
    (tmp_path / "real.png").write_bytes(PNG)
    assert read_image_bytes(tmp_path / "fine.jpg") == PNG


def test_line_5_no_permission(tmp_path):
    path = tmp_path / "secret.png"
    path.write_bytes(PNG)
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        try:
            os.seteuid(65534)
        except OSError:
            pytest.skip("root without the right to become someone else")
    try:
        assert unreadable(path) == "no permission"
    finally:
        os.seteuid(user)
        path.chmod(0o600)
    assert read_image_bytes(path) == PNG


def test_line_5_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    real = os.fstat

    def at_second_look(change):
        looks = []

        def fstat(descriptor):
            looks.append(descriptor)
            if len(looks) == 1:
                status = real(descriptor)
                change()
                return status
            return real(descriptor)

        return fstat

    def rewritten():
        path.write_bytes(PNG[:-1] + b"x")
        os.utime(path, ns=(1, 1))

    for change in (lambda: path.write_bytes(PNG + b"more"), lambda: path.write_bytes(PNG[:50]), rewritten):
        path.write_bytes(PNG)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fstat", at_second_look(change))
            assert unreadable(path) == "changed while it was read"


def test_line_6_odd_names(tmp_path):
    names = [
        b"new\nline.png", b"quote'\".png", b"<script>alert(1)<_script>.png", b"\xff\xfe not utf-8.png", b"-rf.png",
        b"a" * 251 + b".png", b"$(reboot).png", b"%s{}%d.png", b"\x1b[31mred.png", b" .png", b"..png", "שלום\u202e.png".encode(),
        "👩🏽‍🔬.png".encode(),
    ]  # fmt: skip
    twins = [unicodedata.normalize(form, "é.png").encode() for form in ("NFC", "NFD")] + [b"Face.png", b"face.png"]
    for number, name in enumerate([*names, *twins]):
        path = os.fsencode(tmp_path) + b"/" + name
        with open(path, "wb") as file:
            file.write(saved(Image.new("RGB", (2, 2), (number, 0, 0)), "PNG"))
    if len(os.listdir(tmp_path)) < len(names) + len(twins):
        pytest.skip("this file system takes names that differ for one")
    for number, name in enumerate([*names, *twins]):
        path = os.fsencode(tmp_path) + b"/" + name
        for spelt in (path, os.fsdecode(path)):
            assert decode(read_image_bytes(spelt), None, spelt).getpixel((0, 0)) == (number, 0, 0)
            with pytest.raises(BadImageError) as caught:
                decode(b"no", None, spelt)
            assert not set(str(caught.value)) & {"\n", "\x1b", "\u202e"}
            str(caught.value).encode()
    assert unreadable(tmp_path / "missing\n\x1b[0m\udcff.png") == "missing"
    assert unreadable(tmp_path / ("a" * 256)) == "name too long"
    assert unreadable(f"{tmp_path}/zero\0byte.png") == "impossible name"


def test_line_7_duplicates_across_splits_and_labels():
    rows = pa.table(
        {
            "row_id": ["1", "2", "3", "4"],
            "image": ["a.jpg", "b.jpg", "c.jpg", "c.jpg"],
            "sha256": ["s", "s", "t", "t"],
            "split": ["train", "test", "test", "test"],
            "label": ["cat", "cat", "cat", "dog"],
        }
    )
    across, torn = duplicate_notes(rows, labels=["label"])
    assert across.startswith("1 picture is in more than one split (2 rows)")
    assert torn.startswith("1 picture is listed with more than one 'label' (2 rows)")
    assert "'3' ('cat'), '4' ('dog')" in torn
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(50, 16))
    vectors[40] = vectors[7] * 3 + 0.01 * rng.normal(size=16)
    found = near_duplicates(vectors, threshold=0.99)
    assert (found.first.tolist(), found.second.tolist()) == ([7], [40])


SEVERAL = settings(max_examples=300, deadline=20_000, suppress_health_check=list(HealthCheck), derandomize=True)
POLICIES = (
    ImagePolicy(),
    ImagePolicy(icc="srgb", frames="refuse", wide="scale", wide_range=(0, 65535), orientation=False),
)


@SEVERAL
@given(st.data())
def test_broken_bytes_give_a_picture_or_a_reason(data):
    name = data.draw(st.sampled_from(sorted(valid_files())))
    whole = valid_files()[name]
    body = bytearray(whole[: data.draw(st.integers(len(whole) // 4, len(whole)))])
    for _ in range(data.draw(st.integers(1, 8))):
        # most of the ways to go wrong are in the header, and in a TIFF at the end
        place = data.draw(st.sampled_from((64, len(body))))
        at = data.draw(st.integers(0, min(place, len(body)) - 1))
        body[-at if data.draw(st.booleans()) else at] = data.draw(st.integers(0, 255))
    outcome(bytes(body), data.draw(st.sampled_from(POLICIES)))


@pytest.mark.parametrize("name", sorted(valid_files()))
def test_many_flipped_bytes_give_a_picture_or_a_reason(name):
    whole, rng = valid_files()[name], random.Random(name)
    reasons = set()
    for _ in range(150):
        body = bytearray(whole)
        for _ in range(rng.choice((1, 2, 20))):
            body[rng.randrange(len(body)) if rng.random() < 0.5 else rng.randrange(min(200, len(body)))] = (
                rng.randrange(256)
            )
        found = outcome(bytes(body), rng.choice(POLICIES))
        reasons.add(found if isinstance(found, str) else "a picture")
    assert len(reasons) > 1


@SEVERAL
@given(st.binary(max_size=300), st.sampled_from(sorted(valid_files())), st.integers(2, 40))
def test_any_bytes_after_a_right_beginning(tail, name, length):
    outcome(valid_files()[name][:length] + tail)
