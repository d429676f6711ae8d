"""The figures, drawn from small made-up data."""

import re
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from pngs import check_png

from workflow.figures.charts import class_bars, confusion_matrix, training_curves
from workflow.figures.images import (
    all_mistakes,
    as_they_are,
    prediction_grid,
    raw_and_normalized,
    sample_grid,
    single_predictions,
)
from workflow.figures.style import CORRECT, NEUTRAL, WRONG, save_png

NAMES = ["T-shirt/top", "Trouser", "Bag"]
DRAW = np.random.default_rng(3)
IMAGES = DRAW.random((7, 8, 6), np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0], np.uint8)
PROBABILITIES = DRAW.dirichlet(np.ones(3), 7).astype(np.float32)
HISTORY = {
    "epoch": [1.0, 2.0, 3.0, 4.0],
    "loss": [0.5, 0.4, 0.3, 0.2],
    "accuracy": [0.8, 0.85, 0.9, 0.95],
    "validation_loss": [0.6, 0.45, 0.5, 0.7],
    "validation_accuracy": [0.79, 0.83, 0.86, 0.84],
}
FIGURES = {
    "training_curves": lambda: training_curves(HISTORY),
    "confusion_matrix": lambda: confusion_matrix(np.array([[5, 1], [0, 0]]), NAMES[:2]),
    "class_bars": lambda: class_bars(
        {name: {"precision": 0.5, "recall": 0.75, "f1": 0.6} for name in NAMES}
    ),
    "prediction_grid": lambda: prediction_grid(IMAGES, LABELS, PROBABILITIES, NAMES, 3, "Grid"),
    "all_mistakes": lambda: all_mistakes(IMAGES, LABELS, (LABELS + 1) % 3, NAMES),
    "raw_and_normalized": lambda: raw_and_normalized(
        (IMAGES[0] * 255).astype(np.uint8), IMAGES[0], "First"
    ),
    "sample_grid": lambda: sample_grid(IMAGES, LABELS, NAMES, 5, "Sample"),
    "single_predictions": lambda: single_predictions(
        IMAGES[:2], PROBABILITIES[:2], NAMES, ["test image 0", "a/path$with_signs" * 5], [0, None]
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_small_png(name, tmp_path):
    check_png(FIGURES[name](), tmp_path / "figure.png")


@pytest.mark.parametrize("shape", [(6, 12), (12, 6), (9, 9)])
def test_the_name_of_a_sample_is_right_below_it(shape):
    grid = sample_grid(DRAW.random((7, *shape)).astype(np.float32), LABELS, NAMES, 5, "Sample")
    for image, text in zip(grid.axes[0].images, grid.axes[0].texts, strict=True):
        left, right, bottom, top = image.get_extent()
        x, y = text.get_position()
        assert bottom > top  # downwards
        assert y - bottom == pytest.approx(0.04)
        assert x == pytest.approx((left + right) / 2)


def test_the_confusion_of_many_classes_stays_small():
    counts = np.diag(np.arange(1, 257))
    few = confusion_matrix(counts[:40, :40], [f"class {n}" for n in range(40)])
    many = confusion_matrix(counts, [f"class {n}" for n in range(256)])
    assert len(text_of(few)) == 40
    assert text_of(many) == []
    assert many.get_size_inches() == pytest.approx([26.6, 26.6])


def test_a_class_without_a_test_image_has_no_score():
    bars = class_bars({"Hat": {"precision": 0.0, "recall": 0.0, "f1": 0.0}, "Cap": {}})
    assert text_of(bars) == ["0.00", "no test image"]


@pytest.mark.parametrize("shape", [(6, 12), (12, 6), (9, 9)])
def test_images_of_any_shape_keep_to_their_cells(shape):
    images = DRAW.random((7, *shape)).astype(np.float32)
    grids = (
        prediction_grid(images, LABELS, PROBABILITIES, NAMES, 3, "Grid"),
        sample_grid(images, LABELS, NAMES, 5, "Sample"),
    )
    for grid in grids:
        extents = [image.get_extent() for image in grid.axes[0].images]
        assert len(extents) == 7
        for left, right, bottom, top in extents:
            assert max(right - left, bottom - top) == pytest.approx(1)
            assert (right - left) / (bottom - top) == pytest.approx(shape[1] / shape[0])


@pytest.mark.parametrize("classes", [2, 3, 5, 7, 8, 10])
@pytest.mark.parametrize("name", ["Ankle boot", "a name that has to be shortened"])
def test_the_title_of_the_confusion_matrix_is_not_cut(classes, name):
    figure = confusion_matrix(np.full((classes, classes), 100), [name] * classes)
    figure.draw_without_rendering()
    (title,) = filter(Text.get_text, [*figure.texts, figure.axes[0].title])
    assert title.get_window_extent().x0 >= 0
    assert title.get_window_extent().x1 <= figure.bbox.x1


def test_names_are_no_formulas(tmp_path):
    names = ["US$ to EUR$", "c$\\frac{$"]
    figure = confusion_matrix(np.array([[5, 1], [2, 4]]), names)
    save_png(figure, tmp_path / "confusion.png")
    assert [label.get_parse_math() for label in figure.axes[0].get_xticklabels()] == [False, False]
    # A path that is no text, as Python reads it.
    alone = single_predictions(IMAGES[:1], PROBABILITIES[:1, :2], names, ["sho\udcff$.png"], [None])
    save_png(alone, tmp_path / "alone.png")


def test_a_model_without_mistakes_has_its_figures_as_well(tmp_path):
    none = slice(0, 0)
    empty = (IMAGES[none], LABELS[none])
    sheet = all_mistakes(*empty, LABELS[none].astype(int), NAMES)
    grid = prediction_grid(*empty, PROBABILITIES[none], NAMES, 3, "None")
    assert sheet.get_suptitle().startswith("No ")
    assert text_of(grid) == []
    for number, figure in enumerate((sheet, grid)):
        save_png(figure, tmp_path / f"{number}.png")


def test_the_sheet_of_mistakes_counts_what_a_class_is_taken_for():
    sheet = all_mistakes(IMAGES, LABELS, np.array([1, 2, 1, 2, 2, 1, 2]), ["0", "1", "2"])
    captions = ["0, taken for: 1 (1), 2 (2)", "1, taken for: 2 (2)", "2, taken for: 1 (2)"]
    assert text_of(sheet) == captions


def test_the_sheet_of_mistakes_does_not_grow_with_the_data_set():
    many = DRAW.random((400, 8, 8), np.float32)
    labels = np.zeros(len(many), np.uint8)
    sheet = all_mistakes(many, labels, labels + 1, NAMES)
    assert re.findall(r"\d+", sheet.get_suptitle()) == ["400", "300"]
    assert sheet.axes[0].images[0].get_array().shape == (10 * 8, 30 * 8)
    labels = np.arange(400 * 256, dtype=np.int64) % 256
    every = np.zeros((len(labels), 1, 1), np.float32)
    tall = all_mistakes(every, labels.astype(np.uint8), (labels + 1) % 256, ["name"] * 256)
    assert tall.get_figheight() * tall.dpi < 2**16  # of which matplotlib draws no more


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (9, 9)])
@pytest.mark.parametrize("classes", [2, 40])
def test_captions_of_the_sheet_stand_alone_above_their_rows(shape, classes):
    images = DRAW.random((120, *shape, 3), np.float32)
    labels = (np.arange(120) % classes).astype(np.uint8)
    names = [f"{number}: a name of some length" for number in range(classes)]
    sheet = all_mistakes(images, labels, (labels.astype(int) + 1) % classes, names)
    sheet.draw_without_rendering()
    boxes = [text.get_window_extent() for text in [*sheet.texts, *sheet.axes[0].texts]]
    boxes += [image.get_window_extent() for image in sheet.axes[0].images]
    assert len(boxes) == 1 + 2 * classes
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= sheet.bbox.x1
        assert box.y0 >= 0
    boxes.sort(key=lambda box: -box.y1)
    for above, below in pairwise(boxes):
        assert above.y0 > below.y1
    # As wide as there is room.
    assert boxes[2].width > 0.9 * sheet.bbox.width


