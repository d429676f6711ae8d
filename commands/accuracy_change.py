"""Whether a change of accuracy is real, put together from two revisions, in words."""

import csv
import io
from collections.abc import Mapping
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
from workflow.lockfile import (
    LockedFile,
    LockedStage,
    md5_of_bytes,
    md5_of_folder,
    recorded_outs,
    stages_behind,
)
from workflow.params import PARAMS_FILE

# One row a recipe and seed, measured by the command below.
RESULTS = "published/results.csv"
MEASURE = "make published"
_PIPELINE = "published/dvc.yaml"
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
    """What a revision was trained with.

    Attributes:
        recipe: its name.
        definition: of the recipe.
        seed: of the run.
        read: the hash of all that went into it, by path; the data are among that.
    """

    recipe: str
    definition: Any
    seed: Any
    read: Mapping[str, str]


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
    before: Revision, after: Revision, difference: float
) -> tuple[SeedTest | None, list[str], str]:
    """The test against the spread that is known, how that was come by, and what it supposes."""
    base, head = _run(before), _run(after)
    # The base is asked first: a change is not to be judged by what it brings along.
    of_base, of_head = (_spread(run, (base, head), (before, after)) for run in (base, head))
    same_recipe = base.recipe == head.recipe
    redefined = same_recipe and base.definition != head.definition
    how = f"`{MEASURE}` measures it once published/params.yaml names it"
    if _PIPELINE not in after.files:
        how = "the folder published, which measures it, is gone: take it back with git"
    notes = []
    for spread, run, side in ((of_base, base, "base"), (of_head, head, "head")):
        if spread is None:
            which = f"{run.recipe} as the {side} defines it" if redefined else run.recipe
            # Of one recipe, defined in one way, the other side can know more of its data alone.
            data = "these data"
            if same_recipe and not redefined and (of_base or of_head):
                data = f"the data of the {side}"
            note = f"{RESULTS} does not hold {FEWEST_SEEDS} other seeds of {which}, on {data}"
            notes.append(f"{note}: {how}.")
    notes = list(dict.fromkeys(notes))
    known = of_base or of_head
    if known is None:
        return None, notes, ""
    condition = ""
    if of_base is None or of_head is None:
        unknown, side = (base.recipe, "head") if of_base is None else (head.recipe, "base")
        those = f"they do in the {side}" if same_recipe else f"those of {known.recipe} do"
        condition = f", if the seeds of {unknown} scatter as {those}"
        notes.append(
            f"So both are taken to scatter as the seeds of {known.recipe}"
            f"{f' do in the {side}' if same_recipe else ' do'}."
        )
        of_base = of_head = known
    for spread, side in {of_base: "base", of_head: "head"}.items():
        place = f" in the {side}" if same_recipe and of_base != of_head else ""
        notes.append(
            f"The test accuracy of {spread.recipe}{place} has a standard deviation of"
            f" {spread.deviation * 100:.2f} points over n = {spread.seeds} other seeds ({RESULTS})."
        )
    test = seed_test(difference, of_base, of_head)
    notes.append(
        "Method: a t test of the difference of two single runs, one of each recipe"
        f" ({test.degrees_of_freedom:.3g} degrees of freedom"
        f"{', after Welch and Satterthwaite' if of_base != of_head else ''}), at 95 %."
    )
    return test, notes, condition


def _run(revision: Revision) -> _Run:
    params = revision.params
    recipe = str(params.get("recipe", ""))
    definition = (params.get("recipes") or {}).get(recipe)
    stages = stages_behind(PREDICTIONS, revision.lock)
    read = {dep.path: dep.md5 for name in stages for dep in revision.lock[name].deps}
    return _Run(recipe, definition, params.get("seed"), read)


def _spread(
    run: _Run, compared: tuple[_Run, _Run], revisions: tuple[Revision, Revision]
) -> SeedSpread | None:
    """The spread over seeds, as the first revision has it that has measured the recipe.

    Of those seeds alone that none of the compared runs has: the test takes the runs for
    independent of what the spread is measured by.
    """
    seeds = {other.seed for other in compared if other.recipe == run.recipe}
    for revision in revisions:
        measured = _measured(revision, run)
        others = [accuracy for seed, accuracy in measured.items() if seed not in seeds]
        if spread := seed_spread(run.recipe, others):
            return spread
    return None


def _measured(revision: Revision, run: _Run) -> dict[int, float]:
    """The test accuracy of each seed that `RESULTS` has of a recipe.

    None, unless it was measured of the recipe as the run defines it and on the run's data.
    """
    content = revision.read(RESULTS)
    if content is None or not _speaks_of(revision, run):
        return {}
    try:
        rows = csv.DictReader(io.StringIO(content.decode()), strict=True)
        return {
            int(row["seed"]): float(row["test_accuracy"])
            for row in rows
            if row["recipe"] == run.recipe
        }
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise UserError(
            f"{RESULTS} of {revision.name}: cannot be read ({error}): measure it anew with"
            f" `{MEASURE}`"
        ) from None


def _speaks_of(revision: Revision, run: _Run) -> bool:
    """Whether the stages that `RESULTS` comes of had the recipe and the data of the run."""
    outs = recorded_outs(revision.lock)
    if RESULTS not in outs:
        return False
    writer = revision.lock[outs[RESULTS][0]]
    # It may read what others wrote by the folder in which that lies.
    read = tuple(f"{dep.path}/" for dep in writer.deps)
    for stage in revision.lock.values():
        written = [out for out in stage.outs if f"{out.path}/".startswith(read)]
        params = stage.params.get(str(PARAMS_FILE), {})
        key = f"recipes.{run.recipe}"
        if (written or stage is writer) and key in params:
            # What both read and Git does not keep, as it does the code.
            data = [d for d in stage.deps if d.path in run.read and d.path not in revision.files]
            return (
                bool(data)
                and all(dep.md5 == run.read[dep.path] for dep in data)
                and bool(params[key] == run.definition)
                and all(_has_read(writer, out, revision) for out in written)
            )
    return False


def _has_read(reader: LockedStage, out: LockedFile, revision: Revision) -> bool:
    """Whether a stage ran since what it reads was written, the file or the folder that it is in."""
    for dep in reader.deps:
        if out.path == dep.path:
            return out.md5 == dep.md5
        if out.path.startswith(f"{dep.path}/"):
            outs = recorded_outs(revision.lock)
            hashes = {
                name.removeprefix(f"{dep.path}/"): outs[name][1].md5
                if name in outs
                else md5_of_bytes(revision.read(name) or b"")
                for name in {*outs, *revision.files}
                if name.startswith(f"{dep.path}/")
            }
            return md5_of_folder(hashes) == dep.md5
    return False
