"""What a model computes is counted."""

from workflow.model.operations import operations
from workflow.model.recipe import Recipe, build_model


def test_operations_are_counted_in_all_products() -> None:
    convolution = {"layer": "conv2d", "filters": 4, "kernel_size": 3}
    layers = [
        convolution | {"strides": 2},
        {"layer": "residual", "layers": [convolution]},
        {"layer": "flatten"},
    ]
    recipe = Recipe.model_validate(
        {
            "layers": layers,
            "head": "logits",
            "optimizer": {"name": "adam", "learning_rate": 1},
            "batch_size": 1,
            "epochs": 1,
        }
    )
    model = build_model(recipe, (6, 8), 10)
    multiplied = [12 * 9 * 1 * 4, 12 * 9 * 4 * 4, 12 * 4 * 10]
    assert operations(model) == [2 * count for count in multiplied]
