"""Normalize the images as the tutorials do, `x / 255`, and put all arrays into one file."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.classes import write_class_names
from workflow.core.errors import UserError
from workflow.core.params import Idx, Params, Pictures
from workflow.core.progress import say, some
from workflow.core.stage import Outputs
from workflow.data.folders import DataSet, Split, read_data_set, scratch_file
from workflow.data.idx import IdxArray, read_images, read_labels
from workflow.data.npz import Blocks, write_arrays

IMAGES_AT_A_TIME = 1000


def run(params: Params, outputs: Outputs) -> None:
    """Write `data/normalized.npz` and `data/classes.json`.

    The images are float32 in [0, 1], the labels uint8, both for training and for testing.
    """
    if isinstance(params.data, Pictures):
        with scratch_file() as store:
            write(read_data_set(paths.RAW, params.data, store), outputs)
    else:
        write(read_files(params.data), outputs)


def write(data: DataSet, outputs: Outputs) -> None:
    """Write a data set, and say what is in it."""
    classes = data.class_names
    for split, labels in data.labels.items():
        if absent := [classes[n] for n in np.setdiff1d(np.arange(len(classes)), labels)]:
            say(f"normalize: classes without a {split}ing image: {some(absent)}")
    # Uncompressed: the same bytes everywhere, and any row can be read without the others.
    arrays: dict[str, NDArray[np.uint8] | Blocks] = {}
    for split in data.images:
        arrays |= {f"{split}_images": data.images[split], f"{split}_labels": data.labels[split]}
    write_arrays(outputs.path(paths.NORMALIZED), arrays)
    write_class_names(outputs.path(paths.CLASSES), classes)
    _, height, width, *channels = data.images["train"].shape
    counts = {split: len(labels) for split, labels in data.labels.items()}
    say(
        f"normalize: {counts['train']} training and {counts['test']} test images of {height} ×"
        f" {width} pixels{' in colour' if channels else ''}, {len(classes)} classes"
    )


def read_files(data: Idx) -> DataSet:
    """Read the four IDX files.

    Raises:
        UserError: one is damaged, they do not belong together, or a label has no name.
    """
    files = data.files
    images: dict[Split, IdxArray] = {}
    labels: dict[Split, NDArray[np.uint8]] = {}
    blocks: dict[Split, Blocks] = {}
    pairs: Mapping[Split, tuple[str, str]] = {
        "train": (files.train_images.name, files.train_labels.name),
        "test": (files.test_images.name, files.test_labels.name),
    }
    for split, (of_images, of_labels) in pairs.items():
        images[split] = read_images(paths.RAW / of_images)
        labels[split] = checked_labels(
            images[split], read_labels(paths.RAW / of_labels), of_labels, data
        )
        blocks[split] = scaled(paths.RAW / of_images, images[split], data.transpose)
    if images["train"].shape[1:] != images["test"].shape[1:]:
        raise UserError(
            f"{files.test_images.name}: images of {images['test'].shape[1:]} pixels, but"
            f" {files.train_images.name} has {images['train'].shape[1:]}: they must be the same"
        )
    if not data.first_label and all(of_split.all() for of_split in labels.values()):
        say(
            f"normalize: no image is of the class {data.class_names[0]}: if the labels begin at 1,"
            " set data.first_label: 1"
        )
    return DataSet(data.class_names, blocks, labels)


def scaled(path: Path, images: IdxArray, transpose: bool = False) -> Blocks:
    """Bring (n, height, width[, 3]) uint8 pixels to float32 in [0, 1], some images at a time.

    They are read beside the map of their file, whose pages would count as the process's own.
    """

    def read(start: int) -> NDArray[np.uint8]:
        shape = (min(IMAGES_AT_A_TIME, len(images) - start), *images.shape[1:])
        offset = images.offset + start * images[0].size
        pixels = np.fromfile(path, np.uint8, math.prod(shape), offset=offset)
        if pixels.size < math.prod(shape):
            raise UserError(f"{path}: cut short while it was read: run `dvc repro download`")
        pixels = pixels.reshape(shape)
        return pixels.swapaxes(1, 2) if transpose else pixels

    blocks = (
        np.divide(read(start), np.float32(255), dtype=np.float32)
        for start in range(0, len(images), IMAGES_AT_A_TIME)
    )
    count, *sides = images.shape
    if transpose:
        sides[:2] = sides[1::-1]
    return Blocks((count, *sides), np.dtype(np.float32), blocks)


def checked_labels(
    images: NDArray[np.uint8], labels: NDArray[np.int64], name: str, data: Idx
) -> NDArray[np.uint8]:
    """The labels, from 0 on.

    Raises:
        UserError: there is not one label an image, or one is of no class that has a name.
    """
    if len(images) != len(labels):
        raise UserError(
            f"{paths.RAW / name}: {len(labels)} labels for {len(images)} images: the files do not"
            " belong together; check data.files in params.yaml"
        )
    classes, first = len(data.class_names), data.first_label
    if not first and labels.min() == 1 and labels.max() == classes:
        raise UserError(
            f"{paths.RAW / name}: the labels are 1 to {classes}, and params.yaml names {classes}"
            " classes: set data.first_label: 1"
        )
    wrong = (labels < first) | (labels >= first + classes)
    if wrong.any():
        position = int(np.argmax(wrong))
        remedy = "add the name to data.class_names or correct the file"
        if not first and labels.min():
            # One more name would make every class be called by its neighbour's.
            begin = 1 if labels.max() <= classes else int(labels.min())
            fits = labels.max() - begin < classes
            remedy = f"set data.first_label: {begin}" + ("" if fits else f", and {remedy}")
        if first and labels.min() == 0:
            remedy = "set data.first_label: 0, or correct the file"
        raise UserError(
            f"{paths.RAW / name}: label {labels[position]} at position {position}, but params.yaml"
            f" names {classes} classes (labels {first} to {first + classes - 1}): {remedy}"
        )
    return (labels - first).astype(np.uint8)