def test_grey_photographs_are_no_negatives_and_colours_are_all_there(tmp_path):
    shades = np.linspace(0, 1, 1024, dtype=np.float32).reshape(1, 32, 32)
    images = as_they_are(shades)
    assert images.shape == (1, 32, 32, 3)
    assert as_they_are(images) is images
    images[0, ..., 2] = images[0, ..., 2].T
    save_png(raw_and_normalized(images[0], images[0], ""), tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as picture:
        assert len(picture.convert("RGB").getcolors(2**20)) > 1000


def text_of(figure):
    axes_texts = (text for axes in figure.axes for text in axes.texts)
    return [text.get_text() for text in axes_texts]


def test_the_grid_names_predicted_and_actual_classes_in_their_colours():
    probabilities = np.array([[0.1, 0.9, 0.0], [0.1, 0.9, 0.0]], np.float32)
    figure = prediction_grid(IMAGES[:2], np.array([1, 2], np.uint8), probabilities, NAMES, 2, "")
    texts = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert texts["Trouser 90%\n(Trouser)"] == CORRECT
    assert texts["Trouser 90%\n(Bag)"] == WRONG


def test_single_predictions_colour_the_bars_by_what_is_known():
    probabilities = np.array([[0.2, 0.7, 0.1]] * 3, np.float32)
    figure = single_predictions(IMAGES[:3], probabilities, NAMES, ["a", "b", "c"], [None, 1, 2])

    def colours(axes):
        return ["#{:02X}{:02X}{:02X}".format(*(round(255 * c) for c in bar.get_facecolor()[:3]))
                for bar in axes.patches]  # fmt: skip

    assert colours(figure.axes[1]) == [NEUTRAL, CORRECT, NEUTRAL]
    assert colours(figure.axes[3]) == [NEUTRAL, CORRECT, NEUTRAL]
    assert colours(figure.axes[5]) == [NEUTRAL, WRONG, CORRECT]
    ticks = [tick.get_text() for tick in figure.axes[1].get_xticklabels()]
    assert ticks == NAMES


def test_sample_grid_names_the_class_of_every_image():
    assert text_of(sample_grid(IMAGES, LABELS, NAMES, 5, "")) == [NAMES[n] for n in LABELS]


def test_colour_bars_end_at_255_and_1():
    figure = raw_and_normalized((IMAGES[0] * 255).astype(np.uint8), IMAGES[0], "")
    shown = [axes.images[0].get_clim() for axes in figure.axes if axes.images]
    assert shown == [(0, 255), (0, 1)]


def test_pixels_are_counted_in_whole_numbers():
    image = np.zeros((20, 16), np.uint8)
    figure = raw_and_normalized(image, image.astype(np.float32), "")
    for axes in (axes for axes in figure.axes if axes.images):
        ticks = np.concatenate([axes.get_xticks(), axes.get_yticks()])
        assert (ticks == ticks.round()).all()


@pytest.mark.parametrize("count", [1, 2, 7])
def test_epochs_are_whole_numbers(count: int) -> None:
    history = {"epoch": [*range(1, count + 1)], "loss": [0.5] * count, "accuracy": [0.8] * count}
    for axes in training_curves(history).axes:
        assert [tick for tick in axes.get_xticks() if tick % 1] == []
