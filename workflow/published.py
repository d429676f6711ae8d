"""Published results beside reproduced ones: how far apart, and whether that is chance."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from workflow.errors import UserError
from workflow.metrics import CONFIDENCE_LEVEL
from workflow.published_params import PublishedPrediction, PublishedResult

SCORES = ("train_accuracy", "train_loss", "test_accuracy", "test_loss")
_NONE = "–"


@dataclass(frozen=True)
class Prediction:
    """The class that a run gives one test image, and its probability."""

    label: int
    probability: float


@dataclass(frozen=True)
class Run:
    """What one recipe gave with one seed.

    Attributes:
        seed: of the run.
        scores: by name, each of SCORES.
        predictions: by index of the test image.
    """

    seed: int
    scores: Mapping[str, float]
    predictions: Mapping[int, Prediction]


@dataclass(frozen=True)
class Spread:
    """How a score varies over the seeds.

    Attributes:
        mean: of the runs.
        deviation: their sample standard deviation.
        smallest: of the runs.
        largest: of the runs.
        low: end of the 95 % prediction interval for one more run.
        high: its other end.
    """

    mean: float
    deviation: float
    smallest: float
    largest: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether one more run may well have given this value."""
        return self.low <= value <= self.high


def spread(values: Sequence[float]) -> Spread:
    """Sum up the values that several seeds gave.

    A published figure is one run more, drawn from the same distribution if the recipe is the
    same. So it is compared with the 95 % prediction interval for one more value of a normal
    distribution whose mean and variance are estimated from n values (Student's t with n - 1
    degrees of freedom): mean ± t · s · √(1 + 1/n). The mere range of n runs leaves the next
    one out in 2 of n + 1 cases.

    Args:
        values: two at least.
    """
    count = len(values)
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    quantile = float(student_t.ppf((1 + CONFIDENCE_LEVEL) / 2, count - 1))
    reach = quantile * deviation * (1 + 1 / count) ** 0.5
    return Spread(mean, deviation, min(values), max(values), mean - reach, mean + reach)


def read_runs(path: Path, seeds: Sequence[int], images: Sequence[int]) -> list[Run]:
    """Read what stages/reproduce.py wrote of one recipe.

    Args:
        path: of the file.
        seeds: of the runs, in order.
        images: whose predictions each run has.

    Raises:
        UserError: the file is missing or holds something else.
    """
    try:
        runs = [
            Run(
                int(run["seed"]),
                {score: float(run[score]) for score in SCORES},
                {int(image): Prediction(**of) for image, of in run["predictions"].items()},
            )
            for run in json.loads(path.read_text(encoding="utf-8"))["runs"]
        ]
        if [run.seed for run in runs] != list(seeds):
            raise ValueError("runs of other seeds")
        if any(run.predictions.keys() != set(images) for run in runs):
            raise ValueError("predictions of other images")
        return runs
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error!r}): run `make published`") from None


def table(
    results: Mapping[str, PublishedResult],
    runs: Mapping[str, Sequence[Run]],
    class_names: Sequence[str],
) -> str:
    """Published against reproduced as Markdown: the scores, then the printed predictions."""
    seeds = ", ".join(str(run.seed) for run in next(iter(runs.values())))
    lines = [
        f"Each recipe was trained with the seeds {seeds}. The interval is the 95 % prediction"
        " interval for one more run (Student's t): a published figure inside is what this recipe"
        " may well give with another seed. By chance alone, one figure in twenty lies outside.",
        "",
        "| recipe | score | published | mean ± SD | smallest to largest | 95 % interval | inside |",
        "| --- | --- | ---: | ---: | ---: | ---: | :---: |",
    ]
    for recipe, result in results.items():
        for score in SCORES:
            name = f"`{recipe}`" if score == SCORES[0] else ""
            values = [run.scores[score] for run in runs[recipe]]
            lines.append(_score_row(name, score.replace("_", " "), getattr(result, score), values))
    lines += [
        "",
        "| recipe | test image | published | reproduced | seeds that agree |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for recipe, result in results.items():
        if result.prediction:
            lines.append(_prediction_row(recipe, result.prediction, runs[recipe], class_names))
    lines += ["", "Sources and remarks:", ""]
    for recipe, result in results.items():
        remark = f". {result.note}" if result.note else ""
        lines.append(f"- `{recipe}`: {result.source}{remark}")
    return "\n".join(lines) + "\n"


def _score_row(recipe: str, score: str, published: float | None, values: Sequence[float]) -> str:
    of = spread(values)
    inside = _NONE if published is None else "yes" if of.holds(published) else "**no**"
    cells = [
        recipe,
        score,
        _NONE if published is None else f"{published:.4f}",
        f"{of.mean:.4f} ± {of.deviation:.4f}",
        f"{of.smallest:.4f} to {of.largest:.4f}",
        f"{of.low:.4f} to {of.high:.4f}",
        inside,
    ]
    return f"| {' | '.join(cells)} |"


def _prediction_row(
    recipe: str, published: PublishedPrediction, runs: Sequence[Run], class_names: Sequence[str]
) -> str:
    of_runs = [run.predictions[published.image] for run in runs]
    agreeing = [of.probability for of in of_runs if of.label == published.label]
    reproduced = f"{min(agreeing):.3f} to {max(agreeing):.3f}" if agreeing else _NONE
    cells = [
        f"`{recipe}`",
        str(published.image),
        f"{class_names[published.label]} {published.probability:.3f}",
        reproduced,
        f"{len(agreeing)} of {len(of_runs)}",
    ]
    return f"| {' | '.join(cells)} |"
