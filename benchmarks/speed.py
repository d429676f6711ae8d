"""The tutorials' script against the pipeline, in turn: measured, as a table and as a picture."""

import gzip
import json
import statistics
import sys
import tempfile
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.floors import (
    MATRIX,
    empty_pipeline,
    matrix_product_rate,
    operations_of_an_epoch,
)
from benchmarks.running import (
    RAW,
    ROOT,
    STAGES,
    Samples,
    fresh_clone,
    import_stage,
    run,
    run_stage,
)
from workflow.core.machine import described
from workflow.core.progress import progress_bar, say
from workflow.figures.style import NEUTRAL, SERIES, new_figure


def measure(rounds: int) -> Samples:
    """Both sides in turn, so that a slower hour of the machine slows both."""
    samples = Samples()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        scratch = Path(folder)
        keras_home = _keras_cache(scratch / "keras")
        empty = empty_pipeline(scratch / "empty")
        with progress_bar(rounds, "bench", "round") as bar:
            for number in range(1, rounds + 1):
                say(f"bench: round {number} of {rounds}: the tutorials' script")
                script = run(
                    sys.executable, str(ROOT / "benchmarks/tutorial.py"), folder,
                    cwd=scratch, env={"KERAS_HOME": str(keras_home)},
                )  # fmt: skip
                samples.add("script", script.seconds)
                for name, value in script.json().items():
                    samples.add(f"script {name}", value)
                say(f"bench: round {number} of {rounds}: the pipeline")
                _measure_pipeline(samples)
                samples.add("floor", run("dvc", "repro", cwd=empty).seconds)
                samples.add("matrix product", matrix_product_rate())
                bar.update()
    return samples


def _measure_pipeline(samples: Samples) -> None:
    """One cold `dvc repro`, a second one, one after editing a figure, and each stage alone."""
    local = {"DATA_SOURCE": str(RAW)}
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
            imports = import_stage(stage, clone).seconds
            alone = run_stage(stage, clone, local)
            in_stages += alone.seconds
            compiling = 0.0
            if stage == "train":
                first, *others = alone.epochs()
                epoch = statistics.median(others or [first])
                compiling = max(0.0, first - epoch)
                samples.add("epoch", epoch)
                samples.add("training", first + sum(others))
            samples.add(f"{stage} imports", imports)
            samples.add(f"{stage} compile", compiling)
            samples.add(f"{stage} work", max(0.0, alone.seconds - imports - compiling))
            samples.add(f"{stage} memory", alone.peak_memory())
        samples.add("dvc", max(0.0, cold.seconds - in_stages))


def _keras_cache(home: Path) -> Path:
    """Put the data where `keras.datasets` looks for it."""
    folder = home / "datasets" / "fashion-mnist"
    folder.mkdir(parents=True)
    for file in RAW.iterdir():
        with gzip.open(folder / f"{file.name}.gz", "wb", compresslevel=1) as target:
            target.write(file.read_bytes())
    return home


def table(samples: Samples, rounds: int) -> str:
    """The result as Markdown."""

    def row(what: str, script: str, ours: str, ratio: float | None) -> str:
        return f"| {what} | {script} | {ours} | {f'{ratio:.1f} ×' if ratio else ''} |"

    def versus(what: str, script: str, ours: str, unit: str = "s") -> str:
        ratio = samples.median(script) / samples.median(ours)
        return row(what, samples.shown(script, unit), samples.shown(ours, unit), ratio)

    operations, rate = operations_of_an_epoch(), samples.median("matrix product")
    floor = operations / rate
    largest = max(STAGES, key=lambda stage: samples.median(f"{stage} memory"))
    memory = ", ".join(f"{stage} {samples.median(f'{stage} memory'):.0f}" for stage in STAGES)
    lines = [
        f"Medians of {rounds} rounds (range in brackets), both sides in turn, on {described()}.",
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
            f"{operations / samples.median('epoch') / 1e9:.0f} GFLOP/s",
            f"{rate / 1e9:.0f} GFLOP/s, hence {floor:.2f} s",
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
        f"Peak memory of each stage in MB: {memory}.",
        f"The floor counts {operations / 1e9:.1f} GFLOP an epoch: every weight with every image,"
        " forward and backward, but for the gradient of the images, which nobody needs; at the rate"
        f" of a {MATRIX} × {MATRIX} float32 product on one core.",
        "",
    ]
    return "\n".join(lines)


def picture(samples: Samples) -> Figure:
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
        for name, colour in {**colours, "DVC": NEUTRAL}.items()
    ]
    axes.legend(
        handles=handles, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.25), frameon=False
    )
    axes.set(yticks=[], ylim=(-0.3, 0.95), xlabel="seconds")
    axes.spines["left"].set_visible(False)
    figure.suptitle("Where the time of a cold `dvc repro` goes")
    return figure
