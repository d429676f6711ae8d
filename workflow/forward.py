"""What a model computes for a batch of images, in sums that are the same on every processor.

XLA hands a matrix product to a library of the processor's maker or to Eigen unless its right
operand and its result lie in memory as they are multiplied. Those cut long sums to fit the
first-level cache that they find, so that the last bits depend on the processor. The gradient
that TensorFlow would take of a product multiplies transposed operands in place; here they are
transposed first, which makes every product of a training step one that XLA compiles (see
workflow/environment.py), and each of its sums one chain of fused multiply-adds from first to
last. Any other sum XLA lets the compiler reorder, as suits the vectors and the loops of the
processor at hand. So there is none: what is to be summed is multiplied by ones.
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


def softmax(scores: Any) -> Any:
    """The probabilities of (n, classes) logits: float32 of the same shape, rows sum to 1."""
    exponentials = tf.exp(_shifted(scores))
    return exponentials / _row_sums(exponentials)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def cross_entropies(scores: Any, one_hot: Any) -> Any:
    """The loss of each image, -log p(actual class) in nats.

    Args:
        scores: (n, classes) logits.
        one_hot: (n, classes) ones at the actual classes, zeros elsewhere. (Indices would make the
            gradient a scatter, one number after another.)

    Returns:
        An (n, 1) float32 tensor.
    """
    shifted = _shifted(scores)
    log_probabilities = shifted - tf.math.log(_row_sums(tf.exp(shifted)))

    def gradients(upstream: Any) -> tuple[Any, None]:
        return tf.exp(log_probabilities) * upstream - one_hot * upstream, None

    return -_row_sums(one_hot * log_probabilities), gradients


def total(column: Any) -> Any:
    """The sum of an (n, 1) float32 tensor, a scalar of the same dtype."""
    return _column_sums(column)[0]


def _shifted(scores: Any) -> Any:
    """Logits less the largest of their row, so that no exponential overflows."""
    return scores - tf.reduce_max(scores, axis=-1, keepdims=True)


def _affine(values: Any, dense: Any) -> Any:
    """What a dense layer gives for (batch, *, inputs) values before its activation."""
    flat = tf.reshape(values, (-1, values.shape[-1]))
    result = _product_and_bias(flat, dense.kernel, dense.bias)
    return tf.reshape(result, (-1, *values.shape[1:-1], dense.units))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _product_and_bias(values: Any, kernel: Any, bias: Any) -> Any:
    """(n, inputs) values times an (inputs, units) kernel, plus (units,) bias."""

    def gradients(upstream: Any) -> tuple[Any, Any, Any]:
        of_values = _product(upstream, tf.transpose(kernel))
        of_kernel = _product(tf.transpose(values), upstream)
        return of_values, of_kernel, _column_sums(upstream)

    return _product(values, kernel) + bias, gradients


def _column_sums(matrix: Any) -> Any:
    """(n, m) to (m,)."""
    return _product(tf.ones((1, matrix.shape[0])), matrix)[0]


def _row_sums(matrix: Any) -> Any:
    """(n, m) to (n, 1)."""
    return _product(matrix, tf.ones((matrix.shape[1], 1)))


def _product(left: Any, right: Any) -> Any:
    """The product of two matrices, of which neither is left to be a vector.

    XLA sums the product with a vector in as many parts as the processor's vectors have elements.
    So a single row or column gets a second one, of zeros.
    """
    rows, columns = left.shape[0], right.shape[1]
    left = tf.pad(left, ((0, int(rows == 1)), (0, 0)))
    right = tf.pad(right, ((0, 0), (0, int(columns == 1))))
    return tf.matmul(left, right)[:rows, :columns]
