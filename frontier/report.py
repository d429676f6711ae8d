"""Put accuracy beside cost: a table and a picture."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from frontier.params import Reference, load_frontier
from workflow.core.errors import UserError
from workflow.core.files import read_json
from workflow.core.params import Params
from workflow.core.progress import say
from workflow.core.stage import Outputs
from workflow.figures.style import NEUTRAL, SERIES, new_figure, save_png

_FOLDER = Path("frontier")
_TICKS = (5, 10, 30, 60, 180, 600, 1800, 3600)


@dataclass(frozen=True)
class Rung:
    """A recipe, how well it does, and what it costs.

    Attributes:
        recipe: its name.
        accuracies: on the test images, one a seed.
        model: `weights`, `megaflop_an_image`, `file_megabytes`.
        times: `train_seconds`, `predict_milliseconds`, `peak_megabytes`.
    """

    recipe: str
    accuracies: Sequence[float]
    model: Mapping[str, float]
    times: Mapping[str, float]


def run(params: Params, outputs: Outputs) -> None:
    """Write `frontier/table.md` and `frontier/frontier.png`."""
    frontier = load_frontier(params)
    times = read_json(_FOLDER / "times.json")
    rungs = []
    for name in frontier.recipes:
        if name not in times["recipes"]:
            raise UserError(
                f"frontier/times.json has no times of {name}: run `make frontier-times`"
            )
        runs = [read_json(_FOLDER / f"runs/{name}-{seed}.json") for seed in frontier.seeds]
        rungs.append(
            Rung(
                name,
                [run["test_accuracy"] for run in runs],
                read_json(_FOLDER / f"probes/{name}.json"),
                times["recipes"][name],
            )
        )
    text = table(rungs, times["machine"], times["rounds"])
    outputs.path(_FOLDER / "table.md").write_text(text, encoding="utf-8", newline="\n")
    save_png(picture(rungs, frontier.references), outputs.path(_FOLDER / "frontier.png"))
    say(f"report: {len(rungs)} recipes in {_FOLDER}/table.md and frontier.png")


def table(rungs: Sequence[Rung], machine: str, rounds: int) -> str:
    """All rungs in Markdown; times also as multiples of those of the first one."""
    lines = [
        "| recipe | test accuracy | training | × | weights | MFLOP an image | file"
        " | ms an image | peak memory |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for rung in rungs:
        seconds = rung.times["train_seconds"]
        mean, deviation = statistics.mean(rung.accuracies), statistics.stdev(rung.accuracies)
        cells = [
            f"`{rung.recipe}`",
            f"{mean:.4f} ± {deviation:.4f}",
            f"{seconds:.0f} s",
            f"{seconds / rungs[0].times['train_seconds']:.1f}",
            f"{rung.model['weights']:,}",
            f"{rung.model['megaflop_an_image']:.1f}",
            f"{rung.model['file_megabytes']:.1f} MB",
            f"{rung.times['predict_milliseconds']:.2f}",
            f"{rung.times['peak_megabytes']:.0f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = len(rungs[0].accuracies)
    note = (
        f"Accuracy: mean ± standard deviation of {seeds} seeds. Times: medians of {rounds} rounds"
        f" on {machine}; × is training against the first row; predicting is in batches of 100."
    )
    return "\n".join([*lines, "", note, ""])


def picture(rungs: Sequence[Rung], references: Sequence[Reference]) -> Figure:
    """Test accuracy against seconds of training, with each seed as a dot."""
    figure = new_figure(6.4, 5.4)
    axes = figure.subplots()
    for number, rung in enumerate(rungs):
        seconds, color = rung.times["train_seconds"], SERIES[number % len(SERIES)]
        dots: dict[str, Any] = {"markersize": 6, "alpha": 0.8, "markeredgewidth": 0}
        count = len(rung.accuracies)
        axes.plot([seconds] * count, rung.accuracies, "o", color=color, **dots)
        axes.annotate(
            rung.recipe,
            (seconds, statistics.mean(rung.accuracies)),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=color,
            fontweight="bold",
        )
    for reference in references:
        axes.axhline(reference.accuracy, color=NEUTRAL, linewidth=0.8, linestyle=":")
        axes.text(
            0.01,
            reference.accuracy,
            reference.name,
            transform=axes.get_yaxis_transform(),
            va="bottom",
            fontsize=9,
            color=NEUTRAL,
        )
    longest = max(rung.times["train_seconds"] for rung in rungs)
    axes.set_xscale("log")
    axes.set_xlim(min(rung.times["train_seconds"] for rung in rungs) / 2, longest * 4)
    axes.set_xticks([tick for tick in _TICKS if tick <= longest * 4])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _duration(seconds)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="training on two cores", ylabel="test accuracy")
    axes.set_title("What accuracy costs: each dot is a seed")
    axes.grid(alpha=0.2)
    return figure


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
