"""Normalize the images as the tutorials do, `x / 255`, and put all arrays into one file."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow.dataset import Blocks, write_arrays
from workflow.errors import UserError
from workflow.idx import IdxArray, read_idx
from workflow.params import Params
from workflow.progress import say
from workflow.stage import Outputs, run_stage

RAW = Path("data/raw")
IMAGES_AT_A_TIME = 1000


def normalize(params: Params, outputs: Outputs) -> None:
    """Write `data/normalized.npz`: images float32 in [0, 1], labels uint8, train and test."""
    files, classes = params.data.files, params.data.class_names
    train_images = read_idx(RAW / files.train_images.name, dimensions=3)
    train_labels = read_idx(RAW / files.train_labels.name, dimensions=1)
    test_images = read_idx(RAW / files.test_images.name, dimensions=3)
    test_labels = read_idx(RAW / files.test_labels.name, dimensions=1)

    check_labels(train_images, train_labels, files.train_labels.name, classes)
    check_labels(test_images, test_labels, files.test_labels.name, classes)
    without = np.setdiff1d(np.arange(len(classes)), train_labels)
    if len(without):
        names = ", ".join(classes[label] for label in without)
        say(f"normalize: no training image is of the class {names}: no need to name it")
    if train_images.shape[1:] != test_images.shape[1:]:
        raise UserError(
            f"{files.test_images.name}: images of {test_images.shape[1:]} pixels, but"
            f" {files.train_images.name} has {train_images.shape[1:]}: they must be the same"
        )
    # Uncompressed: the same bytes everywhere, and any row can be read without the others.
    arrays: dict[str, NDArray[np.uint8] | Blocks] = {
        "train_images": scaled(RAW / files.train_images.name, train_images),
        "train_labels": train_labels,
        "test_images": scaled(RAW / files.test_images.name, test_images),
        "test_labels": test_labels,
    }
    write_arrays(outputs.path("data/normalized.npz"), arrays)
    say(
        f"normalize: {len(train_images)} training and {len(test_images)} test images of"
        f" {train_images.shape[1]} × {train_images.shape[2]} pixels, {len(classes)} classes"
    )


def scaled(path: Path, images: IdxArray) -> Blocks:
    """Bring (n, height, width) uint8 pixels to float32 in [0, 1], some images at a time.

    They are read beside the map of their file, whose pages would count as the process's own.
    """

    def read(start: int) -> NDArray[np.uint8]:
        shape = (min(IMAGES_AT_A_TIME, len(images) - start), *images.shape[1:])
        offset = images.offset + start * images[0].size
        pixels = np.fromfile(path, np.uint8, math.prod(shape), offset=offset)
        if pixels.size < math.prod(shape):
            raise UserError(f"{path}: cut short while it was read: run `dvc repro download`")
        return pixels.reshape(shape)

    blocks = (
        np.divide(read(start), np.float32(255), dtype=np.float32)
        for start in range(0, len(images), IMAGES_AT_A_TIME)
    )
    return Blocks(images.shape, np.dtype(np.float32), blocks)


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
