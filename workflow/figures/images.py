"""Figures that show images of the data set, with or without what the model says of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from workflow.figures.names import shortened
from workflow.figures.style import CORRECT, NEUTRAL, WRONG, canvas, new_figure

# A cell of a grid, in units of the square that holds an image.
_IMAGE_AND_BARS_WIDTH = 2.35
_CELL_HEIGHT = 1.5
# Inches that a name may take.
_BELOW_BOTH = 2.3  # an image and its bars, before a probability
_BELOW_IMAGE = 1.2
_BELOW_BARS = 1.6
_LARGE_IMAGE = 2.8
_TITLE = 6.8
# A sheet of mistakes: its width, and how much of it the names above a row may take; images in a
# row, if they are square; and rows, as the picture must not grow with the data set.
_SHEET = 10.0
_ABOVE_ROW = 9.0
_COLUMNS = 30
_MOST_OF_CLASS = 300
_MOST_ROWS = 600
# More bars than that have no room for numbers or names below them.
_MOST_NAMED = 16
_NAMED_OF_MANY = 5


def prediction_grid(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    probabilities: NDArray[np.float32],
    class_names: Sequence[str],
    columns: int,
    title: str,
) -> Figure:
    """Each image beside its class probabilities: 5 × 3 in the tutorials 001 and 002, 5 × 4 in 000.

    Below an image stand the predicted class, its probability, and the actual class in
    brackets: blue where they agree, orange where they do not. Among the bars the predicted
    class is orange and the actual one blue, so that a correct prediction shows blue alone.

    Args:
        images: (n, height, width[, 3]) in [0, 1].
        labels: (n,) actual classes.
        probabilities: (n, classes).
        class_names: in the order of the labels.
        columns: of the grid; images fill it row by row.
        title: of the figure.
    """
    rows = max(1, -(-len(images) // columns))
    width, height = columns * _IMAGE_AND_BARS_WIDTH, rows * _CELL_HEIGHT
    figure = new_figure(1.25 * width, 1.25 * height + 0.7)
    axes = canvas(figure, width, height)
    for position, (image, label, row) in enumerate(zip(images, labels, probabilities, strict=True)):
        left = position % columns * _IMAGE_AND_BARS_WIDTH + 0.1
        top = position // columns * _CELL_HEIGHT
        _draw_in_square(axes, image, left, top)
        _draw_bars(axes, row, int(label), left + 1.12, top)
        predicted = int(row.argmax())
        taken_for, actual = (
            shortened(class_names[n], _BELOW_BOTH, 10.5) for n in (predicted, label)
        )
        axes.text(
            left,
            top + 1.14,  # below the numbers of the bars
            f"{taken_for} {row[predicted]:.0%}\n({actual})",
            color=CORRECT if predicted == label else WRONG,
            va="top",
            fontsize=10.5,
            linespacing=1.0,
        )
    figure.suptitle(title)
    return figure


def raw_and_normalized(
    raw: NDArray[np.uint8], normalized: NDArray[np.float32], title: str, name: str = "As downloaded"
) -> Figure:
    """One image before and after normalizing; a grey one with its colour bars.

    The tutorials 000 and 001 show the raw one, 004 both.

    Args:
        raw: (height, width[, 3]), 0 to 255.
        normalized: (height, width[, 3]), 0 to 1.
        title: of the figure.
        name: what the image is before.
    """
    figure = new_figure(7.4, 3.7)
    pictures: list[tuple[NDArray[Any], int, str]] = [
        (raw, 255, name),
        (normalized, 1, "Normalized"),
    ]
    for axes, (image, largest, name) in zip(figure.subplots(1, 2), pictures, strict=True):
        drawn = axes.imshow(image, cmap="binary", vmin=0, vmax=largest)
        if image.ndim == 2:
            figure.colorbar(drawn, ax=axes, shrink=0.8, ticks=np.linspace(0, largest, 6))
        axes.set_title(name)
        axes.spines[:].set_visible(True)
        for axis in (axes.xaxis, axes.yaxis):  # there are no half pixels
            axis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True))
    figure.suptitle(shortened(title, _TITLE, 14))
    return figure


def sample_grid(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    class_names: Sequence[str],
    columns: int,
    title: str,
) -> Figure:
    """Images with the names of their classes below; the tutorials 000, 001 and 002 show 5 × 5.

    Args:
        images: (n, height, width[, 3]) in [0, 1].
        labels: (n,) actual classes.
        class_names: in the order of the labels.
        columns: of the grid; images fill it row by row.
        title: of the figure.
    """
    image_height = min(images.shape[1] / images.shape[2], 1.0)  # of a wide one, less than a square
    cell_height = image_height + 0.25
    width, height = columns * 1.12, -(-len(images) // columns) * cell_height
    figure = new_figure(1.25 * width, 1.25 * height + 0.5)
    axes = canvas(figure, width, height)
    for position, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = position % columns * 1.12 + 0.06, position // columns * cell_height
        _draw_in_square(axes, image, left, top - (1 - image_height) / 2)
        name = shortened(class_names[label], _BELOW_IMAGE, 11)
        below = top + (image_height + 0.04)
        axes.text(left + 0.5, below, name, ha="center", va="top", fontsize=11)
    figure.suptitle(title)
    return figure


def single_predictions(
    images: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    class_names: Sequence[str],
    captions: Sequence[str],
    labels: Sequence[int | None],
) -> Figure:
    """One image a row, beside its probabilities with the class names below the bars.

    The tutorials 000 and 001 draw a single prediction so. Colours as in `prediction_grid`;
    where the actual class is not known, the predicted one is blue.

    Args:
        images: (n, height, width[, 3]) in [0, 1], as the model saw them.
        probabilities: (n, classes).
        class_names: in the order of the labels.
        captions: (n,) what each image is.
        labels: (n,) actual classes, None where not known.
    """
    figure = new_figure(7.4, 3.6 * len(images))
    panels = figure.subplots(len(images), 2, squeeze=False, width_ratios=(1, 1.35))
    rows = zip(panels, images, probabilities, captions, labels, strict=True)
    for (left, right), image, row, caption, label in rows:
        predicted = int(row.argmax())
        left.imshow(image, cmap="binary", vmin=0, vmax=1, interpolation="nearest")
        left.set(xticks=[], yticks=[])
        caption = caption.encode(errors="replace").decode()  # a path need not be text
        left.set_title(shortened(caption, _LARGE_IMAGE, 12), fontsize=12)
        left.spines[:].set_visible(True)
        names = [shortened(name, _LARGE_IMAGE - 0.6, 13) for name in class_names]
        actual = "" if label is None else f"\n({names[label]})"
        colour = WRONG if label not in (None, predicted) else CORRECT
        text = f"{names[predicted]} {row[predicted]:.0%}{actual}"
        left.set_xlabel(text, color=colour, fontsize=13)
        right.bar(range(len(row)), row, color=_bar_colours(row, label))
        right.set(ylim=(0, 1), title="Probability of each class")
        named = _named(row)
        below = [shortened(class_names[n], _BELOW_BARS, 11) for n in named]
        right.set_xticks(named, below, rotation=45, ha="right", rotation_mode="anchor")
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def _named(probabilities: NDArray[np.float32]) -> list[int]:
    """The classes with room for a name below their bars: of many, the likeliest."""
    if len(probabilities) <= _MOST_NAMED:
        return list(range(len(probabilities)))
    named: list[int] = []
    for n in np.argsort(-probabilities, kind="stable").tolist():
        if all(abs(n - other) * _MOST_NAMED >= len(probabilities) for other in named):
            named.append(n)
    return named[:_NAMED_OF_MANY]


def all_mistakes(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    predicted: NDArray[np.int64],
    class_names: Sequence[str],
) -> Figure:
    """The wrong images on one sheet, by actual class, those taken for the same class together.

    Args:
        images: (n, height, width[, 3]) in [0, 1], the wrong ones only.
        labels: (n,) actual classes.
        predicted: (n,) predicted classes.
        class_names: in the order of the labels.
    """
    aspect = images.shape[2] / images.shape[1]
    columns = max(1, round(_COLUMNS / aspect**0.5))
    width = columns * aspect  # in units of an image's height
    scale = width / _COLUMNS
    most = min(_MOST_OF_CLASS, columns * max(1, _MOST_ROWS // len(class_names)))
    blocks = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rows = of_class[np.argsort(predicted[of_class], kind="stable")]
        # A name may be a number, too.
        taken_for = [
            f"{class_names[p]} ({(predicted[rows] == p).sum()})" for p in np.unique(predicted[rows])
        ]
        caption = f"{class_names[label]}, taken for: {', '.join(taken_for)}"
        sheet = _sheet(images[rows[:most]], columns)
        blocks.append((shortened(caption, _ABOVE_ROW, 9), sheet, min(len(rows), columns)))
    heights = [sheet.shape[0] / images.shape[1] for _, sheet, _ in blocks]
    total = sum(heights) + 1.6 * scale * len(blocks)
    figure = new_figure(_SHEET, _SHEET / width * total + 0.6)
    axes = canvas(figure, width, max(total, scale))
    top = 0.0
    for (caption, sheet, in_row), height in zip(blocks, heights, strict=True):
        axes.text(0, top + 1.3 * scale, caption, va="bottom", fontsize=9)
        top += 1.4 * scale
        draw_image(axes, sheet, 0, top, height)
        if images.ndim == 4:  # where one ends on white, and the next begins
            edges = np.arange(1, in_row + 1) * aspect
            axes.vlines(edges, top, top + height, color=NEUTRAL, linewidth=0.6)
        top += height + 0.2 * scale
    cut = np.bincount(labels).max(initial=0) > most
    shown = f", at most {most} of a class" if cut else ""
    title = f"{len(images) or 'No'} mistakes on the test images{shown}"
    figure.suptitle(title, y=max(0.98, 1 - 0.7 / figure.get_figheight()))
    return figure


def _sheet(images: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Put (n, height, width[, 3]) images side by side, row by row, into one picture."""
    count, height, width, *channels = images.shape
    rows = -(-count // columns)
    # Drawn white: grey images are drawn dark on light.
    padded = np.full((rows * columns, height, width, *channels), bool(channels), images.dtype)
    padded[:count] = images
    sheet = padded.reshape(rows, columns, height, width, *channels).swapaxes(1, 2)
    return sheet.reshape(rows * height, columns * width, *channels)


def as_they_are(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Photographs as colour pictures: what is grey would be drawn as its negative.

    Args:
        images: (n, height, width[, 3]).
    """
    return images if images.ndim == 4 else np.repeat(images[..., None], 3, axis=3)


def draw_image(
    axes: Axes, image: NDArray[np.float32], left: float, top: float, height: float = 1.0
) -> None:
    """Draw one image, grey ones dark on light, framed; `height` in units of the canvas."""
    width = height * image.shape[1] / image.shape[0]
    axes.imshow(
        image,
        cmap="binary",
        vmin=0,
        vmax=1,
        extent=(left, left + width, top + height, top),
        interpolation="nearest",
    )
    axes.add_patch(Rectangle((left, top), width, height, fill=False, linewidth=0.6, color=NEUTRAL))


def _draw_in_square(axes: Axes, image: NDArray[np.float32], left: float, top: float) -> None:
    """Draw one image as large as fits into a square unit, in the middle of it."""
    height = min(1.0, image.shape[0] / image.shape[1])
    width = height * image.shape[1] / image.shape[0]
    draw_image(axes, image, left + (1 - width) / 2, top + (1 - height) / 2, height)


def _draw_bars(
    axes: Axes, probabilities: NDArray[np.float32], label: int, left: float, top: float
) -> None:
    """Draw the probabilities as bars on one square unit, the numbers of the classes below."""
    step = 1 / len(probabilities)
    bars = [
        Rectangle((left + step * (n + 0.1), top + 1 - p), step * 0.8, p)
        for n, p in enumerate(probabilities)
    ]
    axes.add_collection(PatchCollection(bars, facecolor=_bar_colours(probabilities, label)))
    axes.plot([left, left + 1], [top + 1, top + 1], color=NEUTRAL, linewidth=0.8)
    for n in range(len(probabilities)) if len(probabilities) <= _MOST_NAMED else []:
        axes.text(left + step * (n + 0.5), top + 1.05, str(n), ha="center", va="top", fontsize=7)


def _bar_colours(probabilities: NDArray[np.float32], label: int | None) -> list[str]:
    """Grey, but the predicted class orange and the actual one, if known, blue above that."""
    predicted = int(probabilities.argmax())
    colours = [NEUTRAL] * len(probabilities)
    colours[predicted] = WRONG
    colours[predicted if label is None else label] = CORRECT
    return colours
