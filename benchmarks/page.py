"""`benchmarks/README.md`, put together from the tables and pictures in `benchmarks/results/`."""

from matplotlib.figure import Figure

from benchmarks.running import ROOT
from workflow.core.files import written_whole
from workflow.figures.style import save_png

_FOLDER = ROOT / "benchmarks"
_RESULTS = _FOLDER / "results"

_HEAD = """# Benchmarks

`make bench` measures all of it and writes this page. Absolute times belong to the machine that
is named; the ratios carry over, since both sides are measured in turn in one run.
"""
# By name of the measurement: its picture, and what is to be known of it.
_SECTIONS = {
    "speed": (
        "time.png",
        "The script is [`tutorial.py`](tutorial.py): plain Keras as published, with its two figures"
        " and the data already in Keras' cache. The pipeline is a fresh clone without a cache that"
        " takes its raw data from a local folder and draws all its figures. The bar adds up the"
        " medians of stages timed alone, which may come to less than a whole run.",
    ),
    "cores": (
        "cores.png",
        "Both sides train the model of the recipe `cnn-plain`: [`fit.py`](fit.py) in plain Keras,"
        " [`epoch.py`](epoch.py) with this project, a batch in two shards or in four. The time is"
        " that of the second epoch, on a fifth of the images. The rate counts the products:"
        " forward, the gradient of the weights, and that of what a layer is given. A large product"
        " on as many cores is what could be reached at most.\n\n"
        "What more workers would cost, on paper: after each batch a worker sends one subtree of"
        " gradients, four bytes a weight, to all others. For `cnn-plain` that is 1.7 MB: with two"
        " workers, 14 ms at 1 Gbit/s and 1.4 ms at 10. With *n* workers each receives *n* - 1 of"
        " them, 43 ms at 1 Gbit/s for four, while its share of the step shrinks. So a model of a"
        " million weights needs 10 Gbit/s to gain from four workers. If each worker added up one"
        " slice of all gradients and sent that sum to the others (reduce-scatter, then all-gather),"
        " it would receive 2 (*n* - 1) / *n* times the gradients: half as much with four workers,"
        " a quarter with eight. The tree could stay, since each weight's sum would be made in one"
        " place; a ring, as libraries do it, adds in another order for each slice. TensorFlow's"
        " engine has no exchange of slices between CPUs, so the workers gather all.",
    ),
    "growth": (
        "growth.png",
        "The images are repeated with small shifts. Time grows more slowly than the data, though"
        " `normalize` waits for the disk from a gigabyte or two on. Memory hardly grows:"
        " `normalize` writes and `train` reads some images at a time. The limit is the disk, which"
        " holds the normalized images twice: in the workspace and in DVC's cache. Beyond that, move"
        " the cache to a larger disk.",
    ),
}


def write(name: str, table: str, picture: Figure) -> None:
    """Keep one measurement, `speed`, `cores` or `growth`, and write the page anew."""
    print(table)
    with written_whole(_RESULTS / f"{name}.md") as partial:
        partial.write_text(table, encoding="utf-8")
    with written_whole(_RESULTS / _SECTIONS[name][0]) as partial:
        save_png(picture, partial)
    parts = [_HEAD]
    for section, (file, text) in _SECTIONS.items():
        result = _RESULTS / f"{section}.md"
        if result.exists():
            title, measured = section.capitalize(), result.read_text(encoding="utf-8")
            parts.append(f"## {title}\n\n{text}\n\n{measured}\n![{title}](results/{file})\n")
    with written_whole(_FOLDER / "README.md") as partial:
        partial.write_text("\n".join(parts), encoding="utf-8")
