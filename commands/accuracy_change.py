"""Whether a change of accuracy is real, put together from two revisions, in words."""

import csv
import io
from dataclasses import dataclass
from typing import Any

from commands.prediction_changes import PREDICTIONS
from commands.reproduction import stage_changes
from commands.revisions import Revision
from workflow.comparison import (
    FEWEST_SEEDS,
    PairedTest,
    SeedSpread,
    SeedTest,
    seed_spread,
    seed_test,
)
from workflow.errors import UserError
from workflow.lockfile import recorded_outs, stages_behind

# One row a recipe and seed, measured by the command below.
RESULTS = "published/results.csv"
MEASURE = "make published"
_SEED_ALONE = ["param seed"]


@dataclass(frozen=True)
class AccuracyChange:
    """The two answers, and the verdict that a reviewer reads first.

    Attributes:
        kind: `same`, `within`, `real` or `unknown`.
        headline: the verdict in one sentence.
        paired: McNemar's test; None where the two did not score the same images.
        seeds: the test against the spread over seeds; None where no spread is known.
        notes: how the spread was come by, and what to know of it; whole sentences.
    """

    kind: str
    headline: str
    paired: PairedTest | None
    seeds: SeedTest | None
    notes: list[str]


@dataclass(frozen=True)
class _Run:
    """What a revision was trained with, and what is measured there of other seeds.

    Attributes:
        recipe: its name.
        definition: of the recipe.
        seed: of the run.
        accuracies: on the test set, by seed, as measured of this recipe.
    """

    recipe: str
    definition: Any
    seed: Any
    accuracies: dict[int, float]

    def spread(self, runs: "tuple[_Run, _Run]") -> SeedSpread | None:
        """The spread over seeds, of those alone that none of the compared runs has.

        The test takes the runs for independent of what the spread is measured by.
        """
        compared = {run.seed for run in runs if run.recipe == self.recipe}
        others = [value for seed, value in self.accuracies.items() if seed not in compared]
        return seed_spread(self.recipe, others)


def accuracy_change(
    base: Revision, head: Revision, difference: float | None, paired: PairedTest | None
) -> AccuracyChange:
    """Judge a change of accuracy.

    Args:
        base: the revision before.
        head: the revision after.
        difference: accuracy of the head less that of the base, if both are known.
        paired: McNemar's test of the two; None if they did not score the same images, so that
            the difference means nothing.
    """
    if difference is None:
        return AccuracyChange("unknown", "Unknown: one side has no accuracy.", None, None, [])
    if paired is None:
        headline = "Unknown: the two did not score the same images."
        return AccuracyChange("unknown", headline, None, None, [])
    points = f"{difference * 100:+.2f} points".replace("-", "−")
    test, notes, condition = _against_seeds(base, head, difference)
    if _changed_in_training(base, head) == _SEED_ALONE:
        kind = "within"
        headline = f"{_within_by_nature(points, test)}."
    elif difference == 0 and paired.gained + paired.lost == 0:
        return AccuracyChange("same", "No change of accuracy.", paired, None, [])
    elif test is None:
        kind = "unknown"
        headline = f"Unknown: {points}, and the spread over seeds has not been measured."
    elif test.is_real:
        kind = "real"
        word = "better" if difference > 0 else "worse"
        headline = f"Real: {points}, {word} by more than another seed explains{condition}."
    else:
        kind = "within"
        headline = (
            f"Within the spread of seeds: {points}; another seed alone can do that{condition}."
        )
    return AccuracyChange(kind, headline, paired, test, notes)


def _within_by_nature(points: str, test: SeedTest | None) -> str:
    """What the measured spread, if there is one, says of a difference that the seed alone made."""
    if test is None:
        return f"Only the seed has changed: {points}; how far seeds scatter has not been measured"
    limit = f"the measured limit of ±{test.limit * 100:.2f} points"
    place = (
        f"beyond {limit}, as happens for one seed in twenty" if test.is_real else f"within {limit}"
    )
    return f"Within the spread of seeds: {points}, and only the seed has changed; it is {place}"


