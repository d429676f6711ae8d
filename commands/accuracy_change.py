"""Whether a change of accuracy is real, put together from two revisions, in words."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import yaml

from commands.reproduction import in_root_pipeline, stage_changes
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
from workflow.lockfile import recorded_outs
from workflow.params import PARAMS_FILE

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
class _Recipe:
    """The recipe of a revision, as named and as defined, and its spread over seeds there."""

    name: str
    definition: Any
    spread: SeedSpread | None


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
    test, notes = _against_seeds(_recipe(base), _recipe(head), difference)
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
        headline = f"Real: {points}, {word} by more than another seed explains."
    else:
        kind = "within"
        headline = f"Within the spread of seeds: {points}; another seed alone can do that."
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
    """What differs between the pipelines of two revisions, apart from what follows from it."""
    results = recorded_outs(head.lock).keys() | recorded_outs(base.lock).keys()
    return sorted(
        {
            reason
            for stage, reasons in stage_changes(base.lock, head.lock).items()
            for reason in reasons
            if in_root_pipeline(stage) and reason.removeprefix("dep ") not in results
        }
    )


def _against_seeds(
    base: _Recipe, head: _Recipe, difference: float
) -> tuple[SeedTest | None, list[str]]:
    """The test against the spread that is known, and how that was come by."""
    notes = []
    redefined = base.name == head.name and base.definition != head.definition
    before, after = base.spread, head.spread
    if redefined:
        if after is not None and after == before:
            after = None  # measured before the recipe was changed
        if after is None:
            notes.append(
                f"The recipe {head.name} is defined anew here, and {RESULTS} does not measure"
                f" it yet: `{MEASURE}` does."
            )
    elif base.name == head.name:
        before = after = after or before
    if before is None and after is None:
        names = base.name if base.name == head.name else f"{base.name} or {head.name}"
        notes.append(
            f"{RESULTS} does not hold {FEWEST_SEEDS} seeds of {names}: `{MEASURE}` measures the"
            " recipes that published/params.yaml names."
        )
        return None, notes
    for known, missing, side in ((before, base.name, "base"), (after, head.name, "head")):
        if known is None and not redefined:
            notes.append(
                f"{RESULTS} does not hold {FEWEST_SEEDS} seeds of {missing}, the {side}'s."
            )
    one = before or after
    assert one is not None  # noqa: S101  one of the two is known
    if before is None or after is None:
        notes.append(f"So both are taken to scatter as the seeds of {one.recipe} do.")
        before = after = one
    for spread in dict.fromkeys((before, after)):
        notes.append(
            f"The test accuracy of {spread.recipe} has a standard deviation of"
            f" {spread.deviation * 100:.2f} points over n = {spread.seeds} seeds ({RESULTS})."
        )
    test = seed_test(difference, before, after)
    notes.append(
        "Method: a t test of the difference of two single runs, one of each recipe"
        f" ({test.degrees_of_freedom:.3g} degrees of freedom"
        f"{', after Welch and Satterthwaite' if before != after else ''}), at 95 %."
    )
    return test, notes


def _recipe(revision: Revision) -> _Recipe:
    """Name, definition and spread, as far as the revision has them."""
    try:
        params = yaml.safe_load(revision.read(PARAMS_FILE) or b"{}")
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{PARAMS_FILE} of {revision.name}: not valid YAML: {reason}") from None
    table: Mapping[str, Any] = params if isinstance(params, dict) else {}
    name = str(table.get("recipe", ""))
    definition = (table.get("recipes") or {}).get(name)
    return _Recipe(name, definition, _measured_spread(revision, name))


def _measured_spread(revision: Revision, recipe: str) -> SeedSpread | None:
    content = revision.read(RESULTS)
    if content is None:
        return None
    try:
        table = pd.read_csv(io.BytesIO(content))
        rows = table.loc[table["recipe"] == recipe, ["seed", "test_accuracy"]]
        accuracies = rows.drop_duplicates("seed")["test_accuracy"].astype(float).tolist()
    except (KeyError, ValueError, UnicodeDecodeError) as error:
        raise UserError(
            f"{RESULTS} of {revision.name}: cannot be read ({error}): measure it anew with"
            f" `{MEASURE}`"
        ) from None
    return seed_spread(recipe, accuracies)
