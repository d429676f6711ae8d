"""Training and prediction as compiled programs.

`model.fit` hands each batch of 32 small images through Python, Keras and the TensorFlow
executor, which takes ten times as long as the arithmetic. Here XLA compiles a loop over many
batches into one program: forward, backward and optimizer are fused, and nothing returns to
Python between two batches. The updates are those of `model.fit`: the same loss, the same
batches, the last one smaller where the images do not divide evenly.
"""

import math
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import cycle, groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.dataset import StoredArray
from workflow.errors import UserError
from workflow.forward import cross_entropies, logits, softmax, total
from workflow.params import Recipe
from workflow.recipes import build_optimizer
from workflow.reproducible import tf

# How much of the images one call of a compiled program gets. Larger calls cost memory (the chunk
# in use and the next one), smaller ones time.
CHUNK_BYTES = 8 * 2**20

# Compiled programs take it for granted that the address of a tensor is a multiple of so many bytes.
_ALIGNMENT = 64

# Convolutions take most of the memory that evaluation needs, in proportion to this.
_PREDICTION_BATCH = 100


@dataclass(frozen=True)
class EpochResult:
    """What one epoch gave: means over the images.

    `loss` and `accuracy` are taken while the weights move, as `model.fit` does, so they lag
    behind the model that the epoch ends with. The validation ones are of that model.
    """

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None


def train(
    model: Any,
    recipe: Recipe,
    images: StoredArray,
    labels: NDArray[np.uint8],
    seed: int,
    on_chunk: Callable[[int], object] = lambda images_done: None,
    on_epoch: Callable[[EpochResult], object] = lambda result: None,
) -> list[EpochResult]:
    """Train `model` in place.

    Args:
        model: from `build_model`.
        recipe: its optimizer, batch size, epochs and validation fraction are used.
        images: (n, *image_shape) float32 in [0, 1].
        labels: (n,) class indices.
        seed: decides the order of the images in each epoch.
        on_chunk: called with the number of images just trained on.
        on_epoch: called after each epoch.

    Returns:
        One result per epoch.

    Raises:
        UserError: a validation fraction holds no image out, or loss or weights are no longer
            finite.
    """
    trained_on = len(images) - int(len(images) * recipe.validation_fraction)
    held_out = np.arange(trained_on, len(images))
    if recipe.validation_fraction and not len(held_out):
        raise UserError(
            f"params.yaml: validation_fraction {recipe.validation_fraction} holds none of the"
            f" {len(images)} images out: raise it, or set it to 0"
        )
    steps = _training_steps(model, build_optimizer(recipe))
    predict_probabilities = Predictor(model)
    history = []
    # Closed with the loop, however that ends: its thread reads `images`.
    with closing(_chunks(images, labels, trained_on, recipe, seed)) as chunks:
        for epoch, of_epoch in groupby(chunks, key=attrgetter("epoch")):
            loss_sum, correct = 0.0, 0
            for chunk in of_epoch:
                chunk_loss, chunk_correct = steps(chunk.images, chunk.labels, chunk.batches)
                loss_sum += float(chunk_loss)
                correct += int(chunk_correct)
                on_chunk(chunk.batches * chunk.labels.shape[1])
            # The loss is taken before each update, the last of which shows in the weights alone.
            weights = (weight.numpy() for weight in model.weights)
            if not (np.isfinite(loss_sum) and all(np.isfinite(values).all() for values in weights)):
                raise UserError(
                    "params.yaml: loss or weights are no longer finite in epoch"
                    f" {epoch}: lower learning_rate"
                )
            validation_loss = validation_accuracy = None
            if len(held_out):
                probabilities = predict_probabilities(images, held_out)
                validation_loss = cross_entropy(probabilities, labels[held_out])
                validation_accuracy = float(np.mean(probabilities.argmax(1) == labels[held_out]))
            result = EpochResult(
                epoch,
                loss_sum / trained_on,
                correct / trained_on,
                validation_loss,
                validation_accuracy,
            )
            history.append(result)
            on_epoch(result)
    return history


class Predictor:
    """The class probabilities that a model gives, computed by a compiled program."""

    def __init__(self, model: Any) -> None:
        """Args: `model`, from `build_model`, possibly saved and loaded since."""

        @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
        def probabilities(images: Any) -> Any:
            return softmax(logits(model, images, training=False))

        self._probabilities = probabilities

    def __call__(self, images: StoredArray, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Probabilities of the images at `rows`: (len(rows), classes) float32, rows sum to 1.

        Raises:
            UserError: they are not finite.
        """
        starts = range(0, len(rows), _PREDICTION_BATCH)
        parts = [self.of(images.take(rows[n : n + _PREDICTION_BATCH])) for n in starts]
        return np.concatenate(parts)

    def of(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same for images in memory, (n, *image_shape)."""
        parts = []
        for start in range(0, len(images), _PREDICTION_BATCH):
            batch = images[start : start + _PREDICTION_BATCH]
            # One shape, hence one compilation: the last batch is filled up and cut off.
            filled = np.zeros((_PREDICTION_BATCH, *batch.shape[1:]), np.float32)
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
            "params.yaml: the recipe needs more memory than there is: take fewer units or filters,"
            " a smaller kernel_size or a smaller batch_size"
        ) from None


