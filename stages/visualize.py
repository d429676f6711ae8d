"""Draw every figure from files alone: no model is loaded and nothing is predicted."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from workflow.dataset import read_array
from workflow.figures.charts import class_bars, confusion_matrix, training_curves
from workflow.figures.pictures import prediction_grid
from workflow.figures.style import save_png
from workflow.metrics import confusion_counts
from workflow.params import Params
from workflow.progress import progress_bar, say
from workflow.stage import Outputs, run_stage

NORMALIZED = Path("data/normalized.npz")
PREDICTIONS = Path("data/predictions.npz")
HISTORY = Path("plots/history.csv")
PER_CLASS = Path("metrics/per_class.json")
MISTAKES = 15


def visualize(params: Params, outputs: Outputs) -> None:
    """Write `plots/*.png`."""
    classes = params.data.class_names
    images = read_array(NORMALIZED, "test_images")
    actual = read_array(NORMALIZED, "test_labels")
    probabilities = read_array(PREDICTIONS, "probabilities")
    predicted = probabilities.argmax(axis=1)
    with HISTORY.open(encoding="utf-8", newline="") as stream:
        epochs = list(csv.DictReader(stream))
    history = {column: [float(epoch[column]) for epoch in epochs] for column in epochs[0]}
    per_class = json.loads(PER_CLASS.read_text(encoding="utf-8"))

    def grid(rows: slice | np.ndarray, columns: int, title: str) -> Figure:
        return prediction_grid(
            images[rows], actual[rows], probabilities[rows], classes, columns, title
        )

    wrong = np.flatnonzero(predicted != actual)
    most_confident = wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")]
    figures: dict[str, Callable[[], Figure]] = {
        "training_curves": lambda: training_curves(history),
        "confusion_matrix": lambda: confusion_matrix(
            confusion_counts(actual, predicted, len(classes)), classes
        ),
        "per_class": lambda: class_bars({name: per_class[name] for name in classes}),
        "predictions": lambda: grid(slice(0, 15), 3, "The first 15 test images"),
        "mistakes": lambda: grid(most_confident[:MISTAKES], 3, "The most confident mistakes"),
    }
    with progress_bar(len(figures), "visualize", "figure") as bar:
        for name, draw in figures.items():
            save_png(draw(), outputs.path(f"plots/{name}.png"))
            bar.update()
    say(f"visualize: {len(figures)} figures in plots/")


if __name__ == "__main__":
    run_stage("visualize", visualize)
