"""Two recipes side by side."""

from types import SimpleNamespace
from typing import Any

import pytest

from commands.review import params
from commands.review.params import ParamChange, param_changes
from commands.review.recipes import compare_recipes

FLATTEN, HIDDEN = {"layer": "flatten"}, {"layer": "dense", "units": 128, "activation": "relu"}
CONVOLUTION = {"layer": "conv2d", "filters": 8, "kernel_size": 3}
SMALL = {
    "layers": [FLATTEN, HIDDEN],
    "head": "logits",
    "optimizer": {"name": "adam", "learning_rate": 0.001},
    "epochs": 10,
}


def test_a_layer_more_is_one_row() -> None:
    larger = SMALL | {
        "layers": [CONVOLUTION, FLATTEN, HIDDEN | {"units": 64}, {"layer": "dropout"}]
    }
    assert compare_recipes(SMALL, larger) == [
        ("layers 1", None, "conv2d: filters 8, kernel_size 3"),
        ("layers 3", "dense: units 128, activation relu", "dense: units 64, activation relu"),
        ("layers 4", None, "dropout"),
    ]
    assert compare_recipes(larger, SMALL)[0] == (
        "layers 1",
        "conv2d: filters 8, kernel_size 3",
        None,
    )


def test_settings_are_compared_one_by_one() -> None:
    changed = SMALL | {
        "optimizer": {"name": "sgd", "learning_rate": 0.001, "momentum": 0.9},
        "schedule": {"name": "cosine", "warm_up": 0.1},
        "augmentation": [{"change": "flip"}],
        "layers": [FLATTEN, {"layer": "residual", "layers": [CONVOLUTION, {"layer": "dropout"}]}],
    }
    assert compare_recipes(SMALL, changed) == [
        (
            "layers 2",
            "dense: units 128, activation relu",
            "residual: layers [conv2d: filters 8, kernel_size 3; dropout]",
        ),
        ("optimizer.name", "adam", "sgd"),
        ("optimizer.momentum", None, "0.9"),
        ("schedule", None, "cosine: warm_up 0.1"),
        ("augmentation 1", None, "flip"),
    ]
    assert compare_recipes(changed, changed) == []
    # A default that is written out, or no longer: zero and false are values, too.
    assert compare_recipes({"l2": 0.0, "test_time_flip": False}, {"augmentation": []}) == [
        ("l2", "0.0", None),
        ("test_time_flip", "false", None),
    ]


def test_the_recipes_that_are_trained_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(params.dvc, "difference", lambda *_: {})

    def changes(base: dict[str, Any], head: dict[str, Any]) -> list[ParamChange]:
        base_side, head_side = (SimpleNamespace(name="", params=side) for side in (base, head))
        return param_changes(base_side, head_side)  # type: ignore[arg-type]

    both = {"small": SMALL, "short": SMALL | {"epochs": 3}}
    switched = changes({"recipe": "small", "recipes": both}, {"recipe": "short", "recipes": both})
    assert switched == [ParamChange("short: epochs", "10", "3")]
    beside = changes(
        {"recipe": "small", "recipes": both},
        {"recipe": "small", "recipes": {"small": SMALL, "short": SMALL, "new": SMALL}},
    )
    assert beside == [
        ParamChange("recipes.short", "defined", "changed"),
        ParamChange("recipes.new", None, "defined"),
    ]
