"""The figures, drawn from small made-up data."""

import io

import numpy as np
import pytest
from PIL import Image

from workflow.figures.charts import class_bars, confusion_matrix, training_curves
from workflow.figures.pictures import (
    all_mistakes,
    prediction_grid,
    raw_and_normalized,
    sample_grid,
    single_predictions,
)
from workflow.figures.published import overfitting_curves, published_against_reproduced
from workflow.figures.style import CORRECT, NEUTRAL, WRONG, save_png
from workflow.published import SCORES, Prediction, Run
from workflow.published_params import PublishedResult

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
PUBLISHED = {
    "small": PublishedResult(source="a tutorial", train_accuracy=0.9, test_loss=0.4),
    "large": PublishedResult(source="another"),
}
SEEDS = [
    Run(seed, dict.fromkeys(SCORES, 0.5 + seed / 100), {0: Prediction(1, 0.9)}) for seed in (1, 2)
]
RUNS = dict.fromkeys(PUBLISHED, SEEDS)
FIGURES = {
    "training_curves": lambda: training_curves(HISTORY),
    "confusion_matrix": lambda: confusion_matrix(np.array([[5, 1], [0, 0]]), NAMES[:2]),
    "class_bars": lambda: class_bars(
        {name: {"precision": 0.5, "recall": 0.75, "f1": 0.6} for name in NAMES}
    ),
    "prediction_grid": lambda: prediction_grid(IMAGES, LABELS, PROBABILITIES, NAMES, 3, "Grid"),
    "all_mistakes": lambda: all_mistakes(IMAGES, LABELS, (LABELS + 1) % 3, NAMES, columns=12),
    "raw_and_normalized": lambda: raw_and_normalized(
        (IMAGES[0] * 255).astype(np.uint8), IMAGES[0], "First"
    ),
    "sample_grid": lambda: sample_grid(IMAGES, LABELS, NAMES, 5, "Sample"),
    "single_predictions": lambda: single_predictions(
        IMAGES[:2], PROBABILITIES[:2], NAMES, ["test image 0", "a/path$with_signs" * 5], [0, None]
    ),
    "published_against_reproduced": lambda: published_against_reproduced(PUBLISHED, RUNS),
    "overfitting_curves": lambda: overfitting_curves(HISTORY),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_small_png_of_the_same_bytes(name, tmp_path):
    first, second = tmp_path / "first.png", tmp_path / "second.png"
    save_png(FIGURES[name](), first)
    save_png(FIGURES[name](), second)
    assert first.read_bytes() == second.read_bytes()
    assert first.stat().st_size < 120_000
    with Image.open(io.BytesIO(first.read_bytes())) as image:
        image.load()
        assert image.format == "PNG"
        assert 350 < image.width < 1200
        assert 250 < image.height < 2000
        assert not {"Software", "Creation Time"} & set(image.info)
        # More than a blank sheet.
        assert np.asarray(image.convert("L")).std() > 5


def test_the_confusion_of_many_classes_stays_small():
    counts = np.diag(np.arange(1, 257))
    few = confusion_matrix(counts[:40, :40], [f"class {n}" for n in range(40)])
    many = confusion_matrix(counts, [f"class {n}" for n in range(256)])
    assert len(text_of(few)) == 40
    assert text_of(many) == []
    assert many.get_size_inches() == pytest.approx([26.6, 26.6])


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


@pytest.mark.parametrize("classes", [2, 3, 5, 6, 10])
def test_the_title_of_the_confusion_matrix_is_not_cut(classes):
    figure = confusion_matrix(np.full((classes, classes), 100), ["Ankle boot"] * classes)
    figure.draw_without_rendering()
    title = figure.axes[0].title.get_window_extent()
    assert title.x0 >= 0
    assert title.x1 <= figure.bbox.x1


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
    save_png(all_mistakes(*empty, LABELS[none].astype(int), NAMES), tmp_path / "all.png")
    save_png(prediction_grid(*empty, PROBABILITIES[none], NAMES, 3, "None"), tmp_path / "grid.png")


def test_the_sheet_of_mistakes_does_not_grow_with_the_data_set():
    many = np.repeat(IMAGES, 20, axis=0)
    labels = np.zeros(len(many), np.uint8)
    sheet = all_mistakes(many, labels, labels + 1, NAMES, columns=10, most=50)
    assert sheet.get_suptitle() == "140 mistakes on the test images, at most 50 of a class"
    assert sheet.axes[0].images[0].get_array().shape == (5 * 8, 10 * 6)


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


def test_overfitting_marks_where_the_held_out_scores_turn():
    titles = [axes.get_title() for axes in overfitting_curves(HISTORY).axes]
    assert titles[0] == "Held-out accuracy: highest in epoch 3, 86.00%; 84.00% after 4"
    assert titles[1] == "Held-out loss: lowest in epoch 2, 0.450; 0.700 after 4"


def test_the_comparison_shows_every_seed_and_what_is_published():
    figure = published_against_reproduced(PUBLISHED, RUNS)
    accuracy = figure.axes[0]
    dots = [line for line in accuracy.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [2, 2]
    diamonds = [line for line in accuracy.lines if line.get_marker() == "D"]
    # Of the two recipes one has a published training accuracy; the last is for the legend.
    assert [list(line.get_xdata()) for line in diamonds] == [[pytest.approx(38.5)], []]
