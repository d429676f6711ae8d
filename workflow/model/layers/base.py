"""What the layers have in common, and what training hands them."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from workflow.core.validation import Strict
from workflow.model.tensorflow import tf

_GOLDEN_RATIO = 0x9E3779B9  # as a share of 2^32: its multiples lie far apart


class Training:
    """What a layer needs of a training step, and gathers: random numbers and statistics.

    Attributes:
        statistics: float32 tensors of this part of the batch, which moving averages follow.
    """

    def __init__(self, keys: Any) -> None:
        """Args: `keys`, an (n,) int32 tensor, a random number for each image of this part."""
        self.statistics: list[Any] = []
        self._averages: list[tuple[Any, float]] = []
        self._keys = tf.bitcast(keys, tf.uint32)
        self._draws = 0

    def random_bits(self, shape: Sequence[int]) -> Any:
        """Random numbers that follow from the key of each image: uint32, of this (n, …) shape.

        Each number is a counter, mixed (as the random numbers of Salmon et al., 2011, are) with the
        last steps of MurmurHash3 (Appleby, 2011). Whole numbers alone, so the same everywhere.
        """
        self._draws += 1
        streams = _mixed(self._keys + tf.constant(self._draws * _GOLDEN_RATIO % 2**32, tf.uint32))
        numbers = tf.range(math.prod(shape[1:]), dtype=tf.int32)
        counters = tf.bitcast(numbers, tf.uint32) * tf.constant(_GOLDEN_RATIO, tf.uint32)
        return tf.reshape(_mixed(streams[:, None] + counters), shape)

    def gather(self, average: Any, statistic: Any, momentum: float) -> None:
        """Let the variable `average` follow `statistic`, by a share of 1 - `momentum`."""
        self._averages.append((average, momentum))
        self.statistics.append(statistic)

    def move_averages(self, parts: Sequence[Sequence[Any]]) -> None:
        """Move the averages by the statistics of each part of the batch, in order."""
        for number, (average, momentum) in enumerate(self._averages):
            for statistics in parts:
                average.assign_add((statistics[number] - average) * (1 - momentum))


def _mixed(bits: Any) -> Any:
    """uint32 numbers, each of whose bits depends on all bits of the number before."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.cast(shift, tf.uint32)))
        bits *= tf.constant(factor, tf.uint32)
    return bits


class Layer(Strict):
    """What the layers have in common.

    Attributes:
        keras_class: of the Keras layer that holds the weights, and is saved.
        needs_images: whether it needs (n, height, width, channels); grey images get a channel then.
    """

    keras_class: ClassVar[Any]
    needs_images: ClassVar[bool] = False

    @property
    def takes_images(self) -> bool:
        """Whether it, or a layer inside it, needs (n, height, width, channels)."""
        return self.needs_images

    def build(self, name: str, shape: tuple[int, ...]) -> Any:
        """The Keras layer with these settings.

        Args:
            name: of the Keras layer.
            shape: of what it takes of one image.

        Raises:
            ValueError: it cannot take that.
        """
        return self.keras_class(**self.model_dump(exclude={"layer"}), name=name)

    @staticmethod
    @abstractmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """What the layer makes of a batch.

        Args:
            built: the Keras layer, made by `build` or loaded from a file.
            values: (n, …) float32 tensor.
            training: of a training step, what it gathers; None outside of training.
        """
