"""Training, as compiled programs: from a recipe and the stored images to a model and its curves.

`model.fit` hands each batch of 32 small images through Python, Keras and the TensorFlow executor,
which takes ten times as long as the arithmetic. Here XLA compiles forward, backward and optimizer,
and a loop over many batches (see workflow/model/steps.py). The updates are those of `model.fit`:
the same loss, the same batches, the last one smaller where the images do not divide evenly.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.progress import progress_bar, say
from workflow.data.npz import StoredArray, read_labels
from workflow.model.checkpoint import Checkpoint
from workflow.model.cluster import Cluster
from workflow.model.feeding import chunks
from workflow.model.objective import Objective
from workflow.model.prediction import (
    Predictor,
    mean_cross_entropy,
    memory_shortage_named,
)
from workflow.model.recipe import Recipe, build_model, with_flips
from workflow.model.results import EpochResult, best_epoch
from workflow.model.steps import build_steps
from workflow.model.tensorflow import set_seed, tf


def train_recipe(
    name: str,
    recipe: Recipe,
    seed: int,
    classes: int,
    cluster: Cluster | None = None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Any, list[EpochResult]]:
    """Train a recipe on the normalized training images, with progress for people.

    Args:
        name: of the recipe, to be shown.
        recipe: what to build and how to train it.
        seed: decides the initial weights and the order of the images.
        classes: how many there are.
        cluster: the processes that train together; this one alone by default.
        checkpoint: from which an interrupted training goes on; by default it begins anew.

    Returns:
        The trained `keras.Model` and one result an epoch.

    Raises:
        UserError: the data cannot be read, or the recipe cannot be built or trained.
    """
    labels = read_labels("train", classes)
    set_seed(seed)
    with memory_shortage_named(), StoredArray(paths.NORMALIZED, "train_images") as images:
        model = build_model(recipe, images.shape[1:], classes)
        say(f"train: recipe {name}, {model.count_params()} weights, seed {seed}")
        with progress_bar(recipe.epochs * len(images), "train", "image", scaled=True) as bar:

            def show(result: EpochResult) -> None:
                scores = {"loss": f"{result.loss:.4f}", "accuracy": f"{result.accuracy:.4f}"}
                if result.validation_accuracy is not None:
                    scores["validation accuracy"] = f"{result.validation_accuracy:.4f}"
                bar.set_postfix(scores)
                line = ", ".join(f"{name} {value}" for name, value in scores.items())
                say(f"  epoch {result.epoch}/{recipe.epochs}: {line}")

            history = train(
                model, recipe, images, labels, seed, bar.update, show, cluster, checkpoint
            )
            return with_flips(model) if recipe.test_time_flip else model, history


def split_rows(
    labels: NDArray[np.uint8], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows to train on and those for validation: of each class the same share, drawn by lot.

    Args:
        labels: (n,) class indices.
        fraction: of each class that is for validation, rounded.
        seed: decides which.

    Returns:
        Both in the order of the data set.
    """
    random = np.random.default_rng([seed, 0])  # the epochs, which count from 1, have others
    chosen = np.zeros(len(labels), bool)
    for label in np.unique(labels) if fraction else []:
        rows = random.permutation(np.flatnonzero(labels == label))
        chosen[rows[: round(len(rows) * fraction)]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def train(
    model: Any,
    recipe: Recipe,
    images: StoredArray,
    labels: NDArray[np.uint8],
    seed: int,
    on_chunk: Callable[[int], object] = lambda images_done: None,
    on_epoch: Callable[[EpochResult], object] = lambda result: None,
    cluster: Cluster | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[EpochResult]:
    """Train `model` in place.

    Args:
        model: from `build_model`.
        recipe: how it is trained.
        images: (n, *image_shape) float32 in [0, 1].
        labels: (n,) class indices.
        seed: decides the order of the images in each epoch.
        on_chunk: called with the number of images just trained on.
        on_epoch: called after each epoch.
        cluster: the processes that train together; this one alone by default.
        checkpoint: from which an interrupted training goes on; by default it begins anew.

    Returns:
        One result per epoch.

    Raises:
        UserError: a validation fraction leaves no image for validation, or loss or weights are no
            longer finite.
    """
    training, validation = split_rows(labels, recipe.validation_fraction, seed)
    trained_on = len(training)
    if recipe.validation_fraction and not (len(validation) and trained_on):
        purpose = "training" if len(validation) else "validation"
        raise UserError(
            f"{paths.PARAMS}: validation_fraction {recipe.validation_fraction} leaves none of the"
            f" {len(images)} images for {purpose}: choose another, or set it to 0"
        )
    batches = -(-trained_on // recipe.batch_size)
    optimizer = build_optimizer(recipe, recipe.epochs * batches)
    optimizer.build(model.trainable_variables)
    objective = Objective(model, optimizer, recipe, labels[training])
    best = [tf.Variable(weight) for weight in model.weights] if recipe.early_stopping else []
    variables = [*model.weights, *optimizer.variables, *best]
    predictor = Predictor(with_flips(model) if recipe.test_time_flip else model)
    history = checkpoint.restore(variables) if checkpoint else []
    steps = build_steps(objective, recipe.shards, cluster or Cluster())
    # Closed with the loop, however that ends: its thread reads `images`.
    with closing(chunks(images, labels, training, recipe, seed, len(history) + 1)) as feed:
        for epoch, epoch_chunks in groupby(feed, key=attrgetter("epoch")):
            if has_stopped(recipe, history):
                break
            loss_sum, correct = 0.0, 0
            for chunk in epoch_chunks:
                chunk_loss, chunk_correct = steps.run(chunk)
                loss_sum += chunk_loss
                correct += chunk_correct
                on_chunk(chunk.batches * chunk.labels.shape[1])
            # The loss is taken before each update, the last of which shows in the weights alone.
            weights = (weight.numpy() for weight in model.weights)
            if not (np.isfinite(loss_sum) and all(np.isfinite(values).all() for values in weights)):
                raise UserError(
                    f"{paths.PARAMS}: loss or weights are no longer finite in epoch"
                    f" {epoch}: lower learning_rate"
                )
            means = loss_sum / trained_on, correct / trained_on
            with averaged_weights(model, optimizer):
                scores = score(predictor, images, labels, validation)
                history.append(EpochResult(epoch, *means, *scores))
                if best and best_epoch(history) == epoch:
                    assign_all(best, model.weights)
            on_epoch(history[-1])
            if checkpoint:
                checkpoint.save(variables, history)
    optimizer.finalize_variable_values(model.trainable_variables)
    assign_all(model.weights, best)
    return history


def score(
    predictor: Predictor, images: StoredArray, labels: NDArray[np.uint8], rows: NDArray[np.int64]
) -> tuple[float, float] | tuple[None, None]:
    """Mean loss and accuracy on the images at `rows`, if there are any."""
    if not len(rows):
        return None, None
    probabilities, actual = predictor.predict_rows(images, rows), labels[rows]
    accuracy = float(np.mean(probabilities.argmax(1) == actual))
    return mean_cross_entropy(probabilities, actual), accuracy


def build_optimizer(recipe: Recipe, updates: int) -> Any:
    """The `keras.optimizers.Optimizer` of a recipe, with its schedule over so many updates."""
    rates = None
    if recipe.schedule.name != "constant" or recipe.schedule.warm_up:
        rates = recipe.schedule.rates(recipe.optimizer.learning_rate, updates)
    return recipe.optimizer.build(rates, recipe.ema_decay)


def has_stopped(recipe: Recipe, history: list[EpochResult]) -> bool:
    """Whether the validation accuracy has not risen for as long as the recipe waits."""
    if not (recipe.early_stopping and history):
        return False
    return len(history) - best_epoch(history) >= recipe.early_stopping.patience


@contextmanager
def averaged_weights(model: Any, optimizer: Any) -> Iterator[None]:
    """Let the model have the moving average of its weights for a while, if there is one."""
    if not optimizer.use_ema:
        yield
        return
    own = [weight.numpy() for weight in model.trainable_variables]
    optimizer.finalize_variable_values(model.trainable_variables)
    yield
    assign_all(model.trainable_variables, own)


def assign_all(variables: Sequence[Any], values: Sequence[Any]) -> None:
    """Give variables the values of others, if there are any."""
    for variable, value in zip(variables, values, strict=False):
        variable.assign(value)
