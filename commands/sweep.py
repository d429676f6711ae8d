"""Put the runs of a sweep side by side: a table, and a picture with a dot for each run.

The runs are DVC's experiments on this commit, of `dvc queue start` or `dvc exp run`, here or from
another machine (`dvc exp pull`). Writes `sweep/table.md`, `sweep/runs.csv` and `sweep/sweep.png`.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from commands.review.reproduction import flat
from commands.review.revisions import Revision, git, resolve
from workflow.core import paths
from workflow.core.errors import UserError
from workflow.core.files import write_csv, written_whole
from workflow.core.progress import say

FOLDER = Path("sweep")
_SEED = "seed"
# The first that every run has. Choosing by the test set would make its accuracy a flattering one.
_PREFERRED = ("validation_accuracy", "accuracy")


@dataclass(frozen=True)
class Run:
    """An experiment.

    Attributes:
        name: DVC's.
        params: by name, with dots between the keys.
        metrics: likewise.
    """

    name: str
    params: dict[str, Any]
    metrics: dict[str, float]


def main(arguments: list[str]) -> int:
    """Read the command line, print the table and write all files."""
    parser = argparse.ArgumentParser(prog="python -m commands sweep", description=__doc__)
    parser.add_argument(
        "--metric", help=f"what to compare (default: the first that is there: {_PREFERRED})"
    )
    options = parser.parse_args(arguments)
    runs = read_runs(resolve("HEAD"))
    if not runs:
        raise UserError(
            "no experiment on this commit: `dvc exp run --queue -S …`, `dvc queue start`, and"
            " `dvc queue status`, which also tells what has failed"
        )
    metric = chosen_metric(runs, options.metric)
    swept = swept_params(runs)
    settings = [name for name in swept if name != _SEED]
    table = table_of(runs, settings, metric)
    with written_whole(FOLDER / "table.md") as partial:
        partial.write_text(table, encoding="utf-8")
    with written_whole(FOLDER / "runs.csv") as partial:
        rows = ([r.name, *(r.params.get(n) for n in swept), r.metrics[metric]] for r in runs)
        write_csv(partial, ["experiment", *swept, metric], rows)
    _draw(runs, settings, metric)
    print(table)
    if "validation" not in metric:
        say(f"sweep: {metric} is of the test set: whoever chooses by it must not report it, too")
    say(f"sweep: {len(runs)} runs in {FOLDER}/table.md, runs.csv and sweep.png")
    return 0


def read_runs(baseline: Revision) -> list[Run]:
    """The experiments on a commit, by what DVC has written down of each; sorted by name."""
    commit = str(baseline.commit)
    pattern = f"refs/exps/{commit[:2]}/{commit[2:]}/*"
    found = git("for-each-ref", "--format=%(objectname) %(refname)", pattern).decode()
    runs = []
    for line in found.splitlines():
        tip, _, reference = line.partition(" ")
        name = reference.rpartition("/")[2]
        revision = Revision(tip, name)
        metrics: dict[str, float] = {}
        for path in (paths.TEST_METRICS, *_other_metrics(revision)):
            content = revision.read(path)
            for key, value in flat(_json(content, path, name) if content else {}).items():
                if isinstance(value, int | float):
                    metrics.setdefault(key, value)
        runs.append(Run(name, flat(revision.params), metrics))
    return sorted(runs, key=lambda run: run.name)


def _other_metrics(revision: Revision) -> list[Path]:
    pattern = f"{paths.TEST_METRICS.parent}/*.json"
    return [Path(name) for name in sorted(revision.files) if fnmatch(name, pattern)]


def _json(content: bytes, path: Path, name: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise UserError(f"{path} of experiment {name}: not valid JSON ({error})") from None


def chosen_metric(runs: list[Run], asked: str | None) -> str:
    """The metric that is compared.

    Raises:
        UserError: a run lacks it.
    """
    common = set.intersection(*(set(run.metrics) for run in runs))
    for name in [asked] if asked else _PREFERRED:
        if name in common:
            return name
    raise UserError(
        f"not every run has {asked or ' or '.join(_PREFERRED)}: all have"
        f" {', '.join(sorted(common)) or 'nothing'} (--metric)"
    )


def swept_params(runs: list[Run]) -> list[str]:
    """The params that differ among the runs, in the order of `params.yaml`."""
    names = dict.fromkeys(name for run in runs for name in run.params)
    return [name for name in names if len({json.dumps(run.params.get(name)) for run in runs}) > 1]


def by_setting(runs: list[Run], settings: list[str]) -> dict[tuple[Any, ...], list[Run]]:
    """The runs that differ by the seed alone, together; numbers in their order."""
    together: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        together.setdefault(tuple(run.params.get(name) for name in settings), []).append(run)
    order: Callable[[tuple[Any, ...]], Any] = lambda values: [  # noqa: E731
        (0, value, "") if isinstance(value, int | float) else (1, 0, str(value)) for value in values
    ]
    return {values: together[values] for values in sorted(together, key=order)}


def table_of(runs: list[Run], settings: list[str], metric: str) -> str:
    """One row a setting: how many runs, mean, standard deviation and range of the metric."""
    shown = f".{paths.DECIMALS}f"
    head = [*settings, "runs", metric, "standard deviation", "lowest", "highest"]
    lines = [head, ["---"] * len(settings) + ["---:"] * 5]
    for values, several in by_setting(runs, settings).items():
        scores = [run.metrics[metric] for run in several]
        deviation = format(stdev(scores), shown) if len(scores) > 1 else "–"
        numbers = [format(mean(scores), shown), deviation]
        numbers += [format(end, shown) for end in (min(scores), max(scores))]
        lines.append([*map(str, values), str(len(scores)), *numbers])
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _draw(runs: list[Run], settings: list[str], metric: str) -> None:
    """A dot for each run and a line for each mean, against what was swept."""
    # Drawing takes half a second to import.
    from workflow.figures.style import NEUTRAL, SERIES, new_figure, save_png

    groups = by_setting(runs, settings)
    is_numeric = len(settings) == 1 and all(isinstance(values[0], int | float) for values in groups)
    places = [values[0] for values in groups] if is_numeric else list(range(len(groups)))
    width = (max(places) - min(places) or 1) / 60 if is_numeric else 0.12
    figure = new_figure(max(5.0, min(14.0, 2.5 + 1.1 * len(groups))), 4)
    axes = figure.add_subplot()
    for place, several in zip(places, groups.values(), strict=True):
        scores = sorted(run.metrics[metric] for run in several)
        middle = (len(scores) - 1) / 2
        # Beside each other, so that no dot hides another.
        spots = [place + (n - middle) * width / max(middle, 2) for n in range(len(scores))]
        axes.plot(spots, scores, "o", color=SERIES[0], markersize=6, alpha=0.8)
        centre = mean(scores)
        axes.plot([place - 2 * width, place + 2 * width], [centre] * 2, color=NEUTRAL, linewidth=2)
    if not is_numeric:
        labels = ["\n".join(map(str, values)) or "all" for values in groups]
        axes.set_xticks(places, labels)
        axes.set_xlim(-0.6, len(groups) - 0.4)
    axes.set(xlabel=", ".join(settings) or "the seed alone", ylabel=metric.replace("_", " "))
    axes.grid(alpha=0.3, axis="y")
    figure.suptitle("Each dot is a run, the line the mean of the seeds")
    with written_whole(FOLDER / "sweep.png") as partial:
        save_png(figure, partial)
