"""Normalize the images as the tutorials do, `x / 255`, and put all arrays into one file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow.errors import UserError
from workflow.idx import read_idx
from workflow.params import Params
from workflow.progress import say
from workflow.stage import Outputs, run_stage

RAW = Path("data/raw")


def normalize(params: Params, outputs: Outputs) -> None:
    """Write `data/normalized.npz`: images float32 in [0, 1], labels uint8, train and test."""
    files, classes = params.data.files, params.data.class_names
    train_images = read_idx(RAW / files.train_images.name, dimensions=3)
    train_labels = read_idx(RAW / files.train_labels.name, dimensions=1)
    test_images = read_idx(RAW / files.test_images.name, dimensions=3)
    test_labels = read_idx(RAW / files.test_labels.name, dimensions=1)

    check_labels(train_images, train_labels, files.train_labels.name, classes)
    check_labels(test_images, test_labels, files.test_labels.name, classes)
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            f"{files.test_images.name}: images of {test_images.shape[1:]} pixels, but"
            f" {files.train_images.name} has {train_images.shape[1:]}: they must be the same"
        )
    # Uncompressed: the same bytes everywhere, and any row can be read without the others.
    np.savez(
        outputs.path("data/normalized.npz"),
        train_images=scale(train_images),
        train_labels=train_labels,
        test_images=scale(test_images),
        test_labels=test_labels,
    )
    say(
        f"normalize: {len(train_images)} training and {len(test_images)} test images of"
        f" {train_images.shape[1]} × {train_images.shape[2]} pixels, {len(classes)} classes"
    )


def scale(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Bring uint8 pixels to float32 in [0, 1]; float64, as published, takes twice the memory."""
    return np.divide(images, np.float32(255), dtype=np.float32)


def check_labels(
    images: NDArray[np.uint8], labels: NDArray[np.uint8], name: str, classes: list[str]
) -> None:
    """Raise a UserError unless there is one label an image, each of a class that has a name."""
    if len(images) != len(labels):
        raise UserError(
            f"{RAW / name}: {len(labels)} labels for {len(images)} images: the files do not belong"
            " together; check data.files in params.yaml"
        )
    if labels.max() >= len(classes):
        position = int(np.argmax(labels >= len(classes)))
        raise UserError(
            f"{RAW / name}: label {labels[position]} at position {position}, but params.yaml"
            f" names {len(classes)} classes (labels 0 to {len(classes) - 1}): add the name to"
            " data.class_names or correct the file"
        )


if __name__ == "__main__":
    run_stage("normalize", normalize)
