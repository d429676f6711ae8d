"""Each change does what it says, and an image gets the same whichever others are beside it."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small import COUNT, EVERY_PIECE, SHAPE, Data, recipe

from workflow.data.npz import StoredArray
from workflow.model import feeding
from workflow.model.augmentation import augment, draws_of

RANDOM = np.random.default_rng(0)


def changed(images: NDArray[np.float32], random: Any, **change: object) -> NDArray[np.float32]:
    """Images after one change with given random numbers, one row an image."""
    changes = recipe(augmentation=[change]).augmentation
    result = images.copy()
    augment(changes, result, np.array(random, float))
    return result


@pytest.fixture
def images() -> NDArray[np.float32]:
    return RANDOM.random((3, 6, 5), np.float32)


def test_half_of_the_images_are_mirrored(images: NDArray[np.float32]) -> None:
    found = changed(images, [[0.4], [0.6], [0.0]], change="flip")
    np.testing.assert_array_equal(found[0], images[0, :, ::-1])
    np.testing.assert_array_equal(found[1], images[1])
    np.testing.assert_array_equal(found[2], images[2, :, ::-1])


def test_images_move_and_zeros_come_in(images: NDArray[np.float32]) -> None:
    found = changed(images, [[0.5, 0.5], [0.0, 0.5], [0.5, 0.999]], change="shift", pixels=2)
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_array_equal(found[1, 2:], images[1, :-2])
    assert not found[1, :2].any()
    np.testing.assert_array_equal(found[2, :, :-2], images[2, :, 2:])
    assert not found[2, :, -2:].any()


def test_images_turn_about_their_centre() -> None:
    images = RANDOM.random((3, 5, 5, 3), np.float32)
    found = changed(images, [[0.5, 0.5], [0.0, 0.5], [1.0, 0.5]], change="turn", degrees=90)
    np.testing.assert_array_equal(found[0], images[0])
    np.testing.assert_allclose(found[1], np.rot90(images[1], 1), atol=1e-5)
    np.testing.assert_allclose(found[2], np.rot90(images[2], -1), atol=1e-5)


def test_images_become_larger_and_smaller() -> None:
    images = np.zeros((3, 41, 41), np.float32)
    images[:, 11:30, 11:30] = 1
    found = changed(images, [[0.5, 0.5], [0.5, 1.0], [0.5, 0.0]], change="turn", zoom=0.5)
    areas = found.sum((1, 2))
    assert areas[0] == 19**2
    assert areas[1] == pytest.approx((19 * 1.5) ** 2, rel=0.05)
    assert areas[2] == pytest.approx((19 * 0.5) ** 2, rel=0.15)


def test_a_rectangle_is_erased() -> None:
    images = np.full((2000, 20, 30, 3), -1, np.float32)
    found = changed(images, RANDOM.random((2000, 6)), change="erase", largest=0.3)
    erased = (found != -1).any(-1)
    hit = erased.any((1, 2))
    assert np.mean(hit) == pytest.approx(0.5, abs=0.05)
    for mask, image in zip(erased[hit][:50], found[hit][:50], strict=True):
        rows, columns = mask.any(1), mask.any(0)
        assert mask.sum() == rows.sum() * columns.sum()
        assert 0.01 < mask.mean() < 0.33
        (shade,) = np.unique(image[mask])
        assert 0 <= shade <= 1
    # Anywhere in the image.
    assert erased.any(0).all()


def test_what_happens_to_an_image_follows_from_seed_epoch_and_place(data: Data) -> None:
    path, _, labels = data
    found = {}
    for batch_size, rows in ((7, np.arange(COUNT)), (32, np.arange(COUNT)), (8, np.arange(30))):
        chosen = recipe(augmentation=EVERY_PIECE["augmentation"], batch_size=batch_size, epochs=2)
        with StoredArray(path, "images") as stored:
            for chunk in feeding.chunks(stored, labels, rows, chosen, 5):
                keys = np.array(chunk.keys)[: chunk.batches].reshape(-1)
                batches = np.array(chunk.images)[: chunk.batches].reshape(-1, *SHAPE)
                for key, image in zip(keys.tolist(), batches, strict=True):
                    before = found.setdefault((chunk.epoch, key), image.copy())
                    np.testing.assert_array_equal(before, image)
    assert len(found) == 2 * COUNT
    changes = recipe(augmentation=EVERY_PIECE["augmentation"]).augmentation
    assert draws_of(changes) == 11
