"""Pixels by hand: what each mode, depth, profile and orientation must come out as."""

import os
import pickle
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from picture_files import chunk, corners, grey_tiff, noise, oriented, png, saved, tiff
from PIL import Image, ImageCms, ImageFile, features

from equipoise.data.images import FORMATS, BadImageError, ImagePolicy, decode, read_image_bytes
from equipoise.errors import InputError

FULL_16 = ImagePolicy(wide="scale", wide_range=(0, 65535))
GREY = ImagePolicy(background=(0, 100, 200))


def pixels(data, policy=None):
    image = decode(data, policy)
    assert image.mode == "RGB"
    assert image.info == {}
    assert dict(image.getexif()) == {}
    return np.asarray(image).astype(int)


def reason(data, policy=None):
    with pytest.raises(BadImageError) as caught:
        decode(data, policy, "there")
    assert "'there'" in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("format", "options", "off"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95, "subsampling": 0}, 3),
        ("JPEG", {"quality": 95, "subsampling": 0, "progressive": True}, 3),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}, 4),
    ],
)
def test_every_format_gives_the_picture(format, options, off):
    if format not in FORMATS:
        pytest.skip(f"this Pillow has no {format}")
    got = pixels(saved(corners(), format, **options))
    assert np.abs(got - np.asarray(corners()).astype(int)).max() <= off


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_black_and_white_and_palette(mode):
    image = corners().convert(mode)
    for format in ("PNG", "GIF", "BMP", "TIFF"):
        assert np.array_equal(pixels(saved(image, format)), np.asarray(image.convert("RGB")))


