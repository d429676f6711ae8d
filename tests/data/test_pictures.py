"""Any picture file, decoded and brought to a size."""

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from drawing import drawn, encoded
from PIL import Image
from PIL.GifImagePlugin import GifImageFile

from workflow.core.errors import UserError
from workflow.data import pictures
from workflow.data.pictures import (
    decode,
    fitted,
    is_picture,
    on_white,
    prepare,
    read_file,
    without_warnings,
)


def seen(image, kind="PNG", size=(15, 20), channels=3, fit="stretch", **options):
    return prepare(decode(encoded(image, kind, **options), "picture"), size, channels, fit)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_every_lossless_format_gives_the_same(kind):
    image = drawn("#ff8000", "#004080")
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(seen(image, kind, **options), seen(image))


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (b"P1\n2 1\n0 1\n", [[255, 0]]),
        (b"P2\n2 1\n100\n0 100\n", [[0, 255]]),
        (b"P5\n2 1\n65535\n\0\0\xff\xff", [[0, 255]]),
        (b"P5\n2 1\n255\n\x01\xff", [[1, 255]]),
    ],
)
def test_every_kind_of_netpbm_is_read(content, pixels):
    assert is_picture(content, "sign.pgm")
    assert np.asarray(decode(content, "sign.pgm").image).tolist() == pixels


def test_jpeg_gives_about_the_same():
    image = drawn("white", "#004080")
    difference = np.abs(seen(image, "JPEG", quality=95).astype(int) - seen(image))
    assert difference.mean() < 3


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_gives_the_same(mode, channels):
    black_on_white = drawn("white", "black")
    if mode == "I;16":
        image = Image.fromarray(np.asarray(black_on_white.convert("L")).astype(np.uint16) * 257)
    else:
        image = black_on_white.convert(mode)
    pixels = seen(image, "TIFF" if mode == "CMYK" else "PNG", channels=channels)
    np.testing.assert_array_equal(pixels, seen(black_on_white, channels=channels))
    assert pixels.dtype == np.uint8
    assert pixels.shape == ((15, 20, 3) if channels == 3 else (15, 20))


def test_sixteen_bits_are_rounded_to_eight():
    values = np.array([[0, 128, 129, 385, 386, 65535]], np.uint16)
    picture = decode(encoded(Image.fromarray(values)), "picture")
    assert np.asarray(picture.image).tolist() == [[0, 0, 1, 1, 2, 255]]


def test_what_is_transparent_is_white():
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 255, 128))
    pixels = np.asarray(on_white(decode(encoded(image), "picture"), 3))
    assert pixels[0, 0].tolist() == [127, 127, 255]
    assert (pixels[1:] == 255).all()
    palette = image.quantize(8)
    assert (np.asarray(on_white(decode(encoded(palette), "p"), 3))[1:] == 255).all()


def test_the_camera_s_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    upright = seen(drawn("white", "black").transpose(Image.Transpose.ROTATE_270))
    for kind in ("PNG", "TIFF"):
        turned = seen(drawn("white", "black"), kind, exif=exif)
        np.testing.assert_array_equal(turned, upright)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_the_first_frame_of_several_is_taken(kind):
    first, second = drawn("white", "black"), drawn("black", "white")
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(first, kind, save_all=True, append_images=[second], **options)
    picture = decode(content, "picture")
    assert picture.moves
    assert not decode(encoded(first, kind), "picture").moves
    np.testing.assert_array_equal(np.asarray(on_white(picture, 3)), np.asarray(first))


def test_frames_are_not_counted(monkeypatch):
    monkeypatch.delattr(GifImageFile, "n_frames")  # which takes seconds where there are many
    frames = [drawn("white", "black"), drawn("black", "white")]
    assert decode(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), "p").moves


def test_fitting_pads_crops_or_stretches():
    image = Image.new("RGB", (40, 20), "red")
    image.paste("blue", (10, 0, 30, 20))
    red, blue, white = [255, 0, 0], [0, 0, 255], [255, 255, 255]
    padded = fitted(image, (8, 8), "pad")
    assert padded[0, 4].tolist() == padded[7, 4].tolist() == white
    assert padded[4, 0].tolist() == red
    assert padded[4, 4].tolist() == blue
    assert (fitted(image, (8, 8), "crop") == blue).all()
    stretched = fitted(image, (8, 8), "stretch")
    assert stretched[0, 0].tolist() == red
    assert stretched[0, 4].tolist() == blue


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (5000, 2), (31, 33)])
@pytest.mark.parametrize("target", [(8, 8), (3, 9), (1, 1)])
def test_any_size_fits_any_other(fit, size, target):
    assert fitted(Image.new("L", size), target, fit).shape == target


def test_a_picture_of_the_size_keeps_its_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
    for fit in ("pad", "crop", "stretch"):
        np.testing.assert_array_equal(seen(Image.fromarray(pixels), fit=fit), pixels)


def fails(content, match):
    with pytest.raises(UserError, match=match) as error, without_warnings():
        decode(content, "shoe.png")
    assert str(error.value).startswith("shoe.png: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"hello", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n"])
