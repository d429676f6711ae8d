"""Draw every figure from files alone: no model is loaded and nothing is predicted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from workflow.dataset import StoredArray, read_array
from workflow.figures.charts import class_bars, confusion_matrix, training_curves
from workflow.figures.pictures import (
    all_mistakes,
    prediction_grid,
    raw_and_normalized,
    sample_grid,
    single_predictions,
)
from workflow.figures.style import save_png
from workflow.files import read_columns, read_json
from workflow.idx import read_idx
from workflow.metrics import confusion_counts
from workflow.params import Params
from workflow.progress import progress_bar, say
from workflow.stage import Outputs, run_stage
from workflow.workers import for_each

RAW = Path("data/raw")
NORMALIZED = Path("data/normalized.npz")
PREDICTIONS = Path("data/predictions.npz")
HISTORY = Path("plots/history.csv")
PER_CLASS = Path("metrics/per_class.json")
MISTAKES = 15
SAMPLE = 25


def visualize(params: Params, outputs: Outputs) -> None:
    """Write `plots/*.png` and `data/mistakes.png`."""
    classes = params.data.class_names
    raw = read_idx(RAW / params.data.files.train_images.name, dimensions=3)
    with StoredArray(NORMALIZED, "train_images") as train_images:
        sample = train_images.take(np.arange(min(SAMPLE, len(train_images))))
    sample_labels = read_array(NORMALIZED, "train_labels")[: len(sample)]
    actual = read_array(NORMALIZED, "test_labels")
    probabilities = read_array(PREDICTIONS, "probabilities")
    predicted = probabilities.argmax(axis=1)
    history = read_columns(HISTORY, ["epoch", "loss", "accuracy"])
    per_class = read_json(PER_CLASS)

    def test_images(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        with StoredArray(NORMALIZED, "test_images") as images:
            return images.take(rows)

    def grid(rows: NDArray[np.int64], columns: int, title: str) -> Figure:
        return prediction_grid(
            test_images(rows), actual[rows], probabilities[rows], classes, columns, title
        )

    def first(count: int) -> NDArray[np.int64]:
        return np.arange(min(count, len(actual)))

    wrong = np.flatnonzero(predicted != actual)
    most_confident = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    # The slowest first, so that the workers end together.
    figures: dict[str, Callable[[], Figure]] = {
        # The sheet to leaf through: too large for Git, hence in the cache.
        "data/mistakes.png": lambda: all_mistakes(
            test_images(wrong), actual[wrong], predicted[wrong], classes
        ),
        "plots/predictions_5x4.png": lambda: grid(first(20), 4, "The first 20 test images"),
        "plots/predictions.png": lambda: grid(first(15), 3, "The first 15 test images"),
        "plots/mistakes.png": lambda: grid(
            most_confident[:MISTAKES], 3, "The most confident mistakes"
        ),
        "plots/training_curves.png": lambda: training_curves(history),
        "plots/confusion_matrix.png": lambda: confusion_matrix(
            confusion_counts(actual, predicted, len(classes)), classes
        ),
        "plots/per_class.png": lambda: class_bars({name: per_class[name] for name in classes}),
        "plots/first_image.png": lambda: raw_and_normalized(
            raw[0], sample[0], f"The first training image: {classes[sample_labels[0]]}"
        ),
        "plots/sample.png": lambda: sample_grid(
            sample, sample_labels, classes, 5, f"The first {len(sample)} training images"
        ),
        "plots/single_prediction.png": lambda: single_predictions(
            test_images(first(1)), probabilities[:1], classes, ["Test image 0"], [int(actual[0])]
        ),
    }
    paths = {name: outputs.path(name) for name in figures}

    def save(name: str) -> None:
        save_png(figures[name](), paths[name])

    with progress_bar(len(figures), "visualize", "figure") as bar:
        for _ in for_each(save, figures):
            bar.update()
    say(f"visualize: {len(figures)} figures in plots/ and data/")


if __name__ == "__main__":
    run_stage("visualize", visualize)
