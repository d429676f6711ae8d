"""Layers that treat an image as one vector, and activations."""

from typing import Any, Literal

from pydantic import Field

from workflow.model.layers.activations import Activation, activate
from workflow.model.layers.base import Layer, Training
from workflow.model.sums import affine
from workflow.model.tensorflow import keras, tf


class Flatten(Layer):
    """Each image becomes one vector."""

    layer: Literal["flatten"]

    keras_class = keras.layers.Flatten

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """(n, …) to (n, product of the rest)."""
        return built(values)


class Dense(Layer):
    """A fully connected layer."""

    layer: Literal["dense"]
    units: int = Field(ge=1, le=2**16)
    activation: Activation = "linear"

    keras_class = keras.layers.Dense

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """(n, …, inputs) to (n, …, units)."""
        return activate(built.activation, dense(values, built.kernel, built.bias))


def dense(values: Any, kernel: Any, bias: Any) -> Any:
    """(n, …, inputs) values times an (inputs, units) kernel, plus (units,) bias."""
    result = affine(tf.reshape(values, (-1, values.shape[-1])), kernel, bias)
    return tf.reshape(result, (*values.shape[:-1], kernel.shape[-1]))


class ActivationLayer(Layer):
    """An activation alone, to stand behind batch normalization."""

    layer: Literal["activation"]
    activation: Activation

    keras_class = keras.layers.Activation

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """Any shape to the same."""
        return activate(built.activation, values)