def test_what_is_no_picture_is_named(content):
    fails(content, "no picture")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_a_picture_cut_short_never_passes(kind):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    whole = encoded(Image.fromarray(noise), kind)
    fails(whole[: len(whole) // 2], "damaged or cut short|no picture")


@pytest.mark.parametrize("error", [TypeError("Missing\ndimensions"), KeyError(273), MemoryError()])
def test_whatever_a_decoder_raises_is_one_line(monkeypatch, error):
    def stumble(image):
        raise error

    monkeypatch.setattr(pictures.ImageOps, "exif_transpose", stumble)
    content = encoded(drawn("white", "black"))
    if isinstance(error, MemoryError):  # no fault of the file
        with pytest.raises(MemoryError):
            decode(content, "shoe.png")
    else:
        fails(content, "the picture is damaged or cut short")


def test_flipped_bytes_give_a_picture_or_one_line():
    whole = bytearray(encoded(drawn("white", "black")))
    refused = 0
    for place in range(8, len(whole)):
        damaged = bytes(whole[:place]) + bytes([whole[place] ^ 0xFF]) + bytes(whole[place + 1 :])
        try:
            decode(damaged, "shoe.png")
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


def test_a_bitmap_is_told_from_a_text_that_begins_like_one():
    bitmap = io.BytesIO()
    Image.new("RGB", (2, 2)).save(bitmap, "BMP")
    assert is_picture(bitmap.getvalue()[:12], "without ending")  # as much as `predict` reads
    assert not is_picture(b"BMW 320, red", "notes.txt")


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
        decode(read_file(large), "large.png")


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.png: No such file"):
        read_file(tmp_path / "none.png")
    with pytest.raises(UserError, match="directory"):
        read_file(tmp_path)


def test_pixels_of_32_bits_are_named():
    image = Image.fromarray(np.full((8, 8), np.nan, np.float32))
    fails(encoded(image, "TIFF"), "32 bits a pixel")


def in_sixteen_bits(values, kind):
    """A picture in colour, or of grey with alpha, which Pillow itself does not write."""
    height, width, channels = values.shape
    if kind == "PNG":
        header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
    entries = [(256, 1, width), (257, 1, height), (258, 3, 122), (259, 1, 1), (262, 1, 2)]
    entries += [(273, 1, 128), (277, 1, channels), (278, 1, height), (279, 1, values.nbytes)]
    tags = b"".join(
        struct.pack("<HHII", tag, 4 if count == 1 else 3, count, value)
        for tag, count, value in entries
    )
    start = b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4)
    return start + struct.pack("<3H", 16, 16, 16) + values.astype("<u2").tobytes()


@pytest.mark.parametrize(("kind", "channels"), [("PNG", 2), ("PNG", 3), ("PNG", 4), ("TIFF", 3)])
def test_twelve_bits_in_sixteen_are_told_in_colour_too(kind, channels):
    values = np.full((4, 5, channels), 65535)
    values[0] = 0
    assert np.asarray(on_white(decode(in_sixteen_bits(values, kind), "p"), 1)).max() == 255
    for most in (255, 4095):
        values[1:, :, : 3 if channels > 2 else 1] = most
        if most == 4095 or channels == 3:
            fails(in_sixteen_bits(values, kind), f"fewer than {most + 1} of 65535.* save it with 8")
        else:  # may be a drawing in black
            assert decode(in_sixteen_bits(values, kind), "p").image.mode == "RGBA"


def test_what_only_some_formats_have_is_named():
    fails(b"", "the file is empty")
    for brand in (b"heic", b"heim", b"heis", b"hevc", b"hevx"):
        fails(
            b"\0\0\0\x18ftyp" + brand + bytes(40), "HEIC pictures cannot be read: save it as JPEG"
        )
    fails(b"\0\0\0\x18ftypavis" + bytes(40), "AVIF pictures cannot be read")
    twelve_bits = np.full((8, 8), 4095, np.uint16)
    fails(encoded(Image.fromarray(twelve_bits)), "uses 4095 of 65535: it seems to have 12 bits")
    fails(encoded(Image.new("1", (30_001, 1))), "or 30000 on a side")


@pytest.mark.filterwarnings("error")
def test_damaged_notes_of_a_camera_are_passed_over_in_silence():
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 2**20, 2**30) + bytes(8)
    with without_warnings():
        picture = decode(encoded(drawn("white", "black"), "JPEG", exif=exif), "picture")
    assert picture.image.size == (200, 150)


def with_tag(content, tag, value):
    """A TIFF of Pillow's with another value of a tag that has one."""
    start = struct.unpack_from("<I", content, 4)[0] + 2
    entries = range(start, start + 12 * struct.unpack_from("<H", content, start - 2)[0], 12)
    place = next(n for n in entries if struct.unpack_from("<H", content, n) == (tag,))
    return content[: place + 8] + struct.pack("<I", value) + content[place + 12 :]


@pytest.mark.parametrize(("tag", "value"), [(277, 65535), (284, 9)])
def test_what_the_decoders_print_themselves_is_not_shown(tag, value, capfd):
    content = with_tag(encoded(drawn("white", "black"), "TIFF", compression="tiff_lzw"), tag, value)
    fails(content, "damaged")
    with without_warnings():
        print("said", file=sys.stderr)
    os.write(2, b"afterwards")
    assert capfd.readouterr().err == "said\nafterwards"
