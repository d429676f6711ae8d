"""The IDX format of the MNIST family: a header in big-endian, then the bytes.

Format: two zero bytes, a code for the data type, the number of dimensions, then each
dimension as an unsigned 32-bit integer.
"""

import math
import struct
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from workflow.errors import UserError

_UNSIGNED_BYTE = 0x08
_DIMENSIONS = {1: "1 (a label an image)", 3: "3 (grey images, rows, columns)"}

IdxArray: TypeAlias = "np.memmap[Any, np.dtype[np.uint8]]"


def read_idx(path: Path, dimensions: int) -> IdxArray:
    """Read an IDX file of unsigned bytes.

    Args:
        path: the decompressed file.
        dimensions: how many dimensions it must have: 3 for images, 1 for labels.

    Returns:
        A read-only uint8 array, mapped from the file rather than copied.

    Raises:
        UserError: the file is missing, is no IDX file of unsigned bytes, has another
            number of dimensions, or is shorter or longer than its header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4 + 4 * dimensions)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}): run `dvc repro`") from None
    if len(head) < 4 or head[:2] != b"\0\0":
        raise UserError(f"{path}: no IDX file: it must start with two zero bytes")
    if head[2] != _UNSIGNED_BYTE:
        raise UserError(
            f"{path}: IDX type code 0x{head[2]:02x}: only 0x08 (unsigned bytes) is supported"
        )
    if head[3] != dimensions:
        raise UserError(
            f"{path}: {head[3]} dimensions, expected {_DIMENSIONS[dimensions]}: check which file is"
            " which in data.files of params.yaml"
        )
    if len(head) < 4 + 4 * dimensions:
        raise UserError(f"{path}: the header is cut short: download the file again")
    shape = struct.unpack(f">{dimensions}I", head[4:])
    if 0 in shape:
        raise UserError(f"{path}: empty: its dimensions are {shape}")
    if size != len(head) + math.prod(shape):
        raise UserError(
            f"{path}: {size} bytes, but the header {shape} asks for {len(head) + math.prod(shape)}:"
            " the file is truncated or holds something else"
        )
    return np.memmap(path, dtype=np.uint8, mode="r", offset=len(head), shape=shape)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write a uint8 array of any number of dimensions as an IDX file."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, _UNSIGNED_BYTE, array.ndim, *array.shape)
    path.write_bytes(header + np.ascontiguousarray(array).tobytes())
