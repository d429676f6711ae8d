"""Layers whose sums Keras and XLA would leave to libraries, by the rules of workflow/sums.py.

Values and gradients are those of the Keras layers of the same names, up to rounding. Images are
(n, height, width, channels) float32 tensors throughout.
"""

from typing import Any

from workflow.reproducible import tf
from workflow.sums import affine, column_means, column_sums, product


def dense(values: Any, kernel: Any, bias: Any) -> Any:
    """(n, *, inputs) values times an (inputs, units) kernel, plus (units,) bias."""
    result = affine(tf.reshape(values, (-1, values.shape[-1])), kernel, bias)
    return tf.reshape(result, (*values.shape[:-1], kernel.shape[-1]))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def convolution(images: Any, kernel: Any, bias: Any) -> Any:
    """Images under a (size, size, channels, filters) kernel, padded with zeros to keep their size.

    One product of all patches with the kernel, known as im2col (Chellapilla, Puri and Simard,
    2006). The patches take size · size times the memory of the images. The gradient
    of the images is a convolution itself, under the mirrored kernel: to add up the gradients of
    overlapping patches takes longer.
    """
    size, _, channels, filters = kernel.shape
    before = (size - 1) // 2
    patches = _patches(images, size, before)

    def gradients(upstream: Any) -> tuple[Any, Any, Any]:
        mirrored = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
        of_images = product(
            _patches(upstream, size, size - 1 - before), tf.reshape(mirrored, (-1, channels))
        )
        rows = tf.reshape(upstream, (-1, filters))
        # The narrower of the two is transposed; the sums are the same, term by term. (The product
        # is reshaped before it is transposed back: XLA would fold a transposition right behind it
        # into the product, against rule 2.)
        if filters < patches.shape[1]:
            of_kernel = product(tf.transpose(rows), patches)
            of_kernel = tf.reshape(of_kernel, (filters, size, size, channels))
            of_kernel = tf.transpose(of_kernel, (1, 2, 3, 0))
        else:
            of_kernel = tf.reshape(product(tf.transpose(patches), rows), kernel.shape)
        return (
            tf.reshape(of_images, images.shape),
            of_kernel,
            column_sums(rows),
        )

    result = product(patches, tf.reshape(kernel, (-1, filters))) + bias
    return tf.reshape(result, (*images.shape[:-1], filters)), gradients


def _patches(images: Any, size: int, before: int) -> Any:
    """The square around each pixel, zeros outside: (n · height · width, size · size · channels).

    Args:
        images: to be cut up.
        size: of the square.
        before: how many of its rows and columns lie before the pixel.
    """
    _, height, width, channels = images.shape
    margin = (before, size - 1 - before)
    padded = tf.pad(images, ((0, 0), margin, margin, (0, 0)))
    shifted = [padded[:, y : y + height, x : x + width] for y in range(size) for x in range(size)]
    return tf.reshape(tf.concat(shifted, axis=-1), (-1, size * size * channels))


def max_pooling(images: Any, size: int) -> Any:
    """The largest of each square of `size`; a rest at the lower and right edge is left out.

    Of several that are the largest, the first gets the gradient. (TensorFlow's own gradient has no
    deterministic implementation in XLA.)
    """
    count, full_height, full_width, channels = images.shape
    height, width = full_height // size, full_width // size
    inside = images[:, : height * size, : width * size]
    # First along the rows, then across them: compiling takes longer the more there are at once.
    rows = tf.reshape(inside, (count, height * size, width, size, channels))
    of_rows = _largest(*(rows[:, :, :, x] for x in range(size)))
    columns = tf.reshape(of_rows, (count, height, size, width, channels))
    return _largest(*(columns[:, :, y] for y in range(size)))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _largest(*candidates: Any) -> Any:
    """The largest of several tensors of one shape, element by element."""
    largest = candidates[0]
    for candidate in candidates[1:]:
        largest = tf.maximum(largest, candidate)

    def gradients(upstream: Any) -> list[Any]:
        unclaimed = tf.ones(largest.shape, tf.bool)
        parts = []
        for candidate in candidates:
            chosen = unclaimed & (candidate == largest)
            unclaimed &= ~chosen
            parts.append(tf.where(chosen, upstream, 0.0))
        return parts

    return largest, gradients


@tf.custom_gradient  # type: ignore[untyped-decorator]
def batch_normalization(values: Any, scale: Any, offset: Any, epsilon: float) -> Any:
    """Each channel with mean `offset` and deviation `scale` over the batch (Ioffe, Szegedy, 2015).

    Args:
        values: (n, *, channels) float32.
        scale: (channels,), Keras' gamma.
        offset: (channels,), Keras' beta.
        epsilon: added to the variance.

    Returns:
        What `values` become, and mean and variance of each channel, which have no gradient.
    """
    rows = tf.reshape(values, (-1, values.shape[-1]))
    mean = column_means(rows)
    centred = rows - mean
    variance = column_means(centred * centred)
    factor = tf.math.rsqrt(variance + epsilon)
    normalized = centred * factor

    def gradients(upstream: Any, _of_mean: Any, _of_variance: Any) -> tuple[Any, Any, Any, None]:
        of_rows = tf.reshape(upstream, rows.shape)
        of_scale = of_rows * normalized  # of each row
        of_moments = column_means(of_rows) + normalized * column_means(of_scale)
        of_values = tf.reshape(scale * factor * (of_rows - of_moments), values.shape)
        return of_values, column_sums(of_scale), column_sums(of_rows), None

    return (tf.reshape(normalized * scale + offset, values.shape), mean, variance), gradients


def inference_normalization(
    values: Any, scale: Any, offset: Any, mean: Any, variance: Any, epsilon: float
) -> Any:
    """Batch normalization with mean and variance as training has averaged them."""
    return (values - mean) * tf.math.rsqrt(variance + epsilon) * scale + offset
