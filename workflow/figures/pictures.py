"""Figures that show images of the data set, with or without what the model says of them."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from workflow.figures.style import CORRECT, NEUTRAL, WRONG, canvas, new_figure

# A cell of a grid, in units of the square that holds an image.
_IMAGE_AND_BARS_WIDTH = 2.35
_CELL_HEIGHT = 1.42
_CAPTION_LENGTH = 30


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
        images: (n, height, width) in [0, 1].
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


def raw_and_normalized(
    raw: NDArray[np.uint8], normalized: NDArray[np.float32], title: str
) -> Figure:
    """One image before and after normalizing, each with its colour bar.

    The tutorials 000 and 001 show the raw one, 004 both.

    Args:
        raw: (height, width), 0 to 255.
        normalized: (height, width), 0 to 1.
        title: of the figure.
    """
    figure = new_figure(7.4, 3.7)
    pictures = ((raw, 255, "As downloaded"), (normalized, 1, "Normalized"))
    for axes, (image, largest, name) in zip(figure.subplots(1, 2), pictures, strict=True):
        drawn = axes.imshow(image, cmap="binary", vmin=0, vmax=largest)
        figure.colorbar(drawn, ax=axes, shrink=0.8, ticks=np.linspace(0, largest, 6))
        axes.set_title(name)
        axes.spines[:].set_visible(True)
        for axis in (axes.xaxis, axes.yaxis):  # there are no half pixels
            axis.set_major_locator(MaxNLocator("auto", steps=(1, 2, 5, 10), integer=True))
    figure.suptitle(title)
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
        images: (n, height, width) in [0, 1].
        labels: (n,) actual classes.
        class_names: in the order of the labels.
        columns: of the grid; images fill it row by row.
        title: of the figure.
    """
    width, height = columns * 1.12, -(-len(images) // columns) * 1.25
    figure = new_figure(1.25 * width, 1.25 * height + 0.5)
    axes = canvas(figure, width, height)
    for position, (image, label) in enumerate(zip(images, labels, strict=True)):
        left, top = position % columns * 1.12 + 0.06, position // columns * 1.25
        _draw_in_square(axes, image, left, top)
        axes.text(left + 0.5, top + 1.04, class_names[label], ha="center", va="top", fontsize=11)
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
        images: (n, height, width) in [0, 1], as the model saw them.
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
        # The end of a path says more than its beginning.
        caption = caption.encode(errors="replace").decode()  # a path need not be text
        short = caption if len(caption) <= _CAPTION_LENGTH else f"…{caption[-_CAPTION_LENGTH:]}"
        left.set_title(short, fontsize=12)
        left.spines[:].set_visible(True)
        actual = "" if label is None else f"\n({class_names[label]})"
        colour = WRONG if label not in (None, predicted) else CORRECT
        text = f"{class_names[predicted]} {row[predicted]:.0%}{actual}"
        left.set_xlabel(text, color=colour, fontsize=13)
        right.bar(range(len(row)), row, color=_bar_colours(row, label))
        right.set(ylim=(0, 1), title="Probability of each class")
        right.set_xticks(
            range(len(row)), class_names, rotation=45, ha="right", rotation_mode="anchor"
        )
        right.yaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def all_mistakes(
    images: NDArray[np.float32],
    labels: NDArray[np.uint8],
    predicted: NDArray[np.int64],
    class_names: Sequence[str],
    columns: int = 30,
    most: int = 300,
) -> Figure:
    """The wrong images on one sheet, by actual class, those taken for the same class together.

    Args:
        images: (n, height, width) in [0, 1], the wrong ones only.
        labels: (n,) actual classes.
        predicted: (n,) predicted classes.
        class_names: in the order of the labels.
        columns: images in a row.
        most: images of a class; the sheet must not grow with the data set.
    """
    blocks = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        rows = of_class[np.argsort(predicted[of_class], kind="stable")]
        taken_for = [
            f"{class_names[p]} {(predicted[rows] == p).sum()}" for p in np.unique(predicted[rows])
        ]
        caption = f"{class_names[label]}, taken for: {', '.join(taken_for)}"
        blocks.append((caption, _sheet(images[rows[:most]], columns)))
    image_height = images.shape[1]
    heights = [sheet.shape[0] / image_height for _, sheet in blocks]
    total = sum(heights) + 1.6 * len(blocks)
    figure = new_figure(10, 10 / columns * total + 0.6)
    axes = canvas(figure, columns * images.shape[2] / image_height, max(total, 1.0))
    top = 0.0
    for (caption, sheet), height in zip(blocks, heights, strict=True):
        axes.text(0, top + 1.3, caption, va="bottom", fontsize=9)
        top += 1.4
        draw_image(axes, sheet, 0, top, height)
        top += height + 0.2
    cut = np.bincount(labels).max(initial=0) > most
    shown = f", at most {most} of a class" if cut else ""
    figure.suptitle(f"{len(images)} mistakes on the test images{shown}")
    return figure


def _sheet(images: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """Put (n, height, width) images side by side, row by row, into one picture."""
    count, height, width = images.shape
    rows = -(-count // columns)
    padded = np.zeros((rows * columns, height, width), images.dtype)
    padded[:count] = images
    sheet = padded.reshape(rows, columns, height, width).swapaxes(1, 2)
    return sheet.reshape(rows * height, columns * width)


def draw_image(
    axes: Axes, image: NDArray[np.float32], left: float, top: float, height: float = 1.0
) -> None:
    """Draw one image, dark on light and framed; `height` in units of the canvas."""
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
    for n in range(len(probabilities)):
        axes.text(left + step * (n + 0.5), top + 1.05, str(n), ha="center", va="top", fontsize=7)


def _bar_colours(probabilities: NDArray[np.float32], label: int | None) -> list[str]:
    """Grey, but the predicted class orange and the actual one, if known, blue above that."""
    predicted = int(probabilities.argmax())
    colours = [NEUTRAL] * len(probabilities)
    colours[predicted] = WRONG
    colours[predicted if label is None else label] = CORRECT
    return colours
