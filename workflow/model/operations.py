"""How much a model computes."""

from typing import Any

from workflow.model.tensorflow import keras


def operations(model: Any) -> list[int]:
    """Multiplications and additions in each product of an image's prediction, in order."""
    counts = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            counts += operations(layer)
        elif isinstance(layer, keras.layers.Dense):
            counts.append(2 * layer.kernel.shape.num_elements())
        elif isinstance(layer, keras.layers.Conv2D):
            _, height, width, _ = layer.output.shape
            counts.append(2 * height * width * layer.kernel.shape.num_elements())
    return counts
