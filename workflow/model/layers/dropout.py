"""Numbers left out at random while training."""

from typing import Any, Literal

from pydantic import Field

from workflow.model.layers.base import Layer, Training
from workflow.model.tensorflow import keras, tf


class Dropout(Layer):
    """While training, a share of the numbers is 0 and the others are larger (Srivastava, 2014)."""

    layer: Literal["dropout"]
    rate: float = Field(gt=0, lt=1)

    keras_class = keras.layers.Dropout

    def build(self, name: str, shape: tuple[int, ...]) -> Any:
        """The Keras layer with these settings, and a seed, which `compute` does not use."""
        return keras.layers.Dropout(self.rate, seed=0, name=name)

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """Any shape to the same; which numbers are dropped follows from the keys of the images."""
        if training is None:
            return values
        limit = tf.constant(round(built.rate * 2**32), tf.uint32)
        kept = training.random_bits(values.shape) >= limit
        return tf.where(kept, values * (1 / (1 - built.rate)), 0.0)
