"""Whether a change of accuracy is real, in words."""

from dataclasses import dataclass

from commands.review.lockfile import recorded_outs, stages_behind
from commands.review.revisions import Revision
from commands.review.rules import RULES_FILE, SeedsRecord
from commands.review.seeds import measured_spread, run_of
from commands.review.stages import reasons_to_run
from commands.review.statistics import FEWEST_SEEDS, PairedTest, SeedTest, seed_test
from commands.review.wording import points
from workflow.core import paths

_SEED_ALONE = {("param", "seed")}


@dataclass(frozen=True)
class AccuracyChange:
    """The two answers, and the verdict that a reviewer reads first.

    Attributes:
        kind: `same`, `within`, `real` or `unknown`.
        headline: the verdict in one sentence.
        paired: McNemar's test; None where the two did not score the same images.
        seeds: the test against the spread over seeds; None where no spread is known.
        notes: what the test of the seeds rests on, in whole sentences.
    """

    kind: str
    headline: str
    paired: PairedTest | None
    seeds: SeedTest | None
    notes: list[str]


def accuracy_change(
    base: Revision,
    head: Revision,
    difference: float | None,
    paired: PairedTest | None,
    record: SeedsRecord | None,
) -> AccuracyChange:
    """Judge a change of accuracy.

    Args:
        base: the revision before.
        head: the revision after.
        difference: accuracy of the head minus that of the base, if both are known.
        paired: McNemar's test of the two; None if they did not score the same images, so that
            the difference means nothing.
        record: where the spread over seeds is recorded, if it is.

    Raises:
        UserError: what is recorded of the spread is damaged.
    """
    if difference is None:
        return AccuracyChange("unknown", "Unknown: one side has no accuracy.", None, None, [])
    if paired is None:
        headline = "Unknown: the two did not score the same images."
        return AccuracyChange("unknown", headline, None, None, [])
    change = points(difference)
    test, notes, condition = _against_seeds(base, head, difference, record)
    if _changed_in_training(base, head) == _SEED_ALONE:
        kind = "within"
        headline = _headline_of_another_seed(change, test)
    elif difference == 0 and paired.gained + paired.lost == 0:
        return AccuracyChange("same", "No change of accuracy.", paired, None, [])
    elif test is None:
        kind = "unknown"
        headline = f"Unknown: {change}, and the spread over seeds has not been measured."
    elif test.is_real:
        kind = "real"
        word = "better" if difference > 0 else "worse"
        headline = f"Real: {change}, {word} by more than another seed explains{condition}."
    else:
        kind = "within"
        headline = (
            f"Within the spread of seeds: {change}; another seed alone can do that{condition}."
        )
    return AccuracyChange(kind, headline, paired, test, notes)


def _headline_of_another_seed(change: str, test: SeedTest | None) -> str:
    """The verdict on a difference that the seed alone has made."""
    if test is None:
        return f"Only the seed has changed: {change}; the spread over seeds has not been measured."
    limit = f"the measured limit of ±{test.limit * 100:.2f} points"
    place = f"beyond {limit}, as for one seed in twenty" if test.is_real else f"within {limit}"
    return f"Within the spread of seeds: {change}, and only the seed has changed; it is {place}."


def _changed_in_training(base: Revision, head: Revision) -> set[tuple[str, str]]:
    """What differs in the stages that lead to the predictions, except what they wrote."""
    reasons = reasons_to_run(base.lock, head.lock)
    changed: set[tuple[str, str]] = set()
    for revision in (base, head):
        results = recorded_outs(revision.lock)
        for stage in stages_behind(str(paths.PREDICTIONS), revision.lock):
            changed |= {
                (reason.kind, reason.name)
                for reason in reasons[stage]
                if reason.kind != "dep" or reason.name not in results
            }
    return changed


def _against_seeds(
    before: Revision, after: Revision, difference: float, record: SeedsRecord | None
) -> tuple[SeedTest | None, list[str], str]:
    """The test against the spread that is known, what it rests on, and what it assumes."""
    if record is None:
        return None, [f"{RULES_FILE} names no place where the spread over seeds is recorded."], ""
    base, head = run_of(before), run_of(after)
    same_recipe = base.recipe == head.recipe
    of_base, of_head = (
        measured_spread(
            run,
            [other.seed for other in (base, head) if other.recipe == run.recipe],
            # The base is asked first: a change is not to be judged by what it brings along.
            (before, after),
            record,
        )
        for run in (base, head)
    )
    notes = []
    for spread, run, side in ((of_base, base, "base"), (of_head, head, "head")):
        if spread is None:
            which = run.recipe
            if same_recipe and base.settings != head.settings:
                which += f" as the {side} defines it"
            data = "these data"
            if base.data_md5 != head.data_md5:
                data = f"the data of the {side}"
            notes.append(
                f"{record.folder} does not hold {FEWEST_SEEDS} other seeds of {which}, on {data}:"
                f" `{record.measured_by}` measures them."
            )
    notes = list(dict.fromkeys(notes))
    known = of_base or of_head
    if known is None:
        return None, notes, ""
    condition = ""
    if of_base is None or of_head is None:
        unknown, side = (base.recipe, "head") if of_base is None else (head.recipe, "base")
        those = f"they do in the {side}" if same_recipe else f"those of {known.recipe} do"
        condition = f", if the seeds of {unknown} scatter as {those}"
        notes.append(f"The test assumes that the seeds of {unknown} scatter as {those}.")
        of_base = of_head = known
    for spread, side in {of_base: "base", of_head: "head"}.items():
        place = f" in the {side}" if same_recipe and of_base != of_head else ""
        notes.append(
            f"The test accuracy of {spread.recipe}{place} has a standard deviation of"
            f" {spread.deviation * 100:.2f} points over n = {spread.seeds} other seeds"
            f" ({record.folder})."
        )
    test = seed_test(difference, of_base, of_head)
    notes.append(
        "Method: a t test of the difference of two single runs, one of each recipe"
        f" ({test.degrees_of_freedom:.3g} degrees of freedom"
        f"{', after Welch and Satterthwaite' if of_base != of_head else ''}), at 95 %."
    )
    return test, notes, condition
