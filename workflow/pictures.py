"""Any picture brought to the form of the data set's images.

The form is that of Xiao, Rasul and Vollgraf, "Fashion-MNIST" (2017), section 2: edges without
content cut off, the longer side scaled to the model's, centred, the background 0. Here a pixel's
value is how far it lies from the background, so that clothes on white and on black come out
alike. The paper's sharpening is left out.
"""

import struct
import warnings
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from workflow.errors import UserError

MAX_BYTES = 100 * 2**20
MAX_PIXELS = 50_000_000
# Those that people have; Pillow starts other programs for some of the rest.
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
# Larger pictures are reduced to this first: plenty for any model here, and quick.
_WORKING_SIZE = (1024, 1024)
_SHADES = 16
# As in the paper: what differs by less than 5 % counts as background when edges are cut off.
_BACKGROUND_TOLERANCE = 0.05


def read_picture_file(path: Path) -> NDArray[np.float32]:
    """Read the luminance of a picture file; see `read_picture`.

    Raises:
        UserError: as `read_picture`, or the file cannot be read.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}: name a picture file") from None
    return read_picture(content, str(path))


def read_picture(content: bytes, name: str) -> NDArray[np.float32]:
    """Read the luminance of a picture.

    The orientation that a camera noted is applied. What is transparent becomes white or black,
    whichever is farther from what is not. Colours become luminance after ITU-R BT.601.

    Args:
        content: of a picture file.
        name: for messages.

    Returns:
        (height, width) in [0, 1], 0 black; at most 1024 on a side.

    Raises:
        UserError: it is no picture, cut short, damaged, or too large.
    """
    if len(content) > MAX_BYTES:
        raise UserError(f"{name}: more than {MAX_BYTES >> 20} MB: save the picture smaller")
    too_large = f"{name}: more than {MAX_PIXELS // 10**6} million pixels: save the picture smaller"
    try:
        with warnings.catch_warnings():
            # What is odd beside the pixels, such as in the notes of a camera, concerns nobody here.
            warnings.simplefilter("ignore")
            # Pillow's own, higher limit, which it checks before the size can be read here.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(too_large)
                image.load()
                return _luminance(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise UserError(too_large) from None
    except UnidentifiedImageError:
        known = ", ".join(_FORMATS)
        raise UserError(f"{name}: no picture that can be read: give one of {known}") from None
    # What Pillow's decoders raise for damaged files.
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise UserError(f"{name}: the picture is damaged or cut short ({error})") from None


def _luminance(image: Image.Image) -> NDArray[np.float32]:
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits a pixel, which are never in colour
        grey = np.asarray(image, np.float64)
        if not np.isfinite(grey).all():
            raise ValueError("pixels that are no numbers")
        low, high = (0, 65535) if image.mode.startswith("I;16") else (grey.min(), grey.max())
        scaled = (grey - low) / (high - low or 1)
        image = Image.fromarray((scaled * 255).astype(np.uint8))
    image = image.convert("RGBA")
    image.thumbnail(_WORKING_SIZE)
    grey_image = image.convert("L")
    grey = np.asarray(grey_image, np.float32) / 255
    alpha = np.asarray(image.getchannel("A"), np.float32) / 255
    visible = alpha.sum()
    mean = float((grey * alpha).sum() / visible) if visible else 0.0
    background = 1.0 if mean < 0.5 else 0.0
    return np.asarray(grey * alpha + background * (1 - alpha), np.float32)


def fit(grey: NDArray[np.float32], shape: tuple[int, int], name: str) -> NDArray[np.float32]:
    """Bring a picture to the form of the data set's images.

    The background is the commonest of 16 shades along the border, so that content may touch
    it. A pixel's value is its distance from that, as a share of the largest possible one. A
    picture that has the model's size already, such as an image of the data set, is not cut.

    Args:
        grey: (height, width) luminance in [0, 1].
        shape: (height, width) that the model takes.
        name: for messages.

    Returns:
        float32 of that shape in [0, 1], background 0.

    Raises:
        UserError: all pixels are of one shade, so that there is nothing to see.
    """
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    shade = np.minimum((border * _SHADES).astype(int), _SHADES - 1)
    background = float(np.median(border[shade == np.bincount(shade).argmax()]))
    value = np.abs(grey - background) / max(background, 1 - background)
    content = value > _BACKGROUND_TOLERANCE
    rows, columns = np.flatnonzero(content.any(axis=1)), np.flatnonzero(content.any(axis=0))
    if not len(rows):
        raise UserError(f"{name}: nothing to see: all pixels are of about one shade")
    if grey.shape != shape:
        value = value[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

    scale = min(shape[0] / value.shape[0], shape[1] / value.shape[1])
    height, width = (max(1, round(side * scale)) for side in value.shape)
    resized = Image.fromarray(value).resize((width, height), Image.Resampling.BICUBIC)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    fitted = np.zeros(shape, np.float32)
    fitted[top : top + height, left : left + width] = np.clip(np.asarray(resized), 0, 1)
    return fitted
