"""Measure the pipeline beside the tutorials' script: `make bench`.

Everything is measured in one run, the two sides in turn, so that a slower hour of the
machine slows both. Prints a Markdown table, which is also written with the pictures into
`benchmarks/results/`.
"""

import argparse
import gzip
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from matplotlib.figure import Figure

from workflow.environment import required
from workflow.errors import UserError
from workflow.figures.style import NEUTRAL, SERIES, new_figure, save_png
from workflow.files import written_whole
from workflow.idx import read_idx, write_idx
from workflow.params import load_params
from workflow.progress import progress_bar, say

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STAGES = ("download", "normalize", "train", "evaluate", "visualize")
GROWTH = (1, 2, 4, 8, 16)
MATRIX = 2048

PAGE_HEAD = """# Benchmarks

`make bench` measures all of it and writes this page. Absolute times belong to the machine that
is named; the ratios, both sides measured in turn in one run, are what carries over.
"""
PAGE_SECTIONS = (
    (
        "Speed",
        "The script is [`tutorial.py`](tutorial.py): plain Keras as published, with its two figures"
        " and the data already in Keras' cache. The pipeline is a fresh clone without a cache that"
        " takes its raw data from a local folder, and draws all its figures. The bar adds up"
        " medians of stages timed alone, which may come to less than a whole run.",
        "speed.md",
        "time.png",
    ),
    (
        "Growth",
        "The images are repeated with small shifts. Time grows more slowly than the data, though"
        " `normalize` waits for the disk from a gigabyte or two on. Memory hardly grows:"
        " `normalize` writes and `train` reads some images at a time. What ends it is the disk,"
        " which holds the normalized images twice: in the workspace and in DVC's cache. Then the"
        " cache has to move to a larger one.",
        "growth.md",
        "growth.png",
    ),
)


@dataclass
class Run:
    """One finished command.

    Attributes:
        seconds: wall clock.
        output: standard output.
    """

    seconds: float
    output: str

    def last_line(self) -> dict[str, Any]:
        """The JSON object that the command printed last."""
        result: dict[str, Any] = json.loads(self.output.strip().splitlines()[-1])
        return result


@dataclass
class Samples:
    """Measurements by name, one list entry a round."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Record one measurement."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        """The median of all rounds."""
        return statistics.median(self.values[name])

    def shown(self, name: str, unit: str = "s") -> str:
        """Median and range, as text."""
        values = self.values[name]
        digits = 2 if max(values) < 10 else 1 if max(values) < 100 else 0
        low, high = min(values), max(values)
        return f"{self.median(name):.{digits}f} {unit} ({low:.{digits}f}–{high:.{digits}f})"


def main() -> None:
    """Measure, print the table, and write table and pictures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of each side (default 5)")
    parser.add_argument(
        "--only", choices=("speed", "growth"), help="measure one of the two (default: both)"
    )
    arguments = parser.parse_args()
    raw = ROOT / "data" / "raw"
    if not raw.is_dir():
        sys.exit("bench: data/raw is missing: run `dvc repro download` first")
    try:
        if arguments.only != "growth":
            measure_speed(raw, arguments.rounds)
        if arguments.only != "speed":
            measure_growth(raw)
    except UserError as error:
        sys.exit(f"bench: {error}")


def run(*command: str, cwd: Path, env: dict[str, str] | None = None) -> Run:
    """Run a command to its end.

    Raises:
        UserError: it failed.
    """
    environment = dict(os.environ)
    for name in required():
        environment.pop(name, None)  # ours; the tutorial's script gets what it finds
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment | (env or {}),
            stdout=output,
            stderr=complaints,
            stdin=subprocess.DEVNULL,
        )
        process.wait()
        seconds = time.perf_counter() - started
        output.seek(0)
        complaints.seek(0)
        if process.returncode:
            said = complaints.read().decode().strip().splitlines()[-1:]
            raise UserError(f"`{' '.join(command)}` failed: {' '.join(said)}")
        return Run(seconds, output.read().decode())


