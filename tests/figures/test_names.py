"""Names of any length and script, images in colour, and many classes in figures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from pngs import check_png

from workflow.figures import names as module
from workflow.figures.charts import class_bars, confusion_matrix
from workflow.figures.images import (
    all_mistakes,
    prediction_grid,
    raw_and_normalized,
    sample_grid,
    single_predictions,
)
from workflow.figures.names import shortened, use_fonts_for

LONG = "the very long name of a class that nobody would want to read in full, and yet"
NAMES = ["short", LONG, LONG[::-1]]
DRAW = np.random.default_rng(0)
COLOURED = DRAW.random((7, 8, 6, 3), np.float32)
SQUARE = DRAW.random((7, 8, 8, 3), np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0], np.uint8)
PROBABILITIES = DRAW.dirichlet(np.ones(3), 7).astype(np.float32)


def test_a_long_name_loses_its_middle_and_fits() -> None:
    short = shortened(LONG, 2, 11)
    assert short.startswith("the very")
    assert "…" in short
    assert short.endswith("yet")
    assert module._width(short, 11) <= 2
    assert module._width(short + "mm", 11) > 2
    assert shortened("Ankle boot", 2, 11) == "Ankle boot"
    assert shortened(LONG, 0.001, 11) == "t…"


def test_letters_without_a_font_are_told_in_one_line() -> None:
    assert use_fonts_for(["Größe", "шапка"]) == ""
    said = use_fonts_for(["no font has \u2fff0", "\U0001fbff"])
    assert "\n" not in said
    if said:
        assert "fonts-noto-cjk" in said


def test_the_upright_font_of_a_family_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DejaVu stands for another family, of which a machine has both weights."""
    own = Path(font_manager.findfont("DejaVu Sans")).parent
    taken: list[str] = []
    for name, copy in (("DejaVuSans-Bold", "Some-Bold"), ("DejaVuSans", "Some-Regular")):
        shutil.copy(own / f"{name}.ttf", tmp_path / f"{copy}.ttf")
    monkeypatch.setattr(
        font_manager, "findSystemFonts", lambda: [str(path) for path in tmp_path.iterdir()]
    )
    monkeypatch.setattr(module, "_letters_of_own_font", lambda: set("a"))
    monkeypatch.setattr(
        font_manager.fontManager, "addfont", lambda path: taken.append(Path(path).name)
    )
    assert use_fonts_for(["ab"]) == ""
    assert taken == ["Some-Regular.ttf"]


FIGURES = {
    "prediction_grid": lambda: prediction_grid(COLOURED, LABELS, PROBABILITIES, NAMES, 3, "Grid"),
    "sample_grid": lambda: sample_grid(COLOURED, LABELS, NAMES, 5, "Sample"),
    "all_mistakes": lambda: all_mistakes(SQUARE, LABELS, (LABELS + 1) % 3, NAMES),
    "raw_and_normalized": lambda: raw_and_normalized(
        (COLOURED[0] * 255).astype(np.uint8), COLOURED[0], f"The first: {LONG}", "As prepared"
    ),
    "single_predictions": lambda: single_predictions(
        COLOURED[:1], PROBABILITIES[:1], NAMES, ["a/path/" + "m" * 60 + ".png"], [1]
    ),
    "confusion_matrix": lambda: confusion_matrix(np.full((3, 3), 5), NAMES),
    "class_bars": lambda: class_bars(
        {name: {"precision": 0.5, "recall": 0.75, "f1": 0.6} for name in NAMES}
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_colours_and_long_names_keep_to_the_figure(name, tmp_path) -> None:
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    texts = [text for axes in figure.axes for text in [*axes.texts, axes.title]] + figure.texts
    for text in filter(lambda text: text.get_text() and text.get_visible(), texts):
        box = text.get_window_extent()
        assert box.x0 >= -1, text.get_text()
        assert box.x1 <= figure.bbox.x1 + 1, text.get_text()
    check_png(figure, tmp_path / "figure.png")


def test_two_hundred_classes_are_drawn_small(tmp_path) -> None:
    names = [f"class {n}" for n in range(256)]
    row = DRAW.dirichlet(np.ones(256), 3).astype(np.float32)
    grey = COLOURED[:3, ..., 0]
    grid = prediction_grid(grey, LABELS[:3], row, names, 3, "Grid")
    assert len(grid.axes[0].texts) == 3
    alone = single_predictions(grey[:1], row[:1], names, ["a"], [None])
    assert len(alone.axes[1].get_xticklabels()) == 5
    # One beside another would be written over it.
    neighbours = np.linspace(1, 2, 40, dtype=np.float32)[None]
    places = (
        single_predictions(grey[:1], neighbours, names[:40], ["a"], [None]).axes[1].get_xticks()
    )
    assert places.tolist() == [39, 36, 33, 30, 27]
    scores = {name: {"precision": 0.5, "recall": 0.75, "f1": 0.6} for name in names}
    bars = class_bars(scores)
    assert bars.get_figheight() < 70
    bars.draw_without_rendering()  # no inch is left empty
    axes, legend = bars.axes[0].get_window_extent(), bars.legends[0].get_window_extent()
    assert bars.axes[0].get_ylim() == (255.5, -0.5)
    assert axes.height > (bars.get_figheight() - 1.2) * bars.dpi
    assert 0 < axes.y0 - legend.y1 < bars.dpi


def test_the_grid_has_one_room_for_the_predicted_and_the_actual_name() -> None:
    right = np.eye(3, dtype=np.float32)[LABELS]
    grid = prediction_grid(COLOURED, LABELS, right, NAMES, 3, "Grid")
    grid.draw_without_rendering()
    numbers, captions = [], []
    for text in grid.axes[0].texts:
        (captions if "\n" in text.get_text() else numbers).append(text)
    for caption in captions:
        predicted, actual = caption.get_text().split(" 100%\n")
        assert f"({predicted})" == actual
    assert captions[0].get_window_extent().y1 <= numbers[0].get_window_extent().y0
