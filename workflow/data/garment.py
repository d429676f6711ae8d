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
_PLANE, _CURVED = 3, 6  # terms of the fitted surface
# Of the largest distance that two colours can have: a border pixel this far from the fitted surface
# belongs to the content, or to a background that is not plain.
_FAR = 0.06
# As in the paper: what differs by less than 5 % counts as background when edges are cut off.
_BACKGROUND_TOLERANCE = 0.05
# Of the border's median distance. JPEG leaves noise of lightness alone, of which 4 would be 2.7
# sigma: specks all over the page, so that nothing is cut off. 8 is 5.4 sigma.
_NOISE_FACTOR = 8.0
# Distance that the brightest content must have for a picture to show anything.
_VISIBLE = 0.04
# Where a third of the border is off the surface, by the mean of so many pixels, it does not fit
# the middle of the page, either.
_STRETCH, _OFF = 8, 0.02
_PLAIN_SHARE = 2 / 3
_FARTHEST_PERCENTILE = 99.5


@dataclass(frozen=True)
class Garment:
    """What is seen on a background.

    Attributes:
        pixels: float32 in [0, 1], background 0, of the model's height and width.
        plain: whether two thirds of the border are of one colour, or of one that changes evenly.
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
    background, noise = _background(colours)
    distance = _distances(colours, background)
    farthest = float(np.percentile(distance, _FARTHEST_PERCENTILE))
    farthest = max(farthest, 0.5 * float(distance.max()))  # of what is small in a large picture
    threshold = max(_NOISE_FACTOR * noise, _BACKGROUND_TOLERANCE * farthest)
    content = distance > threshold
    if farthest < _VISIBLE or not content.any():
        raise UserError(f"{name}: nothing to see: all pixels are of about one shade")
    value = np.where(content, np.minimum(distance / farthest, 1), 0).astype(np.float32)
    rows = _extent(content.sum(axis=1), content.shape[1])
    columns = _extent(content.sum(axis=0), content.shape[0])
    return Garment(_centred(value[rows, columns], size), _is_plain(colours - background))


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


def _background(colours: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """A surface through the colours of the border, without what stands out of them.

    The start is the commonest of 16 shades of each channel, so that content may touch the border;
    then planes are fitted, each to the border pixels near the one before, and then curved surfaces
    of the second degree, as light falls off from a lamp or through a lens.

    Returns:
        (height, width, 3) colours, and how far the border scatters around them.
    """
    height, width, _ = colours.shape
    down, across = np.mgrid[0:height, 0:width]
    y, x = down / height - 0.5, across / width - 0.5
    places = np.stack([np.ones_like(x), y, x, y**2, y * x, x**2], axis=-1)
    edge = np.zeros((height, width), bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    border, border_places = colours[edge], places[edge]

    shades = np.minimum((border * _SHADES).astype(int), _SHADES - 1)
    keys = shades @ np.array([1, _SHADES, _SHADES**2])
    commonest = border[keys == np.bincount(keys).argmax()]
    surface = np.zeros((places.shape[-1], 3))
    surface[0] = np.median(commonest, axis=0)
    for terms in _ROUNDS * (_PLANE,) + _ROUNDS * (_CURVED,):
        near = _distances(border, border_places @ surface) < _FAR
        if near.sum() < terms:
            break
        surface[:terms] = np.linalg.lstsq(border_places[near, :terms], border[near], rcond=None)[0]
    distances = _distances(border, border_places @ surface)
    near = distances < _FAR
    noise = float(np.median(distances[near])) if near.any() else 0.0
    return np.clip(places @ surface, 0, 1), noise


def _is_plain(differences: NDArray[np.float64]) -> bool:
    """Whether most of the border is the surface and noise, by what short stretches of it average.

    Args:
        differences: (height, width, 3) colours from the surface.
    """
    sides = (differences[0], differences[-1], differences[:, 0], differences[:, -1])
    means = np.array(
        [
            stretch.mean(axis=0)
            for side in sides
            for stretch in np.array_split(side, -(-len(side) // _STRETCH))
        ]
    )
    return bool((_distances(means, np.zeros(3)) < _OFF).mean() >= _PLAIN_SHARE)


def _distances(colours: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of colours from others, as a share of the largest that two can have."""
    distances: NDArray[np.float64] = np.linalg.norm(colours - others, axis=-1) / np.sqrt(3)
    return distances


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