def turned(turn):
    """What EXIF 2.32 says: where row 0 and column 0 of the stored picture are to be seen."""
    stored = np.asarray(corners()).astype(int)
    return {
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored.transpose(1, 0, 2)[::-1, ::-1],
        8: stored.transpose(1, 0, 2)[::-1],
    }.get(turn, stored)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("turn", [1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_orientation_is_applied_once_or_not_at_all(format, turn):
    data = oriented(format, turn)
    assert np.abs(pixels(data) - turned(turn)).max() <= 3
    assert np.abs(pixels(data, ImagePolicy(orientation=False)) - turned(1)).max() <= 3


def test_exif_that_cannot_be_parsed_turns_nothing():
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x09",
        b"junk",
    ):
        assert np.array_equal(pixels(saved(corners(), "PNG", exif=exif)), turned(1))


def test_cmyk_jpeg_is_stored_inverted_as_adobe_does_and_read_back():
    ink = (0, 255, 200, 10)
    data = saved(Image.new("CMYK", (16, 16), ink), "JPEG", quality=95)
    assert b"Adobe" in data
    frame = {256: (4, (16,)), 257: (4, (16,)), 258: (3, (8,) * 4), 259: (3, (7,)), 262: (3, (5,)), 277: (3, (4,)), 278: (4, (16,))}  # fmt: skip
    bare = pixels(tiff(frame, data))  # in a TIFF the same stream is read as it is: ink where the JPEG means paper
    stored = [255 - value for value in ink]
    assert np.abs(bare[8, 8] - [(255 - c) * (255 - stored[3]) / 255 for c in stored[:3]]).max() <= 1
    want = [(255 - c) * (255 - ink[3]) / 255 for c in ink[:3]]
    assert np.abs(pixels(data)[8, 8] - want).max() <= 1
    assert reason(data, ImagePolicy(cmyk="refuse")) == "CMYK: refused by the policy"


def test_cmyk_tiff_is_plain():
    image = Image.new("CMYK", (8, 8), (0, 128, 255, 51))
    assert np.abs(pixels(saved(image, "TIFF"))[4, 4] - [204, 127 * 204 / 255, 0]).max() <= 1


def swapped_profile():
    """A profile of sRGB in which red and blue have changed places."""
    body = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    places = {}
    for entry in range(struct.unpack_from(">I", body, 128)[0]):
        at = 132 + 12 * entry
        places[bytes(body[at : at + 4])] = at
    red, blue = places[b"rXYZ"], places[b"bXYZ"]
    body[red : red + 4], body[blue : blue + 4] = body[blue : blue + 4], body[red : red + 4]
    return bytes(body)


@pytest.mark.skipif(not features.check("littlecms2"), reason="this Pillow has no littlecms")
def test_colour_profile_is_ignored_or_applied():
    image, profile = Image.new("RGB", (8, 8), (250, 10, 60)), swapped_profile()
    data = saved(image, "PNG", icc_profile=profile)
    assert pixels(data)[0, 0].tolist() == [250, 10, 60]
    srgb = ImagePolicy(icc="srgb")
    assert np.abs(pixels(data, srgb)[0, 0] - [60, 10, 250]).max() <= 2
    clear = image.convert("RGBA")
    clear.putalpha(128)
    got = pixels(saved(clear, "PNG", icc_profile=profile), srgb)[0, 0]
    assert np.abs(got - [60 * 128 / 255 + 127, 10 * 128 / 255 + 127, 250 * 128 / 255 + 127]).max() <= 2
    assert np.abs(pixels(saved(image.convert("P"), "PNG", icc_profile=profile), srgb)[0, 0] - [60, 10, 250]).max() <= 30
    assert pixels(saved(image, "PNG"), srgb)[0, 0].tolist() == [250, 10, 60]
    for bad in (saved(image, "PNG", icc_profile=b"x" * 200), saved(image.convert("CMYK"), "JPEG", icc_profile=profile)):
        assert reason(bad, srgb) == "colour profile cannot be applied"
        decode(bad)


def test_alpha_is_laid_on_the_background_and_hidden_colour_stays_hidden():
    rgba = np.array([[[255, 0, 0, 255], [0, 255, 0, 0], [10, 20, 30, 51], [200, 100, 0, 128]]], np.uint8)
    want = [[255, 0, 0], [0, 100, 200], [2, 84, 166], [100, 100, 100]]
    for format, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        got = pixels(saved(Image.fromarray(rgba), format, **options), GREY)[0]
        assert np.abs(got - want).max() <= 1
        assert got[:2].tolist() == want[:2]
    assert pixels(saved(Image.fromarray(rgba), "PNG"))[0, 1].tolist() == [255, 255, 255]


def test_grey_with_alpha():
    la = Image.merge("LA", [Image.new("L", (3, 1), 80), Image.fromarray(np.array([[255, 0, 102]], np.uint8))])
    for format in ("PNG", "TIFF"):
        got = pixels(saved(la, format), GREY)[0]
        assert np.abs(got - [[80, 80, 80], [0, 100, 200], [32, 92, 152]]).max() <= 1


def test_palette_with_transparency():
    table = Image.new("P", (3, 1))
    table.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for place in range(3):
        table.putpixel((place, 0), place)
    for format in ("PNG", "GIF"):
        assert pixels(saved(table, format, transparency=1), GREY)[0].tolist() == [
            [255, 0, 0],
            [0, 100, 200],
            [0, 0, 255],
        ]
    shades = pixels(saved(table, "PNG", transparency=bytes([255, 0, 51])), GREY)[0]
    assert np.abs(shades - [[255, 0, 0], [0, 100, 200], [0, 80, 211]]).max() <= 1


@pytest.mark.parametrize(("bits", "row", "key", "greys"), [
    (1, b"\0\x40", 1, [0, 255]),
    (2, b"\0\x60", 2, [85, 170]),
    (4, b"\0\x37", 7, [51, 119]),
    (8, b"\0\x21\x43", 0x43, [0x21, 0x43]),
])  # fmt: skip
def test_transparent_grey_of_few_bits(bits, row, key, greys):
    got = pixels(png(2, 1, bits, 0, row, chunk(b"tRNS", struct.pack(">H", key))), GREY)[0]
    assert got.tolist() == [[greys[0]] * 3, [0, 100, 200]]


def test_transparent_colour_of_rgb():
    data = png(2, 1, 8, 2, b"\0\x01\x02\x03\x04\x05\x06", chunk(b"tRNS", struct.pack(">HHH", 4, 5, 6)))
    assert pixels(data, GREY)[0].tolist() == [[1, 2, 3], [0, 100, 200]]


def grey_png_16(*samples):
    return png(len(samples), 1, 16, 0, b"\0" + struct.pack(f">{len(samples)}H", *samples))


def test_sixteen_bit_grey_is_refused_or_scaled_never_clipped():
    data = grey_png_16(0, 257, 32768, 65535)
    assert reason(data) == "16-bit: no policy"
    assert pixels(data, FULL_16)[0, :, 0].tolist() == [0, 1, 128, 255]
    twelve = ImagePolicy(wide="scale", wide_range=(0, 4095))
    assert pixels(grey_png_16(0, 1, 2048, 4095), twelve)[0, :, 0].tolist() == [0, 0, 128, 255]
    assert reason(data, twelve) == "16-bit: outside the declared range"
    assert reason(grey_png_16(0, 4096), twelve) == "16-bit: outside the declared range"
    key = chunk(b"tRNS", struct.pack(">H", 4095))
    assert pixels(png(1, 1, 16, 0, b"\0\x0f\xff", key), ImagePolicy(wide="scale", wide_range=(0, 4095), background=(1, 2, 3))).tolist() == [[[1, 2, 3]]]  # fmt: skip


@pytest.mark.parametrize(("colour", "samples"), [(2, (0x1234, 0x8000, 0xFFFF)), (6, (0x1234, 0x8000, 0xFFFF, 0xFFFF)), (4, (0x1234, 0xFFFF))])  # fmt: skip
def test_sixteen_bit_colour_needs_its_full_range(colour, samples):
    data = png(1, 1, 16, colour, b"\0" + struct.pack(f">{len(samples)}H", *samples))
    assert reason(data) == "16-bit: no policy"
    grey = colour == 4
    want = [samples[0 if grey else channel] / 257 for channel in range(3)]
    assert np.abs(pixels(data, FULL_16)[0, 0] - want).max() <= 1
    declared = ImagePolicy(wide="scale", wide_range=(0, 4095))
    assert reason(data, declared) == "16-bit colour: only its full range can be scaled"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("samples", "name", "low", "high", "want"),
    [
        (np.array([[0, 1000, 2000]], np.uint16), "16-bit", 0, 2000, [0, 128, 255]),
        (np.array([[-500, 0, 500]], np.int16), "signed 16-bit", -500, 500, [0, 128, 255]),
        (np.array([[-100000, 0, 100000]], np.int32), "signed 32-bit", -1e5, 1e5, [0, 128, 255]),
        (np.array([[0.0, 0.25, 1.0]], np.float32), "float", 0, 1, [0, 64, 255]),
        (np.array([[-2.5, 0.0, 2.5]], np.float32), "float", -2.5, 2.5, [0, 128, 255]),
    ],
    ids=["uint16", "int16", "int32", "float", "negative-float"],
)
def test_wide_tiff_is_refused_or_scaled(order, samples, name, low, high, want):
    data = grey_tiff(samples, order=order)
    assert reason(data) == f"{name}: no policy"
    assert pixels(data, ImagePolicy(wide="scale", wide_range=(low, high)))[0, :, 0].tolist() == want
    narrow = ImagePolicy(wide="scale", wide_range=(low, high * 0.9))
    assert reason(data, narrow) == f"{name}: outside the declared range"


