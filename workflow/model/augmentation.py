"""Training images changed at random, each time they are used: the models see more than there are.

What happens to an image follows from the seed, the epoch and its place in the data set, so it is
the same whoever computes it. NumPy changes them while the last chunk trains: it moves numbers and
rounds each sum by itself, alike on every processor.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from workflow.core.validation import Strict

Images = NDArray[np.float32]
_BLOCK = 256  # images that are changed at once, so that they stay in the cache


class Change(Strict):
    """What the changes have in common.

    Attributes:
        draws: how many random numbers an image takes.
    """

    draws: ClassVar[int]

    @abstractmethod
    def apply(self, images: Images, random: NDArray[np.float64]) -> Images:
        """The images changed.

        Args:
            images: (n, height, width, channels) in [0, 1].
            random: (n, draws) uniform numbers in [0, 1).
        """


class Flip(Change):
    """Half of the images are mirrored, left to right."""

    change: Literal["flip"]

    draws = 1

    def apply(self, images: Images, random: NDArray[np.float64]) -> Images:
        """See `Change`."""
        return np.where(random[:, 0, None, None, None] < 0.5, images[:, :, ::-1], images)


class Shift(Change):
    """Images are moved by up to so many pixels, up or down and sideways; zeros come in."""

    change: Literal["shift"]
    pixels: int = Field(ge=1, le=64)

    draws = 2

    def apply(self, images: Images, random: NDArray[np.float64]) -> Images:
        """See `Change`."""
        count, height, width, _ = images.shape
        margin = ((self.pixels, self.pixels),) * 2
        padded = np.pad(images, ((0, 0), *margin, (0, 0)))
        starts = np.floor(random * (2 * self.pixels + 1)).astype(np.int64)
        rows = starts[:, 0, None] + np.arange(height)
        columns = starts[:, 1, None] + np.arange(width)
        moved: Images = padded[
            np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
        ]
        return moved


class Turn(Change):
    """Images are turned by up to so many degrees, and made larger or smaller; zeros come in.

    Between pixels it is interpolated linearly.
    """

    change: Literal["turn"]
    degrees: float = Field(default=0.0, ge=0, le=180)
    zoom: float = Field(default=0.0, ge=0, lt=1)

    draws = 2

    def apply(self, images: Images, random: NDArray[np.float64]) -> Images:
        """See `Change`."""
        count, height, width, _ = images.shape
        angles = (2 * random[:, 0] - 1) * math.radians(self.degrees)
        size = 1 + (2 * random[:, 1] - 1) * self.zoom
        # Rounded: the last digits of sine and cosine are the C library's own.
        cosine = np.array([round(math.cos(angle), 6) for angle in angles]) / size
        sine = np.array([round(math.sin(angle), 6) for angle in angles]) / size
        y = np.arange(height)[:, None] - (height - 1) / 2
        x = np.arange(width) - (width - 1) / 2
        from_y = cosine[:, None, None] * y - sine[:, None, None] * x + (height - 1) / 2
        from_x = sine[:, None, None] * y + cosine[:, None, None] * x + (width - 1) / 2
        padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
        # In the padded image, whose edge stands for all that lies outside.
        from_y = np.clip(from_y + 1, 0, height + 0.999)
        from_x = np.clip(from_x + 1, 0, width + 0.999)
        top, left = from_y.astype(np.int64), from_x.astype(np.int64)
        down = (from_y - top).astype(np.float32)[..., None]
        right = (from_x - left).astype(np.float32)[..., None]
        image = np.arange(count)[:, None, None]
        upper = padded[image, top, left] * (1 - right) + padded[image, top, left + 1] * right
        lower = (
            padded[image, top + 1, left] * (1 - right) + padded[image, top + 1, left + 1] * right
        )
        result: Images = upper * (1 - down) + lower * down
        return result


class Erase(Change):
    """A rectangle of some images is filled with one shade (Zhong, Zheng, Kang, Li and Yang, 2020).

    Attributes:
        probability: that an image is changed.
        largest: share of the image that the rectangle takes at most; at least it is a fiftieth.
    """

    change: Literal["erase"]
    probability: float = Field(default=0.5, gt=0, le=1)
    largest: float = Field(default=0.25, gt=0.02, le=1)

    draws = 6

    def apply(self, images: Images, random: NDArray[np.float64]) -> Images:
        """See `Change`."""
        _, height, width, _ = images.shape
        area = 0.02 + random[:, 1] * (self.largest - 0.02)
        narrow = 0.3 + random[:, 2] * 0.7  # the narrower side against the wider one
        ratio = np.where(random[:, 3] < 0.5, narrow, 1 / narrow)
        tall = np.minimum(np.rint(np.sqrt(area * ratio) * height), height)
        wide = np.minimum(np.rint(np.sqrt(area / ratio) * width), width)
        top = np.floor(random[:, 4] * (height - tall + 1))
        left = np.floor(random[:, 5] * (width - wide + 1))
        y, x = np.arange(height)[:, None], np.arange(width)
        inside_y = (y >= top[:, None, None]) & (y < (top + tall)[:, None, None])
        inside_x = (x >= left[:, None, None]) & (x < (left + wide)[:, None, None])
        erased = inside_y & inside_x & (random[:, 0] < self.probability)[:, None, None]
        shade = (random[:, 0] / self.probability).astype(np.float32)
        return np.where(erased[..., None], shade[:, None, None, None], images)


AnyChange = Annotated[Flip | Shift | Turn | Erase, Field(discriminator="change")]


def draws_of(changes: Sequence[Change]) -> int:
    """How many random numbers an image takes."""
    return sum(change.draws for change in changes)


def augment(changes: Sequence[Change], images: Images, random: NDArray[np.float64]) -> None:
    """Change images in place, one change after the other.

    Args:
        changes: of the recipe.
        images: (n, height, width[, channels]) in [0, 1].
        random: (n, draws_of(changes)) uniform numbers in [0, 1).
    """
    for start in range(0, len(images), _BLOCK):
        block = images[start : start + _BLOCK]
        changed = block.reshape(*block.shape[:3], -1)
        used = 0
        for change in changes:
            numbers = random[start : start + _BLOCK, used : used + change.draws]
            changed = change.apply(changed, numbers)
            used += change.draws
        block[...] = changed.reshape(block.shape)
