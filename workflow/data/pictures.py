"""A picture file as the pixels that a model is trained on: one preparation for all that read any.

All arithmetic is that of Pillow on whole numbers, so that the pixels are the same everywhere. A
JPEG is decoded at its full size: to let the decoder reduce it would be faster and give other
pixels than the same picture in another format.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from workflow.core.errors import UserError, first_line

MAX_BYTES = 100 * 2**20
MAX_PIXELS = 50_000_000
MAX_SIDE = 30_000
# Those that people have; Pillow starts other programs for some of the rest.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")
# How their files, and those of the formats that cannot be read here, begin and end.
_BEGINNINGS = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_ENDINGS = {
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".heic", ".heif", ".avif"),
}
_UNREADABLE = {
    **dict.fromkeys((b"heic", b"heim", b"heis", b"heix", b"mif1"), "HEIC"),
    **dict.fromkeys((b"hevc", b"hevm", b"hevs", b"hevx", b"msf1"), "HEIC"),  # of several
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_TWELVE_BITS = 2**12
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong with a picture is raised, too


@dataclass(frozen=True)
class Picture:
    """A decoded picture.

    Attributes:
        image: of 8 bits a channel: L, RGB or RGBA, upright.
        moves: whether it is the first of several that the file has.
    """

    image: Image.Image
    moves: bool


def is_picture(content: bytes, name: str) -> bool:
    """Whether a file is meant to be a picture, by how it begins or what it is called."""
    return (
        content.startswith(_BEGINNINGS)
        or (content.startswith(b"BM") and content[6:10] == bytes(4))  # BMP; texts begin so, too
        or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")
        or (content[4:8] == b"ftyp" and content[8:12] in _UNREADABLE)
        or Path(name).suffix.lower() in _ENDINGS
    )


def read_file(path: Path) -> bytes:
    """The bytes of a picture file, up to one more than are allowed.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name a picture file") from None


def decode(content: bytes, name: str) -> Picture:
    """Decode a picture; the orientation that a camera noted is applied.

    Args:
        content: of a picture file.
        name: for messages.

    Raises:
        UserError: it is empty, no picture, cut short, damaged, too large, or of a format or a depth
            that cannot be read here.
    """
    if not content:
        raise UserError(f"{name}: the file is empty: copy it again")
    if len(content) > MAX_BYTES:
        raise UserError(f"{name}: more than {MAX_BYTES >> 20} MB: save the picture smaller")
    if content[4:8] == b"ftyp" and content[8:12] in _UNREADABLE:
        kind = _UNREADABLE[content[8:12]]
        raise UserError(f"{name}: {kind} pictures cannot be read: save it as JPEG or PNG")
    with _failures_named(name), Image.open(BytesIO(content), formats=FORMATS) as image:
        if image.width * image.height > MAX_PIXELS or max(image.size) > MAX_SIDE:
            raise UserError(_too_large(name))
        moves = getattr(image, "is_animated", False)  # to count the frames could take seconds
        image.seek(0)
        in_sixteen_bits = ";16" in str(image.tile)  # as the file has them; an image in colour has 8
        image.load()
        if in_sixteen_bits:
            _refuse_twelve_bits(image, name)
        return Picture(_in_eight_bits(ImageOps.exif_transpose(image), name), moves)


