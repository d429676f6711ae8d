"""A photograph of one piece of clothing brought to the form of Fashion-MNIST.

The form is that of Xiao, Rasul and Vollgraf, "Fashion-MNIST" (2017), section 2: edges without
content cut off, the longer side scaled to the model's, centred, the background 0. Here a pixel's
value is how far its colour lies from that of the background, as a share of the farthest, so that
clothes of any colour on a page of any other come out alike. The paper's sharpening is left out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workflow.core.errors import UserError
from workflow.data.pictures import Picture

# Larger pictures are reduced to this first: plenty for any model here, and quick.
_WORKING_SIZE = (512, 512)
_SHADES = 16
_ROUNDS = 8
# Of the largest distance that two colours can have: a border pixel this far from the fitted plane
# belongs to the content, or to a background that is not plain.
_FAR = 0.06
# As in the paper: what differs by less than 5 % counts as background when edges are cut off.
_BACKGROUND_TOLERANCE = 0.05
# Of the border's median distance. JPEG leaves noise of lightness alone, of which 4 would be 2.7
# sigma: specks all over the page, so that nothing is cut off. 8 is 5.4 sigma.
_NOISE_FACTOR = 8.0
# Distance that the brightest content must have for a picture to show anything.
_VISIBLE = 0.04
_PLAIN_SHARE = 2 / 3  # less near the plane is a page whose middle the plane does not fit, either
_FARTHEST_PERCENTILE = 99.5


@dataclass(frozen=True)
class Garment:
    """What is seen on a background.

    Attributes:
        pixels: float32 in [0, 1], background 0, of the model's height and width.
        plain: whether two thirds of the border are of one colour, or of one that drifts evenly.
    """

    pixels: NDArray[np.float32]
    plain: bool


def extract(picture: Picture, size: tuple[int, int], name: str) -> Garment:
    """Bring a picture to the form of the data set's images.

    Args:
        picture: decoded.
        size: (height, width) that the model takes.
        name: for messages.

    Raises:
        UserError: all pixels are of about one colour, so that there is nothing to see.
    """
    colours = _colours(picture.image)
    background, noise, share = _background(colours)
    distance = np.linalg.norm(colours - background, axis=2) / np.sqrt(3)
    farthest = float(np.percentile(distance, _FARTHEST_PERCENTILE))
    farthest = max(farthest, 0.5 * float(distance.max()))  # of what is small in a large picture
    threshold = max(_NOISE_FACTOR * noise, _BACKGROUND_TOLERANCE * farthest)
    content = distance > threshold
    if farthest < _VISIBLE or not content.any():
        raise UserError(f"{name}: nothing to see: all pixels are of about one shade")
    value = np.where(content, np.minimum(distance / farthest, 1), 0).astype(np.float32)
    rows = _extent(content.sum(axis=1), content.shape[1])
    columns = _extent(content.sum(axis=0), content.shape[0])
    return Garment(_centred(value[rows, columns], size), share >= _PLAIN_SHARE)


def _colours(image: Image.Image) -> NDArray[np.float64]:
    """(height, width, 3) in [0, 1].

    What is transparent becomes white or black, whichever is farther from what is not.
    """
    if image.mode == "RGBA":
        image = image.copy()
        image.thumbnail(_WORKING_SIZE)
        alpha = np.asarray(image.getchannel("A"), np.float64) / 255
        grey = np.asarray(image.convert("RGB").convert("L"), np.float64) / 255
        visible = alpha.sum()
        dark = bool(visible) and (grey * alpha).sum() / visible < 0.5
        page = Image.new("RGBA", image.size, "white" if dark else "black")
        image = Image.alpha_composite(page, image)
    image = image.convert("RGB")
    image.thumbnail(_WORKING_SIZE)
    return np.asarray(image, np.float64) / 255


def _background(colours: NDArray[np.float64]) -> tuple[NDArray[np.float64], float, float]:
    """A plane through the colours of the border, without what stands out of them.

    The start is the commonest of 16 shades of each channel, so that content may touch the border;
    then planes are fitted, each to the border pixels near the one before.

    Returns:
        (height, width, 3) colours; how far the border scatters around them; and the share of the
        border that lies near them.
    """
    height, width, _ = colours.shape
    down, across = np.mgrid[0:height, 0:width]
    places = np.stack([np.ones_like(down), down / height - 0.5, across / width - 0.5], axis=-1)
    edge = np.zeros((height, width), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    border, border_places = colours[edge], places[edge]

    shades = np.minimum((border * _SHADES).astype(int), _SHADES - 1)
    keys = shades @ np.array([1, _SHADES, _SHADES**2])
    commonest = border[keys == np.bincount(keys).argmax()]
    plane = np.zeros((3, 3))
    plane[0] = np.median(commonest, axis=0)
    near = np.ones(len(border), bool)
    for _ in range(_ROUNDS):
        residuals = np.linalg.norm(border - border_places @ plane, axis=1) / np.sqrt(3)
        near = residuals < _FAR
        if near.sum() < 3:
            break
        plane = np.linalg.lstsq(border_places[near], border[near], rcond=None)[0]
    residuals = np.linalg.norm(border - border_places @ plane, axis=1) / np.sqrt(3)
    near = residuals < _FAR
    noise = float(np.median(residuals[near])) if near.any() else 0.0
    return np.clip(places @ plane, 0, 1), noise, float(near.mean())


def _extent(counts: NDArray[np.int64], across: int) -> slice:
    """From the first to the last line with more content than a speck has, if there is any."""
    lines = np.flatnonzero(counts > across // 200)
    if not len(lines):
        lines = np.flatnonzero(counts)
    return slice(int(lines[0]), int(lines[-1]) + 1)


def _centred(value: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Scaled to fit, in the middle."""
    scale = min(size[0] / value.shape[0], size[1] / value.shape[1])
    height, width = (max(1, round(side * scale)) for side in value.shape)
    resized = Image.fromarray(value).resize((width, height), Image.Resampling.BICUBIC)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    pixels = np.zeros(size, np.float32)
    pixels[top : top + height, left : left + width] = np.clip(np.asarray(resized), 0, 1)
    return pixels
