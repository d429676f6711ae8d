"""From a recipe, which is data, to a Keras model and its optimizer."""

from typing import Any

from workflow.errors import UserError
from workflow.optimizers import OnePassAdam
from workflow.params import (
    Adam,
    BatchNormalization,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    MaxPooling2D,
    Recipe,
)
from workflow.reproducible import keras

HEAD_LAYER = "head"


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
        UserError: a layer cannot take what the one before gives, or they do not end in one vector
            an image.
    """
    model = keras.Sequential([keras.Input(image_shape, name="image")], name="classifier")
    if len(image_shape) == 2 and any(isinstance(of, Conv2D | MaxPooling2D) for of in recipe.layers):
        model.add(keras.layers.Reshape((*image_shape, 1), name="channel"))
    for number, layer in enumerate(recipe.layers):
        given = model.output_shape[1:] if model.layers else image_shape
        try:
            # Names of our own: automatic ones count up through the life of a process and would
            # be part of the saved bytes.
            model.add(_layer(layer, f"{layer.layer}_{number + 1}"))
        except ValueError:
            remedy = "move it before flatten" if len(given) == 1 else "take a smaller pool_size"
            raise UserError(
                f"params.yaml: layers.{number} of the recipe, {layer.layer}, cannot take the shape"
                f" {given} that one image has before it: {remedy}"
            ) from None
    given = model.output_shape[1:] if model.layers else image_shape
    if len(given) != 1:
        raise UserError(
            f"params.yaml: recipe layers leave the shape {given} of one image, not one vector:"
            " add {layer: flatten}"
        )
    activation = "softmax" if recipe.head == "softmax" else "linear"
    model.add(keras.layers.Dense(classes, activation=activation, name=HEAD_LAYER))
    return model


def build_optimizer(recipe: Recipe) -> Any:
    """The recipe's `keras.optimizers.Optimizer`."""
    settings = recipe.optimizer
    if isinstance(settings, Adam):
        return OnePassAdam(settings.learning_rate)
    return keras.optimizers.SGD(settings.learning_rate, momentum=settings.momentum)


def _layer(layer: Layer, name: str) -> Any:
    match layer:
        case Flatten():
            return keras.layers.Flatten(name=name)
        case Dense():
            return keras.layers.Dense(layer.units, activation=layer.activation, name=name)
        case Conv2D():
            return keras.layers.Conv2D(
                layer.filters,
                layer.kernel_size,
                padding="same",
                activation=layer.activation,
                name=name,
            )
        case MaxPooling2D():
            return keras.layers.MaxPooling2D(layer.pool_size, name=name)
        case BatchNormalization():
            return keras.layers.BatchNormalization(name=name)
