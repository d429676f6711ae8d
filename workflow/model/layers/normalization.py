"""Batch normalization."""

from typing import Any, Literal

from pydantic import Field

from workflow.model.layers.base import Layer, Training
from workflow.model.sums import column_means, column_sums
from workflow.model.tensorflow import keras, tf


class BatchNormalization(Layer):
    """Ioffe and Szegedy (2015), with Keras' epsilon.

    Attributes:
        momentum: of the averages that are used outside of training; of a few hundred updates they
            follow with 0.9, and hardly with Keras' 0.99.
    """

    layer: Literal["batch_normalization"]
    momentum: float = Field(default=0.99, ge=0, lt=1)

    keras_class = keras.layers.BatchNormalization

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """The same shape, each channel normalized; training has Keras' moving averages moved."""
        scale, offset = built.gamma, built.beta
        if training is None:
            moving = built.moving_mean, built.moving_variance
            return inference_normalization(values, scale, offset, *moving, built.epsilon)
        result, mean, variance = batch_normalization(values, scale, offset, built.epsilon)
        training.gather(built.moving_mean, mean, built.momentum)
        training.gather(built.moving_variance, variance, built.momentum)
        return result


@tf.custom_gradient  # type: ignore[untyped-decorator]
def batch_normalization(values: Any, scale: Any, offset: Any, epsilon: float) -> Any:
    """Each channel with mean `offset` and deviation `scale` over the batch (Ioffe, Szegedy, 2015).

    Args:
        values: (n, …, channels) float32.
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

    def gradients(upstream: Any, _mean: Any, _variance: Any) -> tuple[Any, Any, Any, None]:
        grad_rows = tf.reshape(upstream, rows.shape)
        grad_scales = grad_rows * normalized  # of each row
        grad_moments = column_means(grad_rows) + normalized * column_means(grad_scales)
        grad_values = tf.reshape(scale * factor * (grad_rows - grad_moments), values.shape)
        return grad_values, column_sums(grad_scales), column_sums(grad_rows), None

    return (tf.reshape(normalized * scale + offset, values.shape), mean, variance), gradients


def inference_normalization(
    values: Any, scale: Any, offset: Any, mean: Any, variance: Any, epsilon: float
) -> Any:
    """Batch normalization with mean and variance as training has averaged them."""
    return (values - mean) * tf.math.rsqrt(variance + epsilon) * scale + offset