def cross_entropy(probabilities: NDArray[np.float32], actual: NDArray[np.uint8]) -> float:
    """The mean of -log p(actual class), in nats.

    Only what float32 cannot hold is cut off.
    """
    of_actual = probabilities[np.arange(len(actual)), actual]
    return float(-np.log(np.maximum(of_actual, np.finfo(np.float32).tiny), dtype=np.float64).mean())


@dataclass(frozen=True)
class _Chunk:
    """What one call of the compiled program trains on.

    `images` is a (capacity, batch size, *image_shape) float32 tensor, `labels` a (capacity,
    batch size) int32 one, and the first `batches` of them are to be used.
    """

    epoch: int
    images: Any
    labels: Any
    batches: int


_SharedMemory = tuple[NDArray[Any], Any]


def _chunks(
    images: StoredArray, labels: NDArray[np.uint8], count: int, recipe: Recipe, seed: int
) -> Generator[_Chunk]:
    """The first `count` images, epoch after epoch, in chunks of one shape and a smaller last batch.

    Every shape is compiled once; the last batch has one of its own only where the images do
    not divide evenly. A thread reads the next chunk while the program runs on this one: a chunk
    is to be used no longer once the next has been asked for.
    """
    batch_bytes = recipe.batch_size * images.dtype.itemsize * int(np.prod(images.shape[1:]))
    capacity = max(1, CHUNK_BYTES // batch_bytes)
    even = count - count % recipe.batch_size

    def pair(capacity: int, batch_size: int) -> Iterator[_SharedMemory]:
        shape = (capacity, batch_size, *images.shape[1:])
        yield from cycle([_shared_memory(shape, images.dtype) for _ in range(2)])  # on first use

    def read(epoch: int, rows: NDArray[np.int64], memory: _SharedMemory) -> _Chunk:
        array, tensor = memory
        images.take(rows, into=array.reshape(-1, *images.shape[1:]))
        padded_labels = np.zeros(array.shape[:2], np.int32)
        padded_labels.reshape(-1)[: len(rows)] = labels[rows]
        return _Chunk(epoch, tensor, tf.constant(padded_labels), len(rows) // array.shape[1])

    def jobs() -> Iterator[tuple[int, NDArray[np.int64], _SharedMemory]]:
        full, rest = pair(capacity, recipe.batch_size), pair(1, count - even)
        for epoch in range(1, recipe.epochs + 1):
            # A generator of its own for every epoch: its order does not hang on earlier ones.
            order = np.random.default_rng([seed, epoch]).permutation(count)
            for start in range(0, even, capacity * recipe.batch_size):
                rows = order[start : min(even, start + capacity * recipe.batch_size)]
                yield epoch, rows, next(full)
            if even < count:
                yield epoch, order[even:], next(rest)

    with ThreadPoolExecutor(max_workers=1) as reader:
        upcoming = None
        for job in jobs():
            following = reader.submit(read, *job)
            if upcoming:
                yield upcoming.result()
            upcoming = following
        if upcoming:
            yield upcoming.result()


def _shared_memory(shape: tuple[int, ...], dtype: np.dtype[Any]) -> _SharedMemory:
    """An array of zeros, and the tensor that reads what is written into it."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    array = memory[start : start + size].view(dtype).reshape(shape)
    return array, tf.experimental.dlpack.from_dlpack(array.__dlpack__())


def _training_steps(model: Any, optimizer: Any) -> Callable[[Any, Any, int], tuple[Any, Any]]:
    """A compiled program that trains on a chunk and returns (sum of losses, number correct)."""
    optimizer.build(model.trainable_variables)
    classes = model.output_shape[-1]

    # Without AutoGraph, which would load all of TensorFlow to rewrite what needs no rewriting.
    @tf.function(jit_compile=True, autograph=False)  # type: ignore[untyped-decorator]
    def steps(images: Any, labels: Any, batches: Any) -> Any:
        def step(batch: Any, loss_sum: Any, correct: Any) -> Any:
            with tf.GradientTape() as tape:
                scores = logits(model, images[batch], training=True)
                losses = cross_entropies(scores, tf.one_hot(labels[batch], classes))
            # Of the mean loss, without the sum that a mean is.
            shares = tf.fill(losses.shape, 1 / losses.shape[0])
            gradients = tape.gradient(losses, model.trainable_variables, shares)
            optimizer.apply(gradients, model.trainable_variables)
            hits = tf.argmax(scores, axis=-1, output_type=tf.int32) == labels[batch]
            return (
                batch + 1,
                loss_sum + total(losses),
                correct + tf.reduce_sum(tf.cast(hits, tf.int32)),
            )

        start = tf.constant(0), tf.constant(0.0), tf.constant(0)
        _, loss_sum, correct = tf.while_loop(lambda batch, *_: batch < batches, step, start)
        return loss_sum, correct

    # A Python number would be compiled in, once for each value.
    return lambda images, labels, batches: steps(images, labels, tf.constant(batches))
