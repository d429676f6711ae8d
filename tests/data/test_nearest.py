"""How far images lie from those of the training."""

from pathlib import Path

import numpy as np
import pytest

from workflow.core.errors import UserError
from workflow.data import nearest
from workflow.data.nearest import stranger_than
from workflow.data.npz import write_arrays

DRAW = np.random.default_rng(2)
SHAPES = [(6, 5), (6, 5, 3)]


def archive_of(path: Path, train: np.ndarray, test: np.ndarray) -> Path:
    write_arrays(path, {"train_images": train, "test_images": test})
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_the_share_is_that_of_the_test_images_that_are_nearer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    train, test, images = (DRAW.random((n, *shape), np.float32) for n in (50, 20, 30))
    archive = archive_of(tmp_path / "data.npz", train, test)

    def distances(some: np.ndarray) -> np.ndarray:
        apart = (some[:, None] - train[None]).reshape(len(some), len(train), -1)
        return np.linalg.norm(apart, axis=2).min(axis=1)

    expected = (distances(test)[None] < distances(images)[:, None]).mean(axis=1)
    assert 0 < expected.mean() < 1
    for pixels in (2**21, 100):  # at a time
        monkeypatch.setattr(nearest, "_PIXELS_AT_A_TIME", pixels)
        np.testing.assert_allclose(stranger_than(images, archive), expected)


def test_a_training_image_is_no_stranger_and_what_is_far_is_one(tmp_path: Path) -> None:
    train, test = (DRAW.random((n, 6, 5), np.float32) for n in (6000, 300))
    archive = archive_of(tmp_path / "data.npz", train, test)
    shares = stranger_than(np.stack([train[0], 0 * train[0] + 5]), archive)
    assert shares.tolist() == [0, 1]


def test_images_of_another_data_set_are_refused(tmp_path: Path) -> None:
    ones = np.ones((2, 6, 5), np.float32)
    with pytest.raises(
        UserError, match=r"images of \(6, 5\) pixels, the model takes \(6, 6\): run"
    ):
        stranger_than(np.ones((1, 6, 6), np.float32), archive_of(tmp_path / "a.npz", ones, ones))
