"""How far an image lies from those of the training: the farther, the less a prediction means.

A model is as sure of what it never saw as of anything. This looks at the images alone.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow.core.errors import UserError
from workflow.data.npz import StoredArray

_TRAINING_IMAGES = 5000
_TEST_IMAGES = 200
_MOST_PIXELS = 2**26  # of training images that are compared
_PIXELS_AT_A_TIME = 2**21


def stranger_than(images: NDArray[np.float32], archive: Path) -> NDArray[np.float64]:
    """The share of test images that lie nearer to the training images than each of `images`.

    Near is what differs little, pixel by pixel, from the nearest of some thousand training images.

    Args:
        images: (n, height, width[, 3]).
        archive: the normalized data set.

    Returns:
        (n,) in [0, 1].

    Raises:
        UserError: the archive is damaged, or holds images of another shape.
    """
    with StoredArray(archive, "test_images") as test:
        known = test.take(_spread(len(test), _TEST_IMAGES))
    if known.shape[1:] != images.shape[1:]:
        raise UserError(
            f"{archive}: images of {known.shape[1:]} pixels, the model takes {images.shape[1:]}:"
            " run `dvc repro`"
        )
    every = np.concatenate([images, known]).reshape(len(images) + len(known), -1)
    squares = (every**2).sum(axis=1, keepdims=True)
    nearest = np.full(len(every), np.inf, np.float32)
    pixels = every.shape[1]
    with StoredArray(archive, "train_images") as train:
        rows = _spread(len(train), min(_TRAINING_IMAGES, max(1, _MOST_PIXELS // pixels)))
        for some in np.array_split(rows, len(rows) * pixels // _PIXELS_AT_A_TIME + 1):
            block = train.take(some).reshape(len(some), pixels)
            distances = squares + (block**2).sum(axis=1) - 2 * every @ block.T
            nearest = np.minimum(nearest, distances.min(axis=1, initial=np.inf))
    of_images, of_known = np.split(nearest, [len(images)])
    return np.searchsorted(np.sort(of_known), of_images) / len(known)


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Rows of all there are, at equal distances if they are too many."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.int64)
