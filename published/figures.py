"""Figures about the published tutorials: their results beside ours, and their lesson."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from published.params import PublishedResult
from published.scores import SCORES, Run, any_score_published, spread
from workflow.figures.charts import draw_curve
from workflow.figures.style import CORRECT, NEUTRAL, SERIES, WRONG, new_figure

# Hollow, so that it hides no dot.
_PUBLISHED: dict[str, Any] = {
    "marker": "D",
    "markersize": 8,
    "markerfacecolor": "none",
    "markeredgecolor": WRONG,
    "markeredgewidth": 2,
    "linestyle": "none",
}


def published_against_reproduced(
    results: Mapping[str, PublishedResult], runs: Mapping[str, Sequence[Run]]
) -> Figure:
    """How far each published score lies from the mean of the runs, with every run as a dot.

    A bar behind the dots is the 95 % prediction interval for one more run (see `spread`). A
    panel shows one score; its recipes share the axis as distances from their own means, since
    the recipes differ by much more than the seeds.

    Args:
        results: by recipe.
        runs: by recipe, at least two each.
    """
    figure = new_figure(6.4, 1.3 + len(SCORES) * (0.7 + 0.29 * len(results)))
    panels = figure.subplots(len(SCORES), 1)
    for axes, score in zip(panels, SCORES, strict=True):
        _distances(axes, score, results, runs)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    beside = any_score_published(results)
    figure.suptitle("Published against reproduced" if beside else "What other seeds give")
    return figure


def _distances(
    axes: Axes,
    score: str,
    results: Mapping[str, PublishedResult],
    runs: Mapping[str, Sequence[Run]],
) -> None:
    # Small whole numbers on the axis: percentage points, or thousandths of a nat.
    of_accuracy = score.endswith("accuracy")
    unit, scale = ("percentage points", 100) if of_accuracy else ("thousandths of a nat", 1000)
    names = []
    axes.use_sticky_edges = False  # bars have a margin, too
    for place, (recipe, result) in enumerate(results.items()):
        values = [run.scores[score] for run in runs[recipe]]
        of = spread(score, values)
        low, high = scale * (of.low - of.mean), scale * (of.high - of.mean)
        label = "95 % interval for one more run" if place == 0 else None
        axes.barh(place, high - low, left=low, height=0.62, color="#DCDCDC", label=label)
        distances = scale * (np.array(values) - of.mean)
        axes.plot(
            distances,
            np.full(len(values), place),
            "o",
            color=CORRECT,
            markersize=5,
            alpha=0.75,
            markeredgewidth=0,
            label="one seed" if place == 0 else None,
        )
        names.append(f"{recipe}  {of.mean:.4f}")
        published = getattr(result, score)
        if published is not None:
            axes.plot(scale * (published - of.mean), place, **_PUBLISHED)
    if any_score_published(results):
        # An empty one for the legend, since no recipe has every score.
        axes.plot([], [], **_PUBLISHED, label="published")
    axes.axvline(0, color=NEUTRAL, linewidth=0.8, zorder=0)
    axes.set_yticks(range(len(names)), names, fontsize=10)
    axes.invert_yaxis()
    axes.set_title(f"{score.replace('_', ' ').capitalize()}: mean, and {unit} from it", fontsize=11)
    axes.grid(axis="x", alpha=0.3)


def overfitting_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Accuracy and loss by epoch, of training and validation, and where the latter turns.

    Args:
        history: the columns of `published/overfitting.csv`.
    """
    figure = new_figure(6.4, 7.6)
    upper, lower = figure.subplots(2, 1)
    epochs = history["epoch"]
    turns = (
        (upper, "accuracy", int(np.argmax(history["validation_accuracy"])), "highest"),
        (lower, "loss", int(np.argmin(history["validation_loss"])), "lowest"),
    )
    for axes, score, turn, extreme in turns:
        validation = history[f"validation_{score}"]
        draw_curve(axes, epochs, history[score], "trained on, during the epoch", SERIES[0])
        draw_curve(axes, epochs, validation, "validation, after the epoch", SERIES[5])
        axes.axvline(epochs[turn], color=NEUTRAL, linestyle="--", linewidth=1)
        axes.plot(epochs[turn], validation[turn], "o", color=SERIES[5], markersize=8)
        value = f"{validation[turn]:.2%}" if score == "accuracy" else f"{validation[turn]:.3f}"
        last = f"{validation[-1]:.2%}" if score == "accuracy" else f"{validation[-1]:.3f}"
        axes.set_title(
            f"Validation {score}: {extreme} in epoch {epochs[turn]:.0f}, {value};"
            f" {last} after {epochs[-1]:.0f}",
            fontsize=12,
        )
        axes.set(xlabel="epoch", ylabel=score)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    upper.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.suptitle("Overfitting")
    return figure