def _too_large(name: str) -> str:
    return (
        f"{name}: more than {MAX_PIXELS // 10**6} million pixels, or {MAX_SIDE} on a side: save the"
        " picture smaller"
    )


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore what is odd beside the pixels, such as in the notes of a camera.

    libtiff and libjpeg write of it to the file descriptor; what Python writes still gets through.
    To be entered before threads decode: all this is of the process.
    """
    with ExitStack() as until_then:
        until_then.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if sys.stderr:  # None where it is closed, so that the descriptor may be another file's
            sys.stderr.flush()
            form = ("w", 1, sys.stderr.encoding, sys.stderr.errors)
            terminal = until_then.enter_context(os.fdopen(os.dup(2), *form))
            until_then.callback(os.dup2, terminal.fileno(), 2)
            nowhere = until_then.enter_context(Path(os.devnull).open("wb"))
            os.dup2(nowhere.fileno(), 2)
            until_then.enter_context(redirect_stderr(terminal))
        yield


@contextmanager
def _failures_named(name: str) -> Iterator[None]:
    """Turn whatever Pillow raises into one line."""
    try:
        yield
    except Image.DecompressionBombError:  # Pillow's own, higher limit
        raise UserError(_too_large(name)) from None
    except UnidentifiedImageError:
        known = ", ".join(FORMATS)
        raise UserError(
            f"{name}: no picture that can be read, or damaged: give one of {known}"
        ) from None
    except (UserError, MemoryError):
        raise
    except Exception as error:  # of a damaged file, whatever a decoder stumbles over
        raise UserError(
            f"{name}: the picture is damaged or cut short ({first_line(error)}): copy it again"
        ) from None


def _refuse_twelve_bits(image: Image.Image, name: str) -> None:
    """Refuse a picture in colour of 16 bits, of which Pillow gives the higher 8, if they are few.

    Without them it is black, unless transparency shows something in black.
    """
    if image.mode.startswith("I"):
        return  # grey, with all bits
    bands = [band for band in image.getbands() if band != "A"]
    most = max(int(np.asarray(image.getchannel(band)).max()) for band in bands)
    if most < _TWELVE_BITS >> 8 and (most or image.mode not in _WITH_ALPHA):
        raise UserError(_too_dark(name, f"fewer than {most + 1 << 8}"))


def _too_dark(name: str, most: str) -> str:
    return (
        f"{name}: 16 bits a pixel, of which the brightest uses {most} of 65535: it seems to have 12"
        " bits or fewer: save it with 8, or scaled to all 16"
    )


def _in_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """The picture as L, RGB or RGBA; 16 bits are rounded to 8."""
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits a pixel, which are never in colour
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise UserError(f"{name}: 32 bits a pixel: save the picture with 8 or 16")
        if 0 < values.max() < _TWELVE_BITS:
            raise UserError(_too_dark(name, str(values.max())))
        return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def on_white(picture: Picture, channels: Literal[1, 3]) -> Image.Image:
    """The picture without transparency: grey (ITU-R BT.601 luminance) or RGB."""
    image = picture.image
    if image.mode == "RGBA":
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("L" if channels == 1 else "RGB")


def fitted(
    image: Image.Image, size: tuple[int, int], fit: Literal["pad", "crop", "stretch"]
) -> NDArray[np.uint8]:
    """Bring a picture to a size, scaled bilinearly and, where it shrinks, averaged.

    Args:
        image: grey or RGB.
        size: height and width.
        fit: what becomes of other proportions: white margins on two sides, two sides cut off, or
            stretched.

    Returns:
        (height, width) or (height, width, 3).
    """
    height, width = size
    if fit == "crop":
        box_width = min(image.width, max(1, _rounded(image.height * width, height)))
        box_height = min(image.height, max(1, _rounded(image.width * height, width)))
        left, top = (image.width - box_width) // 2, (image.height - box_height) // 2
        image = image.crop((left, top, left + box_width, top + box_height))
    inner = (width, height)
    if fit == "pad":
        inner = (
            min(width, max(1, _rounded(image.width * height, image.height))),
            min(height, max(1, _rounded(image.height * width, image.width))),
        )
    image = image.resize(inner, Image.Resampling.BILINEAR)
    if inner != (width, height):
        canvas = Image.new(image.mode, (width, height), "white")
        canvas.paste(image, ((width - inner[0]) // 2, (height - inner[1]) // 2))
        image = canvas
    return np.asarray(image)


def _rounded(numerator: int, denominator: int) -> int:
    """The nearest whole number of a quotient, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def prepare(
    picture: Picture,
    size: tuple[int, int],
    channels: Literal[1, 3],
    fit: Literal["pad", "crop", "stretch"],
) -> NDArray[np.uint8]:
    """What `normalize` puts into the npz and `predict` shows the model, times 255.

    Args:
        picture: decoded.
        size: height and width.
        channels: 1 for grey, 3 for colour.
        fit: as of `fitted`.

    Returns:
        (height, width) or (height, width, 3).
    """
    return fitted(on_white(picture, channels), size, fit)
