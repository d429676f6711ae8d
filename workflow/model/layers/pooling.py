"""Squares of pixels, or all of them, as one number a channel."""

from typing import Any, Literal

from pydantic import Field

from workflow.model.layers.base import Layer, Training
from workflow.model.sums import product
from workflow.model.tensorflow import keras, tf


class MaxPooling2D(Layer):
    """The largest of each square of pixels."""

    layer: Literal["max_pooling2d"]
    pool_size: int = Field(ge=1, le=2**5)

    keras_class = keras.layers.MaxPooling2D
    needs_images = True

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """(n, height, width, channels) to (n, height // size, width // size, channels)."""
        return max_pooling(values, built.pool_size[0])


def max_pooling(images: Any, size: int) -> Any:
    """The largest of each square of `size`; a rest at the lower and right edge is left out.

    Of several that are the largest, the first gets the gradient. (TensorFlow's own gradient has no
    deterministic implementation in XLA.)
    """
    count, full_height, full_width, channels = images.shape
    height, width = full_height // size, full_width // size
    squares = (count, height, size, width, size, channels)
    return _largest(tf.reshape(images[:, : height * size, : width * size], squares))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _largest(squares: Any) -> Any:
    """(n, height, size, width, size, channels) to (n, height, width, channels)."""
    count, height, size, width, _, channels = squares.shape
    # First along the rows, then across them, each a pass over what lies side by side.
    rows = tf.reshape(squares, (count, height * size, width, size, channels))
    row_maxima = _maximum([rows[:, :, :, x] for x in range(size)])
    columns = tf.reshape(row_maxima, (count, height, size, width, channels))
    largest = _maximum([columns[:, :, y] for y in range(size)])

    def gradient(upstream: Any) -> Any:
        places = tf.reshape(tf.range(size * size), (1, 1, size, 1, size, 1))
        first = tf.fill(largest.shape, size * size)  # of the largest, if there is one
        for place in reversed(range(size * size)):
            y, x = divmod(place, size)
            first = tf.where(squares[:, :, y, :, x] == largest, place, first)
        first, upstream = (tensor[:, :, None, :, None, :] for tensor in (first, upstream))
        return tf.where(places == first, upstream, 0.0)

    return largest, gradient


def _maximum(tensors: list[Any]) -> Any:
    """Of several tensors of one shape, element by element."""
    largest = tensors[0]
    for tensor in tensors[1:]:
        largest = tf.maximum(largest, tensor)
    return largest


class AveragePooling2D(Layer):
    """The mean of each square of pixels."""

    layer: Literal["average_pooling2d"]
    pool_size: int = Field(ge=1, le=2**5)

    keras_class = keras.layers.AveragePooling2D
    needs_images = True

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """(n, height, width, channels) to (n, height // size, width // size, channels)."""
        return average_pooling(values, built.pool_size[0])


def average_pooling(images: Any, size: int) -> Any:
    """The mean of each square of `size`; a rest at the lower and right edge is left out.

    Pixels are added element by element, in the order that is written here.
    """
    count, full_height, full_width, channels = images.shape
    height, width = full_height // size, full_width // size
    inside = images[:, : height * size, : width * size]
    cut = tf.reshape(inside, (count, height, size, width, size, channels))
    pixels = [cut[:, :, y, :, x] for y in range(size) for x in range(size)]
    total = pixels[0]
    for pixel in pixels[1:]:
        total += pixel
    return total * (1 / size**2)


class GlobalAveragePooling2D(Layer):
    """The mean of each channel over all pixels of an image."""

    layer: Literal["global_average_pooling2d"]

    keras_class = keras.layers.GlobalAveragePooling2D
    needs_images = True

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """(n, height, width, channels) to (n, channels)."""
        return global_average_pooling(values)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def global_average_pooling(images: Any) -> Any:
    """The mean over height and width, as a product with a column of 1 / pixels."""
    count, height, width, channels = images.shape
    pixels = height * width
    rows = tf.reshape(tf.transpose(images, (0, 3, 1, 2)), (-1, pixels))
    means = product(rows, tf.fill((pixels, 1), 1 / pixels))

    def gradients(upstream: Any) -> Any:
        return tf.broadcast_to(upstream[:, None, None, :] / pixels, images.shape)

    return tf.reshape(means, (count, channels)), gradients
