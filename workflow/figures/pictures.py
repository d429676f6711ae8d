"""Figures that show images of the data set, with or without what the model says of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from workflow.figures.style import CORRECT, NEUTRAL, WRONG, canvas, new_figure

# A cell of a grid, in units of the height of an image.
_IMAGE_AND_BARS_WIDTH = 2.35
_CELL_HEIGHT = 1.42


def prediction_grid(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    class_names: Sequence[str],
    columns: int,
    title: str,
) -> Figure:
    """Each image beside its class probabilities, as the tutorials draw them.

    Below an image stand the predicted class, its probability, and the actual class in
    brackets: blue where they agree, orange where they do not. Among the bars the predicted
    class is orange and the actual one blue, so that a correct prediction shows blue alone.

    Args:
        images: (n, height, width) in [0, 1].
        labels: (n,) actual classes.
        probabilities: (n, classes).
        class_names: in the order of the labels.
        columns: of the grid; images fill it row by row.
        title: of the figure.
    """
    rows = -(-len(images) // columns)
    width, height = columns * _IMAGE_AND_BARS_WIDTH, rows * _CELL_HEIGHT
    figure = new_figure(1.25 * width, 1.25 * height + 0.7)
    axes = canvas(figure, width, height)
    for position, (image, label, row) in enumerate(zip(images, labels, probabilities, strict=True)):
        left = position % columns * _IMAGE_AND_BARS_WIDTH + 0.1
        top = position // columns * _CELL_HEIGHT
        draw_image(axes, image, left, top)
        _draw_bars(axes, row, int(label), left + 1.12, top)
        predicted = int(row.argmax())
        axes.text(
            left,
            top + 1.06,
            f"{class_names[predicted]} {row[predicted]:.0%}\n({class_names[label]})",
            color=CORRECT if predicted == label else WRONG,
            va="top",
            fontsize=10.5,
            linespacing=1.0,
        )
    figure.suptitle(title)
    return figure


def draw_image(axes: Axes, image: NDArray[np.float32], left: float, top: float) -> None:
    """Draw one image, dark on light, one unit high and framed."""
    width = image.shape[1] / image.shape[0]
    axes.imshow(
        image,
        cmap="binary",
        vmin=0,
        vmax=1,
        extent=(left, left + width, top + 1, top),
        interpolation="nearest",
    )
    axes.add_patch(Rectangle((left, top), width, 1, fill=False, linewidth=0.6, color=NEUTRAL))


def _draw_bars(
    axes: Axes, probabilities: NDArray[np.float32], label: int, left: float, top: float
) -> None:
    """Draw the probabilities as bars on one square unit, the numbers of the classes below."""
    step = 1 / len(probabilities)
    colours = [NEUTRAL] * len(probabilities)
    colours[int(probabilities.argmax())] = WRONG
    colours[label] = CORRECT
    bars = [
        Rectangle((left + step * (n + 0.1), top + 1 - p), step * 0.8, p)
        for n, p in enumerate(probabilities)
    ]
    axes.add_collection(PatchCollection(bars, facecolor=colours))
    axes.plot([left, left + 1], [top + 1, top + 1], color=NEUTRAL, linewidth=0.8)
    for n in range(len(probabilities)):
        axes.text(left + step * (n + 0.5), top + 1.05, str(n), ha="center", va="top", fontsize=7)
