"""`model.fit` against this project on one core, on two and on two workers, in turn."""

import json
import socket
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from benchmarks.floors import MATRIX, matrix_product_rate
from benchmarks.running import RAW, ROOT, Run, Samples, run
from workflow.core.machine import described
from workflow.core.params import Idx, load_params
from workflow.core.progress import progress_bar, say
from workflow.data.idx import read_images, read_labels
from workflow.data.npz import write_arrays
from workflow.figures.style import SERIES, new_figure

IMAGES = 12_000  # of the training images: a fifth of an epoch
SHARDS = {32: 2, 128: 4}  # by batch size
CORES = (1, 2)
WORKERS_BATCH = 128
SIDES = {"fit": ("model.fit", SERIES[1]), "ours": ("this project", SERIES[0])}


def measure(rounds: int) -> Samples:
    """All in turn, so that a slower hour of the machine slows all."""
    samples = Samples()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        archive = Path(folder, "images.npz")
        _write_images(archive)
        with progress_bar(rounds, "bench cores", "round") as bar:
            for number in range(1, rounds + 1):
                for cores in CORES:
                    say(f"bench: round {number} of {rounds}: {cores} of the cores")
                    samples.add(f"matrix product {cores}", matrix_product_rate(cores))
                    for batch_size in SHARDS:
                        _measure_epochs(samples, archive, batch_size, cores)
                _measure_workers(samples, archive)
                bar.update()
    return samples


def _write_images(archive: Path) -> None:
    """Some training images and their labels, as `normalize` would give them."""
    data = load_params(ROOT / "params.yaml").data
    assert isinstance(data, Idx)  # noqa: S101
    images = read_images(RAW / data.files.train_images.name)[:IMAGES]
    labels = read_labels(RAW / data.files.train_labels.name)[:IMAGES]
    write_arrays(
        archive,
        {"images": np.asarray(images, np.float32) / np.float32(255), "labels": np.asarray(labels)},
    )


def _measure_epochs(samples: Samples, archive: Path, batch_size: int, cores: int) -> None:
    """One epoch of either side."""
    name = f"{batch_size} {cores}"
    script = str(ROOT / "benchmarks/fit.py")
    fit = run(sys.executable, script, str(archive), str(batch_size), cwd=ROOT, cores=range(cores))
    samples.add(f"fit {name}", fit.json())
    seconds, operations, megabytes = _ours(archive, batch_size, range(cores)).json()
    samples.add(f"ours {name}", seconds)
    samples.add(f"rate {name}", operations / seconds)
    samples.add("memory", megabytes)


def _ours(archive: Path, batch_size: int, cores: range, env: dict[str, str] | None = None) -> Run:
    """One process of this project."""
    arguments = (str(archive), str(batch_size), str(SHARDS[batch_size]))
    command = (sys.executable, "-m", "benchmarks.epoch", *arguments)
    return run(*command, cwd=ROOT, env=env, cores=cores)


def _measure_workers(samples: Samples, archive: Path) -> None:
    """Two workers, each on a core of its own, over loopback."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()

    def work(index: int) -> Run:
        task = {"type": "worker", "index": index}
        configuration = {"cluster": {"worker": addresses}, "task": task}
        environment = {"TF_CONFIG": json.dumps(configuration)}
        return _ours(archive, WORKERS_BATCH, range(index, index + 1), environment)

    with ThreadPoolExecutor(2) as pool:
        chief, _ = pool.map(work, range(2))
    samples.add("workers", chief.json()[0])


def table(samples: Samples, rounds: int) -> str:
    """The result as Markdown."""
    lines = [
        f"Medians of {rounds} rounds (range in brackets), all in turn, on {described()}.",
        "",
        "| cores | batch | `model.fit` | this project | ratio | GFLOP/s | of a large product |",
        "| ---: | ---: | --- | --- | ---: | ---: | ---: |",
    ]
    for cores in CORES:
        for batch_size in SHARDS:
            name = f"{batch_size} {cores}"
            fit, ours = f"fit {name}", f"ours {name}"
            ratio = samples.median(fit) / samples.median(ours)
            rate, peak = samples.median(f"rate {name}"), samples.median(f"matrix product {cores}")
            lines.append(
                f"| {cores} | {batch_size} | {samples.shown(fit)} | {samples.shown(ours)} |"
                f" {ratio:.1f} × | {rate / 1e9:.0f} | {rate / peak:.2f} × |"
            )
    alone, both = (samples.median(f"ours {WORKERS_BATCH} {cores}") for cores in CORES)
    workers = samples.median("workers")
    step, on_two, on_workers = (
        f"{seconds * WORKERS_BATCH / IMAGES * 1000:.0f} ms" for seconds in (alone, both, workers)
    )
    lines += [
        "",
        f"A step of {WORKERS_BATCH} images takes {step} on one core, {on_two} on two"
        f" ({alone / both:.2f} × as fast), {on_workers} with two workers on a core each"
        f" ({alone / workers:.2f} ×). The large product is {MATRIX} × {MATRIX}, of float32. Peak"
        f" memory: {samples.median('memory'):.0f} MB.",
        "",
    ]
    return "\n".join(lines)


def picture(samples: Samples) -> Figure:
    """Seconds by cores and workers, a panel for each batch size."""
    figure = new_figure(9, 3.6)
    for place, batch_size in enumerate(SHARDS):
        axes = figure.add_subplot(1, 2, place + 1)
        bars = [
            (f"{side} {batch_size} {cores}", "one core" if cores == 1 else f"{cores} cores", side)
            for side in SIDES
            for cores in CORES
        ]
        if batch_size == WORKERS_BATCH:
            bars.append(("workers", "2 workers", "ours"))
        for row, (name, _, side) in enumerate(bars):
            seconds = samples.median(name)
            axes.barh(row, seconds, color=SIDES[side][1], height=0.6)
            axes.annotate(f"{seconds:.1f} s", (seconds, row), (3, 0), textcoords="offset points",
                          va="center", fontsize=10)  # fmt: skip
        axes.set_yticks(range(len(bars)), [label for _, label, _ in bars])
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set(title=f"batches of {batch_size}", xlabel="seconds")
    handles = [
        figure.axes[0].barh(0, 0, color=colour, label=name) for name, colour in SIDES.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"Two convolutions (recipe cnn-plain) on {IMAGES:,} images")
    return figure