def test_unsigned_32_bit_does_not_wrap():
    data = grey_tiff(np.array([[0, 2**31, 2**32 - 1]], np.uint32))
    assert reason(data) == "32-bit: no policy"
    assert pixels(data, ImagePolicy(wide="scale", wide_range=(0, 2**32 - 1)))[0, :, 0].tolist() == [0, 128, 255]


def test_signed_8_bit_is_not_read_as_unsigned():
    data = grey_tiff(np.array([[-128, 0, 127]], np.int8))
    assert reason(data) == "signed 8-bit: no policy"
    assert pixels(data, ImagePolicy(wide="scale", wide_range=(-128, 127)))[0, :, 0].tolist() == [0, 128, 255]


def test_reasons_stay_few():
    assert reason(grey_tiff(np.zeros((2, 2), np.uint8), tags={258: (3, (8, 56360))})) == "unreadable header"


def test_white_is_low():
    ramp = np.array([[0, 32768, 65535]], np.uint16)
    assert pixels(grey_tiff(ramp, white_is_low=True), FULL_16)[0, :, 0].tolist() == [255, 127, 0]
    eight = np.array([[0, 100, 255]], np.uint8)
    assert pixels(grey_tiff(eight, white_is_low=True))[0, :, 0].tolist() == [255, 155, 0]