def _changed_in_training(base: Revision, head: Revision) -> list[str]:
    """What differs between two revisions in the stages that lead to the predictions.

    Apart from what follows from it, which is what these stages wrote.
    """
    changed = stage_changes(base.lock, head.lock)
    reasons = []
    for revision in (base, head):
        results = recorded_outs(revision.lock)
        for stage in stages_behind(PREDICTIONS, revision.lock):
            reasons += [r for r in changed[stage] if r.removeprefix("dep ") not in results]
    return sorted(set(reasons))


def _against_seeds(
    of_base: Revision, of_head: Revision, difference: float
) -> tuple[SeedTest | None, list[str], str]:
    """The test against the spread that is known, how that was come by, and what it supposes."""
    notes = []
    condition = ""
    base, head = _run(of_base), _run(of_head)
    known_before = _run(of_base, head.recipe)
    before, after = (run.spread((base, head)) for run in (base, head))
    redefined = known_before.definition not in (None, head.definition)
    if redefined:
        if head.accuracies == known_before.accuracies:
            after = None  # measured before the recipe was changed
        if after is None:
            notes.append(
                f"The recipe {head.recipe} is defined anew here, and {RESULTS} does not measure"
                f" it yet: `{MEASURE}` does."
            )
    else:
        # A change is not to be judged by what it brings along.
        after = known_before.spread((base, head)) or after
        if base.recipe == head.recipe:
            before = after
    if before is None and after is None:
        names = " or ".join(dict.fromkeys((base.recipe, head.recipe)))
        notes.append(
            f"{RESULTS} does not hold {FEWEST_SEEDS} other seeds of {names}: `{MEASURE}` measures"
            " the recipes that published/params.yaml names."
        )
        return None, notes, condition
    for known, missing, side in ((before, base.recipe, "base"), (after, head.recipe, "head")):
        if known is None and not (redefined and known is after):
            notes.append(
                f"{RESULTS} does not hold {FEWEST_SEEDS} other seeds of {missing}, the {side}'s:"
                f" `{MEASURE}` measures it once published/params.yaml names it."
            )
    one = before or after
    assert one is not None  # noqa: S101  one of the two is known
    if before is None or after is None:
        notes.append(f"So both are taken to scatter as the seeds of {one.recipe} do.")
        unknown = base.recipe if before is None else head.recipe
        anew = redefined and base.recipe == head.recipe
        those = "they did before" if anew else f"those of {one.recipe} do"
        condition = f", if the seeds of {unknown} scatter as {those}"
        before = after = one
    for spread, side in {before: "base", after: "head"}.items():
        place = f" in the {side}" if base.recipe == head.recipe and before != after else ""
        notes.append(
            f"The test accuracy of {spread.recipe}{place} has a standard deviation of"
            f" {spread.deviation * 100:.2f} points over n = {spread.seeds} other seeds ({RESULTS})."
        )
    test = seed_test(difference, before, after)
    notes.append(
        "Method: a t test of the difference of two single runs, one of each recipe"
        f" ({test.degrees_of_freedom:.3g} degrees of freedom"
        f"{', after Welch and Satterthwaite' if before != after else ''}), at 95 %."
    )
    return test, notes, condition


def _run(revision: Revision, recipe: str | None = None) -> _Run:
    """What params and measured seeds of a revision say of a recipe: of its own, if none is named.

    As far as it has them.
    """
    params = revision.params
    recipe = str(params.get("recipe", "")) if recipe is None else recipe
    definition = (params.get("recipes") or {}).get(recipe)
    return _Run(recipe, definition, params.get("seed"), _measured(revision, recipe))


def _measured(revision: Revision, recipe: str) -> dict[int, float]:
    """The test accuracy of each seed that `RESULTS` has of a recipe; empty without the file."""
    content = revision.read(RESULTS)
    if content is None:
        return {}
    try:
        rows = csv.DictReader(io.StringIO(content.decode()), strict=True)
        return {
            int(row["seed"]): float(row["test_accuracy"]) for row in rows if row["recipe"] == recipe
        }
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"{RESULTS} of {revision.name}: cannot be read ({error}): measure it anew with"
            f" `{MEASURE}`"
        ) from None
