"""Any picture, brought to the form of the data set's images."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from workflow import pictures
from workflow.errors import UserError
from workflow.pictures import fit, read_picture, read_picture_file

SHAPE = (28, 28)
BOX = (30, 50, 130, 90)  # left, upper, right, lower: wider than high


def drawn(background, foreground, mode="RGB", size=(200, 150), box=BOX):
    image = Image.new(mode, size, background)
    ImageDraw.Draw(image).rectangle([box[0], box[1], box[2] - 1, box[3] - 1], fill=foreground)
    return image


def encoded(image, kind="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def seen(image, kind="PNG", shape=SHAPE, **options):
    return fit(read_picture(encoded(image, kind, **options), "picture"), shape, "picture")


def test_the_content_fills_the_longer_side_in_the_middle():
    image = seen(drawn("white", "black"))
    assert image.shape == SHAPE
    assert image.dtype == np.float32
    filled = np.argwhere(image > 0.5)
    assert filled[:, 1].min() == 0
    assert filled[:, 1].max() == 27
    # 40 of 100 high: 11 of 28 rows, the rest shared between above and below.
    assert filled[:, 0].min() == 8
    assert filled[:, 0].max() == 18


@pytest.mark.parametrize("shape", [(8, 12), (12, 8), (28, 28), (1, 1)])
def test_the_shape_is_the_model_s(shape):
    image = seen(drawn("white", "black"), shape=shape)
    assert image.shape == shape
    assert image.max() == pytest.approx(1)


def test_dark_on_white_and_light_on_black_come_out_alike():
    dark, light = seen(drawn("white", "black")), seen(drawn("black", "white"))
    np.testing.assert_allclose(dark, light, atol=1e-6)
    assert dark.max() == 1
    assert dark[0, 0] == 0


def test_grey_and_colour_of_the_same_luminance_come_out_alike():
    grey, colour = seen(drawn(255, 76, "L")), seen(drawn("white", "#ff0000"))
    np.testing.assert_allclose(grey, colour, atol=0.01)


@pytest.mark.parametrize("foreground", ["black", "white"])
def test_transparent_is_background_whatever_the_content(foreground):
    rgb = Image.new("RGB", (2, 2), foreground).getpixel((0, 0))
    transparent = seen(drawn((90, 90, 90, 0), (*rgb, 255), "RGBA"))
    np.testing.assert_allclose(transparent, seen(drawn("white", "black")), atol=1e-6)


def test_content_may_touch_the_border():
    box = (50, 0, 150, 150)
    image = seen(drawn("white", "black", box=box))
    assert image[0].sum() > 0
    assert image[-1].sum() > 0
    assert image[:, 0].sum() == 0
    assert image[14, 14] == 1


def test_an_image_of_the_data_set_comes_back_as_it_was():
    image = np.zeros(SHAPE, np.uint8)
    image[3:20, 5:22] = np.random.default_rng(0).integers(1, 255, (17, 17))
    image[10, 10] = 255
    stored = image.astype(np.float32) / 255
    np.testing.assert_allclose(seen(Image.fromarray(image)), stored, atol=1e-6)
    np.testing.assert_allclose(seen(Image.fromarray(255 - image)), stored, atol=1e-6)


def test_the_camera_s_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    upright = seen(drawn("white", "black").transpose(Image.Transpose.ROTATE_270))
    turned = seen(drawn("white", "black"), exif=exif)
    np.testing.assert_array_equal(turned, upright)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_format_gives_the_same(kind):
    image = drawn("white", "black")
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_allclose(seen(image, kind, **options), seen(image), atol=0.01)


def test_jpeg_gives_about_the_same():
    # Large, since what JPEG adds around an edge moves the cut by up to a block of 8 pixels.
    image = drawn("white", "black").resize((1000, 750))
    np.testing.assert_allclose(seen(image, "JPEG"), seen(image), atol=0.5)
    assert np.abs(seen(image, "JPEG") - seen(image)).mean() < 0.02


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_gives_the_same(mode):
    black_on_white = drawn("white", "black")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(black_on_white.convert("L")).astype(np.uint16) * 257)
    else:
        image = black_on_white.convert(mode)
    kind = "TIFF" if mode == "CMYK" else "PNG"
    np.testing.assert_allclose(seen(image, kind), seen(black_on_white), atol=0.01)


def test_a_large_picture_is_reduced():
    assert max(read_picture(encoded(drawn("white", "black", size=(4000, 100))), "p").shape) == 1024


@pytest.mark.parametrize("size", [(1, 1), (60, 40)])
def test_a_picture_of_one_shade_is_refused(size):
    with pytest.raises(UserError, match="nothing to see"):
        seen(Image.new("RGB", size, "#c0c0c0"))


def fails(content, match):
    with pytest.raises(UserError, match=match) as error:
        read_picture(content, "shoe.png")
    assert str(error.value).startswith("shoe.png: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n"])
def test_what_is_no_picture_is_named(content):
    fails(content, "no picture")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_picture_cut_short_never_passes(kind):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    fails(whole[: len(whole) // 2], "damaged or cut short|no picture")


def test_flipped_bytes_give_a_picture_or_one_line():
    whole = bytearray(encoded(drawn("white", "black")))
    refused = 0
    for place in range(8, len(whole)):
        damaged = bytes(whole[:place]) + bytes([whole[place] ^ 0xFF]) + bytes(whole[place + 1 :])
        try:
            read_picture(damaged, "shoe.png")
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 100


def chunk(name, content):
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)


def png_header(width, height):
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)


@pytest.mark.parametrize("side", [7_100, 10_000, 20_000, 2**31 - 1])
def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(side):
    # Nothing follows the header: whoever decoded it would complain of that instead.
    fails(png_header(side, side) + chunk(b"IDAT", b""), "million pixels")


def test_a_bomb_in_a_text_chunk_is_refused():
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(80 * 2**20), 9))
    image = png_header(2, 2) + text + chunk(b"IDAT", zlib.compress(bytes(4))) + chunk(b"IEND", b"")
    fails(image, "damaged")


def test_a_file_of_too_many_bytes_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(pictures, "MAX_BYTES", 2**20)
    large = tmp_path / "large.png"
    large.write_bytes(bytes(2**20 + 1))
    with pytest.raises(UserError, match="more than 1 MB"):
        read_picture_file(large)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.png: No such file"):
        read_picture_file(tmp_path / "none.png")
    with pytest.raises(UserError, match="directory"):
        read_picture_file(tmp_path)


def test_pixels_that_are_no_numbers_are_named():
    image = Image.fromarray(np.full((8, 8), np.nan, np.float32))
    with pytest.raises(UserError, match="no numbers"):
        read_picture(encoded(image, "TIFF"), "picture")


@pytest.mark.filterwarnings("error")
def test_damaged_notes_of_a_camera_are_passed_over_in_silence():
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 2**20, 2**30) + bytes(8)
    image = read_picture(encoded(drawn("white", "black"), "JPEG", exif=exif), "picture")
    assert image.shape == (150, 200)
