"""The layers of a recipe. Each is one class: its settings, its Keras layer, and what it computes.

What it computes follows the rules of workflow/model/sums.py, which Keras and XLA would break by
leaving sums to libraries. Values and gradients are those of the Keras layer, up to rounding. How to
add a layer: workflow/model/README.md.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from workflow.core.errors import UserError
from workflow.model.layers.base import Layer, Training
from workflow.model.layers.convolution import Conv2D
from workflow.model.layers.dense import ActivationLayer, Dense, Flatten
from workflow.model.layers.dropout import Dropout
from workflow.model.layers.normalization import BatchNormalization
from workflow.model.layers.pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D
from workflow.model.tensorflow import keras


class Residual(Layer):
    """Layers whose result is added to what they are given (He, Zhang, Ren and Sun, 2016)."""

    layer: Literal["residual"]
    layers: "list[AnyLayer]" = Field(min_length=1)

    keras_class = keras.Model

    @property
    def takes_images(self) -> bool:
        """Whether a layer inside it needs (n, height, width, channels)."""
        return any(layer.takes_images for layer in self.layers)

    def build(self, name: str, shape: tuple[int, ...]) -> Any:
        """A Keras model from what it is given to the sum."""
        given = values = keras.Input(shape, name=f"{name}_input")
        for number, layer in enumerate(self.layers):
            built = layer.build(f"{name}_{layer.layer}_{number + 1}", values.shape[1:])
            values = built(values)
        if values.shape != given.shape:
            raise ResidualShapeError(values.shape[1:])
        return keras.Model(given, keras.layers.Add(name=f"{name}_sum")([given, values]), name=name)

    @staticmethod
    def compute(built: Any, values: Any, training: Training | None) -> Any:
        """Any shape to the same."""
        _, *inside, _ = built.layers  # the input, and the sum
        return values + compute_layers(inside, values, training)


class ResidualShapeError(ValueError):
    """A residual block gives another shape than it takes, its argument."""


# Every layer that a recipe may name.
AnyLayer = Annotated[
    Flatten
    | Dense
    | ActivationLayer
    | Dropout
    | Conv2D
    | MaxPooling2D
    | AveragePooling2D
    | GlobalAveragePooling2D
    | BatchNormalization
    | Residual,
    Field(discriminator="layer"),
]
Residual.model_rebuild()
_LAYERS: tuple[type[Layer], ...] = get_args(get_args(AnyLayer)[0])


def settings_of(saved: Any) -> dict[str, Any]:
    """What a recipe says of a layer, not checked, from what Keras saves of it.

    Raises:
        ValueError: no recipe has such a layer.
    """
    config = saved["config"]
    if saved["class_name"] == "Functional":  # from the input to the sum
        return {"layer": "residual", "layers": [settings_of(of) for of in config["layers"][1:-1]]}
    for kind in _LAYERS:
        if kind.keras_class.__name__ == saved["class_name"]:
            (name,) = get_args(kind.model_fields["layer"].annotation)
            given = {key: config[key] for key in kind.model_fields if key in config}
            # Keras has a height and a width.
            flat = {k: v[0] if isinstance(v, list) and v else v for k, v in given.items()}
            return {**flat, "layer": name}
    raise ValueError(f"no recipe has a layer {saved['class_name']!r:.40}")


def compute_layers(built: Sequence[Any], values: Any, training: Training | None) -> Any:
    """What Keras layers, one after the other, make of a batch.

    Args:
        built: as `Layer.build` made them, or loaded from a file.
        values: (n, …) float32 tensor.
        training: as for `Layer.compute`.

    Raises:
        UserError: one is of another kind than those of recipes.
    """
    for keras_layer in built:
        layer = next((kind for kind in _LAYERS if isinstance(keras_layer, kind.keras_class)), None)
        if layer:
            values = layer.compute(keras_layer, values, training)
        elif isinstance(keras_layer, keras.layers.Reshape):  # that gives grey images a channel
            values = keras_layer(values)
        else:  # computed by Keras, it might not give the same bits everywhere
            raise UserError(
                f"the model has a layer that no recipe has, {keras_layer.name} of"
                f" {type(keras_layer).__name__}: train another with `dvc repro train`"
            )
    return values
