"""A recipe, which is data, and what is built from it: the Keras model and its optimizer."""

import math
from typing import Any, Literal

from pydantic import Field, model_validator

from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.params import Params
from workflow.core.validation import Strict, validate
from workflow.model.augmentation import AnyChange
from workflow.model.layers import AnyLayer, ResidualShapeError
from workflow.model.optimizers import AnyOptimizer, Schedule
from workflow.model.startup import spare_memory
from workflow.model.tensorflow import keras

HEAD_LAYER = "head"
# Names of Keras models: the recipe's own, and one around it that takes mirror images, too.
CLASSIFIER = "classifier"
FLIPPED = "flipped"


class EarlyStopping(Strict):
    """Training ends once the validation accuracy has not risen for `patience` epochs.

    The model is then that of the best epoch, the first one of several (Prechelt, 1998).
    """

    patience: int = Field(ge=1)


class Recipe(Strict):
    """A model and how it is trained. What has a default may be left out.

    Attributes:
        layers: between the image and the head.
        head: whether the last layer gives logits or probabilities.
        optimizer: and its learning rate.
        schedule: of the learning rate.
        augmentation: changes of the training images, in order.
        label_smoothing: the share of a label that goes to all classes alike.
        class_weights: `balanced` lets each class count the same, however many images it has.
        l2: adds `l2` times the squares of the kernels to the loss.
        ema_decay: of a moving average of the weights, which is the model in the end (Polyak and
            Juditsky, 1992, in its exponential form); 0 for none.
        batch_size: images an update.
        shards: equal parts of a batch, for as many cores or machines.
        epochs: at most.
        validation_fraction: share of each class's training images that is scored instead.
        early_stopping: by the validation accuracy.
        test_time_flip: the scores of an image are the mean of its own and of its mirror image's.
    """

    layers: list[AnyLayer]
    head: Literal["logits", "softmax"]
    optimizer: AnyOptimizer
    schedule: Schedule = Schedule(name="constant")
    augmentation: list[AnyChange] = Field(default_factory=list)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    class_weights: Literal["balanced"] | None = None
    l2: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    batch_size: int = Field(ge=1)
    shards: Literal[1, 2, 4, 8, 16, 32, 64] = 1
    epochs: int = Field(ge=1)
    validation_fraction: float = Field(default=0.0, ge=0, lt=1)
    early_stopping: EarlyStopping | None = None
    test_time_flip: bool = False

    @model_validator(mode="after")
    def _shards_are_equal(self) -> "Recipe":
        if self.batch_size % self.shards:
            raise ValueError(
                f"batch_size {self.batch_size} cannot be cut into {self.shards} equal shards: take"
                " a multiple, or fewer shards"
            )
        return self

    @model_validator(mode="after")
    def _pieces_go_together(self) -> "Recipe":
        if self.early_stopping and not self.validation_fraction:
            raise ValueError("early_stopping needs validation images: set validation_fraction")
        if self.test_time_flip and self.head != "logits":
            raise ValueError("test_time_flip takes the mean of logits: set head: logits")
        return self


def load_recipe(params: Params, name: str) -> Recipe:
    """Check what `params.yaml` holds under a recipe's name.

    Raises:
        UserError: there is no such recipe, or it holds an unknown key or a wrong value.
    """
    return validate(params.recipe_settings(name), Recipe, f"{paths.PARAMS}: recipes.{name}")


def build_model(recipe: Recipe, image_shape: tuple[int, ...], classes: int) -> Any:
    """Build the recipe's model with freshly drawn weights.

    Images without channels get one if there is a layer that needs it: the dense and normalizing
    layers before flatten then act on that channel instead of on the rows of the image.

    Args:
        recipe: what `params.yaml` says.
        image_shape: of one image, such as (28, 28).
        classes: how many units the head has.

    Returns:
        A `keras.Sequential` from (batch, *image_shape) float32 to (batch, classes) float32:
        logits or probabilities, as `recipe.head` says.

    Raises:
        UserError: a layer cannot take what the one before gives, they do not end in one vector an
            image, or they need more memory than the machine has.
    """
    needed = 0
    model = keras.Sequential([keras.Input(image_shape, name="image")], name=CLASSIFIER)
    if len(image_shape) == 2 and any(layer.takes_images for layer in recipe.layers):
        model.add(keras.layers.Reshape((*image_shape, 1), name="channel"))
    for number, layer in enumerate(recipe.layers):
        given = model.output_shape[1:] if model.layers else image_shape
        needed += _least_memory(recipe, layer, given)
        if needed > (spare := spare_memory()):
            raise UserError(
                f"{paths.PARAMS}: the recipe needs more memory than there is: up to"
                f" layers.{number}, with batches of {recipe.batch_size}, at least"
                f" {needed / 1e9:.1f} GB, and there are {spare / 1e9:.1f} GB: take fewer units or"
                " filters, a smaller kernel_size or a smaller batch_size"
            )
        try:
            # Names of our own: automatic ones count up through the life of a process and would
            # be part of the saved bytes.
            model.add(layer.build(f"{layer.layer}_{number + 1}", given))
        except ResidualShapeError as error:
            raise UserError(
                f"{paths.PARAMS}: layers.{number} of the recipe, residual, takes the shape {given}"
                f" of one image and gives {error.args[0]}: the two must be the same"
            ) from None
        except ValueError:
            remedy = "move it before flatten" if len(given) == 1 else "take a smaller pool_size"
            raise UserError(
                f"{paths.PARAMS}: layers.{number} of the recipe, {layer.layer}, cannot take the"
                f" shape {given} that one image has before it: {remedy}"
            ) from None
    given = model.output_shape[1:] if model.layers else image_shape
    if len(given) != 1:
        raise UserError(
            f"{paths.PARAMS}: recipe layers leave the shape {given} of one image, not one vector:"
            " add {layer: flatten}"
        )
    activation = "softmax" if recipe.head == "softmax" else "linear"
    model.add(keras.layers.Dense(classes, activation=activation, name=HEAD_LAYER))
    return model


def _least_memory(recipe: Recipe, layer: AnyLayer, given: tuple[int, ...]) -> int:
    """The bytes that training holds for a layer at least: weights, gradient, results of a part."""
    columns: int = getattr(layer, "units", getattr(layer, "filters", 0))
    weights = given[-1] * int(getattr(layer, "kernel_size", 1)) ** 2 * columns
    copies = 4 if recipe.optimizer.name == "adam" else 2  # Adam has two moments of each weight
    results = recipe.batch_size // recipe.shards * math.prod(given[:-1]) * columns
    return 4 * (copies * weights + results)


def with_flips(model: Any) -> Any:
    """A model whose logits are the mean of those of an image and of its mirror image.

    Args:
        model: from `build_model`, whose weights it shares.
    """
    image = keras.Input(model.input_shape[1:], name="image")
    mirrored = keras.ops.flip(image, axis=2)
    mean = keras.layers.Average(name="mean")([model(image), model(mirrored)])
    return keras.Model(image, mean, name=FLIPPED)
