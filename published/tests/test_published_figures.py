"""The figures of the study, drawn from small made-up data."""

import re

import pytest
from pngs import check_png

from published.figures import overfitting_curves, published_against_reproduced
from published.params import PublishedResult
from published.scores import SCORES, Prediction, Run

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
    "published_against_reproduced": lambda: published_against_reproduced(PUBLISHED, RUNS),
    "overfitting_curves": lambda: overfitting_curves(HISTORY),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_a_small_png(name, tmp_path):
    check_png(FIGURES[name](), tmp_path / "figure.png")


def test_overfitting_marks_where_the_held_out_scores_turn():
    titles = [axes.get_title() for axes in overfitting_curves(HISTORY).axes]
    assert re.findall(r"[\d.]*\d", titles[0]) == ["3", "86.00", "84.00", "4"]
    assert re.findall(r"[\d.]*\d", titles[1]) == ["2", "0.450", "0.700", "4"]


def test_the_comparison_shows_every_seed_and_what_is_published():
    figure = published_against_reproduced(PUBLISHED, RUNS)
    accuracy = figure.axes[0]
    dots = [line for line in accuracy.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [2, 2]
    diamonds = [line for line in accuracy.lines if line.get_marker() == "D"]
    # Of the two recipes one has a published training accuracy; the last is for the legend.
    assert [list(line.get_xdata()) for line in diamonds] == [[pytest.approx(38.5)], []]
