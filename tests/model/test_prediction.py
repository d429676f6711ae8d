"""Predictions and losses, against Keras and by hand."""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small import CLASSES, LAYERS, SHAPE, Data, recipe

from workflow.core.errors import UserError
from workflow.data.npz import StoredArray
from workflow.model.keras_file import load_model, save_model
from workflow.model.prediction import Predictor, mean_cross_entropy
from workflow.model.recipe import build_model, with_flips
from workflow.model.tensorflow import keras, set_seed, tf


def with_random_weights(**changes: object) -> Any:
    """A model whose moving averages, too, are as training may leave them."""
    set_seed(1)
    model = build_model(recipe(**changes), SHAPE, CLASSES)
    random = np.random.default_rng(0)
    model.set_weights([random.uniform(0.1, 1, weight.shape) for weight in model.weights])
    return model


@pytest.mark.parametrize(
    ("head", "layers"),
    [*zip(cycle(["logits", "softmax"]), LAYERS, strict=False)],
)
def test_a_loaded_model_predicts_what_keras_does(
    data: Data, head: str, layers: str, tmp_path: Path
) -> None:
    path, images, _ = data
    save_model(with_random_weights(head=head, layers=LAYERS[layers]), tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    scores = loaded(images).numpy()
    expected = tf.nn.softmax(scores).numpy() if head == "logits" else scores
    predictor = Predictor(loaded)
    np.testing.assert_allclose(predictor.predict(images), expected, rtol=1e-4, atol=1e-9)
    rows = np.array([3, 1, 69])
    with StoredArray(path, "images") as stored:
        np.testing.assert_allclose(predictor.predict_rows(stored, rows), expected[rows], rtol=1e-4)


def test_flips_are_part_of_the_model(data: Data, tmp_path: Path) -> None:
    _, images, _ = data
    model = with_random_weights(layers=LAYERS["residual"])
    mean = (model(images).numpy() + model(images[:, :, ::-1]).numpy()) / 2
    save_model(with_flips(model), tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images).numpy(), mean, rtol=1e-5)
    expected = tf.nn.softmax(mean).numpy()
    np.testing.assert_allclose(Predictor(loaded).predict(images), expected, rtol=1e-4, atol=1e-9)


def test_a_model_that_gives_no_probabilities_is_named(data: Data) -> None:
    _, images, _ = data
    model = with_random_weights()
    model.set_weights([np.full_like(weight, 1e38) for weight in model.get_weights()])
    with pytest.raises(UserError, match="no finite probabilities"):
        Predictor(model).predict(images)


def test_a_model_with_layers_of_another_kind_is_named(data: Data) -> None:
    _, images, _ = data
    set_seed(1)
    layers = keras.layers
    foreign = keras.Sequential([keras.Input(SHAPE), layers.AveragePooling1D(2, name="mean")])
    foreign.add(layers.Flatten())
    foreign.add(layers.Dense(CLASSES))
    with pytest.raises(UserError, match=r"mean of AveragePooling1D: .*`dvc repro train`"):
        Predictor(foreign).predict(images)


def test_cross_entropy_by_hand() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]], np.float32)
    assert mean_cross_entropy(probabilities[:2], np.array([0, 1], np.uint8)) == pytest.approx(
        (np.log(2) - np.log(0.75)) / 2, rel=1e-6
    )
    assert np.isfinite(mean_cross_entropy(probabilities, np.array([0, 1, 0], np.uint8)))
