"""The images in the order of an epoch, read from the file in chunks while the last one trains."""

import math
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.data.npz import StoredArray
from workflow.model.augmentation import augment, draws_of
from workflow.model.recipe import Recipe
from workflow.model.tensorflow import tf

# How much of the images one call of a compiled program gets. Larger calls cost memory (the chunk
# in use and the next one), smaller ones time.
CHUNK_BYTES = 8 * 2**20

# Compiled programs take it for granted that the address of a tensor is a multiple of so many bytes.
_ALIGNMENT = 64


@dataclass(frozen=True)
class Chunk:
    """What one call of the compiled program trains on.

    `images` is a (capacity, batch size, *image_shape) float32 tensor, `labels` and `keys` are
    (capacity, batch size) int32 ones, and the first `batches` of them are to be used. From the key
    of an image its random numbers follow. `is_rest` tells a last batch that is smaller than the
    others.
    """

    epoch: int
    images: Any
    labels: Any
    keys: Any
    batches: int
    is_rest: bool


_SharedMemory = tuple[NDArray[Any], Any]


class _Draw:
    """The random numbers of an epoch, which do not depend on earlier epochs."""

    def __init__(self, epoch: int, seed: int, count: int, changes: int) -> None:
        """Args: `count` of all images; `changes`, how many numbers their augmentation takes."""
        self.epoch = epoch
        self._seed = seed
        self.keys = self._generator(1).integers(-(2**31), 2**31, count, np.int32)
        self.changes = self._generator(2).random((count, changes))

    def _generator(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self.epoch, *purpose])

    def permutation(self, count: int) -> NDArray[np.int64]:
        """The order of the images that are trained on."""
        return self._generator().permutation(count)


def chunks(
    images: StoredArray,
    labels: NDArray[np.uint8],
    training: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
    first_epoch: int = 1,
) -> Generator[Chunk]:
    """The images at the rows `training`, epoch after epoch, in chunks and a smaller last batch.

    The chunks are of one shape. Every shape is compiled once; the last batch has one of its own
    only where the images do not divide evenly. A thread reads the next chunk while the program
    runs on this one: a chunk is to be used no longer once the next has been asked for.
    """
    batch_bytes = recipe.batch_size * images.dtype.itemsize * int(np.prod(images.shape[1:]))
    capacity = max(1, CHUNK_BYTES // batch_bytes)
    count = len(training)
    even = count - count % recipe.batch_size

    def pair(capacity: int, batch_size: int) -> Iterator[_SharedMemory]:
        shape = (capacity, batch_size, *images.shape[1:])
        yield from cycle([_shared_memory(shape, images.dtype) for _ in range(2)])  # on first use

    def read(draw: _Draw, rows: NDArray[np.int64], memory: _SharedMemory) -> Chunk:
        array, tensor = memory
        flat = array.reshape(-1, *images.shape[1:])
        images.take(rows, into=flat)
        if recipe.augmentation:
            augment(recipe.augmentation, flat[: len(rows)], draw.changes[rows])
        numbers = np.zeros((2, *array.shape[:2]), np.int32)
        numbers.reshape(2, -1)[:, : len(rows)] = labels[rows], draw.keys[rows]
        batches, is_rest = len(rows) // array.shape[1], array.shape[1] < recipe.batch_size
        padded_labels, keys = map(tf.constant, numbers)
        return Chunk(draw.epoch, tensor, padded_labels, keys, batches, is_rest)

    def jobs() -> Iterator[tuple[_Draw, NDArray[np.int64], _SharedMemory]]:
        full, rest = pair(capacity, recipe.batch_size), pair(1, count - even)
        for epoch in range(first_epoch, recipe.epochs + 1):
            draw = _Draw(epoch, seed, len(labels), draws_of(recipe.augmentation))
            order = training[draw.permutation(count)]
            for start in range(0, even, capacity * recipe.batch_size):
                rows = order[start : min(even, start + capacity * recipe.batch_size)]
                yield draw, rows, next(full)
            if even < count:
                yield draw, order[even:], next(rest)

    with ThreadPoolExecutor(max_workers=1) as reader:
        upcoming = None
        for job in jobs():
            following = reader.submit(read, *job)
            if upcoming:
                yield upcoming.result()
            upcoming = following
        if upcoming:
            yield upcoming.result()


def _shared_memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> _SharedMemory:
    """An array of zeros, and the tensor that reads what is written into it."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array = memory[start : start + size].view(dtype).reshape(shape)
    return array, tf.experimental.dlpack.from_dlpack(array.__dlpack__())
