"""The compiled epoch makes the updates that a plain Keras loop makes."""

import threading
from pathlib import Path

import numpy as np
import pytest
from small import CLASSES, COUNT, LAYERS, SHAPE, Data, recipe, trained

from workflow.core.errors import UserError
from workflow.data.npz import StoredArray
from workflow.model import feeding
from workflow.model.prediction import Predictor
from workflow.model.recipe import build_model
from workflow.model.results import best_epoch
from workflow.model.tensorflow import keras, set_seed, tf
from workflow.model.training import EpochResult, build_optimizer, split_rows, train

CASES: dict[str, dict[str, object]] = {
    "one": {},
    "two": {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
    "rows of the image first": {"head": "softmax"},
    "convolutions": {},
    "residual": {
        "optimizer": {
            "name": "sgd",
            "learning_rate": 0.05,
            "momentum": 0.9,
            "nesterov": True,
            "weight_decay": 0.02,
        },
        "schedule": {"name": "linear", "warm_up": 0.25},
        "label_smoothing": 0.1,
        "class_weights": "balanced",
        "l2": 0.01,
        "ema_decay": 0.9,
    },
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[pytest.mark.slow] if case in ("convolutions", "residual") else [])
        for case in CASES
    ],
)
def test_same_updates_as_plain_keras(
    data: Data, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, images, labels = data
    chosen = recipe(batch_size=8, layers=LAYERS[case], **CASES[case])
    monkeypatch.setattr(feeding, "CHUNK_BYTES", 1000)  # two batches of eight images of 48 bytes
    model, history = trained(path, labels, chosen)

    set_seed(5)
    plain = build_model(chosen, SHAPE, CLASSES)
    optimizer = build_optimizer(chosen, 3 * 9)
    loss_of = keras.losses.CategoricalCrossentropy(
        from_logits=chosen.head == "logits", label_smoothing=chosen.label_smoothing, reduction=None
    )
    counts = np.bincount(labels)
    class_weights = COUNT / (CLASSES * counts) if chosen.class_weights else np.ones(CLASSES)
    regularizer = keras.regularizers.L2(chosen.l2)

    @tf.function  # the graph of Keras, as `fit` runs it: one for each size of a batch
    def step(batch, actual):
        with tf.GradientTape() as tape:
            scores = plain(batch, training=True)
            weights = tf.gather(tf.constant(class_weights, tf.float32), tf.cast(actual, tf.int32))
            loss = tf.reduce_mean(loss_of(tf.one_hot(actual, CLASSES), scores) * weights)
            kernels = [w for w in plain.trainable_variables if w.name == "kernel"]
            penalized = loss + sum(regularizer(kernel) for kernel in kernels)
        gradients = tape.gradient(penalized, plain.trainable_variables)
        optimizer.apply(gradients, plain.trainable_variables)
        return loss, scores

    optimizer.build(plain.trainable_variables)
    for epoch in (1, 2, 3):
        order = np.random.default_rng([5, epoch]).permutation(COUNT)
        loss_sum = right = 0.0
        for start in range(0, COUNT, 8):  # the last batch holds six
            rows = order[start : start + 8]
            loss, scores = step(images[rows], labels[rows])
            loss_sum += float(loss) * len(rows)
            right += float((scores.numpy().argmax(1) == labels[rows]).sum())
        assert history[epoch - 1].loss == pytest.approx(loss_sum / COUNT, rel=1e-4)
        assert history[epoch - 1].accuracy == pytest.approx(right / COUNT)
    optimizer.finalize_variable_values(plain.trainable_variables)
    for ours, theirs in zip(model.weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-3, atol=1e-5)


def test_early_stopping_keeps_the_best_epoch(data: Data) -> None:
    path, images, labels = data
    settings = {"layers": LAYERS["two"], "validation_fraction": 0.3, "ema_decay": 0.5}
    stopping = {"early_stopping": {"patience": 2}, "epochs": 40}
    model, history = trained(path, labels, recipe(**settings | stopping))
    best = best_epoch(history)
    assert len(history) == best + 2 < 40
    validation = split_rows(labels, 0.3, 5)[1]
    share = np.mean(model(images[validation]).numpy().argmax(1) == labels[validation])
    assert share == pytest.approx(history[best - 1].validation_accuracy)
    assert share == max(result.validation_accuracy for result in history)
    # The model is the one with which training would have ended there.
    shorter, _ = trained(path, labels, recipe(**settings, epochs=best))
    for ours, theirs in zip(model.weights, shorter.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_dropout_is_of_training_alone(data: Data) -> None:
    path, images, labels = data
    layers = [*LAYERS["one"], {"layer": "dropout", "rate": 0.5}]
    model, history = trained(path, labels, recipe(layers=layers))
    _, without = trained(path, labels, recipe())
    assert history != without
    expected = keras.ops.softmax(model(images)).numpy()
    np.testing.assert_allclose(Predictor(model).predict(images), expected, rtol=1e-4)


def test_validation_images_are_not_trained_on(data: Data, tmp_path: Path) -> None:
    path, images, labels = data
    chosen = recipe(validation_fraction=0.5, epochs=2)
    model, history = trained(path, labels, chosen)
    validation = split_rows(labels, 0.5, 5)[1]
    damaged = images.copy()
    damaged[validation] = 1 - damaged[validation]
    np.savez(tmp_path / "damaged.npz", images=damaged, labels=labels)
    other, other_history = trained(tmp_path / "damaged.npz", labels, chosen)
    for ours, theirs in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert history[-1].validation_loss != other_history[-1].validation_loss
    predicted = model(images[validation]).numpy().argmax(1)
    share = np.mean(predicted == labels[validation])
    assert history[-1].validation_accuracy == pytest.approx(share)


def test_validation_takes_the_same_share_of_each_class() -> None:
    labels = np.repeat(np.array([0, 1, 2], np.uint8), [50, 20, 10])  # in order, as of folders
    training, validation = split_rows(labels, 0.2, 1)
    assert np.bincount(labels[validation]).tolist() == [10, 4, 2]
    assert sorted([*training, *validation]) == list(range(80))
    assert validation.tolist() == split_rows(labels, 0.2, 1)[1].tolist()
    assert validation.tolist() != split_rows(labels, 0.2, 2)[1].tolist()
    assert [len(rows) for rows in split_rows(labels, 0, 1)] == [80, 0]


def test_nothing_is_read_any_more_once_training_has_failed(data: Data) -> None:
    path, _, labels = data
    chosen = recipe(epochs=50)
    model = build_model(chosen, SHAPE, CLASSES)

    def fail(result: EpochResult) -> None:
        raise UserError("enough")

    before = threading.active_count()
    with StoredArray(path, "images") as images:
        with pytest.raises(UserError, match="enough") as failed:
            train(model, chosen, images, labels, 5, on_epoch=fail)
        # The error keeps the frames of what failed, and so what they have not closed.
        assert failed.value.__traceback__ is not None
        assert threading.active_count() == before


def test_a_diverging_loss_is_named(data: Data) -> None:
    path, _, labels = data
    with pytest.raises(UserError, match="no longer finite in epoch"):
        trained(path, labels, recipe(optimizer={"name": "sgd", "learning_rate": 1e30}))


def test_weights_that_the_last_update_throws_out_of_range_are_named(
    data: Data, tmp_path: Path
) -> None:
    _, images, labels = data
    np.savez(tmp_path / "bright.npz", images=images * 100, labels=labels)
    once = recipe(optimizer={"name": "sgd", "learning_rate": 3e38}, batch_size=70, epochs=1)
    with pytest.raises(UserError, match="weights are no longer finite in epoch 1"):
        trained(tmp_path / "bright.npz", labels, once)


def test_a_fraction_that_holds_nothing_out_is_named(data: Data) -> None:
    path, _, labels = data
    with pytest.raises(UserError, match=r"validation_fraction 0\.01 leaves none of the 70"):
        trained(path, labels, recipe(validation_fraction=0.01))
