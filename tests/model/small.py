"""Data and recipes that train in a moment."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workflow.data.npz import StoredArray
from workflow.model.recipe import Recipe, build_model
from workflow.model.tensorflow import set_seed
from workflow.model.training import EpochResult, train

Data = tuple[Path, NDArray[np.float32], NDArray[np.uint8]]
SHAPE = (4, 3)
CLASSES = 3
COUNT = 70
DENSE: dict[str, object] = {"layer": "dense", "units": 8, "activation": "relu"}
LAYERS: dict[str, list[dict[str, object]]] = {
    "one": [{"layer": "flatten"}, DENSE],
    "two": [{"layer": "flatten"}, DENSE, DENSE | {"activation": "tanh"}],
    "rows of the image first": [DENSE, {"layer": "flatten"}],
    "convolutions": [
        {"layer": "conv2d", "filters": 5, "kernel_size": 3, "activation": "relu"},
        {"layer": "batch_normalization"},
        {"layer": "max_pooling2d", "pool_size": 2},  # of 4 × 3 pixels
        {"layer": "conv2d", "filters": 4, "kernel_size": 2, "activation": "tanh"},
        {"layer": "flatten"},
        {"layer": "batch_normalization"},
        DENSE,
    ],
}
# Images of 4 × 3 pixels become 2 × 2, and then one number a channel.
LAYERS["residual"] = [
    {"layer": "conv2d", "filters": 5, "kernel_size": 3, "strides": 2},
    {"layer": "batch_normalization"},
    {"layer": "activation", "activation": "relu"},
    {
        "layer": "residual",
        "layers": [
            {"layer": "conv2d", "filters": 5, "kernel_size": 3},
            {"layer": "batch_normalization"},
            {"layer": "activation", "activation": "relu"},
        ],
    },
    {"layer": "average_pooling2d", "pool_size": 2},
    {"layer": "global_average_pooling2d"},
    DENSE,
]
# Every piece that a recipe may have, but for those of LAYERS["convolutions"].
EVERY_PIECE: dict[str, object] = {
    "layers": [
        *LAYERS["residual"],
        DENSE | {"activation": "gelu"},
        {"layer": "dropout", "rate": 0.3},
    ],
    "optimizer": {
        "name": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.01,
    },
    "schedule": {"name": "cosine", "warm_up": 0.2},
    "augmentation": [
        {"change": "flip"},
        {"change": "shift", "pixels": 1},
        {"change": "turn", "degrees": 20, "zoom": 0.2},
        {"change": "erase"},
    ],
    "label_smoothing": 0.1,
    "class_weights": "balanced",
    "l2": 0.001,
    "ema_decay": 0.8,
    "validation_fraction": 0.2,
    "early_stopping": {"patience": 2},
    "test_time_flip": True,
}


def write_data(folder: Path) -> Data:
    """Random images and labels: their archive and what is in it."""
    random = np.random.default_rng(0)
    images = random.random((COUNT, *SHAPE), dtype=np.float32)
    labels = random.integers(0, CLASSES, COUNT).astype(np.uint8)
    np.savez(folder / "data.npz", images=images, labels=labels)
    return folder / "data.npz", images, labels


def recipe(**changes: object) -> Recipe:
    """A small recipe with these settings in place of its own."""
    return Recipe.model_validate(
        {
            "layers": LAYERS["one"],
            "head": "logits",
            "optimizer": {"name": "adam", "learning_rate": 0.01},
            "batch_size": 7,  # of one size only: one program less to compile
            "epochs": 3,
        }
        | changes
    )


def trained(
    path: Path, labels: NDArray[np.uint8], chosen: Recipe, seed: int = 5
) -> tuple[Any, list[EpochResult]]:
    """The model and the curves that a recipe gives."""
    set_seed(seed)
    model = build_model(chosen, SHAPE, CLASSES)
    with StoredArray(path, "images") as images:
        return model, train(model, chosen, images, labels, seed)
