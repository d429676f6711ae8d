"""Time and memory of each stage on more images: measured, as a table and as a picture."""

import hashlib
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from ruamel.yaml import YAML

from benchmarks.running import RAW, STAGES, fresh_clone, run_stage
from workflow.core.machine import described
from workflow.core.progress import progress_bar, say
from workflow.core.yaml import read_yaml
from workflow.data.idx import read_images, read_labels, write_idx
from workflow.figures.style import SERIES, new_figure

FACTORS = (1, 2, 4, 8, 16)

# By factor and stage: seconds and MB.
Growth = dict[int, dict[str, tuple[float, float]]]


def measure() -> Growth:
    """Every stage once on each multiple of the data."""
    growth: Growth = {}
    with progress_bar(len(FACTORS), "bench growth", "size") as bar:
        for factor in FACTORS:
            say(f"bench: {factor} × the data")
            with fresh_clone() as clone:
                _write_multiple(clone / "grown", factor, clone / "params.yaml")
                local = {"DATA_SOURCE": str(clone / "grown")}
                runs = {stage: run_stage(stage, clone, local) for stage in STAGES}
            growth[factor] = {
                stage: (run.seconds, run.peak_memory()) for stage, run in runs.items()
            }
            bar.update()
    return growth


def _write_multiple(folder: Path, factor: int, params_file: Path) -> None:
    """Write the images of training and test `factor` times, each copy shifted a little."""
    folder.mkdir()
    params = read_yaml(params_file)
    for kind, file in params["data"]["files"].items():
        read = read_images if "images" in kind else read_labels
        array = np.asarray(read(RAW / file["name"]), np.uint8)
        copies = [
            np.roll(array, (copy // 4 - 2, copy % 4 - 2), (1, 2))
            if array.ndim == 3 and copy
            else array
            for copy in range(factor)
        ]
        write_idx(folder / file["name"], np.concatenate(copies))
        with (folder / file["name"]).open("rb") as stream:
            file["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    YAML().dump(params, params_file)


def table(growth: Growth) -> str:
    """The result as Markdown."""
    lines = [
        f"One run each, on {described()}. Every stage on its own, in seconds and MB.",
        "",
        f"| images | {' | '.join(STAGES)} |",
        "| --- |" + " --- |" * len(STAGES),
    ]
    for factor, stages in growth.items():
        cells = (f"{seconds:.1f} s, {megabytes:.0f} MB" for seconds, megabytes in stages.values())
        lines.append(f"| {factor} × | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def picture(growth: Growth) -> Figure:
    """Time and memory by size, both axes doubling."""
    figure = new_figure(9, 4.2)
    for place, (title, unit) in enumerate((("Time", "seconds"), ("Peak memory", "MB"))):
        axes = figure.add_subplot(1, 2, place + 1)
        for stage, colour in zip(STAGES, SERIES, strict=False):
            values = [growth[factor][stage][place] for factor in growth]
            axes.loglog(list(growth), values, "o-", base=2, color=colour, label=stage)
        first = growth[1]["train"][place]
        axes.loglog(
            list(growth), [first * factor for factor in growth], "k:", base=2,
            label="in proportion",
        )  # fmt: skip
        axes.set(title=title, xlabel="times the data", ylabel=unit)
        axes.set_xticks(list(growth), [str(factor) for factor in growth])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.suptitle("Growth: the same recipe on more images")
    return figure
