"""Score the trained model on the test set, once."""

from dataclasses import asdict
from pathlib import Path

import numpy as np

from workflow.dataset import StoredArray, read_array, write_arrays
from workflow.files import read_columns, write_csv, write_json
from workflow.metrics import (
    confusion_counts,
    expected_calibration_error,
    scores_per_class,
    wilson_interval,
)
from workflow.params import Params
from workflow.progress import say
from workflow.reproducible import load_model
from workflow.stage import Outputs, run_stage
from workflow.training import Predictor, cross_entropy

NORMALIZED = Path("data/normalized.npz")
MODEL = Path("models/model.keras")
HISTORY = Path("plots/history.csv")
DECIMALS = 4


def evaluate(params: Params, outputs: Outputs) -> None:
    """Write `metrics/*.json`, `data/predictions.npz` and the tables behind DVC's plots."""
    classes = params.data.class_names
    actual = read_array(NORMALIZED, "test_labels")
    with StoredArray(NORMALIZED, "test_images") as images:
        probabilities = Predictor(load_model(MODEL))(images, np.arange(len(images)))
    predicted = probabilities.argmax(axis=1)
    correct = int((predicted == actual).sum())
    accuracy = correct / len(actual)
    low, high = wilson_interval(correct, len(actual))
    of_class = scores_per_class(confusion_counts(actual, predicted, len(classes)))
    # The mean over the last epoch, while the weights still move, as `model.fit` prints it.
    train_accuracy = read_columns(HISTORY, ["accuracy"])["accuracy"][-1]

    overall = {
        "accuracy": accuracy,
        "accuracy_interval_low": low,
        "accuracy_interval_high": high,
        "expected_calibration_error": expected_calibration_error(probabilities, actual),
        "loss": cross_entropy(probabilities, actual),
        "macro_f1": float(np.mean([scores.f1 for scores in of_class])),
        "train_accuracy": train_accuracy,
        "train_test_gap": train_accuracy - accuracy,
    }
    write_json(
        outputs.path("metrics/test.json"),
        {name: round(value, DECIMALS) for name, value in overall.items()},
    )
    per_class = {
        name: {key: round(value, DECIMALS) for key, value in asdict(scores).items()}
        for name, scores in zip(classes, of_class, strict=True)
    }
    write_json(outputs.path("metrics/per_class.json"), per_class)
    write_csv(
        outputs.path("plots/per_class.csv"),
        ["class", "score", "value"],
        (
            [name, score, value]
            for name, scores in per_class.items()
            for score, value in scores.items()
        ),
    )
    # The labels keep the order of the classes for whoever sorts; names alone would not.
    write_csv(
        outputs.path("plots/predictions.csv"),
        ["actual", "predicted", "actual_label", "predicted_label"],
        ([classes[a], classes[p], a, p] for a, p in zip(actual, predicted, strict=True)),
    )
    write_arrays(outputs.path("data/predictions.npz"), {"probabilities": probabilities})
    say(f"evaluate: accuracy {accuracy:.4f} ({low:.4f} to {high:.4f}) on {len(actual)} test images")


if __name__ == "__main__":
    run_stage("evaluate", evaluate)
