"""What a recipe makes small, and how: the loss of a batch, its gradient, the update."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.model.layers.base import Training
from workflow.model.prediction import cross_entropies, logits, total
from workflow.model.recipe import Recipe
from workflow.model.tensorflow import tf

# What a part of a batch gives: gradients in the order of the trainable weights, the sum of the
# losses, the number predicted right, and the statistics that moving averages follow.
Part = list[Any]


class Objective:
    """The loss of a recipe's model, and its optimizer.

    The loss is the mean cross entropy; smoothed labels (Szegedy et al., 2016) and the weights of
    classes take part in it. `l2` adds the squares of all kernels, times `l2`, to what is made
    small, though not to the loss that is shown.
    """

    def __init__(
        self, model: Any, optimizer: Any, recipe: Recipe, labels: NDArray[np.uint8]
    ) -> None:
        """Args: `model` of `recipe`; `optimizer`, built for it; `labels` of the training images."""
        self.model = model
        self._optimizer = optimizer
        self._recipe = recipe
        classes = model.output_shape[-1]
        # As scikit-learn has it: each class weighs the same in all, an image 1 on average.
        counts = np.maximum(np.bincount(labels, minlength=classes), 1)
        self._class_weights = (len(labels) / (np.count_nonzero(counts) * counts)).astype(np.float32)

    def gradient(
        self, images: Any, labels: Any, keys: Any, batch_size: int
    ) -> tuple[Part, Training]:
        """What some images give, as a share of the mean loss of a batch.

        Args:
            images: (n, *image_shape) float32 tensor.
            labels: (n,) int32 tensor.
            keys: (n,) int32 tensor, from which the random numbers of an image follow.
            batch_size: of the whole batch.
        """
        training = Training(keys)
        targets = tf.one_hot(labels, self.model.output_shape[-1])
        if smoothing := self._recipe.label_smoothing:
            targets = targets * (1 - smoothing) + smoothing / targets.shape[-1]
        with tf.GradientTape() as tape:
            scores = logits(self.model, images, training)
            losses = cross_entropies(scores, targets)
            if self._recipe.class_weights:
                losses *= tf.gather(tf.constant(self._class_weights), labels)[:, None]
        # Of the mean loss, without the sum that a mean is.
        shares = tf.fill(losses.shape, 1 / batch_size)
        gradients = tape.gradient(losses, self.model.trainable_variables, shares)
        hits = tf.argmax(scores, axis=-1, output_type=tf.int32) == labels
        correct = tf.reduce_sum(tf.cast(hits, tf.int32))
        return [gradients, total(losses), correct, training.statistics], training

    def update(self, gradients: list[Any]) -> None:
        """Move the weights by the gradient of a batch."""
        weights = self.model.trainable_variables
        if factor := 2 * self._recipe.l2:
            gradients = [
                gradient + factor * weight if weight.name == "kernel" else gradient
                for gradient, weight in zip(gradients, weights, strict=True)
            ]
        self._optimizer.apply(gradients, weights)
