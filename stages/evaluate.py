"""Score the trained model on the test set, once."""

from dataclasses import asdict

import numpy as np

from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.errors import UserError
from workflow.core.files import read_columns, reading, write_csv, write_json
from workflow.core.params import Params
from workflow.core.progress import say, some
from workflow.core.stage import Outputs
from workflow.data.npz import StoredArray, read_labels, write_arrays
from workflow.metrics import (
    confusion_counts,
    expected_calibration_error,
    macro_f1,
    scores_per_class,
    wilson_interval,
)
from workflow.model.keras_file import load_model
from workflow.model.prediction import Predictor, mean_cross_entropy


def run(params: Params, outputs: Outputs) -> None:
    """Write `metrics/*.json`, `data/predictions.npz` and the tables behind DVC's plots."""
    classes = read_class_names()
    actual = read_labels("test", len(classes))
    model = load_model(paths.MODEL)
    with StoredArray(paths.NORMALIZED, "test_images") as images:
        taken, known = model.input_shape[1:], model.output_shape[-1]
        if (taken, known) != (images.shape[1:], len(classes)):
            raise UserError(
                f"{paths.MODEL} takes images of {taken} and knows {known} classes,"
                f" {paths.NORMALIZED} holds images of {images.shape[1:]}, {paths.CLASSES} names"
                f" {len(classes)} classes: run `dvc repro`"
            )
        probabilities = Predictor(model).predict_rows(images, np.arange(len(images)))
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == actual).sum())
    accuracy = correct / len(actual)
    low, high = wilson_interval(correct, len(actual))
    counts = confusion_counts(actual, predicted, len(classes))
    class_scores = scores_per_class(counts)
    history = read_columns(paths.HISTORY, ["accuracy"])
    # Of the epoch whose model this is: the last one, unless training has kept another.
    with reading(paths.HISTORY):
        epoch = history["kept"].index(1) if "kept" in history else -1
    # The mean over the epoch, while the weights still move, as `model.fit` prints it.
    train_accuracy = history["accuracy"][epoch]
    if missing := [classes[n] for n in np.flatnonzero(counts.sum(axis=1) == 0)]:
        say(f"evaluate: macro_f1 leaves out the classes without a test image: {some(missing)}")

    overall = {
        "accuracy": accuracy,
        "accuracy_interval_low": low,
        "accuracy_interval_high": high,
        "expected_calibration_error": expected_calibration_error(probabilities, actual),
        "loss": mean_cross_entropy(probabilities, actual),
        "macro_f1": macro_f1(counts),
        "train_accuracy": train_accuracy,
        "train_test_gap": train_accuracy - accuracy,
    }
    # By which recipes are chosen: the test images must not take part in that.
    overall |= {
        score: history[score][epoch]
        for score in ("validation_accuracy", "validation_loss")
        if score in history
    }
    write_json(outputs.path(paths.TEST_METRICS), paths.rounded(overall))
    per_class = {
        name: paths.rounded(asdict(scores))
        for name, scores in zip(classes, class_scores, strict=True)
    }
    write_json(outputs.path(paths.CLASS_METRICS), per_class)
    write_csv(
        outputs.path(paths.CLASS_TABLE),
        ["class", "score", "value"],
        (
            [name, score, value]
            for name, scores in per_class.items()
            for score, value in scores.items()
        ),
    )
    # The labels keep the order of the classes for whoever sorts; names alone would not.
    write_csv(
        outputs.path(paths.PREDICTIONS),
        ["actual", "predicted", "actual_label", "predicted_label"],
        ([classes[a], classes[p], a, p] for a, p in zip(actual, predicted, strict=True)),
    )
    write_arrays(outputs.path(paths.PROBABILITIES), {"probabilities": probabilities})
    say(f"evaluate: accuracy {accuracy:.4f} ({low:.4f} to {high:.4f}) on {len(actual)} test images")
