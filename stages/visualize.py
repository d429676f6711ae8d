"""Draw every figure from files alone: no model is loaded and nothing is predicted."""

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from workflow.core import paths
from workflow.core.classes import read_class_names
from workflow.core.files import read_columns, read_json, reading
from workflow.core.params import Params
from workflow.core.progress import progress_bar, say
from workflow.core.stage import Outputs
from workflow.data.npz import StoredArray, read_array, read_labels
from workflow.figures.charts import class_bars, confusion_matrix, training_curves
from workflow.figures.images import (
    all_mistakes,
    as_they_are,
    prediction_grid,
    raw_and_normalized,
    sample_grid,
    single_predictions,
)
from workflow.figures.names import use_fonts_for
from workflow.figures.style import save_png
from workflow.metrics import confusion_counts, require_probabilities

MISTAKES = 15
SAMPLE = 25


def run(params: Params, outputs: Outputs) -> None:
    """Write `plots/*.png` and `data/mistakes.png`."""
    classes = read_class_names()
    if missing := use_fonts_for(classes):
        say(f"visualize: {missing}")
    train_labels = read_labels("train", len(classes))
    sample_rows, sample_title = shown(train_labels, SAMPLE, "training")
    sample_labels = train_labels[sample_rows]
    actual = read_labels("test", len(classes))
    probabilities = read_array(paths.PROBABILITIES, "probabilities")
    with reading(paths.PROBABILITIES):
        require_probabilities(probabilities, len(actual), len(classes))
    predicted = probabilities.argmax(axis=1)
    history = read_columns(paths.HISTORY, ["epoch", "loss", "accuracy"])
    per_class = read_json(paths.CLASS_METRICS)
    with reading(paths.CLASS_METRICS):
        bars = {
            name: {score: float(per_class[name][score]) for score in ("precision", "recall", "f1")}
            for name in classes
        }
    bars |= {classes[label]: {} for label in set(range(len(classes))) - {*actual.tolist()}}

    def images_of(split: str, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        with StoredArray(paths.NORMALIZED, f"{split}_images") as stored:
            images = stored.take(rows)
        return images if params.data.format == "idx" else as_they_are(images)

    sample = images_of("train", sample_rows)

    def grid(rows: NDArray[np.int64], columns: int, title: str) -> Figure:
        return prediction_grid(
            images_of("test", rows), actual[rows], probabilities[rows], classes, columns, title
        )

    def some(count: int, columns: int) -> Figure:
        rows, title = shown(actual, count, "test")
        return grid(rows, columns, title)

    wrong = np.flatnonzero(predicted != actual)
    most_confident = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    figures: dict[str, Callable[[], Figure]] = {
        # The sheet to leaf through: too large for Git, hence in the cache.
        "data/mistakes.png": lambda: all_mistakes(
            images_of("test", wrong), actual[wrong], predicted[wrong], classes
        ),
        "plots/predictions_5x4.png": lambda: some(20, 4),
        "plots/predictions.png": lambda: some(15, 3),
        "plots/mistakes.png": lambda: grid(
            most_confident[:MISTAKES],
            3,
            "The most confident mistakes" if len(wrong) else "No mistakes on the test images",
        ),
        "plots/training_curves.png": lambda: training_curves(history),
        "plots/confusion_matrix.png": lambda: confusion_matrix(
            confusion_counts(actual, predicted, len(classes)), classes
        ),
        "plots/per_class.png": lambda: class_bars(bars),
        "plots/first_image.png": lambda: raw_and_normalized(
            np.rint(sample[0] * 255).astype(np.uint8),
            sample[0],
            f"The first training image: {classes[sample_labels[0]]}",
            "As downloaded" if params.data.format == "idx" else "As prepared",
        ),
        "plots/sample.png": lambda: sample_grid(sample, sample_labels, classes, 5, sample_title),
        "plots/single_prediction.png": lambda: single_predictions(
            images_of("test", np.arange(1)),
            probabilities[:1],
            classes,
            ["Test image 0"],
            [int(actual[0])],
        ),
    }
    with progress_bar(len(figures), "visualize", "figure") as bar:
        for name, draw in figures.items():
            save_png(draw(), outputs.path(name))
            bar.update()
    say(f"visualize: {len(figures)} figures in plots/ and data/")


def shown(labels: NDArray[np.uint8], count: int, kind: str) -> tuple[NDArray[np.int64], str]:
    """The rows of the images to show, and what they are called.

    They are the first; but of a data set in the order of its classes, as folders are, that would
    be one class, so that they are spread over all of it.
    """
    if len(labels) > count and (np.diff(labels.astype(int)) >= 0).all():
        rows = np.linspace(0, len(labels) - 1, count).round().astype(np.int64)
        return rows, f"{count} of {len(labels)} {kind} images"
    return np.arange(min(count, len(labels))), f"The first {min(count, len(labels))} {kind} images"