@pytest.mark.parametrize("turn", range(1, 9))
def test_wide_tiff_is_turned_too(turn):
    grey = np.asarray(corners())[:, :, 0].astype(np.uint16) * 257
    data = grey_tiff(grey, tags={274: (3, (turn,))})
    assert np.array_equal(pixels(data, FULL_16)[:, :, 0], turned(turn)[:, :, 0])
    unturned = ImagePolicy(wide="scale", wide_range=(0, 65535), orientation=False)
    assert np.array_equal(pixels(data, unturned)[:, :, 0], turned(1)[:, :, 0])


def test_float_that_is_not_finite():
    for value in (np.nan, np.inf):
        data = grey_tiff(np.array([[0.0, value]], np.float32))
        assert reason(data, ImagePolicy(wide="scale", wide_range=(0, 1))) == "float: not finite"


@pytest.mark.parametrize("planar", [1, 2])
def test_sixteen_bit_colour_tiff(planar):
    samples = np.array([[0x1200, 0x8000, 0xFF00]], "<u2")
    tags = {256: (4, (1,)), 257: (4, (1,)), 258: (3, (16,) * 3), 259: (3, (1,)), 262: (3, (2,)), 277: (3, (3,)), 278: (4, (1,)), 284: (3, (planar,))}  # fmt: skip
    data = tiff(tags, samples.tobytes())
    if planar == 1:
        assert reason(data) == "16-bit: no policy"
        assert np.abs(pixels(data, FULL_16)[0, 0] - [0x12, 0x80, 0xFF]).max() <= 1
    else:
        assert reason(data) == "planar 16-bit: no policy"
        assert reason(data, FULL_16).startswith("planar 16-bit colour")


