"""What a model computes for a batch of images, and the loss of it."""

from typing import Any

from workflow.errors import UserError
from workflow.layers import (
    batch_normalization,
    convolution,
    dense,
    inference_normalization,
    max_pooling,
)
from workflow.reproducible import keras, tf
from workflow.sums import column_sums, row_sums


def logits(model: Any, images: Any, training: bool) -> Any:
    """What `model` gives for a batch, before the softmax that its head may end in.

    The loss is taken of logits whatever the head: Keras, too, goes back to what enters the
    softmax, where it finds one at the end of a model.

    Args:
        model: from `build_model`, possibly saved and loaded since.
        images: (batch, *image_shape) float32 tensor.
        training: whether to normalize by the batch and average its mean and variance.

    Returns:
        A (batch, classes) float32 tensor.

    Raises:
        UserError: the model has layers of another kind than those of `build_model`.
    """
    *hidden, head = model.layers
    values = images
    for layer in hidden:
        if isinstance(layer, keras.layers.Dense):
            values = layer.activation(dense(values, layer.kernel, layer.bias))
        elif isinstance(layer, keras.layers.Conv2D):
            values = layer.activation(convolution(values, layer.kernel, layer.bias))
        elif isinstance(layer, keras.layers.MaxPooling2D):
            values = max_pooling(values, layer.pool_size[0])
        elif isinstance(layer, keras.layers.BatchNormalization):
            values = _normalized(values, layer, training)
        elif isinstance(layer, keras.layers.Flatten | keras.layers.Reshape):
            values = layer(values)
        else:  # computed by Keras, it might not give the same bits everywhere
            raise UserError(
                f"the model has a layer that no recipe has, {layer.name} of"
                f" {type(layer).__name__}: train another with `dvc repro train`"
            )
    return dense(values, head.kernel, head.bias)


def _normalized(values: Any, layer: Any, training: bool) -> Any:
    """Batch normalization, with the moving averages of Keras."""
    scale, offset = layer.gamma, layer.beta
    if not training:
        moving = layer.moving_mean, layer.moving_variance
        return inference_normalization(values, scale, offset, *moving, layer.epsilon)
    result, mean, variance = batch_normalization(values, scale, offset, layer.epsilon)
    for average, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        average.assign_add((new - average) * (1 - layer.momentum))
    return result


def softmax(scores: Any) -> Any:
    """The probabilities of (n, classes) logits: float32 of the same shape, rows sum to 1."""
    exponentials = tf.exp(_shifted(scores))
    return exponentials / row_sums(exponentials)


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
    log_probabilities = shifted - tf.math.log(row_sums(tf.exp(shifted)))

    def gradients(upstream: Any) -> tuple[Any, None]:
        return (tf.exp(log_probabilities) - one_hot) * upstream, None

    return -row_sums(one_hot * log_probabilities), gradients


def total(column: Any) -> Any:
    """The sum of an (n, 1) float32 tensor, a scalar of the same dtype."""
    return column_sums(column)[0]


def _shifted(scores: Any) -> Any:
    """Logits less the largest of their row, so that no exponential overflows."""
    return scores - tf.reduce_max(scores, axis=-1, keepdims=True)