@contextmanager
def fresh_clone() -> Iterator[Path]:
    """The committed state in a folder of its own, with no data and no cache."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        target = Path(folder, "clone")
        run("git", "clone", "-q", str(ROOT), str(target), cwd=ROOT)
        yield target


def measure_speed(raw: Path, rounds: int) -> None:
    """The tutorials' script against the pipeline, in turn."""
    samples = Samples()
    local = {"DATA_SOURCE": str(raw)}
    with tempfile.TemporaryDirectory(prefix="bench-") as temporary:
        scratch = Path(temporary)
        keras_home = keras_cache(raw, scratch / "keras")
        empty = empty_pipeline(scratch / "empty")
        with progress_bar(rounds, "bench", "round") as bar:
            for number in range(1, rounds + 1):
                say(f"bench: round {number} of {rounds}: the tutorials' script")
                script = run(
                    sys.executable, str(ROOT / "benchmarks/tutorial.py"), temporary,
                    cwd=scratch, env={"KERAS_HOME": str(keras_home)},
                )  # fmt: skip
                told = script.last_line()
                samples.add("script", script.seconds)
                for name in ("epoch", "training", "accuracy", "memory"):
                    samples.add(f"script {name}", told[name])
                say(f"bench: round {number} of {rounds}: the pipeline")
                measure_pipeline(samples, local)
                samples.add("floor", run("dvc", "repro", cwd=empty).seconds)
                samples.add("matrix product", matrix_product_rate())
                bar.update()
    table = speed_table(samples, rounds)
    print(table)
    write_results("speed.md", table, where_time_goes(samples), "time.png")


def measure_pipeline(samples: Samples, local: dict[str, str]) -> None:
    """One cold `dvc repro`, a second one, one after editing a figure, and each stage alone."""
    with fresh_clone() as clone:
        cold = run("dvc", "repro", cwd=clone, env=local)
        samples.add("cold", cold.seconds)
        samples.add("no-op", run("dvc", "repro", cwd=clone, env=local).seconds)
        with (clone / "stages/visualize.py").open("a") as script:
            script.write("\n# Another comment.\n")
        samples.add("figure", run("dvc", "repro", cwd=clone, env=local).seconds)
        metrics = json.loads((clone / "metrics/test.json").read_text())
        samples.add("accuracy", metrics["accuracy"])
        in_stages = 0.0
        for stage in STAGES:
            alone = run(sys.executable, "-m", "benchmarks.probe", stage, cwd=clone, env=local)
            told = alone.last_line()
            in_stages += alone.seconds
            for part in ("imports", "compile", "work", "memory"):
                samples.add(f"{stage} {part}", told[part])
            for part in ("epoch", "training"):
                if part in told:
                    samples.add(part, told[part])
        samples.add("dvc", max(0.0, cold.seconds - in_stages))


def speed_table(samples: Samples, rounds: int) -> str:
    """The result as Markdown."""
    operations = operations_of_an_epoch()
    floor = operations / samples.median("matrix product")

    def row(what: str, script: str, ours: str, ratio: float | None) -> str:
        return f"| {what} | {script} | {ours} | {f'{ratio:.1f} ×' if ratio else ''} |"

    def versus(what: str, script: str, ours: str, unit: str = "s") -> str:
        ratio = samples.median(script) / samples.median(ours)
        return row(what, samples.shown(script, unit), samples.shown(ours, unit), ratio)

    commonly = operations_of_an_epoch(with_image_gradient=True) / operations
    largest = max(STAGES, key=lambda stage: samples.median(f"{stage} memory"))
    memory = ", ".join(f"{stage} {samples.median(f'{stage} memory'):.0f}" for stage in STAGES)
    rate = operations / samples.median("epoch") / 1e9
    lines = [
        f"Medians of {rounds} rounds (range in brackets), both sides in turn, on {machine()}.",
        "",
        "| | tutorials' script | this pipeline | ratio |",
        "| --- | --- | --- | --- |",
        versus("one epoch", "script epoch", "epoch"),
        versus("ten epochs, compilation included", "script training", "training"),
        versus("everything: script with figures, cold `dvc repro`", "script", "cold"),
        versus(f"peak memory (ours: {largest})", "script memory", f"{largest} memory", "MB"),
        row(
            "test accuracy",
            f"{samples.median('script accuracy'):.4f} (unseeded, {rounds} runs)",
            f"{samples.median('accuracy'):.4f} (seeded)",
            None,
        ),
        "",
        "| | measured | compared with | ratio |",
        "| --- | --- | --- | --- |",
        row(
            "one epoch and the floor of a large matrix product",
            f"{rate:.0f} GFLOP/s",
            f"{samples.median('matrix product') / 1e9:.0f} GFLOP/s, hence {floor:.2f} s",
            samples.median("epoch") / floor,
        ),
        row(
            "`dvc repro` with nothing to do and DVC's floor, five empty stages",
            samples.shown("no-op"),
            samples.shown("floor"),
            samples.median("no-op") / samples.median("floor"),
        ),
        row("`dvc repro` after editing a figure", samples.shown("figure"), "", None),
        "",
        f"Peak memory of each stage in MB, of its largest process: {memory}.",
        f"The floor counts {operations / 1e9:.1f} GFLOP an epoch: every weight with every image,"
        " forward and backward, but for the gradient of the images, which nobody needs; at the rate"
        f" of a {MATRIX} × {MATRIX} float32 product on one core. With that gradient, as is commonly"
        f" counted, the ratio is {samples.median('epoch') / floor / commonly:.1f}.",
        "",
    ]
    return "\n".join(lines)


