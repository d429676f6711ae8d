"""A recipe is checked as a whole, and what cannot be built is named."""

import copy
import re

import pytest
from projects import ROOT, load_yaml
from small import CLASSES, LAYERS, SHAPE, recipe

from workflow.core.errors import UserError
from workflow.core.params import Params, load_params
from workflow.model.recipe import build_model, load_recipe

SETTINGS = load_yaml(ROOT / "params.yaml")["recipes"]["tutorial"]


def with_recipe(settings: dict) -> Params:
    params = load_params(ROOT / "params.yaml")
    return params.model_copy(update={"recipes": {"some": settings}})


def test_the_committed_recipes_are_valid() -> None:
    params = load_params(ROOT / "params.yaml")
    for name, settings in params.recipes.items():
        assert load_recipe(params, name).epochs == settings["epochs"]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("epochs", -1, "epochs: input should be greater"),
        ("epochs", "ten", "epochs: input should be a valid"),
        ("epochs", 1.5, "epochs: input should be a valid"),
        ("epoch", 3, "epoch: unknown key"),
        ("head", "linear", "head: input should be 'logits' or"),
        ("validation_fraction", 1, "validation_fraction: input"),
        ("optimizer.name", "adamm", "unknown 'adamm': choose one of 'adam', 'sgd'"),
        ("optimizer.learning_rate", 0, "optimizer.learning_rate: input"),
        ("optimizer.learning_rate", float("inf"), "finite number"),
        ("layers", [{"layer": "dens", "units": 1}], "unknown 'dens': choose one of 'flatten'"),
        ("layers", [{"layer": "dense", "units": 10**10}], "units: input should be less than or"),
        ("layers", [{"layer": "dense", "unit": 1}], "unit: unknown key"),
        ("layers", [{"layer": "flatten"}, {"layer": "dense"}], "layers.1.units: this key"),
        (
            "layers",
            [{"layer": "residual", "layers": [{"layer": "conv"}]}],
            "layers.0.layers.0: unknown 'conv': choose one of 'flatten'",
        ),
        ("augmentation", [{"change": "blur"}], "unknown 'blur': choose one of 'flip', 'shift'"),
        ("schedule", {"name": "step"}, "schedule.name: input should be 'constant', 'cosine'"),
        ("early_stopping", {"patience": 2}, "early_stopping needs validation images"),
        ("optimizer", {"name": "sgd", "learning_rate": 1, "nesterov": True}, "needs momentum"),
        ("class_weights", "equal", "class_weights: input should be 'balanced'"),
    ],
)
def test_a_bad_value_is_named(key: str, value: object, said: str) -> None:
    settings = copy.deepcopy(SETTINGS)
    *parents, last = key.split(".")
    place = settings
    for parent in parents:
        place = place[parent]
    place[last] = value
    with pytest.raises(UserError) as error:
        load_recipe(with_recipe(settings), "some")
    text = str(error.value)
    assert text.startswith("params.yaml: recipes.some: ")
    assert said in text
    assert "\n" not in text


def test_a_residual_block_that_changes_the_shape_is_named() -> None:
    block = {"layer": "residual", "layers": [LAYERS["convolutions"][0]]}
    named = r"layers\.0 of the recipe, residual, takes the shape \(4, 3, 1\) .* gives \(4, 3, 5\)"
    with pytest.raises(UserError, match=named):
        build_model(recipe(layers=[block, {"layer": "flatten"}]), SHAPE, CLASSES)


def test_flips_need_logits() -> None:
    settings = SETTINGS | {"head": "softmax", "test_time_flip": True}
    with pytest.raises(UserError, match="test_time_flip takes the mean of logits"):
        load_recipe(with_recipe(settings), "some")


def test_layers_that_give_no_vector_are_named() -> None:
    with pytest.raises(UserError, match=r"add \{layer: flatten\}"):
        build_model(recipe(layers=[]), SHAPE, CLASSES)


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        (
            LAYERS["one"][0],
            LAYERS["convolutions"][0],
            r"layers\.1 of the recipe, conv2d, .*\(12,\).*before flatten",
        ),
        (
            LAYERS["convolutions"][0],
            {"layer": "max_pooling2d", "pool_size": 4},
            r"layers\.1 of the recipe, max_pooling2d, .*\(4, 3, 5\).*smaller pool_size",
        ),
    ],
)
def test_layers_that_do_not_fit_together_are_named(first, second, named: str) -> None:
    with pytest.raises(UserError, match=named):
        build_model(recipe(layers=[first, second]), SHAPE, CLASSES)


DENSE = {"layer": "dense", "units": 2**16}
CONVOLUTION = {"layer": "conv2d", "filters": 2**12, "kernel_size": 1}
FLATTEN = {"layer": "flatten"}


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"layers": [DENSE, FLATTEN, DENSE]}, "layers.2"),
        ({"layers": [CONVOLUTION, CONVOLUTION | {"kernel_size": 32}]}, "layers.1"),
        ({"layers": [CONVOLUTION], "batch_size": 2**40}, "layers.0"),
        ({"layers": [DENSE], "batch_size": 2**40}, "layers.0"),
    ],
)
def test_a_recipe_of_absurd_size_is_refused_before_it_takes_memory(
    changes: dict, place: str
) -> None:
    with pytest.raises(UserError) as error:
        build_model(recipe(**changes), (28, 28), CLASSES)
    said = rf"up to {place}, with batches of .*, at least [\d.]+ GB, and there are [\d.]+ GB: take"
    assert re.search(said, str(error.value)), error.value
