"""The normalized data set: an uncompressed `.npz` whose rows are read as they are needed."""

import io
import math
import os
import struct
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import reading

_LOCAL_HEADER_SIZE = 30  # of a zip entry, before its name and its extra field
_BLOCK = 1 << 20
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class StoredArray:
    """One array of an uncompressed `.npz`, of which any rows can be read without the others.

    Training visits the images in a new order each epoch. Reading each chunk of that order
    when its turn comes costs less than a tenth of the epoch, on a core that would idle, and
    the memory needed does not grow with the data set. (A memory map would be simpler, but
    every page that it touches counts as the process's own.)

    Attributes:
        shape: of the whole array; the first dimension counts the rows.
        dtype: of its elements.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __init__(self, archive: Path, name: str) -> None:
        """Open array `name` of `archive`.

        Raises:
            UserError: the archive is missing or damaged, or has no such array.
        """
        with reading(archive, name):
            self._start, self.shape, self.dtype = _checked(archive, name, _stamp(archive))
            self._file = os.open(archive, os.O_RDONLY)
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._archive = archive

    def __len__(self) -> int:
        return self.shape[0]

    def __enter__(self) -> "StoredArray":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)

    def take(self, rows: NDArray[np.int64], into: NDArray[Any] | None = None) -> NDArray[Any]:
        """Read the given rows, in the given order.

        Args:
            rows: (n,) indices.
            into: contiguous and of the same dtype, at least n rows long: its first n are
                overwritten.

        Returns:
            `into`, or a new array of shape (n, *shape[1:]).

        Raises:
            UserError: the file has become shorter than its header says.
            ValueError: `into` does not fit.
        """
        result = np.empty((len(rows), *self.shape[1:]), self.dtype) if into is None else into
        fits = len(result) >= len(rows) and result.shape[1:] == self.shape[1:]
        if not fits or result.dtype != self.dtype or not result.flags.c_contiguous:
            raise ValueError(f"{result.dtype} array of shape {result.shape} for {len(rows)} rows")
        size = self._row_bytes
        target = memoryview(result.reshape(-1).view(np.uint8).data)
        for position, row in enumerate(rows.tolist()):
            self._read(row, target[position * size : (position + 1) * size])
        return result

    def whole(self) -> NDArray[Any]:
        """Read all rows at once; meant for small arrays.

        Raises:
            UserError: the file has become shorter than its header says.
        """
        result = np.empty(self.shape, self.dtype)
        self._read(0, memoryview(result.reshape(-1).view(np.uint8).data))
        return result

    def _read(self, row: int, target: memoryview) -> None:
        """Fill `target` from the beginning of a row on."""
        done = 0
        while done < len(target):  # one call reads two gigabytes at most
            position = self._start + row * self._row_bytes + done
            count = os.preadv(self._file, [target[done:]], position)
            if count == 0:
                raise UserError(f"{self._archive}: truncated: run `dvc repro normalize`")
            done += count


@dataclass(frozen=True)
class Blocks:
    """An array that is made block by block.

    Attributes:
        shape: of the whole array.
        dtype: of its elements.
        blocks: along the first dimension, in order; together they have `shape`.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    blocks: Iterable[NDArray[Any]]


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any] | Blocks]) -> None:
    """Write an uncompressed `.npz`, in the same bytes whichever Python writes it.

    Args:
        path: of the archive.
        arrays: by name; an array, or the blocks of one that need not fit into memory.

    Raises:
        ValueError: the blocks do not add up to the shape that they were announced with.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            header = io.BytesIO()
            np.lib.format.write_array_header_1_0(
                header,
                {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape},
            )
            entry = zipfile.ZipInfo(f"{name}.npy")  # dated 1980, as ever
            # `np.savez` leaves the size open, which asks for a zip64 header, and before Python
            # 3.11.4 small ones were written otherwise. A known size below 1.9 GiB needs none.
            size = len(header.getvalue()) + array.dtype.itemsize * math.prod(array.shape)
            entry.file_size = size
            with archive.open(entry, "w") as stream:
                stream.write(header.getvalue())
                for block in array.blocks if isinstance(array, Blocks) else [array]:
                    stream.write(np.ascontiguousarray(block).data)
            if entry.file_size != size:
                raise ValueError(f"{name}: {entry.file_size} bytes instead of {size}")


def read_array(archive: Path, name: str) -> NDArray[Any]:
    """Read one whole array of an `.npz`; meant for the small ones.

    Raises:
        UserError: the archive is missing or damaged, or has no such array.
    """
    with StoredArray(archive, name) as stored:
        return stored.whole()


def read_labels(split: str, classes: int) -> NDArray[np.uint8]:
    """Read the labels of the normalized data set.

    Args:
        split: `train` or `test`.
        classes: how many there are.

    Raises:
        UserError: the archive is missing or damaged, or they are not one of a class for each image.
    """
    with StoredArray(paths.NORMALIZED, f"{split}_images") as images:
        count = len(images)
    labels = read_array(paths.NORMALIZED, f"{split}_labels")
    with reading(paths.NORMALIZED):
        if labels.dtype != np.uint8 or labels.shape != (count,):
            what = f"{labels.dtype} {split} labels of shape {labels.shape}"
            raise ValueError(f"{what} for {count} images")
    if (largest := labels.max(initial=0)) >= classes:
        raise UserError(
            f"{paths.NORMALIZED} holds the label {largest}, {paths.CLASSES} names {classes}"
            " classes: delete both and run `dvc repro normalize`"
        )
    return labels


def _stamp(archive: Path) -> tuple[int, int, int]:
    """What tells that a file is no longer the one it was."""
    state = archive.stat()
    return state.st_ino, state.st_size, state.st_mtime_ns


@lru_cache  # 0.1 s for 200 MB, and predict opens an archive anew for each image
def _checked(
    archive: Path, name: str, _unchanged: tuple[int, int, int]
) -> tuple[int, tuple[int, ...], np.dtype[Any]]:
    """Read an array once, so that its zip entry's checksum is compared.

    Returns:
        Where its elements begin in the file, its shape, and its dtype.

    Raises:
        Exception: whatever `zipfile` or NumPy raises.
        ValueError: it is compressed, or no array of numbers in C order with rows.
    """
    with zipfile.ZipFile(archive) as entries:
        entry = entries.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError("it is compressed")
        with entries.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in _READ_HEADER:
                raise ValueError(f"version {version} of NumPy's format")
            shape, fortran_order, dtype = _READ_HEADER[version](stream)
            header_size = stream.tell()
            # A bool is an int to Python.
            if not shape or not all(type(count) is int and count >= 0 for count in shape):
                raise ValueError(f"shape {shape!r:.40}")
            if dtype.kind not in "iuf":
                raise ValueError(f"{dtype} elements")
            if fortran_order:
                raise ValueError("it is in Fortran order")
            if entry.file_size != header_size + math.prod(shape) * dtype.itemsize:
                raise ValueError(f"its header does not fit its {entry.file_size} bytes")
            while stream.read(_BLOCK):
                pass
    with archive.open("rb") as file:
        file.seek(entry.header_offset)
        local_header = file.read(_LOCAL_HEADER_SIZE)
    name_size, extra_size = struct.unpack_from("<HH", local_header, 26)
    begin = entry.header_offset + _LOCAL_HEADER_SIZE + name_size + extra_size
    return begin + header_size, shape, dtype
