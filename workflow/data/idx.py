"""The IDX format of the MNIST family: a header in big-endian, then the numbers.

Format: two zero bytes, a code for the data type, the number of dimensions, then each
dimension as an unsigned 32-bit integer.
"""

import math
import struct
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from workflow.core.errors import UserError

_UNSIGNED_BYTE = 0x08
# QMNIST has its labels so.
_INT32 = 0x0C
_DIMENSIONS = {
    "images": ((3, 4), "3 (grey images, rows, columns) or 4 (images, rows, columns, 3 colours)"),
    "labels": ((1, 2), "1 (a label an image) or 2 (a row an image, which the label begins)"),
}
_MOST_DIMENSIONS = 4

IdxArray: TypeAlias = "np.memmap[Any, np.dtype[np.uint8]]"


def read_images(path: Path) -> IdxArray:
    """Read an IDX file of images.

    Args:
        path: the decompressed file.

    Returns:
        A read-only (n, height, width) or (n, height, width, 3) uint8 array, mapped from the file
        rather than copied.

    Raises:
        UserError: the file is missing, is no IDX file of unsigned bytes, has other dimensions, or
            is shorter or longer than its header says.
    """
    images = _read(path, "images")
    if images.dtype != np.uint8:
        raise UserError(
            f"{path}: IDX type code 0x0c: of images, only 0x08 (unsigned bytes) is read"
        )
    if images.ndim == 4 and images.shape[3] != 3:
        raise UserError(f"{path}: {images.shape[3]} channels an image: there must be 3 of colour")
    return images


def read_labels(path: Path) -> NDArray[np.int64]:
    """Read an IDX file of labels, of unsigned bytes or 32 bits; of rows, the first column.

    Returns:
        (n,) labels as they are stored.

    Raises:
        UserError: as `read_images`.
    """
    labels = _read(path, "labels")
    return np.asarray(labels if labels.ndim == 1 else labels[:, 0], np.int64)


def _read(path: Path, kind: Literal["images", "labels"]) -> "np.memmap[Any, Any]":
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4 + 4 * _MOST_DIMENSIONS)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): run `dvc repro`") from None
    if len(head) < 4 or head[:2] != b"\0\0":
        raise UserError(f"{path}: no IDX file: it must start with two zero bytes")
    types: dict[int, np.dtype[Any]] = {_UNSIGNED_BYTE: np.dtype(np.uint8), _INT32: np.dtype(">i4")}
    if head[2] not in types:
        raise UserError(
            f"{path}: IDX type code 0x{head[2]:02x}: only 0x08 (unsigned bytes) and, of labels,"
            " 0x0c (32 bits) are read"
        )
    dimensions, dtype = head[3], types[head[2]]
    allowed, described = _DIMENSIONS[kind]
    if dimensions not in allowed:
        raise UserError(
            f"{path}: {dimensions} dimensions, expected {described}: check which file is"
            " which in data.files of params.yaml"
        )
    head = head[: 4 + 4 * dimensions]
    if len(head) < 4 + 4 * dimensions:
        raise UserError(f"{path}: the header is cut short: download the file again")
    shape = struct.unpack(f">{dimensions}I", head[4:])
    if 0 in shape:
        raise UserError(f"{path}: empty: its dimensions are {shape}")
    expected = len(head) + math.prod(shape) * dtype.itemsize
    if size != expected:
        raise UserError(
            f"{path}: {size} bytes, but the header {shape} asks for {expected}:"
            " the file is truncated or holds something else"
        )
    return np.memmap(path, dtype=dtype, mode="r", offset=len(head), shape=shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a uint8 array of any number of dimensions as an IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    path.write_bytes(header + np.ascontiguousarray(array).tobytes())
