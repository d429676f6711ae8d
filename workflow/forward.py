"""What a model computes for a batch of images, in products that XLA compiles itself.

XLA hands a matrix product to a library of the processor's maker or to Eigen unless its right
operand and its result lie in memory as they are multiplied. Those cut long sums to fit the
first-level cache that they find, so that the last bits depend on the processor. The gradient
that TensorFlow would take of a product multiplies transposed operands in place; here they are
transposed first, which makes every product of a training step one that XLA compiles (see
workflow/environment.py), and each sum of a product of matrices one chain of fused
multiply-adds from first to last.
"""

from typing import Any

from workflow.reproducible import keras, tf


def logits(model: Any, images: Any, training: bool) -> Any:
    """What `model` gives for a batch, before the softmax that its head may end in.

    The loss is taken of logits whatever the head: Keras, too, goes back to what enters the
    softmax, where it finds one at the end of a model.

    Args:
        model: from `build_model`, possibly saved and loaded since.
        images: (batch, *image_shape) float32 tensor.
        training: for layers that act differently then.

    Returns:
        A (batch, classes) float32 tensor.
    """
    *hidden, head = model.layers
    values = images
    for layer in hidden:
        if isinstance(layer, keras.layers.Dense):
            values = layer.activation(_affine(values, layer))
        else:
            values = layer(values, training=training)
    return _affine(values, head)


def _affine(values: Any, dense: Any) -> Any:
    """What a dense layer gives for (batch, *, inputs) values before its activation."""
    flat = tf.reshape(values, (-1, values.shape[-1]))
    result = _product(flat, dense.kernel) + dense.bias
    return tf.reshape(result, (-1, *values.shape[1:-1], dense.units))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _product(values: Any, kernel: Any) -> Any:
    """The product of (n, inputs) values and an (inputs, units) kernel."""

    def gradients(upstream: Any) -> tuple[Any, Any]:
        of_values = _of_matrices(upstream, tf.transpose(kernel))
        of_kernel = _of_matrices(tf.transpose(values), upstream)
        return of_values, of_kernel

    return _of_matrices(values, kernel), gradients


def _of_matrices(left: Any, right: Any) -> Any:
    """The product of two matrices, of which neither is left to be a vector.

    XLA sums the product with a vector in as many parts as the processor's vectors have elements.
    So a single row or column gets a second one, of zeros.
    """
    rows, columns = left.shape[0], right.shape[1]
    left = tf.pad(left, ((0, int(rows == 1)), (0, 0)))
    right = tf.pad(right, ((0, 0), (0, int(columns == 1))))
    return tf.matmul(left, right)[:rows, :columns]