def operations_of_an_epoch(with_image_gradient: bool = False) -> int:
    """Floating-point operations of one epoch of the pipeline's dense recipe.

    Two products a weight and image, forward and gradient of the weight; behind the first layer
    a third, the gradient of what comes in. To count three everywhere, with the gradient of the
    images that nobody needs, is common, and for this recipe a half more.
    """
    params = load_params(ROOT / "params.yaml")
    layers = params.recipes[params.recipe].layers
    images = read_idx(ROOT / "data" / "raw" / params.data.files.train_images.name, 3)
    units = [
        images[0].size,
        *(layer.units for layer in layers if layer.layer == "dense"),
        len(params.data.class_names),
    ]
    weights = [int(inputs * outputs) for inputs, outputs in pairwise(units)]
    products = 3 * sum(weights) - (0 if with_image_gradient else weights[0])
    return 2 * products * len(images)


def where_time_goes(samples: Samples) -> Figure:
    """The cold pipeline as one bar, cut into imports, compile, work and DVC."""
    figure = new_figure(9, 3.4)
    axes = figure.add_subplot()
    colours = {"imports": SERIES[4], "compile": SERIES[1], "work": SERIES[0]}
    left = 0.0
    ends = {}
    for stage in STAGES:
        for part, colour in colours.items():
            width = samples.median(f"{stage} {part}")
            axes.barh(0, width, left=left, color=colour, edgecolor="white", height=0.5)
            left += width
        ends[stage] = left
    axes.barh(0, samples.median("dvc"), left=left, color=NEUTRAL, edgecolor="white", height=0.5)
    ends["DVC"] = left + samples.median("dvc")
    begin = 0.0
    for number, (name, end) in enumerate(ends.items()):
        # In two rows, since the first stages are too short for labels side by side.
        axes.annotate(
            f"{name} {end - begin:.1f} s",
            ((begin + end) / 2, 0.26),
            ((begin + end) / 2, 0.7 - 0.25 * (number % 2)),
            arrowprops={"arrowstyle": "-", "color": NEUTRAL, "relpos": (0, 0)},
            fontsize=10,
        )
        begin = end
    handles = [
        axes.barh(0, 0, color=colour, label=name)
        for name, colour in {**colours, "DVC and starting processes": NEUTRAL}.items()
    ]
    axes.legend(
        handles=handles, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.25), frameon=False
    )
    axes.set(yticks=[], ylim=(-0.3, 0.95), xlabel="seconds")
    axes.spines["left"].set_visible(False)
    figure.suptitle("Where the time of a cold `dvc repro` goes")
    return figure


def measure_growth(raw: Path) -> None:
    """Time and memory of each stage on 1 to 16 times the data."""
    samples: dict[int, dict[str, tuple[float, float]]] = {}
    with progress_bar(len(GROWTH), "bench growth", "size") as bar:
        for factor in GROWTH:
            say(f"bench: {factor} × the data")
            with fresh_clone() as clone:
                grown = clone / "grown"
                grow(raw, grown, factor, clone / "params.yaml")
                local = {"DATA_SOURCE": str(grown)}
                samples[factor] = {}
                for stage in STAGES:
                    alone = run(
                        sys.executable, "-m", "benchmarks.probe", stage, cwd=clone, env=local
                    )
                    samples[factor][stage] = (alone.seconds, alone.last_line()["memory"])
            bar.update()
    lines = [
        f"One run each, on {machine()}. Every stage on its own, in seconds and MB (of"
        " its largest process).",
        "",
        "| images | " + " | ".join(STAGES) + " |",
        "| --- |" + " --- |" * len(STAGES),
    ]
    for factor, stages in samples.items():
        cells = (f"{seconds:.1f} s, {megabytes:.0f} MB" for seconds, megabytes in stages.values())
        lines.append(f"| {factor} × | {' | '.join(cells)} |")
    table = "\n".join([*lines, ""])
    print(table)
    write_results("growth.md", table, growth_chart(samples), "growth.png")


