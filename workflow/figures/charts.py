"""Charts of numbers: curves, confusion, scores per class."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from workflow.figures.names import shortened
from workflow.figures.style import SERIES, new_figure

# Inches. A matrix of many classes would take gigabytes to draw at the size of one of few.
_CELL = 0.58
_LARGEST_MATRIX = 24
_SMALLEST_CELL_WITH_NUMBER = 0.4
_BAR = 0.42
_TALLEST_BARS = 60
_NAME = 2.2


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Loss and accuracy by epoch, with those of validation where there are any.

    Args:
        history: the columns of `plots/history.csv`.
    """
    figure = new_figure(8, 3.8)
    left, right = figure.subplots(1, 2)
    for axes, score in ((left, "loss"), (right, "accuracy")):
        draw_curve(axes, history["epoch"], history[score], "training, during the epoch", SERIES[0])
        validation = history.get(f"validation_{score}")
        if validation:
            draw_curve(axes, history["epoch"], validation, "validation, after the epoch", SERIES[5])
            axes.legend(frameon=False)
        axes.set(title=score.capitalize(), xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    right.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.suptitle("Training")
    return figure


def draw_curve(
    axes: Axes, epochs: Sequence[float], values: Sequence[float], label: str, colour: str
) -> None:
    """Draw one curve, with a mark at each epoch as long as they are few."""
    marker = "o" if len(epochs) <= 20 else None
    axes.plot(epochs, values, marker=marker, markersize=4, color=colour, label=label)


def confusion_matrix(counts: NDArray[np.int64], class_names: Sequence[str]) -> Figure:
    """The confusion matrix: numbers in the cells, shaded by the share of the actual class.

    Args:
        counts: (classes, classes), row the actual class, column the predicted one.
        class_names: in the order of the labels.
    """
    cell = min(_CELL, _LARGEST_MATRIX / len(class_names))
    size = 2.6 + cell * len(class_names)
    figure = new_figure(size, size)
    axes = figure.add_subplot()
    letters = 11.0
    if cell < _CELL:
        letters = min(10, 0.75 * 72 * cell)
        axes.tick_params(labelsize=letters)
    names = [shortened(name, _NAME, letters) for name in class_names]
    totals = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(counts > 0) if cell >= _SMALLEST_CELL_WITH_NUMBER else []:
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            color="white" if share[row, column] > 0.5 else "black",
        )
    ticks = range(len(class_names))
    axes.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.set(xlabel="predicted", ylabel="actual")
    accuracy = counts.trace() / counts.sum()
    title = f"Confusion on {counts.sum()} test images:", f"{accuracy:.2%} correct"
    if len(class_names) < 8:  # a narrow figure has no room for one line
        figure.suptitle("\n".join(title), fontsize=13)
    else:
        axes.set_title(" ".join(title))
    axes.spines[:].set_visible(False)
    return figure


def class_bars(scores: Mapping[str, Mapping[str, float]]) -> Figure:
    """Precision and recall of each class as bars, the F1 score as a mark.

    Args:
        scores: by class name, each with `precision`, `recall` and `f1`; of a class without a test
            image, there are none.
    """
    names = list(scores)
    bar = min(_BAR, _TALLEST_BARS / len(names))
    letters = min(11.0, 0.75 * 72 * bar)
    figure = new_figure(8, 1.4 + bar * len(names))
    axes = figure.add_subplot()
    places = np.arange(len(names))
    for offset, score, colour in ((-0.19, "precision", SERIES[4]), (0.19, "recall", SERIES[0])):
        values = [scores[name].get(score, 0.0) for name in names]
        axes.barh(places + offset, values, height=0.36, color=colour, label=score)
    f1 = [scores[name].get("f1", np.nan) for name in names]
    axes.plot(f1, places, "D", color="black", markersize=5, label="F1", linestyle="none")
    for place, value in zip(places, f1, strict=True):
        there, text = (0.01, "no test image") if np.isnan(value) else (1.01, f"{value:.2f}")
        axes.text(there, float(place), text, va="center", fontsize=letters)
    axes.set_yticks(places, [shortened(name, _NAME, letters) for name in names], fontsize=letters)
    # The margins of matplotlib are a share of the height, and so is a place below the axes.
    axes.set(xlim=(0, 1.06), ylim=(len(names) - 0.5, -0.5))
    axes.set_title("Scores of each class on the test images (number: F1)")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    axes.grid(axis="x", alpha=0.3)
    return figure
