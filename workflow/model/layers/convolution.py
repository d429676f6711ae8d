"""Convolutions, image by image."""

from typing import Any, Literal

from pydantic import Field

from workflow.model.layers.activations import Activation, activate
from workflow.model.layers.base import Layer, Training
from workflow.model.sums import column_sums, product
from workflow.model.tensorflow import keras, tf


class Conv2D(Layer):
    """A convolution with zeros around the images: without strides it keeps their size."""

    layer: Literal["conv2d"]
    filters: int = Field(ge=1, le=2**12)
    kernel_size: int = Field(ge=1, le=2**5)
    strides: int = Field(default=1, ge=1, le=2**5)
    activation: Activation = "linear"

    keras_class = keras.layers.Conv2D
    needs_images = True

    def build(self, name: str, shape: tuple[int, ...]) -> Any:
        """The Keras layer with these settings."""
        settings = self.model_dump(exclude={"layer"})
        return keras.layers.Conv2D(**settings, padding="same", name=name)

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """(n, height, width, channels) to (n, ⌈height / strides⌉, ⌈width / strides⌉, filters)."""
        result = convolution(values, built.kernel, built.bias, built.strides[0])
        return activate(built.activation, result)


def convolution(images: Any, kernel: Any, bias: Any, stride: int = 1) -> Any:
    """Images under a (size, size, channels, filters) kernel, at each `stride`-th row and column.

    They are padded with zeros as TensorFlow's `SAME` has it. For each image, one product of all
    patches with the kernel, known as im2col (Chellapilla, Puri and Simard, 2006). The patches take
    size · size times the memory of the image: those of one fit into the cache, those of a batch
    would not. The gradient of an image is a convolution itself, under the mirrored kernel: to add
    up the gradients of overlapping patches takes longer. That of the kernel is the sum of what each
    image gives, in order.
    """
    size, _, channels, filters = kernel.shape
    count, height, width, _ = images.shape
    rows, columns = -(-height // stride), -(-width // stride)
    before = tuple(
        max((given - 1) * stride + size - taken, 0) // 2
        for given, taken in ((rows, height), (columns, width))
    )

    def convolved(images: Any, kernel: Any, bias: Any) -> tuple[Any, Any]:
        matrix = tf.reshape(kernel, (-1, filters))

        def patches_of(n: Any) -> Any:
            return _patches(tf.gather(images, n), size, before, (rows, columns), stride)

        def convolve(n: Any, results: Any) -> Any:
            return n + 1, _put(results, n, product(patches_of(n), matrix) + bias)

        # To be overwritten, hence filled with anything that is this layer's own. XLA would make
        # zeros once for all layers of a shape and copy them for each. A copy of more than a
        # megabyte goes on in TensorFlow's own thread, and so does the rest of the program: two
        # shards would wait for one thread.
        start = tf.fill((count, rows * columns, filters), bias[0])
        _, results = tf.while_loop(lambda n, _: n < count, convolve, (tf.constant(0), start))

        def gradients(upstream: Any) -> tuple[Any, Any, Any]:
            mirrored = tf.reshape(tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2)), (-1, channels))
            after = (size - 1 - before[0], size - 1 - before[1])
            # The narrower of the two is transposed; the sums are the same, term by term.
            is_narrow = filters < matrix.shape[0]

            def differentiate(n: Any, grad_images: Any, grad_matrix: Any) -> Any:
                grad_result = tf.gather(upstream, n)
                spread = _spread(grad_result, stride)
                grad_image = product(_patches(spread, size, after, (height, width)), mirrored)
                grad_rows = tf.reshape(grad_result, (-1, filters))
                patches = patches_of(n)
                left, right = (grad_rows, patches) if is_narrow else (patches, grad_rows)
                grad_matrix += product(tf.transpose(left), right)
                return n + 1, _put(grad_images, n, grad_image), grad_matrix

            start = (
                tf.constant(0),
                tf.fill((count, height * width, channels), upstream[0, 0, 0, 0]),
                tf.zeros(matrix.shape[::-1] if is_narrow else matrix.shape),
            )
            _, grad_images, grad_matrix = tf.while_loop(
                lambda n, *_: n < count, differentiate, start
            )
            if is_narrow:
                # Reshaped before it is transposed back: XLA would fold a transposition right behind
                # a product into it, against rule 2.
                grad_matrix = tf.reshape(grad_matrix, (filters, size, size, channels))
                grad_matrix = tf.transpose(grad_matrix, (1, 2, 3, 0))
            return (
                tf.reshape(grad_images, images.shape),
                tf.reshape(grad_matrix, kernel.shape),
                column_sums(tf.reshape(upstream, (-1, filters))),
            )

        return tf.reshape(results, (count, rows, columns, filters)), gradients

    return tf.custom_gradient(convolved)(images, kernel, bias)


def _put(stack: Any, n: Any, item: Any) -> Any:
    """A stack of tensors with another one at place n."""
    return tf.tensor_scatter_nd_update(stack, [[n]], item[None])


def _patches(
    image: Any, size: int, before: tuple[int, int], count: tuple[int, int], stride: int = 1
) -> Any:
    """Squares of pixels, zeros outside: (rows · columns, size · size · channels).

    Args:
        image: (height, width, channels), to be cut up.
        size: of the square.
        before: how many rows and columns of the first square lie outside.
        count: rows and columns of squares.
        stride: from one square to the next.
    """
    extents = [(number - 1) * stride + 1 for number in count]
    margins = [
        (margin, max(extent + size - 1 - margin - length, 0))
        for margin, extent, length in zip(before, extents, image.shape[:2], strict=True)
    ]
    padded = tf.pad(image, (*margins, (0, 0)))
    height, width = extents
    shifted = [
        padded[y : y + height : stride, x : x + width : stride]
        for y in range(size)
        for x in range(size)
    ]
    return tf.reshape(tf.concat(shifted, axis=-1), (-1, size * size * image.shape[2]))


def _spread(image: Any, stride: int) -> Any:
    """Pixels with `stride` - 1 rows and columns of zeros between them."""
    if stride == 1:
        return image
    height, width, channels = image.shape
    gaps = ((0, 0), (0, stride - 1))
    spread = tf.pad(tf.reshape(image, (height, 1, width, 1, channels)), (*gaps, *gaps, (0, 0)))
    return tf.reshape(spread, (height * stride, width * stride, channels))[
        : 1 - stride, : 1 - stride
    ]