def grow(raw: Path, target: Path, factor: int, params_file: Path) -> None:
    """Write `factor` times the images of training and test, each copy shifted a little."""
    target.mkdir()
    params = yaml.safe_load(params_file.read_text())
    for kind, file in params["data"]["files"].items():
        source = raw / file["name"]
        array = np.asarray(read_idx(source, 3 if "images" in kind else 1))
        copies = [
            np.roll(array, (copy // 4 - 2, copy % 4 - 2), (1, 2))
            if array.ndim == 3 and copy
            else array
            for copy in range(factor)
        ]
        write_idx(target / file["name"], np.concatenate(copies))
        with (target / file["name"]).open("rb") as stream:
            file["sha256"] = hashlib.file_digest(stream, "sha256").hexdigest()
    params_file.write_text(yaml.safe_dump(params, sort_keys=False))


def growth_chart(samples: dict[int, dict[str, tuple[float, float]]]) -> Figure:
    """Time and memory by size, both axes doubling."""
    figure = new_figure(9, 4.2)
    for place, (title, unit) in enumerate((("Time", "seconds"), ("Peak memory", "MB"))):
        axes = figure.add_subplot(1, 2, place + 1)
        for stage, colour in zip(STAGES, SERIES, strict=False):
            values = [samples[factor][stage][place] for factor in samples]
            axes.loglog(list(samples), values, "o-", base=2, color=colour, label=stage)
        first = samples[1]["train"][place]
        axes.loglog(
            list(samples), [first * factor for factor in samples], "k:", base=2,
            label="as fast as the data",
        )  # fmt: skip
        axes.set(title=title, xlabel="times the data", ylabel=unit)
        axes.set_xticks(list(samples), [str(factor) for factor in samples])
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=6, frameon=False, fontsize=9)
    figure.suptitle("Growth: the same recipe on more images")
    return figure


def keras_cache(raw: Path, home: Path) -> Path:
    """Put the data where `keras.datasets` looks for it."""
    folder = home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for file in raw.iterdir():
        with gzip.open(folder / f"{file.name}.gz", "wb", compresslevel=1) as target:
            target.write(file.read_bytes())
    return home


def empty_pipeline(folder: Path) -> Path:
    """Five stages that do nothing, reproduced once: what DVC takes for itself."""
    folder.mkdir()
    stages = {}
    for number in range(5):
        (folder / f"in{number}").write_text(str(number))
        stages[f"stage{number}"] = {
            "cmd": f"cp in{number} out{number}",
            "deps": [f"in{number}"],
            "outs": [f"out{number}"],
        }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    run("git", "init", "-q", cwd=folder)
    run("dvc", "init", "-q", cwd=folder)
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    run("dvc", "repro", cwd=folder)
    return folder


def matrix_product_rate() -> float:
    """Floating-point operations a second of a large float32 product on one core."""
    code = (
        "import numpy as np, time, sys\n"
        f"n = {MATRIX}\n"
        "a = np.random.default_rng(0).random((n, n), np.float32)\n"
        "a @ a\n"
        "best = min((lambda t: (a @ a, time.perf_counter() - t)[1])(time.perf_counter())"
        " for _ in range(5))\n"
        "print(2 * n**3 / best)\n"
    )
    measured = run(sys.executable, "-c", code, cwd=ROOT, env={"OPENBLAS_NUM_THREADS": "1"})
    return float(measured.output)


def machine() -> str:
    """The machine in words."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
        said = {name.strip(): value.strip() for name, _, value in lines}
        processor = said.get("model name", processor)
        if "cpu family" in said:  # virtual machines often leave the generation out of the name
            processor += f" (family {said['cpu family']}, model {said['model']})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processor}, {cores} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def write_results(table_name: str, table: str, figure: Figure, picture_name: str) -> None:
    """Keep the table and the picture beside each other."""
    with written_whole(RESULTS / table_name) as partial:
        partial.write_text(table, encoding="utf-8")
    with written_whole(RESULTS / picture_name) as partial:
        save_png(figure, partial)
    sections = [PAGE_HEAD]
    for title, text, fragment, picture in PAGE_SECTIONS:
        if (RESULTS / fragment).exists():
            measured = (RESULTS / fragment).read_text(encoding="utf-8")
            sections.append(f"## {title}\n\n{text}\n\n{measured}\n![{title}](results/{picture})\n")
    with written_whole(RESULTS.parent / "README.md") as partial:
        partial.write_text("\n".join(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
