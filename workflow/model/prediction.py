"""What a model says of images, and how wrong it is: the part that training and scoring share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.data.npz import StoredArray
from workflow.model.layers import compute_layers
from workflow.model.layers.base import Training
from workflow.model.layers.dense import dense
from workflow.model.recipe import CLASSIFIER, FLIPPED
from workflow.model.sums import column_sums, row_sums
from workflow.model.tensorflow import tf

# Convolutions take most of the memory that evaluation needs, in proportion to this.
_BATCH = 100


def logits(model: Any, images: Any, training: Training | None = None) -> Any:
    """What `model` gives for a batch, before the softmax that its head may end in.

    The loss is taken of logits whatever the head: Keras, too, goes back to what enters the
    softmax, where it finds one at the end of a model.

    Args:
        model: from `build_model`, possibly saved and loaded since.
        images: (batch, *image_shape) float32 tensor.
        training: of a training step; None outside of training.

    Returns:
        A (batch, classes) float32 tensor.

    Raises:
        UserError: the model has layers of another kind than those of `build_model`.
    """
    if model.name == FLIPPED:
        inside = model.get_layer(CLASSIFIER)
        return (logits(inside, images) + logits(inside, images[:, :, ::-1])) * 0.5
    *hidden, head = model.layers
    return dense(compute_layers(hidden, images, training), head.kernel, head.bias)


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
    """Logits minus the largest of their row, so that no exponential overflows."""
    return scores - tf.reduce_max(scores, axis=-1, keepdims=True)


def mean_cross_entropy(probabilities: NDArray[np.float32], actual: NDArray[np.uint8]) -> float:
    """The mean of -log p(actual class), in nats.

    Only what float32 cannot hold is cut off.
    """
    likelihoods = probabilities[np.arange(len(actual)), actual]
    smallest = np.finfo(np.float32).tiny
    return float(-np.log(np.maximum(likelihoods, smallest), dtype=np.float64).mean())


class Predictor:
    """The class probabilities that a model gives, computed by a compiled program."""

    def __init__(self, model: Any) -> None:
        """Args: `model`, from `build_model`, possibly saved and loaded since."""

        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def probabilities(images: Any) -> Any:
            return softmax(logits(model, images))

        self._probabilities = probabilities

    def predict_rows(self, images: StoredArray, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Probabilities of the images at `rows`: (len(rows), classes) float32, rows sum to 1.

        Raises:
            UserError: they are not finite.
        """
        starts = range(0, len(rows), _BATCH)
        parts = [self.predict(images.take(rows[n : n + _BATCH])) for n in starts]
        return np.concatenate(parts)

    def predict(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for images in memory, (n, *image_shape)."""
        parts = []
        for start in range(0, len(images), _BATCH):
            batch = images[start : start + _BATCH]
            # One shape, hence one compilation: the last batch is filled up and cut off.
            filled = np.zeros((_BATCH, *batch.shape[1:]), np.float32)
            filled[: len(batch)] = batch
            with memory_shortage_named():
                parts.append(self._probabilities(filled).numpy()[: len(batch)])
        probabilities = np.concatenate(parts)
        if not np.isfinite(probabilities).all():
            raise UserError(
                "the model gives no finite probabilities: lower learning_rate in params.yaml and"
                " train it again"
            )
        return probabilities


@contextmanager
def memory_shortage_named() -> Iterator[None]:
    """Turn what TensorFlow and NumPy say when memory runs out into one line.

    Raises:
        UserError: it did.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError):
        raise UserError(
            f"{paths.PARAMS}: the recipe needs more memory than there is: take fewer units or"
            " filters, a smaller kernel_size or a smaller batch_size"
        ) from None