@pytest.mark.skipif("AVIF" not in FORMATS, reason="this Pillow has no AVIF")
def test_avif_of_more_than_8_bits():
    data = bytearray(saved(corners(), "AVIF"))
    decode(bytes(data))
    data[data.index(b"av1C") + 6] |= 0x40
    depths = data.index(b"pixi") + 9
    data[depths : depths + 3] = b"\x0a" * 3
    assert reason(bytes(data)) == "10-bit: no policy"
    data[data.index(b"av1C") + 6] |= 0x20
    data[depths : depths + 3] = b"\x0c" * 3
    assert reason(bytes(data)) == "12-bit: no policy"


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_or_refusal(format):
    frames = [corners(), noise(48, 32), noise(48, 32).transpose(Image.Transpose.ROTATE_180)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = saved(frames[0], format, save_all=True, append_images=frames[1:], **options)
    off = 0 if format != "GIF" else 40  # a palette of 256 colours
    assert np.abs(pixels(data) - turned(1)).max() <= off
    assert reason(data, ImagePolicy(frames="refuse")) == "several frames"
    one = saved(frames[0], format)
    assert pixels(one, ImagePolicy(frames="refuse")).shape == (32, 48, 3)


def test_phone_pictures_of_several_views():
    data = saved(corners(), "MPO", save_all=True, append_images=[noise(48, 32)], quality=95, subsampling=0)
    assert np.abs(pixels(data) - turned(1)).max() <= 3
    assert reason(data, ImagePolicy(frames="refuse")) == "several frames"


def test_shape_limits():
    assert pixels(saved(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG")).tolist() == [[[1, 2, 3]]]
    long = saved(Image.new("L", (1, 20000), 7), "PNG")
    assert pixels(long).shape == (20000, 1, 3)
    assert reason(long, ImagePolicy(max_aspect=100)) == "too long and thin"
    assert reason(saved(corners(10, 10), "PNG"), ImagePolicy(max_pixels=99)) == "too large"
    assert pixels(saved(corners(10, 10), "PNG"), ImagePolicy(max_pixels=100)).shape == (10, 10, 3)


def test_pillow_is_left_strict_and_a_tolerant_one_is_refused(monkeypatch):
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK)
    decode(saved(corners(), "PNG"))
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, ImageFile.MAXBLOCK)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(InputError, match="LOAD_TRUNCATED_IMAGES") as caught:
        decode(saved(corners(), "PNG"))
    assert not isinstance(caught.value, BadImageError)


def test_warnings_of_pillow_stay_silent_and_those_of_others_do_not():
    odd = grey_tiff(np.array([[7]], np.uint8), tags={259: (3, (1, 1))})  # Pillow: "had too many entries"
    with pytest.warns(UserWarning, match="too many entries"):
        Image.open(BytesIO(odd))
    for action in ("error", "always"):
        with warnings.catch_warnings(record=action == "always") as seen:
            warnings.simplefilter(action)
            assert pixels(odd).tolist() == [[[7, 7, 7]]]
            assert not seen
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_threads_decode_side_by_side():
    files = [oriented(format, turn) for format in ("JPEG", "PNG", "TIFF") for turn in range(1, 9)] + [b"<html>"]
    alone = [_either(data) for data in files]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            assert list(pool.map(_either, files)) == alone


def _either(data):
    try:
        return decode(data).tobytes()
    except BadImageError as error:
        return error.reason


def test_decoded_pictures_and_errors_can_be_sent_to_another_process():
    image = decode(oriented("JPEG", 6))
    assert pickle.loads(pickle.dumps(image)).tobytes() == image.tobytes()
    with pytest.raises(BadImageError) as caught:
        decode(b"no", None, Path("a.jpg"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.reason, str(again), again.exit_code) == ("not an image", str(caught.value), 2)


def test_policy_as_json():
    policy = ImagePolicy(wide="scale", wide_range=(0, 4095), background=[1, 2, 3], max_aspect=50)
    assert policy.to_dict() == {
        "max_pixels": 64_000_000, "max_bytes": 268435456, "max_aspect": 50.0, "background": [1, 2, 3], "wide": "scale",
        "wide_range": [0.0, 4095.0], "frames": "first", "orientation": True, "cmyk": "convert", "icc": "ignore",
    }  # fmt: skip
    assert ImagePolicy().to_dict()["wide_range"] is None
    assert ImagePolicy(**policy.to_dict()) == policy
    assert ImagePolicy(**ImagePolicy().to_dict()) == ImagePolicy()
    assert hash(policy)
    assert ImagePolicy(timeout=5).to_dict() == ImagePolicy().to_dict()


@pytest.mark.parametrize(
    "wrong",
    [
        {"wide": "clip"}, {"wide": "scale"}, {"wide_range": (0, 1)}, {"wide": "scale", "wide_range": (1, 1)},
        {"wide": "scale", "wide_range": (0, float("inf"))}, {"wide": "scale", "wide_range": (0, 1, 2)}, {"frames": "all"},
        {"icc": "p3"}, {"cmyk": "x"}, {"max_pixels": 0}, {"max_pixels": 10**9}, {"max_bytes": 0}, {"max_pixels": 1.5},
        {"max_aspect": 0.5}, {"timeout": 0}, {"background": (1, 2)}, {"background": (1, 2, 256)},
    ],
)  # fmt: skip
def test_policies_that_make_no_sense(wrong):
    with pytest.raises(InputError, match=r"The image policy has \w+="):
        ImagePolicy(**wrong)


def test_bytes_are_those_of_the_file(tmp_path):
    data = saved(noise(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    assert read_image_bytes(path) == read_image_bytes(str(path)) == read_image_bytes(os.fsencode(path)) == data
    assert read_image_bytes(path, ImagePolicy(max_bytes=len(data))) == data
    with pytest.raises(BadImageError, match="file too large") as caught:
        read_image_bytes(path, ImagePolicy(max_bytes=len(data) - 1))
    assert (caught.value.reason, caught.value.value) == ("file too large", path)
