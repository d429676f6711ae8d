"""The activations of layers."""

import math
from typing import Any, Literal

from workflow.model.tensorflow import keras, tf

Activation = Literal["linear", "relu", "tanh", "sigmoid", "gelu"]


def activate(function: Any, values: Any) -> Any:
    """What the activation of a Keras layer makes of float32 values of any shape."""
    return gelu(values) if function is keras.activations.gelu else function(values)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def gelu(values: Any) -> Any:
    """Each value times the normal distribution up to it (Hendrycks and Gimpel, 2016).

    The gradient that TensorFlow derives breaks rule 5 of workflow/model/sums.py.
    """
    doubled = tf.math.erfc(values * -math.sqrt(0.5))

    def gradients(upstream: Any) -> Any:
        doubled_density = tf.exp(values * values * -0.5) * math.sqrt(2 / math.pi)
        return upstream * (0.5 * (doubled + values * doubled_density))

    return 0.5 * values * doubled, gradients
