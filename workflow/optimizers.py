"""Optimizers, written so that XLA compiles each update to one pass over its arrays."""

from typing import Any

from workflow.reproducible import keras, optimization_barrier, tf


class OnePassAdam(keras.optimizers.Adam):  # type: ignore[misc]  # Keras has no types
    """Adam (Kingma and Ba, 2015), bit for bit as Keras updates the weights.

    Keras computes the weights from the moments that it has just stored. XLA then stores the moments
    in one pass over memory and reads them back in another, a tenth of the time of an epoch of small
    batches. Here the weights are computed from the old moments, too, by the same operations on
    copies in name alone, which keep XLA from noticing that these are the same: it fuses all three
    updates into one loop over the elements, where the compiler does notice and computes them once.
    """

    def __init__(self, learning_rate: float) -> None:
        """All else is as Keras has it by default; `update_step` knows of nothing else."""
        super().__init__(learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its two moments, as Keras calls it for each of them."""
        step = tf.cast(self.iterations + 1, tf.float32)
        bias_1, bias_2 = (1 - tf.pow(beta, step) for beta in (self.beta_1, self.beta_2))
        index = self._get_variable_index(variable)
        first, second = self._momentums[index], self._velocities[index]

        def moments(gradient: Any, first: Any, second: Any) -> tuple[Any, Any]:
            return (
                first + (gradient - first) * (1 - self.beta_1),
                second + (tf.square(gradient) - second) * (1 - self.beta_2),
            )

        old = gradient, tf.convert_to_tensor(first), tf.convert_to_tensor(second)
        mean, square = moments(*optimization_barrier(*old))
        rate = learning_rate * tf.sqrt(bias_2) / bias_1
        variable.assign_sub(mean * rate / (tf.sqrt(square) + self.epsilon))
        for moment, new in zip((first, second), moments(*old), strict=True):
            moment.assign(new)
