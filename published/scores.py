"""Published results beside reproduced ones: how far apart, and whether that is chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import t as student_t

from published.params import PublishedPrediction, PublishedResult
from workflow.core.errors import UserError
from workflow.core.files import parse_json
from workflow.metrics import CONFIDENCE_LEVEL

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

    No end of the interval lies where the score cannot: below 0, or above 1 for an accuracy.

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


def spread(score: str, values: Sequence[float]) -> Spread:
    """Sum up the values that several seeds gave.

    A published figure is one run more, drawn from the same distribution if the recipe is the
    same. So it is compared with the 95 % prediction interval for one more value of a normal
    distribution whose mean and variance are estimated from n values (Student's t with n - 1
    degrees of freedom): mean ± t · s · √(1 + 1/n). The mere range of n runs leaves the next
    one out in 2 of n + 1 cases.

    Args:
        score: one of SCORES.
        values: two at least.
    """
    count = len(values)
    mean, deviation = float(np.mean(values)), float(np.std(values, ddof=1))
    quantile = float(student_t.ppf((1 + CONFIDENCE_LEVEL) / 2, count - 1))
    reach = quantile * deviation * (1 + 1 / count) ** 0.5
    low, high = max(mean - reach, 0.0), mean + reach
    if score.endswith("accuracy"):
        high = min(high, 1.0)
    return Spread(mean, deviation, min(values), max(values), low, high)


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
            for run in parse_json(path.read_bytes())["runs"]
        ]
        if [run.seed for run in runs] != list(seeds):
            raise ValueError("runs of other seeds")
        if any(run.predictions.keys() != set(images) for run in runs):
            raise ValueError("predictions of other images")
        return runs
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: cannot be read ({error!r}): run `make published`") from None


def any_score_published(results: Mapping[str, PublishedResult]) -> bool:
    """Whether there is something to compare with; not where all results are one's own."""
    return any(getattr(of, score) is not None for of in results.values() for score in SCORES)


def table(
    results: Mapping[str, PublishedResult],
    runs: Mapping[str, Sequence[Run]],
    class_names: Sequence[str],
) -> str:
    """Published against reproduced as Markdown: the scores, then the printed predictions.

    What nobody has published has no column, and no table.
    """
    seeds = ", ".join(str(run.seed) for run in next(iter(runs.values())))
    beside = any_score_published(results)
    meaning = (
        ": a published figure inside is what this recipe may well give with another seed. By"
        " chance alone, one figure in twenty lies outside."
    )
    lines = [
        f"Each recipe was trained with the seeds {seeds}. The interval is the 95 % prediction"
        f" interval for one more run (Student's t){meaning if beside else '.'}",
        "",
    ]
    alignments = {
        "recipe": "---",
        "score": "---",
        "published": "---:",
        "mean ± SD": "---:",
        "smallest to largest": "---:",
        "95 % interval": "---:",
        "inside": ":---:",
    }
    scores = [
        _score_cells(recipe, score, result, runs[recipe])
        for recipe, result in results.items()
        for score in SCORES
    ]
    columns = [name for name in alignments if beside or name not in ("published", "inside")]
    lines.append(_row(columns))
    lines += [_row([cells[name] for name in columns]) for cells in (alignments, *scores)]
    predictions = [
        _prediction_row(recipe, result.prediction, runs[recipe], class_names)
        for recipe, result in results.items()
        if result.prediction
    ]
    if predictions:
        lines += [
            "",
            "| recipe | test image | published | reproduced | seeds that agree |",
            "| --- | ---: | ---: | ---: | ---: |",
            *predictions,
        ]
    lines += ["", "Sources and remarks:", ""]
    for recipe, result in results.items():
        remark = f". {result.note}" if result.note else ""
        lines.append(f"- `{recipe}`: {result.source}{remark}")
    return "\n".join(lines) + "\n"


def _score_cells(
    recipe: str, score: str, result: PublishedResult, runs: Sequence[Run]
) -> dict[str, str]:
    """The cells of one score by column; the first of a recipe names it."""
    published = getattr(result, score)
    of = spread(score, [run.scores[score] for run in runs])
    inside = _NONE if published is None else "yes" if of.holds(published) else "**no**"
    return {
        "recipe": f"`{recipe}`" if score == SCORES[0] else "",
        "score": score.replace("_", " "),
        "published": _NONE if published is None else f"{published:.4f}",
        "mean ± SD": f"{of.mean:.4f} ± {of.deviation:.4f}",
        "smallest to largest": f"{of.smallest:.4f} to {of.largest:.4f}",
        "95 % interval": f"{of.low:.4f} to {of.high:.4f}",
        "inside": inside,
    }


def _prediction_row(
    recipe: str, published: PublishedPrediction, runs: Sequence[Run], class_names: Sequence[str]
) -> str:
    of_runs = [run.predictions[published.image] for run in runs]
    agreeing = [of.probability for of in of_runs if of.label == published.label]
    reproduced = f"{min(agreeing):.3f} to {max(agreeing):.3f}" if agreeing else _NONE
    name = class_names[published.label].replace("|", r"\|")  # it would end the cell
    cells = [
        f"`{recipe}`",
        str(published.image),
        f"{name} {published.probability:.3f}",
        reproduced,
        f"{len(agreeing)} of {len(of_runs)}",
    ]
    return _row(cells)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
